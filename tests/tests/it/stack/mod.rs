//! The deployed stack: template.yaml (SAM) and terraform/, checked by the available tools, against each other, against
//! deploy/stack.json and against the program; and the template deployed into an AWS emulator.

mod deployed;
mod numbers;
mod parity;
mod permissions;
mod template;
mod terraform;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Python with packages of `.tools`; `None`, with a message, if they were not fetched.
fn python(packages: &str) -> Option<Command> {
    let packages = tests::root().join(".tools").join(packages);
    if !packages.join(".complete-1").exists() {
        eprintln!("SKIPPED: {} is not there: run `make test`", packages.display());
        return None;
    }
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages).env("SAM_CLI_TELEMETRY", "0").env("AWS_DEFAULT_REGION", "us-east-1");
    // No bytecode is written beside the sources.
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    Some(python)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The output of a program that must succeed, as JSON.
fn json_of(command: &mut Command) -> Value {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Numbers, permissions and alarms of both descriptions.
fn stack() -> Value {
    let text = std::fs::read_to_string(tests::root().join("deploy/stack.json")).expect("read");
    serde_json::from_str(&text).expect("JSON")
}

/// The SAM template.
fn template() -> PathBuf {
    tests::root().join("template.yaml")
}

/// The built programs in the layout of `make functions`, without copying them.
fn packages(dir: &Path) -> PathBuf {
    let packages = dir.join("packages");
    for function in ["api", "worker", "scheduler", "migrate"] {
        std::fs::create_dir_all(packages.join(function)).expect("made");
        let program = tests::lambda::bootstrap(function);
        std::os::unix::fs::symlink(program, packages.join(function).join("bootstrap")).expect("linked");
    }
    packages
}

/// The template after SAM's transformation, as CloudFormation would get it.
fn translated(template: &Path) -> Option<Value> {
    Some(json_of(python("sam")?.arg(tests::root().join("tests/src/template.py")).arg(template)))
}

/// Every finding of checkov in files of this framework is fixed or has a reason in the file.
fn checkov_finds_nothing_unexplained(framework: &str, at_least: u64, arguments: &[&std::ffi::OsStr]) {
    let Some(mut python) = python("checkov") else { return };
    let checked = python
        .args(["-m", "checkov.main", "--framework", framework, "--skip-download", "-o", "json"])
        .args(arguments)
        .current_dir(tests::root())
        .output()
        .expect("python3 runs");
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap_or_else(|_| panic!("{}", said(&checked)));
    let summary = &report["summary"];
    assert!(summary["parsing_errors"] == 0 && summary["resource_count"].as_u64() >= Some(at_least), "{summary}");
    let failed = report["results"]["failed_checks"].as_array().expect("a list");
    let failed: Vec<String> =
        failed.iter().map(|check| format!("{} {}", check["check_id"], check["resource"])).collect();
    assert_eq!(failed, Vec::<String>::new());
    for skipped in report["results"]["skipped_checks"].as_array().expect("a list") {
        let reason = skipped["check_result"]["suppress_comment"].as_str().unwrap_or_default();
        assert!(reason.len() > 20, "no reason: {skipped}");
    }
}
