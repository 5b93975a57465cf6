#!/usr/bin/env bash
# Compares the program with straightforward Python references, in one run:
#   BENCH_FILE=pubmed26n0001.xml.gz   a real file instead of a generated one
#   BENCH_RUNS=5                      runs of each measurement
#   BENCH_PROFILE=release             the profile of `make demo` instead of dist, which is released
# Functions are measured with the profile of `make functions` (profile function).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/toolchain.sh
scripts/setup.sh --bench
profile=${BENCH_PROFILE:-dist}
bin=target/$profile
cargo build --profile "$profile" --locked --package bio-mcp --package bench --quiet
export PYTHONPATH="$PWD/.tools/python"
packages=$PWD/.tools/bench
cold=$PWD/.tools/bench-cold
cargo build --profile function --locked --package api --package worker --package scheduler --package migrate --quiet
python3 bench/cold_start.py --functions target/function --packages "$cold" \
    --emulator "$(ls "$PWD"/.tools/sam/samcli/local/rapid/aws-lambda-rie-"$(uname -m | sed s/aarch64/arm64/)")"
python3 bench/api.py --bin "$bin" --packages "$packages" --runs "${BENCH_RUNS:-5}"
python3 bench/checkpoints.py --bin "$bin" --runs "${BENCH_RUNS:-5}"
python3 bench/sync.py --bin "$bin" --runs "${BENCH_RUNS:-5}"
python3 bench/run.py --bin "$bin" --runs "${BENCH_RUNS:-5}" \
    ${BENCH_FILE:+--file "$BENCH_FILE"}
