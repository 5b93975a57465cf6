#!/usr/bin/env bash
# Measures the program beside a straightforward Python reference, in one run:
#   BENCH_FILE=pubmed26n0001.xml.gz   a real file instead of a generated one
#   BENCH_RUNS=5                      runs of each measurement
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --tests
cargo build --release --locked --package bio-mcp --package bench --quiet
export PYTHONPATH="$PWD/.tools/python"
python3 bench/sync.py --bin target/release --runs "${BENCH_RUNS:-5}"
python3 bench/run.py --bin target/release --runs "${BENCH_RUNS:-5}" \
    ${BENCH_FILE:+--file "$BENCH_FILE"}
