#!/usr/bin/env python3
"""What functions need around them, on this machine: a Postgres, S3, SQS and DynamoDB (ministack), an NCBI.

  local.py start [--bind ADDRESS]   starts all of it and writes where it is: target/local/env (for `cargo lambda watch`),
                                    sam.json (for `sam local`), shell; with an address of Docker's bridge, also there
  local.py deliver URL              hands messages of the queue to the worker at URL until stopped, as Lambda does
  local.py hear PORT                takes one answer for CloudFormation at this port, and prints it
  local.py stop                     ends it

Ports are those of events/local-env.json; with BIO_MCP_LOCAL_PORTS=free any. BIO_MCP_LOCAL_DIR stands for target/local.
"""
import asyncio, http.server, json, os, pathlib, random, signal, socket, subprocess, sys, time, urllib.error, urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
DIR = pathlib.Path(os.environ.get("BIO_MCP_LOCAL_DIR") or ROOT / "target/local")
PORTS = {"aws": 4566, "ncbi": 8091, "postgres": 54320, "watch": 9000, "answers": 9002}
BUCKET, QUEUE, TABLE, REGION = "bio-mcp-local", "bio-mcp-jobs", "bio-mcp-limits", "us-east-1"
# SHA-256 of bio-mcp_example, the token of events/api-submit.json.
TOKENS = "example=b8e9e33a11a7a0bd2d2e0ddb70c699a6bf9c846c480eda45eec328d904a91d2a"


def program():
    named = os.environ.get("BIO_MCP_PROGRAM")
    built = [ROOT / "target/release/bio-mcp", ROOT / "target/debug/bio-mcp"]
    found = named or next((str(path) for path in built if path.exists()), None)
    return found or sys.exit("local: bio-mcp is not built: run `make build`")


def free_port():
    while True:
        port = random.randint(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def wait_for(port, name):
    for _ in range(300):
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
    sys.exit(f"local: {name} does not answer: see {DIR / name}.log")


def spawn(name, command, **environment):
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "BIO_MCP_POSTGRES_BIN") if name in os.environ}
    with open(DIR / f"{name}.log", "wb") as log:
        child = subprocess.Popen(command, env=keep | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 start_new_session=True)
    with open(DIR / "pids", "a") as pids:
        pids.write(f"{child.pid}\n")


def aws(service, port):
    sys.path.insert(0, str(ROOT / ".tools/sam"))
    import boto3
    return boto3.client(service, endpoint_url=f"http://127.0.0.1:{port}", region_name=REGION,
                        aws_access_key_id="test", aws_secret_access_key="test")


def settings(host, database, ports):
    """The environment of a function that reaches everything at a host."""
    return {
        "AWS_ENDPOINT_URL": f"http://{host}:{ports['aws']}",
        "BIO_MCP_DATABASE_URL": database,
        "BIO_MCP_DATABASE_URL_SECRET_ARN": "",
        "BIO_MCP_ARCHIVE_BUCKET": BUCKET,
        "BIO_MCP_ARCHIVE_KMS_KEY_ID": "",
        "BIO_MCP_JOBS_QUEUE_URL": f"http://{host}:{ports['aws']}/000000000000/{QUEUE}",
        "BIO_MCP_LIMITS_TABLE": TABLE,
        "BIO_MCP_PUBMED_EMAIL": "you@example.org",
        "BIO_MCP_PUBMED_BASE_URL": f"http://{host}:{ports['ncbi']}/entrez/eutils/",
        "BIO_MCP_PUBMED_FILES_URL": f"http://{host}:{ports['ncbi']}/pubmed/",
        "BIO_MCP_AUTH_TOKENS": TOKENS,
        "BIO_MCP_ALLOW_ANONYMOUS": "",
    }


