#!/usr/bin/env bash
# Runs the whole test suite: builds, starts a separate Postgres and AWS emulator, runs the tests in parallel, stops
# both.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/toolchain.sh
scripts/setup.sh --tests
. scripts/emulator.sh
. scripts/database.sh
cargo build --locked --workspace --all-targets --quiet

target=$(cargo metadata --locked --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')
program="$target/debug/bio-mcp"
# From this checkout, also if another user owns it.
if [ -x .tools/postgres/bin/initdb ]; then
    export BIO_MCP_POSTGRES_BIN="${BIO_MCP_POSTGRES_BIN:-$PWD/.tools/postgres/bin}"
fi
data=$(mktemp -d "${TMPDIR:-/tmp}/bio-mcp-tests.XXXXXX")
stop() {
    stop_emulator
    "$program" --data-dir "$data" db stop >/dev/null 2>&1 || true
    # Hundreds of databases take a minute to remove: the result does not wait for that.
    (rm -rf "$data" >/dev/null 2>&1 </dev/null &)
}
trap stop EXIT
start_database "$program" "$data"
start_emulator "$data"
export BIO_MCP_TEST_DATA="${BIO_MCP_TEST_DATA:-$PWD/../shared/data}"
export PYTHONPATH="$PWD/.tools/python"

# More threads than cores: many tests wait for emulators, disks or processes. On two cores, 6 threads are no faster than 4.
threads=$(($(getconf _NPROCESSORS_ONLN) * 3 / 2 + 1))
# Their connections are bounded (database.sh).
[ "$threads" -le 48 ] || threads=48
if cargo nextest --version >/dev/null 2>&1; then
    # The examples in the documentation; not with a filter, which selects tests.
    [ $# -gt 0 ] || cargo test --doc --locked --workspace --quiet
    export NEXTEST_TEST_THREADS="${NEXTEST_TEST_THREADS:-$threads}"
    cargo nextest run --locked --workspace --no-fail-fast "$@"
elif [ $# -gt 0 ]; then
    cargo test --locked --workspace --no-fail-fast "$@"
else
    # Tests that count requests in real seconds run alone, as configured in .config/nextest.toml.
    status=0
    cargo test --locked --workspace --no-fail-fast -- --skip politeness:: || status=$?
    cargo test --locked --package tests --test it -- politeness:: --test-threads 1 || status=$?
    exit "$status"
fi
