#!/usr/bin/env bash
# Plants sixteen bugs, one at a time, in a scratch copy of the committed tree: the tests named in each
# patch must fail. A mutant that builds and passes its tests has survived.
#   mutants.sh [name…]   only those whose file name holds one of the words
set -uo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --tests || exit 1
root=$PWD
scratch=$(mktemp -d "${TMPDIR:-/tmp}/bio-mcp-mutants.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
git clone --quiet "$root" "$scratch/tree"
ln -s "$root/.tools" "$scratch/tree/.tools"
export CARGO_TARGET_DIR="$root/target/mutants" RUST_BACKTRACE=0
export BIO_MCP_TEST_DATA="${BIO_MCP_TEST_DATA:-$root/../shared/data}"
cd "$scratch/tree"

caught=0 survived=0
for patch in "$root"/tests/mutants/*.patch; do
    name=$(basename "$patch" .patch)
    if [ $# -gt 0 ]; then
        wanted=
        for word in "$@"; do [[ $name == *"$word"* ]] && wanted=yes; done
        [ -n "$wanted" ] || continue
    fi
    git checkout --quiet . && git clean --quiet -fd shared migrations cli
    if ! git apply "$patch"; then
        echo "$name: the patch does not apply" && survived=$((survived + 1)) && continue
    fi
    # Migrations are compiled in; cargo must notice a changed one.
    touch shared/src/db/mod.rs
    if ! cargo build --workspace --all-targets --quiet 2>"$scratch/build.log"; then
        tail -20 "$scratch/build.log"
        echo "$name: does not build" && survived=$((survived + 1)) && continue
    fi
    filter=$(sed -n 's/^# caught by: //p' "$patch")
    start=$(date +%s)
    if scripts/test.sh -E "$filter" >"$scratch/test.log" 2>&1; then
        echo "$name: SURVIVED" && survived=$((survived + 1))
    elif grep -qE '^ +(TRY [0-9]+ )?FAIL ' "$scratch/test.log"; then
        test=$(grep -m1 -E '^ +(TRY [0-9]+ )?FAIL ' "$scratch/test.log" | sed -E 's/.*\) //')
        echo "$name: caught in $(($(date +%s) - start)) s by $test" && caught=$((caught + 1))
    else
        tail -20 "$scratch/test.log"
        echo "$name: the tests did not run" && survived=$((survived + 1))
    fi
done
echo "$caught passed, $survived failed"
[ "$survived" -eq 0 ]
