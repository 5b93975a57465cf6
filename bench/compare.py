"""Compares builds of the program on one file, in turn, so that a machine that slows down slows all of them down:
python3 bench/compare.py --bin BEFORE --bin AFTER, each a directory with the release programs `bio-mcp` and `bench`.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("--bin", action="append", required=True, help="directory of release programs, once for each build")
parser.add_argument("--records", type=int, default=30_000)
parser.add_argument("--bytes", type=int, default=10_000)
parser.add_argument("--runs", type=int, default=5)
args = parser.parse_args()

work = tempfile.mkdtemp(prefix="bio-mcp-compare.")
environment = {k: v for k, v in os.environ.items() if not k.startswith("BIO_MCP_") or k == "BIO_MCP_POSTGRES_BIN"}
times = {}
numbered = iter(range(10**6))


def run(*command):
    """Seconds of a command."""
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    seconds = time.monotonic() - began
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed: {done.stderr[-500:]}")
    return seconds


def measure(bin_dir, path):
    """Every measurement once, with one build."""
    program, stages = (os.path.join(bin_dir, name) for name in ("bio-mcp", "bench"))
    # Old directories are removed at the end: deleting a large tree slows file creation.
    data = ["--data-dir", os.path.join(work, f"data{next(numbered)}")]

    def note(what, seconds):
        times.setdefault(what, {}).setdefault(bin_dir, []).append(seconds)

    note("split + hash + envelope + zstd, one thread", run(stages, "pipeline", path, "1"))
    note("the same, two threads", run(stages, "pipeline", path, "2"))
    run(program, *data, "db", "start")
    note("ingest to disk and Postgres", run(program, *data, "ingest", path))
    note("unchanged rerun", run(program, *data, "ingest", path))
    note("verify", run(program, *data, "verify"))
    run(program, *data, "db", "stop")
    note("parse to JSON", run(program, "parse", path))


try:
    path = os.path.join(work, "bench.xml.gz")
    run(os.path.join(args.bin[0], "bench"), "generate", path, str(args.records), str(args.bytes))
    for turn in range(args.runs):
        for bin_dir in args.bin if turn % 2 == 0 else reversed(args.bin):
            measure(bin_dir, path)
    print("| what, median s (fastest to slowest) | " + " | ".join(args.bin) + " |")
    print("|---|" + "---:|" * len(args.bin))
    for what, of in times.items():
        cells = [f"{statistics.median(of[b]):.2f} ({min(of[b]):.2f} to {max(of[b]):.2f})" for b in args.bin]
        print(f"| {what} | " + " | ".join(cells) + " |")
finally:
    shutil.rmtree(work, ignore_errors=True)
