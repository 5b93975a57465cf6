#!/usr/bin/env bash
# Builds the functions for this machine's architecture and packages each for Lambda: target/lambda/FUNCTION/bootstrap
# and target/lambda/FUNCTION.zip. For the other architecture: docs/deploying.md.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/toolchain.sh
functions=(api worker scheduler migrate)
cargo build --profile function --locked "${functions[@]/#/--package=}"
mkdir -p target/lambda
for function in "${functions[@]}"; do
    install -D -m 755 "target/function/$function" "target/lambda/$function/bootstrap"
done
python3 - target/lambda "${functions[@]}" <<'PY'
import pathlib, re, sys, zipfile
folder, functions = pathlib.Path(sys.argv[1]), sys.argv[2:]
for function in functions:
    program = (folder / function / "bootstrap").read_bytes()
    # Lambda's provided.al2023 has glibc 2.34.
    newest = max(tuple(map(int, version.split(b"."))) for version in re.findall(rb"GLIBC_(2\.\d+)", program))
    if newest > (2, 34):
        sys.exit(f"{function} needs glibc {newest[0]}.{newest[1]}, Lambda has 2.34: build with cargo-lambda (docs/deploying.md)")
    # A fixed timestamp: the same program gives the same bytes.
    entry = zipfile.ZipInfo("bootstrap", (2000, 1, 1, 0, 0, 0))
    entry.external_attr = 0o755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(folder / f"{function}.zip", "w") as archive:
        archive.writestr(entry, program)
    packed = (folder / f"{function}.zip").stat().st_size
    print(f"{function:10} {len(program) / 1e6:5.1f} MB, packed {packed / 1e6:4.1f} MB, glibc {newest[0]}.{newest[1]}")
PY
