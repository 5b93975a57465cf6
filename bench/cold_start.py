"""Measures cold starts of the function `api` beside a plain Python function, both under AWS's runtime interface emulator;
see scripts/bench.sh. A start is from the first event, which makes the emulator start the program, to its answer."""
import argparse
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
parser = argparse.ArgumentParser()
parser.add_argument("--functions", required=True, help="directory of the programs, built with the profile function")
parser.add_argument("--emulator", required=True, help="aws-lambda-rie")
parser.add_argument("--packages", required=True, help="directory of Python packages: fastapi, mangum, boto3, psycopg, awslambdaric")
parser.add_argument("--runs", type=int, default=15)
args = parser.parse_args()

event = open(os.path.join(here, "..", "events", "api-healthz.json"), "rb").read()
AWS = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
SETTINGS = {
    "BIO_MCP_DATABASE_URL": "postgres://bench@127.0.0.1:9/none",
    "BIO_MCP_ARCHIVE_BUCKET": "bench-archive",
    "BIO_MCP_JOBS_QUEUE_URL": "http://127.0.0.1:9/queue",
    "BIO_MCP_LIMITS_TABLE": "limits",
    "BIO_MCP_PUBMED_EMAIL": "bench@example.org",
    "BIO_MCP_AUTH_TOKENS": "0" * 64,
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(command, environment):
    """Milliseconds of one cold start."""
    port, api_port = free_port(), free_port()
    emulator = [args.emulator, "--runtime-interface-emulator-address", f"127.0.0.1:{port}",
                "--runtime-api-address", f"127.0.0.1:{api_port}", *command]
    lambda_ = {"AWS_LAMBDA_FUNCTION_NAME": "api", "AWS_LAMBDA_FUNCTION_TIMEOUT": "30", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"}
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(emulator, env={"PATH": os.environ["PATH"]} | AWS | SETTINGS | lambda_ | environment,
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            for _ in range(500):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                try:
                    connection.connect()
                    break
                except OSError:
                    time.sleep(0.01)
            began = time.monotonic()
            connection.request("POST", "/2015-03-31/functions/function/invocations", body=event)
            answer = connection.getresponse().read()
            took = (time.monotonic() - began) * 1000
            if b"healthy" not in answer:
                log.seek(0)
                sys.exit(f"{command} answers {answer[:300]}: {log.read()[-2000:].decode()}")
            return took
        finally:
            child.terminate()
            child.wait()


def shown(times):
    return f"{statistics.median(times):.1f} ({min(times):.1f} to {max(times):.1f})"


ours, python = [], []
reference = {"PYTHONPATH": f"{args.packages}:{os.path.join(here, 'reference')}"}
for _ in range(args.runs):
    ours.append(start([os.path.join(args.functions, "api")], {}))
    python.append(start([sys.executable, "-m", "awslambdaric", "lambda_api.handler"], reference))

print(f"\nfirst answer of a function that is started for it, under the runtime interface emulator; medians of {args.runs} "
      f"(fastest to slowest), {os.cpu_count()} cores\n")
print("| what | bio-mcp, ms | FastAPI + boto3 + psycopg, ms | ratio | goal |")
print("|---|---:|---:|---:|---:|")
ratio = statistics.median(python) / statistics.median(ours)
print(f"| (g) cold start of `api` | {shown(ours)} | {shown(python)} | 1/{ratio:.0f} | 10 ms, 1/50 |\n")
for name in ("api", "worker", "scheduler", "migrate"):
    print(f"{name}: {os.path.getsize(os.path.join(args.functions, name)) / 1e6:.1f} MB, goal 18")
