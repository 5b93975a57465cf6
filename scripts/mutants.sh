#!/usr/bin/env bash
# Plants the bugs of tests/mutants, one at a time, in a scratch copy of the committed tree: the tests named in each
# patch must fail. A mutant that builds and passes its tests has survived.
#   mutants.sh [name…]   only those whose file name contains one of the words
#
# The first lines of a patch say what is wrong, what must be built ("it" is the tests, "program" is bio-mcp, for tests
# that start it), and which tests must fail: a module of them, or one by its name:
#   # a batch is committed for a unit that another worker has
#   # builds: it
#   # caught by: test(/^engine_races::/)
# Nothing else is built, so a mutant costs the library and its tests. All share one Postgres and one AWS emulator.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/toolchain.sh
scripts/setup.sh --tests || exit 1
. scripts/emulator.sh
. scripts/database.sh
root=$PWD
# A fixed directory, so that a second run rebuilds only what changed.
export CARGO_TARGET_DIR="$root/target/mutants" CARGO_INCREMENTAL=1 CARGO_PROFILE_DEV_DEBUG=0 RUST_BACKTRACE=0
# More seeds than in a test run: a bug that only few of them reveal is found nevertheless.
export BIO_MCP_MODEL_SEEDS="${BIO_MCP_MODEL_SEEDS:-200}" BIO_MCP_ORDER_SEEDS="${BIO_MCP_ORDER_SEEDS:-40}"
export BIO_MCP_TEST_DATA="${BIO_MCP_TEST_DATA:-$root/../shared/data}" PYTHONPATH="$root/.tools/python"
tree="$CARGO_TARGET_DIR/tree"
mkdir -p "$CARGO_TARGET_DIR"
[ -d "$tree/.git" ] || git clone --quiet "$root" "$tree" || exit 1
git -C "$tree" fetch --quiet --force "$root" HEAD && git -C "$tree" checkout --quiet --force FETCH_HEAD || exit 1
git -C "$tree" clean --quiet -fd
ln -sfn "$root/.tools" "$tree/.tools"
cd "$tree" || exit 1

# Always the same packages, so that their dependencies are built with the same features.
packages=(-p tests -p bio-mcp)
wanted() { # name of a patch
    [ ${#words[@]} -gt 0 ] || return 0
    for word in "${words[@]}"; do [[ $1 == *"$word"* ]] && return 0; done
    return 1
}
words=("$@")
patches=()
for patch in "$tree"/tests/mutants/*.patch; do
    if wanted "$(basename "$patch" .patch)"; then patches+=("$patch"); fi
done
[ ${#patches[@]} -gt 0 ] || { echo "no planted bug has a name like that" >&2; exit 2; }

targets() { # patch
    local targets=()
    for name in $(sed -n 's/^# builds: //p' "$1"); do
        if [ "$name" = program ]; then targets+=(--bin bio-mcp); else targets+=(--test "$name"); fi
    done
    printf '%s\n' "${targets[@]}"
}

work=$(mktemp -d "${TMPDIR:-/tmp}/bio-mcp-mutants.XXXXXX")
program="$work/bio-mcp"
stop() {
    stop_emulator
    [ ! -x "$program" ] || "$program" --data-dir "$work/data" db stop >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap stop EXIT
start=$(date +%s)
cargo build --locked "${packages[@]}" --bin bio-mcp --quiet || exit 1
# A copy: planted bugs are built to the same path.
cp "$CARGO_TARGET_DIR/debug/bio-mcp" "$program"
start_database "$program" "$work/data" || exit 1
start_emulator "$work"
forget_databases() {
    "$program" --data-dir "$work/data" db psql >/dev/null 2>&1 <<'SQL'
select format('drop database %I with (force)', datname) from pg_database
where datname like 't\_%' or datname like 'bio\_mcp\_template\_%' \gexec
SQL
}
echo "the program as it is: built in $(($(date +%s) - start)) s"

caught=0 survived=0
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    git checkout --quiet --force . && git clean --quiet -fd shared migrations cli functions
    if ! git apply "$patch"; then
        echo "$name: the patch does not apply" && survived=$((survived + 1)) && continue
    fi
    # Migrations are compiled in; cargo must notice a changed one.
    if git diff --quiet -- migrations; then :; else touch shared/engine/src/db/mod.rs; fi
    mapfile -t targets < <(targets "$patch")
    filter=$(sed -n 's/^# caught by: //p' "$patch")
    start=$(date +%s)
    if ! cargo build --locked "${packages[@]}" "${targets[@]}" --quiet 2>"$work/build.log"; then
        tail -20 "$work/build.log"
        echo "$name: does not build" && survived=$((survived + 1)) && continue
    fi
    built=$(date +%s)
    tests=()
    for ((at = 0; at < ${#targets[@]}; at += 2)); do
        [ "${targets[at]}" = --test ] && tests+=("${targets[@]:at:2}")
    done
    if cargo nextest run --locked "${packages[@]}" "${tests[@]}" --profile mutants -E "$filter" >"$work/test.log" 2>&1; then
        echo "$name: SURVIVED" && survived=$((survived + 1))
    elif grep -qE '^ +(TRY [0-9]+ )?(FAIL|TIMEOUT|ABORT|SIG[A-Z]+) ' "$work/test.log"; then
        test=$(grep -m1 -E '^ +(TRY [0-9]+ )?(FAIL|TIMEOUT|ABORT|SIG[A-Z]+) ' "$work/test.log" | sed -E 's/.*\) //')
        echo "$name: built in $((built - start)) s, caught in $(($(date +%s) - built)) s by $test"
        caught=$((caught + 1))
    else
        tail -20 "$work/test.log"
        echo "$name: the tests did not run" && survived=$((survived + 1))
    fi
    forget_databases || { echo "the servers of the tests are gone: nothing was proved" >&2 && exit 1; }
    kill -0 "$EMULATOR_PID" || { echo "the AWS emulator is gone: nothing was proved" >&2 && exit 1; }
done
echo "$caught passed, $survived failed"
[ "$survived" -eq 0 ]
