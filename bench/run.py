"""Runs the benchmark and prints one table; see scripts/bench.sh."""
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
parser.add_argument("--file", help="a real record file instead of a generated one")
parser.add_argument("--records", type=int, default=30_000)
parser.add_argument("--bytes", type=int, default=10_000)
parser.add_argument("--runs", type=int, default=5, help="runs of the program; the reference gets three")
args = parser.parse_args()

work = tempfile.mkdtemp(prefix="bio-mcp-bench.")
program, bench = (os.path.join(args.bin, name) for name in ("bio-mcp", "bench"))
environment = {k: v for k, v in os.environ.items() if not k.startswith("BIO_MCP_")}
if "BIO_MCP_POSTGRES_BIN" in os.environ:
    environment["BIO_MCP_POSTGRES_BIN"] = os.environ["BIO_MCP_POSTGRES_BIN"]
numbered = iter(range(10**6))


def run(*command, out=subprocess.DEVNULL):
    """Seconds and peak memory (MB) of a command."""
    began = time.monotonic()
    child = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, env=environment)
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - began
    if status != 0:
        sys.exit(f"{' '.join(command)} failed: {errors.decode()[-500:]}")
    return seconds, usage.ru_maxrss / 1024


def median(runs, measure):
    results = [measure() for _ in range(runs)]
    return statistics.median(r[0] for r in results), max(r[1] for r in results)


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def python(script, *arguments):
    return [sys.executable, os.path.join(here, "reference", script), *arguments]


class Archive:
    """A fresh data directory with its Postgres running."""

    def __enter__(self):
        # Old directories are removed at the end: deleting a large tree slows file creation.
        self.dir = os.path.join(work, f"data{next(numbered)}")
        self.url = output(program, "--data-dir", self.dir, "db", "start").strip()
        return self

    def __exit__(self, *_):
        output(program, "--data-dir", self.dir, "db", "stop")

    def ingest(self, path):
        return run(program, "--data-dir", self.dir, "ingest", path)

    def reference(self, path):
        url = self.url.replace("postgres://postgres@localhost/", "postgresql://postgres@/")
        return run(*python("ingest.py", "ingest", path, os.path.join(self.dir, "reference"), url))


def first_and_again(runs, act):
    first, again = [], []
    for _ in range(runs):
        with Archive() as archive:
            first.append(act(archive))
            again.append(act(archive))
    pick = lambda results: (statistics.median(r[0] for r in results), max(r[1] for r in results))
    return pick(first), pick(again)


try:
    path = args.file
    if path is None:
        path = os.path.join(work, "bench.xml.gz")
        run(bench, "generate", path, str(args.records), str(args.bytes))
        os.remove(path + ".md5")  # the reference checks none
    large = os.path.join(work, "large.xml.gz")
    run(bench, "generate", large, str(args.records * 4), str(args.bytes))
    few = min(3, args.runs)

    one = median(args.runs, lambda: run(bench, "pipeline", path, "1"))
    two = median(args.runs, lambda: run(bench, "pipeline", path, "2"))
    floors = [json.loads(output(bench, "floor", path)) for _ in range(args.runs)]
    floor = {key: statistics.median(f[key] for f in floors) for key in floors[0]}
    large_one = run(bench, "pipeline", large, "1")
    large_ingest = None
    with Archive() as archive:
        large_ingest = archive.ingest(large)
    ours, again = first_and_again(args.runs, lambda archive: archive.ingest(path))
    parsed = median(args.runs, lambda: run(program, "parse", path))
    parsed_one = median(args.runs, lambda: run(program, "parse", "--threads", "1", path))

    ref_one = median(few, lambda: run(*python("ingest.py", "pipeline", path)))
    ref_ingest, ref_again = first_and_again(few, lambda archive: archive.reference(path))
    ref_parse = median(few, lambda: run(*python("typed.py", path)))

    def row(name, mine, reference, goal):
        ratio = reference[0] / mine[0]
        print(f"| {name} | {mine[0]:.2f} | {reference[0]:.2f} | {ratio:.1f}x | {goal} | {mine[1]:.0f} | {reference[1]:.0f} |")

    size = os.path.getsize(path)
    print(f"\n{os.path.basename(path)}: {size / 1e6:.0f} MB; medians of {args.runs} runs (reference: {few}), {os.cpu_count()} cores\n")
    print("| what | bio-mcp, s | reference, s | ratio | goal | peak MB | reference peak MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    row("(a) split + hash + envelope + zstd, one thread", one, ref_one, "4x")
    row("(a) the same, two threads", two, ref_one, "7x")
    row("(b) ingest to disk and Postgres", ours, ref_ingest, "3x")
    row("(c) unchanged rerun", again, ref_again, "10x")
    row("(d) parse to JSON", parsed, ref_parse, "8x")
    row("(d) parse, one parsing thread", parsed_one, ref_parse, "")
    print(f"\nfloor of (a), one thread: inflate {floor['inflate']:.2f} + SHA-256 {floor['sha256']:.2f} + zstd {floor['zstd']:.2f} "
          f"= {floor['sum']:.2f} s; (a) takes {one[0] / floor['sum']:.2f}x of it (goal 1.2x)")
    print(f"peak memory at {args.records * 4} records: (a) {large_one[1]:.0f} MB, ingest {large_ingest[1]:.0f} MB in {large_ingest[0]:.1f} s (goal 64 MB)")
finally:
    shutil.rmtree(work, ignore_errors=True)
