//! The functions as a developer runs them: the commands of docs/functions.md, under `cargo lambda watch`.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The path of cargo-lambda; `None`, with a message, if it was not fetched.
fn cargo_lambda() -> Option<PathBuf> {
    let path = tests::root().join(".tools/cargo-lambda/cargo-lambda");
    if !path.exists() || !tests::root().join(".tools/sam/.complete-1").exists() {
        eprintln!("SKIPPED: {} is not there: run `make test`", path.display());
        return None;
    }
    Some(path)
}

/// The documented commands.
fn documented() -> String {
    let text = std::fs::read_to_string(tests::root().join("docs/functions.md")).expect("read");
    let block = text.split("## On this machine").nth(1).and_then(|rest| rest.split("```sh\n").nth(1));
    block.and_then(|rest| rest.split("```").next()).expect("a block of commands").to_owned()
}

/// A `cargo` whose `lambda` is the fetched one, and whose `run` starts the programs that the tests were built with.
fn stand_in(dir: &Path, cargo_lambda: &Path) -> String {
    let path = tests::variable("PATH").expect("a PATH");
    let built = tests::program::path().parent().expect("a folder").to_owned();
    let script = format!(
        "#!/usr/bin/env bash\ncase \"$1\" in\n  lambda) exec {} \"$@\" ;;\n  run)\n    while [ \"$1\" != --bin ]; do shift; \
         done\n    exec {}/\"$2\" ;;\n  *) PATH={path} exec cargo \"$@\" ;;\nesac\n",
        cargo_lambda.display(),
        built.display(),
    );
    let stand_in = dir.join("cargo");
    std::fs::write(&stand_in, script).expect("written");
    std::fs::set_permissions(&stand_in, std::fs::Permissions::from_mode(0o755)).expect("executable");
    format!("{}:{path}", dir.display())
}

/// Ends all processes that the commands left.
struct Group {
    id: u32,
    local: PathBuf,
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-9", "--", &format!("-{}", self.id)]).stderr(Stdio::null()).status();
        let _ = script("stop", &self.local).stdout(Stdio::null()).status();
    }
}

fn script(verb: &str, local: &Path) -> Command {
    let mut python = Command::new(tests::root().join("scripts/local.py"));
    python.arg(verb).env("BIO_MCP_LOCAL_DIR", local).env("BIO_MCP_PROGRAM", tests::program::path());
    python
}

#[test]
fn the_documented_commands_run_a_job_under_cargo_lambda_watch() {
    let Some(cargo_lambda) = cargo_lambda() else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let local = dir.path().join("local");
    let (said, wrong) = (dir.path().join("said"), dir.path().join("wrong"));
    let file = |path: &Path| std::fs::File::create(path).expect("a file");
    let home = tests::variable("HOME").expect("a home");
    let mut child = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &documented()])
        .current_dir(tests::root())
        .env_clear()
        .env("PATH", stand_in(dir.path(), &cargo_lambda))
        .env("HOME", home)
        .envs(tests::variable("RUSTUP_HOME").map(|home| ("RUSTUP_HOME", home)))
        .envs(tests::variable("CARGO_HOME").map(|home| ("CARGO_HOME", home)))
        .envs(tests::variable("RUSTUP_TOOLCHAIN").map(|name| ("RUSTUP_TOOLCHAIN", name)))
        .envs(tests::variable("BIO_MCP_POSTGRES_BIN").map(|bin| ("BIO_MCP_POSTGRES_BIN", bin)))
        .env("BIO_MCP_LOCAL_DIR", &local)
        .env("BIO_MCP_LOCAL_PORTS", "free")
        .env("BIO_MCP_PROGRAM", tests::program::path())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(file(&said))
        .stderr(file(&wrong))
        .spawn()
        .expect("bash runs");
    let _group = Group { id: child.id(), local: local.clone() };
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let all = || format!("{}\n{}", read(&said), read(&wrong));
    let began = std::time::Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        assert!(began.elapsed().as_secs() < 150, "the commands do not come to an end:\n{}", all());
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert!(status.success(), "{}", all());
    let output = all();
    for expected in [
        "\"from\":",
        "{\\\"status\\\":\\\"healthy\\\"}",
        "\"statusCode\":202",
        "{\"batchItemFailures\":[]}",
        "\"left_to_another\":false",
        "\"Status\":\"SUCCESS\"",
        "\"state\":\"succeeded\"",
        "\"archived\":2",
        "\"source\":\"archive\"",
        "\"message\":\"nothing was done\"",
        "the unit has ended, is processed by another worker, or does not exist",
    ] {
        assert!(output.contains(expected), "{expected} is missing in\n{output}");
    }
    assert!(!output.contains("AWS_LAMBDA_MAX_CONCURRENCY"), "a variable of the emulator is no warning:\n{output}");
}
