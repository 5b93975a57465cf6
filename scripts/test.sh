#!/usr/bin/env bash
# Runs the whole test suite: builds, starts a Postgres and an AWS emulator of its own, tests in parallel,
# stops them.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/toolchain.sh
scripts/setup.sh --tests
. scripts/emulator.sh
cargo build --locked --workspace --all-targets --quiet

target=$(cargo metadata --locked --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')
program="$target/debug/bio-mcp"
# Of this checkout, also when another user owns it.
if [ -x .tools/postgres/bin/initdb ]; then
    export BIO_MCP_POSTGRES_BIN="${BIO_MCP_POSTGRES_BIN:-$PWD/.tools/postgres/bin}"
fi
data=$(mktemp -d "${TMPDIR:-/tmp}/bio-mcp-tests.XXXXXX")
stop() {
    stop_emulator
    "$program" --data-dir "$data" db stop >/dev/null 2>&1 || true
    # Hundreds of databases take a minute to remove: the verdict does not wait for that.
    (rm -rf "$data" >/dev/null 2>&1 </dev/null &)
}
trap stop EXIT
BIO_MCP_TEST_DATABASE_URL=$(env -u BIO_MCP_DATABASE_URL "$program" --data-dir "$data" db start)
export BIO_MCP_TEST_DATABASE_URL
start_emulator "$data"
export BIO_MCP_TEST_DATA="${BIO_MCP_TEST_DATA:-$PWD/../shared/data}"
export PYTHONPATH="$PWD/.tools/python"

if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --workspace --no-fail-fast "$@"
else
    cargo test --locked --workspace --no-fail-fast "$@"
fi
