"""Measures the jobs API beside a plain FastAPI + asyncpg service on the same Postgres; see scripts/bench.sh."""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import psycopg

here = os.path.dirname(os.path.abspath(__file__))
parser = argparse.ArgumentParser()
parser.add_argument("--bin", required=True, help="directory of the release programs")
parser.add_argument("--packages", required=True, help="directory with fastapi, uvicorn and asyncpg")
parser.add_argument("--runs", type=int, default=5)
args = parser.parse_args()

# Fewer jobs than the queue limit: each is a new one, and the table is emptied between batches.
BATCH, BATCHES, READS, CONNECTIONS, POOL = 900, 4, 8000, 32, 16
work = tempfile.mkdtemp(prefix="bio-mcp-bench-api.")
program, bench = (os.path.abspath(os.path.join(args.bin, name)) for name in ("bio-mcp", "bench"))
environment = {k: v for k, v in os.environ.items() if not k.startswith("BIO_MCP_") or k == "BIO_MCP_POSTGRES_BIN"}
data = os.path.join(work, "data")
numbers = iter(range(1, 10**9, BATCH * 2))


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def database():
    return output(program, "--data-dir", data, "db", "start").strip()


def load(kind, port, connections, requests, last):
    return json.loads(output(bench, kind, f"127.0.0.1:{port}", str(connections), str(requests), str(last)))


class Server:
    """One of the two, until the end of the block."""

    def __init__(self, port, command, **more):
        self.port, self.command, self.more = port, command, more

    def __enter__(self):
        self.log = open(os.path.join(work, f"log{self.port}"), "w+")
        self.child = subprocess.Popen(self.command, env=environment | self.more, cwd=work, stdout=subprocess.DEVNULL, stderr=self.log)
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/jobs/00000000-0000-7000-8000-000000000000").read()
            except urllib.error.HTTPError:
                return self
            except OSError:
                time.sleep(0.05)
        self.log.seek(0)
        sys.exit(f"{self.command[0]} does not answer: {self.log.read()[-800:]}")

    def __exit__(self, *_):
        self.child.terminate()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()


def ours(url):
    more = {"BIO_MCP_WORKERS": "4", "BIO_MCP_DATABASE_URL": url, "BIO_MCP_LOG_LEVEL": "WARN",
            # One principal submits all of them.
            "BIO_MCP_PRINCIPAL_QUEUED_JOBS": "1000000"}
    return Server(18180, [program, "--data-dir", data, "serve", "--listen", "127.0.0.1:18180"], **more)