def start(bind):
    if (DIR / "pids").exists():
        sys.exit("local: it runs already: `scripts/local.py stop` ends it")
    DIR.mkdir(parents=True, exist_ok=True)
    ports = {name: free_port() for name in PORTS} if os.environ.get("BIO_MCP_LOCAL_PORTS") == "free" else dict(PORTS)
    clean = {name: value for name, value in os.environ.items() if name != "BIO_MCP_DATABASE_URL"}
    database = subprocess.run([program(), "--data-dir", DIR / "data", "db", "start"], env=clean, check=True,
                              stdout=subprocess.PIPE, text=True).stdout.strip()
    spawn("aws", [sys.executable, "-m", "ministack"], PYTHONPATH=str(ROOT / ".tools/ministack"), BIND_HOST="127.0.0.1",
          GATEWAY_PORT=str(ports["aws"]), SERVICES="s3,sqs,dynamodb,secretsmanager", IOT_MTLS_ENABLED="false",
          LOG_LEVEL="ERROR")
    spawn("ncbi", [program(), "simulator", "--port", str(ports["ncbi"]), "--records", "2000", "--unlimited"])
    path = database.split("host=")[1].split("&")[0].replace("%2F", "/") + "/.s.PGSQL.5432"
    spawn("postgres", [sys.executable, __file__, "forward", f"127.0.0.1:{ports['postgres']}", path])
    for name in ("aws", "ncbi", "postgres"):
        wait_for(ports[name], name)
        if bind:
            spawn(f"{name}-bridge", [sys.executable, __file__, "forward", f"{bind}:{ports[name]}",
                                     f"127.0.0.1:{ports[name]}"])
    s3, sqs, dynamodb = (aws(service, ports["aws"]) for service in ("s3", "sqs", "dynamodb"))
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    sqs.create_queue(QueueName=QUEUE, Attributes={"VisibilityTimeout": "60"})
    dynamodb.create_table(TableName=TABLE, BillingMode="PAY_PER_REQUEST",
                          AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
                          KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}])
    here = settings("127.0.0.1", database, ports) | {
        "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    # In quotes: `cargo lambda watch` refuses a file in which a value that holds = has none.
    (DIR / "env").write_text("".join(f'{name}="{value}"\n' for name, value in here.items()))
    in_container = settings(
        "host.docker.internal", f"postgres://postgres@host.docker.internal:{ports['postgres']}/"
        f"{database.split('?')[0].rsplit('/', 1)[1]}?sslmode=disable", ports)
    (DIR / "sam.json").write_text(json.dumps({"Parameters": in_container}, indent=2) + "\n")
    (DIR / "shell").write_text(f"PORT={ports['watch']}\nANSWERS={ports['answers']}\n")
    print(f"started; written to {DIR}")


def stop():
    pids = DIR / "pids"
    for pid in pids.read_text().split() if pids.exists() else []:
        try:
            os.kill(int(pid), signal.SIGTERM)
        except ProcessLookupError:
            pass
    pids.unlink(missing_ok=True)
    if (DIR / "data").exists():
        subprocess.run([program(), "--data-dir", DIR / "data", "db", "stop"], stdout=subprocess.DEVNULL)


def event_of(messages):
    def record(message):
        attributes = {name: {"stringValue": value.get("StringValue"), "dataType": value["DataType"],
                             "stringListValues": [], "binaryListValues": []}
                      for name, value in message.get("MessageAttributes", {}).items()}
        return {"messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": message["Body"],
                "attributes": message.get("Attributes", {}), "messageAttributes": attributes,
                "md5OfBody": message.get("MD5OfBody"), "eventSource": "aws:sqs", "awsRegion": REGION,
                "eventSourceARN": f"arn:aws:sqs:{REGION}:000000000000:{QUEUE}"}
    return {"Records": [record(message) for message in messages]}


def deliver(url):
    environment = dict(line.split("=", 1) for line in (DIR / "env").read_text().split("\n") if line)
    queue = environment["BIO_MCP_JOBS_QUEUE_URL"].strip('"')
    sqs = aws("sqs", int(queue.split(":")[2].split("/")[0]))
    while True:
        received = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5, MessageAttributeNames=["All"],
                                       AttributeNames=["All"]).get("Messages", [])
        if not received:
            continue
        request = urllib.request.Request(url, json.dumps(event_of(received)).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=900) as answer:
                failures = json.load(answer)["batchItemFailures"]
        except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError) as error:
            print(f"deliver: the worker failed ({error}): the messages come back", file=sys.stderr)
            continue
        failed = {failure["itemIdentifier"] for failure in failures}
        for message in received:
            if message["MessageId"] not in failed:
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def hear(port):
    class Heard(http.server.BaseHTTPRequestHandler):
        def do_PUT(self):
            print(self.rfile.read(int(self.headers["content-length"])).decode(), flush=True)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    http.server.HTTPServer(("127.0.0.1", port), Heard).handle_request()


async def forward(listen, to):
    """Passes connections on, to an address or to a socket of Unix."""
    async def pump(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def connected(reader, writer):
        try:
            if to.startswith("/"):
                far_reader, far_writer = await asyncio.open_unix_connection(to)
            else:
                far_reader, far_writer = await asyncio.open_connection(*to.rsplit(":", 1))
        except OSError:
            return writer.close()
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    host, port = listen.rsplit(":", 1)
    async with await asyncio.start_server(connected, host, int(port)) as server:
        await server.serve_forever()


match sys.argv[1:]:
    case ["start"]:
        start(None)
    case ["start", "--bind", address]:
        start(address)
    case ["stop"]:
        stop()
    case ["deliver", url]:
        deliver(url)
    case ["hear", port]:
        hear(int(port))
    case ["forward", listen, to]:
        asyncio.run(forward(listen, to))
    case _:
        sys.exit(__doc__)
