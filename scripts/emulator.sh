# Sourced: starts the AWS emulator on a free loopback port, waits for it, and exports BIO_MCP_TEST_AWS_ENDPOINT and the
# variables of the AWS SDK. `stop_emulator` ends it.
start_emulator() { # directory for its log
    local port tools="$PWD/.tools/ministack"
    # Below the ephemeral ports, so that no other process gets it meanwhile.
    port=$(python3 - <<'PY'
import random, socket
while True:
    port = random.randint(20000, 32000)
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(port)
        break
PY
    )
    env -i PATH="$PATH" HOME="$1" PYTHONPATH="$tools" BIND_HOST=127.0.0.1 GATEWAY_PORT="$port" SERVICES=s3,sqs,dynamodb,secretsmanager \
        IOT_MTLS_ENABLED=false LOG_LEVEL=ERROR python3 -m ministack >"$1/emulator.log" 2>&1 &
    EMULATOR_PID=$!
    export BIO_MCP_TEST_AWS_ENDPOINT="http://127.0.0.1:$port"
    python3 - "$port" <<'PY'
import socket, sys, time
for _ in range(300):
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1).close()
        break
    except OSError:
        time.sleep(0.1)
else:
    sys.exit("the AWS emulator does not answer")
PY
}

stop_emulator() {
    [ -z "${EMULATOR_PID:-}" ] || kill "$EMULATOR_PID" 2>/dev/null || true
}
