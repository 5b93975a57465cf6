"""Measures checkpoints of an archive of 100,000 records, over HTTP; see scripts/bench.sh."""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
import urllib.request

import psycopg

parser = argparse.ArgumentParser()
parser.add_argument("--bin", required=True, help="directory of the release programs")
parser.add_argument("--records", type=int, default=100_000)
parser.add_argument("--runs", type=int, default=5)
args = parser.parse_args()

program = os.path.abspath(os.path.join(args.bin, "bio-mcp"))
work = tempfile.mkdtemp(prefix="bio-mcp-bench-checkpoints.")
data = os.path.join(work, "data")
environment = {k: v for k, v in os.environ.items() if not k.startswith("BIO_MCP_") or k == "BIO_MCP_POSTGRES_BIN"}
bio_mcp = [program, "--data-dir", data]
PORT = 18182


def call(tool, params):
    body = json.dumps({"tool": tool, "params": params}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/v1/mcp/invoke", body, {"Content-Type": "application/json"})
    began = time.monotonic()
    answer = json.load(urllib.request.urlopen(request))["result"]
    return (time.monotonic() - began) * 1000, answer


def fill(db, first, last, revision):
    """Records as an ingest leaves them, in batches of a thousand; every second one belongs to `half`, every third to `third`."""
    for start in range(first, last, 1000):
        with db.transaction():
            db.execute("""
                with new as (select n::text as pmid, encode(sha256((n || %s)::bytea), 'hex') as hash from generate_series(%s::int, %s::int) n),
                pointers as (insert into pubmed_archive (pmid, s3_uri, content_hash, fetched_at, object_etag, record_version, as_of, file_number, position)
                    select pmid, 'memory:///' || pmid, hash, now(), '1', 1, now(), 0, 0 from new
                    on conflict (pmid) do update set content_hash = excluded.content_hash),
                past as (insert into pubmed_archive_history (pmid, content_hash, s3_uri, fetched_at, retracted)
                    select pmid, hash, 'memory:///' || pmid, now(), false from new),
                number as (update archive_event_counter set last_seq = last_seq + 1000 returning last_seq - 1000 as before)
                insert into archive_events (seq, pmid, outcome, content_hash, s3_uri, accepted_at)
                select before + row_number() over (order by pmid), pmid, 'archived', hash, 'memory:///' || pmid, now() from new, number""",
                       (revision, start, start + 999))
            for key, every in (("half", 2), ("third", 3)):
                db.execute("insert into query_members select %s, n::text, (select last_seq from archive_event_counter) "
                           "from generate_series(%s::int, %s::int) n where n %% %s::int = 0 on conflict do nothing", (key, start, start + 999, every))


server = None
try:
    url = subprocess.run([*bio_mcp, "db", "start"], check=True, capture_output=True, text=True, env=environment).stdout.strip()
    subprocess.run([*bio_mcp, "status"], check=True, capture_output=True, env=environment)
    with psycopg.connect(url, autocommit=True) as db:
        fill(db, 1, args.records, "first")
        server = subprocess.Popen([*bio_mcp, "serve", "--listen", f"127.0.0.1:{PORT}"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                call("ping", {})
                break
            except OSError:
                time.sleep(0.05)
        took = {}
        for run in range(args.runs):
            for name, queries in (("all", []), ("one query", ["half"]), ("two queries", ["half", "third"])):
                ms, made = call("corpus.checkpoint.create", {"name": name, "checkpoint_id": f"{name.replace(' ', '-')}-{run}", "primary_queries": queries})
                took.setdefault(f"create, {name}: {made['total_documents']:,} records", []).append(ms)
        fill(db, 1, args.records // 10, "second")
        call("corpus.checkpoint.create", {"name": "later", "checkpoint_id": "later"})
        for run in range(args.runs):
            ms, changes = call("corpus.checkpoint.diff", {"from_checkpoint_id": "all-0", "to_checkpoint_id": "later"})
            took.setdefault(f"diff: {changes['revised']['total']:,} revised", []).append(ms)
            ms, _ = call("corpus.checkpoint.get", {"checkpoint_id": "all-0", "documents": 10_000})
            took.setdefault("read back 10,000 records as they were", []).append(ms)
    print(f"\ncheckpoints of {args.records:,} records, over HTTP, medians of {args.runs}\n\n| what | ms |\n|---|---:|")
    for name, times in took.items():
        print(f"| {name} | {statistics.median(times):.1f} |")
finally:
    if server:
        server.terminate()
        server.wait(20)
    subprocess.run([*bio_mcp, "db", "stop"], capture_output=True, env=environment)
    shutil.rmtree(work, ignore_errors=True)
