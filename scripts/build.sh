#!/usr/bin/env bash
# Builds the release program and prints the expected time before. The crates of AWS and of OpenTelemetry are a large
# part of the build, so they are built only if FEATURES=aws,otlp requests them, or if a bucket, queue, table or secret
# of AWS, or a collector of spans, is configured.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/toolchain.sh
is_for_aws() {
    case ${BIO_MCP_ARCHIVE_BUCKET:-} in "" | file://*) ;; *) return 0 ;; esac
    [ -z "${BIO_MCP_JOBS_QUEUE_URL:-}${BIO_MCP_LIMITS_TABLE:-}" ] || return 0
    env | grep '^BIO_MCP_[A-Z_]*_SECRET_ARN=.' >/dev/null && return 0
    # Settings may be one JSON object.
    case ${BIO_MCP_SETTINGS:-} in
        *'"BIO_MCP_ARCHIVE_BUCKET"'* | *'"BIO_MCP_JOBS_QUEUE_URL"'* | *'"BIO_MCP_LIMITS_TABLE"'* | *_SECRET_ARN'"'*) return 0 ;;
    esac
    return 1
}
features=${FEATURES:-}
if [ -z "$features" ]; then
    if is_for_aws; then features=aws; fi
    if [ -n "${OTEL_EXPORTER_OTLP_ENDPOINT:-}" ]; then features=${features:+$features,}otlp; fi
fi
if [ ! -x target/release/bio-mcp ]; then
    echo "Building bio-mcp${features:+ with $features}: several minutes the first time, seconds afterwards."
fi
start=$(date +%s)
cargo build --release --locked --target-dir target --package bio-mcp --no-default-features ${features:+--features "$features"} --quiet
took=$(($(date +%s) - start))
if [ "$took" -gt 2 ]; then echo "Built in $took s."; fi
