#!/usr/bin/env bash
# Builds the release program and says beforehand how long that takes.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/toolchain.sh
if [ ! -x target/release/bio-mcp ]; then
    echo "Building bio-mcp: several minutes the first time, seconds afterwards."
fi
start=$(date +%s)
cargo build --release --locked --package bio-mcp --quiet
took=$(($(date +%s) - start))
if [ "$took" -gt 2 ]; then echo "Built in $took s."; fi
