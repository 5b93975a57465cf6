"""Measures `bio-mcp sync` beside a plain Python client, both against the simulator; see scripts/bench.sh."""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
parser = argparse.ArgumentParser()
parser.add_argument("--bin", required=True, help="directory of the release programs")
parser.add_argument("--records", type=int, default=30_000)
parser.add_argument("--runs", type=int, default=5)
args = parser.parse_args()

work = tempfile.mkdtemp(prefix="bio-mcp-bench-sync.")
program = os.path.join(args.bin, "bio-mcp")
environment = {k: v for k, v in os.environ.items() if not k.startswith("BIO_MCP_") or k == "BIO_MCP_POSTGRES_BIN"}
numbered = iter(range(10**6))


def run(*command, **more):
    began = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment | more)
    out, errors = child.stdout.read(), child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)} failed: {errors.decode()[-500:]}")
    return time.monotonic() - began, usage.ru_maxrss / 1024, out.decode()


class Upstream:
    """A simulator with so many records, written beforehand: what is measured is the client."""

    def __init__(self, records):
        command = [program, "--output", "json", "simulator", "--port", "0", "--unlimited", "--prerender", "--records", str(records)]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        self.url = json.loads(self.child.stdout.readline())["base_url"]

    def __enter__(self):
        return self.url

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait()


class Archive:
    """A fresh data directory with its Postgres running."""

    def __enter__(self):
        self.dir = os.path.join(work, f"data{next(numbered)}")
        self.database = run(program, "--data-dir", self.dir, "db", "start")[2].strip()
        return self

    def __exit__(self, *_):
        run(program, "--data-dir", self.dir, "db", "stop")

    def sync(self, url, *more):
        command = [program, "--data-dir", self.dir, "--output", "json", "sync", "all", *more]
        seconds, memory, out = run(*command, BIO_MCP_PUBMED_BASE_URL=url, BIO_MCP_PUBMED_REQUESTS_PER_SECOND="10000",
                                   BIO_MCP_PUBMED_EMAIL="bench@example.org")
        return seconds, memory, json.loads(out)

    def reference(self, url):
        database = self.database.replace("postgres://postgres@localhost/", "postgresql://postgres@/")
        script = os.path.join(here, "reference", "sync.py")
        return run(sys.executable, script, url, "all", os.path.join(self.dir, "reference"), database)


def median(results):
    return statistics.median(r[0] for r in results), max(r[1] for r in results)


try:
    ours, again, reference, reference_again = [], [], [], []
    with Upstream(args.records) as url:
        for _ in range(args.runs):
            with Archive() as archive:
                first = archive.sync(url, "--incremental")
                assert first[2]["archived"] == args.records, first[2]
                ours.append(first)
                second = archive.sync(url)
                assert second[2]["skipped"] == args.records, second[2]
                again.append(second)
        for _ in range(min(3, args.runs)):
            with Archive() as archive:
                reference.append(archive.reference(url))
                reference_again.append(archive.reference(url))
    with Upstream(args.records * 4) as url, Archive() as archive:
        large = archive.sync(url, "--incremental")
        assert large[2]["archived"] == args.records * 4, large[2]

    print(f"\n{args.records} records of about 4 KB from the simulator, which does not limit; medians of {args.runs} runs "
          f"(reference: {min(3, args.runs)}), {os.cpu_count()} cores\n")
    print("| what | bio-mcp, s | reference, s | ratio | goal | peak MB | reference peak MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, mine, other, goal in (("(e) sync to disk and Postgres", median(ours), median(reference), "4x"),
                                    ("(e) all of it again, unchanged", median(again), median(reference_again), "")):
        print(f"| {name} | {mine[0]:.2f} | {other[0]:.2f} | {other[0] / mine[0]:.1f}x | {goal} | {mine[1]:.0f} | {other[1]:.0f} |")
    print(f"\npeak memory at {args.records * 4} records: {large[1]:.0f} MB in {large[0]:.1f} s")
finally:
    shutil.rmtree(work, ignore_errors=True)
