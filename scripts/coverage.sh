#!/usr/bin/env bash
# Coverage of jobs and ingest: runs the test suite with the compiler's coverage, then prints a table.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --coverage
llvm="$PWD/.tools/llvm"
export LD_LIBRARY_PATH="$llvm/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
"$llvm/bin/llvm-profdata" --version >/dev/null
unset LD_LIBRARY_PATH

export CARGO_TARGET_DIR="$PWD/target/coverage"
profiles="$CARGO_TARGET_DIR/profiles"
rm -rf "$profiles" && mkdir -p "$profiles"
export LLVM_PROFILE_FILE="$profiles/%p-%m.profraw"
RUSTFLAGS="-C instrument-coverage" scripts/test.sh "$@"

objects=()
for file in "$CARGO_TARGET_DIR"/debug/deps/*; do
    [ -x "$file" ] && [ -f "$file" ] && [[ $file != *.so ]] && objects+=(--object "$file")
done
export LD_LIBRARY_PATH="$llvm/lib"
find "$profiles" -name '*.profraw' -size +0 >"$profiles/list"
"$llvm/bin/llvm-profdata" merge --sparse --failure-mode=all --input-files="$profiles/list" --output "$profiles/all.profdata" 2>/dev/null
mapfile -t sources < <(find "$PWD/shared/engine/src/jobs" "$PWD/shared/engine/src/ingest" -name '*.rs')
"$llvm/bin/llvm-cov" report --instr-profile "$profiles/all.profdata" \
    "$CARGO_TARGET_DIR/debug/bio-mcp" "${objects[@]}" "${sources[@]}" |
    awk '/\.rs/ || /^TOTAL/ { printf "%-30s %6s lines %5s missed %9s\n", $1, $8, $9, $10 }'
