#!/usr/bin/env bash
# Measures the program beside straightforward Python references, in one run:
#   BENCH_FILE=pubmed26n0001.xml.gz   a real file instead of a generated one
#   BENCH_RUNS=5                      runs of each measurement
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --tests
cargo build --release --locked --package bio-mcp --package bench --quiet
export PYTHONPATH="$PWD/.tools/python"
packages=$PWD/.tools/bench
if [ ! -e "$packages/.complete-1" ]; then
    rm -rf "$packages"
    python3 -m pip install --quiet --disable-pip-version-check --no-warn-script-location --root-user-action=ignore \
        --target "$packages" fastapi==0.165.0 "uvicorn[standard]==0.54.0" asyncpg==0.32.0
    touch "$packages/.complete-1"
fi
cold=$PWD/.tools/cold
if [ ! -e "$cold/.complete-1" ]; then
    rm -rf "$cold"
    python3 -m pip install --quiet --disable-pip-version-check --no-warn-script-location --root-user-action=ignore \
        --target "$cold" fastapi==0.165.0 mangum==0.22.0 boto3==1.44.8 "psycopg[binary]==3.3.9" awslambdaric==4.2.2
    touch "$cold/.complete-1"
fi
cargo build --profile function --locked --package api --package worker --package scheduler --package migrate --quiet
python3 bench/cold_start.py --functions target/function --packages "$cold" \
    --emulator "$(ls "$PWD"/.tools/sam/samcli/local/rapid/aws-lambda-rie-"$(uname -m | sed s/aarch64/arm64/)")"
python3 bench/api.py --bin target/release --packages "$packages" --runs "${BENCH_RUNS:-5}"
python3 bench/checkpoints.py --bin target/release --runs "${BENCH_RUNS:-5}"
python3 bench/sync.py --bin target/release --runs "${BENCH_RUNS:-5}"
python3 bench/run.py --bin target/release --runs "${BENCH_RUNS:-5}" \
    ${BENCH_FILE:+--file "$BENCH_FILE"}
