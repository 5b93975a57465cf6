#!/usr/bin/env bash
# Stands in for rustc on the crates of the workspace, as RUSTC_WORKSPACE_WRAPPER: compiles with clippy's lints, then
# has rustdoc check the documentation. So nothing is compiled once for `make lint` and once more for `make test`.
set -euo pipefail
rustc=$1
shift
clippy-driver "$rustc" "$@" -D warnings

# rustdoc takes what rustc takes, except where its results go.
documentation=(-D warnings) type=
while [ $# -gt 0 ]; do
    case $1 in
        --test | build_script_*) exit 0 ;;
        --emit=*)
            shift
            continue
            ;;
        --out-dir | -C)
            shift 2
            continue
            ;;
        --crate-type) type=$2 ;;
    esac
    documentation+=("$1")
    shift
done
case $type in
    lib) ;;
    bin) documentation+=(--document-private-items) ;;
    *) exit 0 ;;
esac
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
rustdoc "${documentation[@]}" --out-dir "$out"
