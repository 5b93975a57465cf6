#!/usr/bin/env bash
# Checks a running server: URL (default http://127.0.0.1:8080), TOKEN if one is needed.
# Only reads, except for a job of one PMID (PMID, default 31452104) with SMOKE_JOB=1.
set -euo pipefail
url=${URL:-http://127.0.0.1:8080}
curl=(curl --silent --show-error --max-time 30 --fail-with-body)
[ -n "${TOKEN:-}" ] && curl+=(-H "Authorization: Bearer $TOKEN")
say() { printf '%-28s %s\n' "$1" "$2"; }
field() { python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

say "healthz" "$("${curl[@]}" "$url/healthz" | field status)"
say "readyz" "$("${curl[@]}" "$url/readyz" | field status)"
say "tools" "$("${curl[@]}" "$url/v1/mcp/tools" | python3 -c 'import json,sys; print(len(json.load(sys.stdin)["tools"]))')"
answer=$("${curl[@]}" "$url/v1/mcp/invoke" -H 'Content-Type: application/json' -d '{"tool":"ping","params":{"message":"smoke"}}')
say "ping" "$(printf '%s' "$answer" | python3 -c 'import json,sys; print(json.load(sys.stdin)["result"]["message"])')"
say "jobs" "$("${curl[@]}" "$url/v1/jobs?limit=1" | field total)"
if [ "${SMOKE_JOB:-}" = 1 ]; then
    body="{\"tool\":\"pubmed.sync\",\"params\":{\"pmids\":[\"${PMID:-31452104}\"]}}"
    job=$("${curl[@]}" "$url/v1/jobs" -H 'Content-Type: application/json' -d "$body" | field job_id)
    for _ in 1 2 3 4 5 6; do
        state=$("${curl[@]}" "$url/v1/jobs/$job?wait=10" | field state)
        case $state in succeeded | failed | cancelled) break ;; esac
    done
    say "job $job" "$state"
    [ "$state" = succeeded ]
fi
