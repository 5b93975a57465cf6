//! terraform/ is valid, checked without the provider, and with it where it is available.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{checkov_finds_nothing_unexplained, json_of, python, said};

fn modules() -> PathBuf {
    tests::root().join("terraform")
}

/// A copy of the modules without terraform's working files, beside deploy/.
fn copy_to(dir: &Path) -> PathBuf {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).expect("made");
        for entry in std::fs::read_dir(from).expect("readable") {
            let entry = entry.expect("readable");
            let to = to.join(entry.file_name());
            if entry.file_type().expect("known").is_dir() {
                if entry.file_name() != ".terraform" {
                    copy(&entry.path(), &to);
                }
            } else {
                std::fs::copy(entry.path(), to).expect("copied");
            }
        }
    }
    copy(&modules(), &dir.join("terraform"));
    copy(&tests::root().join("deploy"), &dir.join("deploy"));
    dir.join("terraform")
}

/// The faults that this project's checks find in each directory of modules; `None` if their packages were not fetched.
fn faults(of: &[PathBuf]) -> Option<Vec<Vec<String>>> {
    let mut python = python("terraform")?;
    python.arg(tests::root().join("tests/src/terraform/check.py"));
    let told = json_of(python.arg(tests::root().join(".tools/terraform/provider-aws.whl")).args(of));
    assert!(told["looked_at"]["resources"].as_u64() >= Some(60), "all are looked at: {}", told["looked_at"]);
    Some(serde_json::from_value(told["faults"].clone()).expect("lists of texts"))
}

/// A file, its correct text, the fault that replaces it, and part of the expected message.
const PLANTED: [(&str, &str, &str, &str); 13] = [
    ("modules/queue/main.tf", "visibility_timeout_seconds", "visibilty_timeout_seconds", "no argument visibilty"),
    ("modules/archive/main.tf", "days_after_initiation", "days_after_start", "no argument days_after_start"),
    ("modules/function/main.tf", "role                           = aws", "#", "the argument role is missing"),
    ("modules/network/main.tf", "\"aws_default_security_group\"", "\"aws_default_group\"", "no such kind"),
    ("modules/queue/main.tf", "aws_sqs_queue.dead_letters.arn", "aws_sqs_queue.dead.arn", "dead.arn is not there"),
    ("modules/queue/main.tf", "aws_sqs_queue.dead_letters.arn", "aws_sqs_queue.dead_letters.anr", "anr is not there"),
    ("main.tf", "module.queue.url", "module.queue.uri", "module.queue.uri is not there"),
    ("main.tf", "= var.vpc_cidr", "= var.vpc_range", "var.vpc_range is not there"),
    ("main.tf", "local.stack.archive", "local.stacks.archive", "local.stacks.archive is not there"),
    ("main.tf", "  rate           = local.stack.http.rate\n", "", "the variable rate is missing"),
    ("main.tf", "  cold_tier   = var.cold_tier\n", "  cold_teir   = var.cold_tier\n", "no variable cold_teir"),
    ("modules/function/main.tf", "\"logs:PutLogEvents\"", "\"logs:*\"", "a role may do"),
    ("schedules.tf", "Resource = aws_kms_key.this.arn", "Resource = \"*\"", "with everything"),
];

#[test]
fn arguments_and_references_are_right_and_faults_are_found() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut copies = vec![modules()];
    for (number, (file, right, wrong, _)) in PLANTED.iter().enumerate() {
        let copy = copy_to(&dir.path().join(number.to_string()));
        let text = std::fs::read_to_string(copy.join(file)).expect("read");
        assert!(text.contains(right), "{file}: {right}");
        std::fs::write(copy.join(file), text.replacen(right, wrong, 1)).expect("written");
        copies.push(copy);
    }
    let Some(faults) = faults(&copies) else { return };
    assert_eq!(faults[0], Vec::<String>::new());
    for ((_, _, wrong, said_of_it), found) in PLANTED.iter().zip(&faults[1..]) {
        assert!(found.iter().any(|fault| fault.contains(said_of_it)), "{wrong}: {found:?}");
    }
}

#[test]
fn every_finding_of_checkov_is_fixed_or_has_a_reason() {
    // terraform/tests deploys nothing, and checkov cannot parse it.
    let all = modules();
    let but_tests = ["--skip-path".as_ref(), "terraform/tests".as_ref(), "-d".as_ref(), all.as_os_str()];
    checkov_finds_nothing_unexplained("terraform", 50, &but_tests);
}

/// If the program `terraform` is installed and can download the provider, its own checks: formatting, `validate` of the
/// examples, and a plan of every option with a mock provider.
#[test]
fn terraform_accepts_the_modules_if_installed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let copy = copy_to(dir.path());
    let terraform = |at: &Path, arguments: &[&str]| {
        Command::new("terraform").args(arguments).arg("-no-color").current_dir(at).output().ok()
    };
    let Some(layout) = terraform(&copy, &["fmt", "-check", "-recursive"]) else {
        eprintln!("SKIPPED: there is no terraform here");
        return;
    };
    assert!(layout.status.success(), "not as `terraform fmt` writes: {}", said(&layout));
    let got = terraform(&copy, &["init", "-backend=false", "-input=false"]).expect("it is there");
    if !got.status.success() {
        eprintln!("SKIPPED: terraform cannot get the provider: {}", said(&got));
        return;
    }
    for example in ["smallest", "complete"] {
        let example = copy.join("examples").join(example);
        for arguments in [&["init", "-backend=false", "-input=false"][..], &["validate"]] {
            let done = terraform(&example, arguments).expect("it is there");
            assert!(done.status.success(), "{}", said(&done));
        }
    }
    let packages = dir.path().join("packages");
    std::fs::create_dir(&packages).expect("made");
    for function in ["api", "worker", "scheduler", "migrate"] {
        std::fs::write(packages.join(format!("{function}.zip")), "a program").expect("written");
    }
    let dir = format!("functions_dir={}", packages.display());
    let planned = terraform(&copy, &["test", "-var", &dir]).expect("it is there");
    assert!(planned.status.success() && said(&planned).contains("15 passed, 0 failed"), "{}", said(&planned));
}
