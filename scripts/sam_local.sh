#!/usr/bin/env bash
# Runs the commands of docs/functions.md for `sam local`: every function responds to its sample event, and `start-api`
# serves the API. If no Docker daemon runs, one is started from unpacked Debian packages, as root; if that is
# impossible, the script prints that it is skipped, and why.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/toolchain.sh
scripts/setup.sh --tests
work=$(mktemp -d "${TMPDIR:-/tmp}/bio-mcp-sam.XXXXXX")
daemon= api=
stop() {
    [ -z "$api" ] || kill "$api" 2>/dev/null || true
    [ ! -e "$work/local/pids" ] || scripts/local.py stop
    if [ -n "$daemon" ]; then
        docker ps --quiet | xargs --no-run-if-empty docker kill >/dev/null 2>&1 || true
        kill "$daemon" 2>/dev/null || true
        for _ in $(seq 100); do kill -0 "$daemon" 2>/dev/null || break; sleep 0.1; done
        # Only the script's own bridge: nothing else uses its address.
        ip link delete bio-mcp0 2>/dev/null || true
    fi
    rm -rf "$work" 2>/dev/null || true
}
trap stop EXIT
skip() {
    echo "SKIPPED: sam local: $1" >&2
    exit 0
}

export BIO_MCP_LOCAL_DIR=$work/local SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 PYTHONDONTWRITEBYTECODE=1
gateway=172.31.99.1
if docker info >/dev/null 2>&1; then
    gateway=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}')
else
    [ "$(id -u)" = 0 ] || skip "no daemon of Docker answers, and one is started by root only"
    command -v apt-get >/dev/null && command -v ip >/dev/null || skip "no daemon of Docker answers, and there is no apt-get to get one with"
    mkdir -p "$work/packages" "$work/unpacked" "$work/run"
    (cd "$work/packages" && apt-get download -qq docker.io containerd runc 2>"$work/apt.log") || skip "the packages docker.io, containerd and runc cannot be fetched: $(tail -1 "$work/apt.log")"
    for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$work/unpacked"; done
    export PATH="$work/unpacked/usr/bin:$work/unpacked/usr/sbin:$PATH" DOCKER_HOST="unix://$work/run/docker.sock"
    ip link add bio-mcp0 type bridge 2>"$work/ip.log" && ip address add "$gateway/24" dev bio-mcp0 && ip link set bio-mcp0 up ||
        skip "no bridge can be made: $(tail -1 "$work/ip.log")"
    dockerd --iptables=false --ip6tables=false --bridge=bio-mcp0 --storage-driver=vfs --data-root="$work/data" \
        --exec-root="$work/exec" --pidfile="$work/run/docker.pid" --host="$DOCKER_HOST" >"$work/dockerd.log" 2>&1 &
    daemon=$!
    for _ in $(seq 300); do
        docker info >/dev/null 2>&1 && break
        kill -0 "$daemon" 2>/dev/null || break
        sleep 0.1
    done
    docker info >/dev/null 2>&1 || skip "the daemon does not start: $(tail -1 "$work/dockerd.log")"
fi

# The programs, and an image that can run them: this machine's libraries, under the name of the runtime's image.
target=$(cargo metadata --locked --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')
[ -n "${SAM_LOCAL_BUILT:-}" ] || cargo build --locked --workspace --all-targets --quiet
export BIO_MCP_PROGRAM="$target/debug/bio-mcp" PACKAGES="$work/packages-of-functions"
for function in api worker scheduler migrate; do
    mkdir -p "$PACKAGES/$function"
    ln -s "$target/debug/$function" "$PACKAGES/$function/bootstrap"
done
architecture=$(uname -m | sed s/aarch64/arm64/)
image="public.ecr.aws/lambda/provided:al2023-$architecture"
if ! docker image inspect "$image" >/dev/null 2>&1; then
    mkdir -p "$work"/image/{bin,etc/ssl/certs,lib,tmp,var/task,var/runtime,var/rapid,opt}
    programs="$(command -v sh) $(command -v mv) $(command -v chmod) $target/debug/api"
    for program in $programs; do
        ldd "$program" | grep -o '/[^ ]*' || true
    done | sort -u | while read -r library; do install -D "$library" "$work/image$library"; done
    for program in sh mv chmod; do install -D "$(readlink -f "$(command -v "$program")")" "$work/image/bin/$program"; done
    cp /etc/ssl/certs/ca-certificates.crt "$work/image/etc/ssl/certs/" 2>/dev/null || true
    # Like the runtime's image: without the emulator's address it starts the emulator.
    cat >"$work/image/lambda-entrypoint.sh" <<'SH'
#!/bin/sh
exec /var/rapid/aws-lambda-rie /var/task/bootstrap
SH
    chmod +x "$work/image/lambda-entrypoint.sh"
    tar -C "$work/image" -c . | docker import --change 'WORKDIR /var/task' --change 'ENV PATH=/bin LAMBDA_TASK_ROOT=/var/task' \
        --change 'ENTRYPOINT ["/lambda-entrypoint.sh"]' - "$image" >/dev/null
fi

# Replaces the calling shell, so that a background process can be ended by its id.
become_sam() { exec env PYTHONPATH="$PWD/.tools/sam" python3 -m samcli "$@"; }
sam() { (become_sam "$@"); }
sam build --build-dir "$work/build" --parameter-overrides "Architecture=$architecture" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
scripts/local.py start --bind "$gateway"
here=(--template "$work/build/template.yaml" --parameter-overrides "Architecture=$architecture"
    --env-vars events/local-env.json --add-host "host.docker.internal:$gateway" --skip-pull-image)
answers() { # function, event, what the answer holds
    sam local invoke "$1" --event "events/$2" "${here[@]}" >"$work/answer" 2>"$work/log" || { cat "$work/log"; echo "$1 does not answer $2"; exit 1; }
    tr -d " " <"$work/answer" | grep -qF "$3" || { cat "$work/log" "$work/answer"; echo "$1 answers $2 with something else"; exit 1; }
    echo "$1 answers $2"
}
answers Migrate migrate.json '"to":'
answers Api api-healthz.json '"statusCode":200'
answers Api api-submit.json '"statusCode":202'
answers Worker worker.json '"batchItemFailures":[]'
answers Scheduler scheduler-sweep.json '"left_to_another":false'
answers Scheduler scheduler-topics.json '"left_to_another":false'
become_sam local start-api --port 3900 "${here[@]}" >"$work/api.log" 2>&1 &
api=$!
ask() { curl --silent --max-time 60 --retry 60 --retry-delay 1 --retry-connrefused "http://127.0.0.1:3900$1" "${@:2}"; }
ask /healthz | grep -F healthy || { cat "$work/api.log"; exit 1; }
ask /v1/jobs --header 'Authorization: Bearer bio-mcp_example' | grep -F '"jobs"' || { cat "$work/api.log"; exit 1; }
echo "start-api serves the API"
