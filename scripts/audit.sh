#!/usr/bin/env bash
# Holds the packages of Cargo.lock against deny.toml: where they come from, their licences, what is banned, and what the
# advisory database of RustSec says of them. Where that database cannot be fetched, this says so; with ADVISORIES=required
# it fails then.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/toolchain.sh
scripts/setup.sh --audit
deny=$PWD/.tools/cargo-deny/cargo-deny
"$deny" --locked check --hide-inclusion-graph bans licenses sources
if told=$("$deny" fetch db 2>&1); then
    "$deny" --locked check --hide-inclusion-graph advisories
elif [ "${ADVISORIES:-}" = required ]; then
    echo "$told" >&2
    echo "audit: the advisory database cannot be fetched" >&2
    exit 1
else
    echo "SKIPPED: advisories: the database cannot be fetched: $(echo "$told" | grep -v '^ *$' | tail -1)" >&2
fi
