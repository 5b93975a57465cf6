#!/usr/bin/env bash
# Replaces rustc for the crates of the workspace, as RUSTC_WORKSPACE_WRAPPER: compiles with clippy's lints, then checks
# the documentation with rustdoc. So `make lint` and `make test` share one compilation.
set -euo pipefail
rustc=$1
shift
clippy-driver "$rustc" "$@" -D warnings

# rustdoc has the same arguments as rustc, except those for the output.
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
