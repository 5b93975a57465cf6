//! template.yaml is valid for the public tools, and packs the programs.

use std::path::Path;

use super::{checkov_finds_nothing_unexplained, packages, python, said, template, translated};

/// Whether SAM and cfn-lint (before and after SAM's transformation) accept a template.
fn is_valid(template: &Path, dir: &Path) -> Option<Result<(), String>> {
    let sam = python("sam")?.args(["-m", "samcli", "validate", "--lint", "-t"]).arg(template).output();
    let sam = sam.expect("python3 runs");
    if !sam.status.success() {
        return Some(Err(said(&sam)));
    }
    let plain = dir.join("translated.json");
    std::fs::write(&plain, translated(template)?.to_string()).expect("written");
    let lint = tests::root().join(".tools/sam/bin/cfn-lint");
    let lint = python("sam")?.arg(lint).arg(template).arg(&plain).output().expect("python3 runs");
    if !lint.status.success() {
        return Some(Err(said(&lint)));
    }
    Some(Ok(()))
}

#[test]
fn the_template_is_valid_and_faults_in_it_are_found() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let text = std::fs::read_to_string(template()).expect("read");
    let planted = [
        ("VisibilityTimeout:", "VisibiltyTimeout:"),
        ("FunctionResponseTypes:", "FunctionResponseType:"),
        ("[ReportBatchItemFailures]", "[ReportBatchItemFailure]"),
        ("!GetAtt DeadLetters.Arn", "!GetAtt DeadLetter.Arn"),
    ];
    std::thread::scope(|all| {
        let valid = all.spawn(|| is_valid(&template(), dir.path()));
        let planted = planted.map(|(right, wrong)| {
            assert!(text.contains(right), "{right}");
            let (text, dir) = (text.replacen(right, wrong, 1), tempfile::tempdir().expect("a temporary directory"));
            let found = all.spawn(move || {
                let template = dir.path().join("planted.yaml");
                std::fs::write(&template, text).expect("written");
                is_valid(&template, dir.path())
            });
            (wrong, found)
        });
        let Some(valid) = valid.join().expect("it ends") else { return };
        valid.expect("valid");
        for (wrong, found) in planted {
            let found = found.join().expect("it ends").expect("the tools are there");
            assert!(found.is_err(), "{wrong} is not found");
        }
    });
}

#[test]
fn every_finding_of_checkov_is_fixed_or_has_a_reason() {
    checkov_finds_nothing_unexplained("cloudformation", 60, &["-f".as_ref(), template().as_os_str()]);
}

/// `sam build` packs existing programs; it compiles nothing.
#[test]
fn sam_packs_the_programs() {
    let Some(mut python) = python("sam") else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let packages = packages(dir.path());
    let built = python
        .args(["-m", "samcli", "build", "--build-dir"])
        .arg(dir.path().join("build"))
        .arg("--template")
        .arg(template())
        .env("PACKAGES", &packages)
        .current_dir(dir.path())
        .output()
        .expect("python3 runs");
    assert!(built.status.success(), "{}", said(&built));
    for (function, program) in
        [("Api", "api"), ("Worker", "worker"), ("Scheduler", "scheduler"), ("Migrate", "migrate")]
    {
        let packed = std::fs::metadata(dir.path().join("build").join(function).join("bootstrap")).expect("packed");
        assert_eq!(packed.len(), std::fs::metadata(tests::lambda::bootstrap(program)).expect("there").len());
    }
}
