#!/usr/bin/env bash
# Checks the packages of Cargo.lock and fuzz/Cargo.lock against deny.toml: sources, licences, bans, and the advisory
# database of RustSec. If that database cannot be fetched, a message is printed; with ADVISORIES=required the script
# then fails.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/toolchain.sh
scripts/setup.sh --audit
deny() { # checks of one workspace after the other
    for manifest in Cargo.toml fuzz/Cargo.toml; do
        # A licence exception for one of the two locks is unused in the other.
        .tools/cargo-deny/cargo-deny --manifest-path "$manifest" --config deny.toml --locked check \
            --hide-inclusion-graph --allow license-exception-not-encountered "$@"
    done
}
deny bans licenses sources
if failure=$(.tools/cargo-deny/cargo-deny fetch db 2>&1); then
    deny advisories
elif [ "${ADVISORIES:-}" = required ]; then
    echo "$failure" >&2
    echo "audit: the advisory database cannot be fetched" >&2
    exit 1
else
    echo "SKIPPED: advisories: the database cannot be fetched: $(echo "$failure" | grep -v '^ *$' | tail -1)" >&2
fi