def reference(url, port, workers):
    url = url.replace("postgres://postgres@localhost/", "postgresql://postgres@/")
    more = {"PYTHONPATH": f"{args.packages}:{here}/reference", "DATABASE_URL": url, "POOL": str(POOL // workers)}
    command = [sys.executable, "-m", "uvicorn", "jobs_api:app", "--port", str(port), "--workers", str(workers), "--log-level", "warning", "--no-access-log"]
    return Server(port, command, **more)


def empty(db):
    db.execute("truncate jobs cascade")


def submitting(db, port, connections, batch, batches):
    """Requests a second, p50 and p99 of a few batches, each of new jobs in an empty table."""
    parts = []
    for _ in range(batches):
        empty(db)
        parts.append(load("submit", port, connections, batch, next(numbers)))
    rate = sum(p["requests"] for p in parts) / sum(p["seconds"] for p in parts)
    return rate, statistics.median(p["p50_ms"] for p in parts), statistics.median(p["p99_ms"] for p in parts)


def reading(db, port, connections, requests):
    empty(db)
    load("submit", port, 4, 100, next(numbers))
    job = db.execute("select id from jobs order by created_at limit 1").fetchone()[0]
    read = load("read", port, connections, requests, job)
    return read["requests"] / read["seconds"], read["p50_ms"], read["p99_ms"]


def statements(db, act):
    """What the database was asked while something was done, with how often."""
    db.execute("select pg_stat_statements_reset()")
    act()
    rows = db.execute("select calls, left(regexp_replace(query, '\\s+', ' ', 'g'), 60) from pg_stat_statements s "
                      "join pg_database d on d.oid = s.dbid and d.datname = current_database() "
                      "where query ~ 'jobs|pg_notify' and query !~ 'truncate|pg_stat' order by calls desc, 2").fetchall()
    return [f"{calls} x {query}" for calls, query in rows]


def bare_insert(url):
    """Milliseconds of one client that inserts a row into `jobs` and nothing else, by pgbench."""
    script = os.path.join(work, "insert.sql")
    with open(script, "w") as file:
        file.write("insert into jobs (id, tool, params, params_hash, principal, trace_id, deadline_at) values "
                   "(gen_random_uuid(), 'pubmed.sync', '{\"pmids\": [\"1\"]}', md5(random()::text), 'local', 'abc', now());\n")
    pgbench = os.path.join(output("pg_config", "--bindir").strip(), "pgbench") if shutil.which("pg_config") else None
    pgbench = os.environ.get("PGBENCH") or shutil.which("pgbench") or pgbench
    if pgbench is None:
        return None
    log = os.path.join(work, "pgbench")
    output(pgbench, "-n", "-M", "prepared", "-c", "1", "-t", str(BATCH), "-f", script, "-l", f"--log-prefix={log}", url)
    took = []
    for name in os.listdir(work):
        if name.startswith("pgbench."):
            with open(os.path.join(work, name)) as file:
                took += [int(line.split()[2]) / 1000 for line in file]
            os.remove(os.path.join(work, name))
    return statistics.median(took)


try:
    database()
    output(program, "--data-dir", data, "status")
    output(program, "--data-dir", data, "db", "stop")
    with open(os.path.join(data, "postgres/data/postgresql.conf"), "a") as file:
        file.write("\nshared_preload_libraries = 'pg_stat_statements'\n")
    url = database()
    db = psycopg.connect(url, autocommit=True)
    db.execute("create extension if not exists pg_stat_statements")
    measured, bare, alone, asked = {}, [], {}, {}
    several = os.cpu_count()
    with ours(url) as mine, reference(url, 18181, 1) as one, reference(url, 18183, several) as many:
        servers = {"ours": mine, "one": one, "many": many}
        for run in range(args.runs + 1):  # the first warms up
            for name, server in servers.items():
                posted = submitting(db, server.port, CONNECTIONS, BATCH, BATCHES)
                got = reading(db, server.port, CONNECTIONS, READS)
                single = submitting(db, server.port, 1, BATCH, 1)
                if run:
                    measured.setdefault(name, []).append(posted + got)
                    alone.setdefault(name, []).append(single[1])
            if run:
                empty(db)
                bare.append(bare_insert(url))
        for name in ("ours", "one"):
            empty(db)
            asked[name] = statements(db, lambda: load("submit", servers[name].port, 4, 100, next(numbers)))
            job = db.execute("select id from jobs limit 1").fetchone()[0]
            asked[name] += statements(db, lambda: load("read", servers[name].port, 4, 100, job))
    mid = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in measured.items()}
    print(f"\n{CONNECTIONS} connections, {args.runs} runs, medians, {os.cpu_count()} cores; the services and the load on this machine\n")
    print(f"| what | bio-mcp | FastAPI | ratio | goal | FastAPI, {several} processes | ratio |\n|---|---:|---:|---:|---:|---:|---:|")
    rows = [("POST /v1/jobs, requests a second", 0, "3x"), ("POST p99, ms", 2, "0.5x"), ("GET /v1/jobs/{id}, requests a second", 3, "5x"),
            ("GET p99, ms (100 jobs queued)", 5, "")]
    for name, n, goal in rows:
        o, r, m = mid["ours"][n], mid["one"][n], mid["many"][n]
        print(f"| {name} | {o:.1f} | {r:.1f} | {o / r:.2f}x | {goal} | {m:.1f} | {o / m:.2f}x |")
    mine = statistics.median(alone["ours"])
    print(f"| one client alone: POST p50, ms | {mine:.2f} | {statistics.median(alone['one']):.2f} | | | {statistics.median(alone['many']):.2f} | |")
    if None not in bare:
        plain = statistics.median(bare)
        print(f"\none client alone: POST p50 {mine:.2f} ms, a bare INSERT of a job by pgbench {plain:.2f} ms: {mine / plain:.2f}x (goal 2x)")
    for name, lines in asked.items():
        print(f"\nstatements of {name} for 100 POST and 100 GET:")
        for line in lines:
            print(f"  {line}")
    db.close()
finally:
    subprocess.run([program, "--data-dir", data, "db", "stop"], capture_output=True, env=environment)
    shutil.rmtree(work, ignore_errors=True)
