#!/usr/bin/env bash
# Runs libFuzzer on one target, from its corpus:
#   fuzz.sh TARGET [SECONDS]   splitter, tree, same_xml, envelope, cursor or address; a minute without SECONDS
# Needs a nightly compiler and a C++ compiler; without a nightly one, it prints that it is skipped. Results are in
# fuzz/artifacts/TARGET (a failing input: fix the bug, and commit the input to fuzz/corpus/TARGET) and fuzz/found/TARGET
# (inputs that reach more code).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/toolchain.sh
target=${1:?the name of a target} seconds=${2:-60}
[ -f "fuzz/fuzz_targets/$target.rs" ] || { echo "fuzz: no target $target" >&2; exit 2; }
if ! rustup run nightly rustc --version >/dev/null 2>&1; then
    echo "SKIPPED: no nightly compiler is installed" >&2
    exit 0
fi
host=$(rustup run nightly rustc --version --verbose | sed -n 's/^host: //p')
# The same flags as cargo-fuzz: coverage of every edge and comparison, and the address sanitizer.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Zsanitizer=address -Ccodegen-units=1"
cargo +nightly build --release --locked --quiet --manifest-path fuzz/Cargo.toml --target "$host" --bin "$target"
built=$(cargo +nightly metadata --locked --format-version 1 --no-deps --manifest-path fuzz/Cargo.toml |
    python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')
mkdir -p "fuzz/artifacts/$target" "fuzz/found/$target"
"$built/$host/release/$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="fuzz/artifacts/$target/" "fuzz/found/$target" "fuzz/corpus/$target"
