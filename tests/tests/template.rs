//! The SAM template: valid for everybody's tools, its numbers agree with each other and its names with the program's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// Python with packages of `.tools`; nothing, and a word about it, where they were not fetched.
fn python(packages: &str) -> Option<Command> {
    let packages = tests::root().join(".tools").join(packages);
    if !packages.join(".complete-1").exists() {
        eprintln!("SKIPPED: {} is not there: run `make test`", packages.display());
        return None;
    }
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages).env("SAM_CLI_TELEMETRY", "0").env("AWS_DEFAULT_REGION", "us-east-1");
    Some(python)
}

fn template() -> PathBuf {
    tests::root().join("template.yaml")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What CloudFormation would get.
fn translated(template: &Path) -> Option<Value> {
    let mut python = python("sam")?;
    let output = python.arg(tests::root().join("tests/src/template.py")).arg(template).output().expect("python3 runs");
    assert!(output.status.success(), "{}", said(&output));
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// Whether SAM and cfn-lint, the latter before and after SAM's transformation, find a template valid.
fn is_valid(template: &Path, dir: &Path) -> Option<Result<(), String>> {
    let sam = python("sam")?.args(["-m", "samcli", "validate", "-t"]).arg(template).output().expect("python3 runs");
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
    let Some(valid) = is_valid(&template(), dir.path()) else { return };
    valid.expect("valid");
    let text = std::fs::read_to_string(template()).expect("read");
    for (right, wrong) in [
        ("VisibilityTimeout:", "VisibiltyTimeout:"),
        ("FunctionResponseTypes:", "FunctionResponseType:"),
        ("[ReportBatchItemFailures]", "[ReportBatchItemFailure]"),
    ] {
        assert!(text.contains(right), "{right}");
        let planted = dir.path().join("planted.yaml");
        std::fs::write(&planted, text.replacen(right, wrong, 1)).expect("written");
        let found = is_valid(&planted, dir.path()).expect("the tools are there");
        assert!(found.is_err(), "{wrong} is not found");
    }
}

#[test]
fn every_finding_of_checkov_is_mended_or_has_a_reason() {
    let Some(mut python) = python("checkov") else { return };
    let checked = python
        .args(["-m", "checkov.main", "--framework", "cloudformation", "--skip-download", "-o", "json", "-f"])
        .arg(template())
        .output()
        .expect("python3 runs");
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap_or_else(|_| panic!("{}", said(&checked)));
    let summary = &report["summary"];
    assert!(summary["parsing_errors"] == 0 && summary["resource_count"].as_u64() >= Some(20), "{summary}");
    let failed = report["results"]["failed_checks"].as_array().expect("a list");
    let failed: Vec<String> =
        failed.iter().map(|check| format!("{} {}", check["check_id"], check["resource"])).collect();
    assert_eq!(failed, Vec::<String>::new());
    for skipped in report["results"]["skipped_checks"].as_array().expect("a list") {
        let reason = skipped["check_result"]["suppress_comment"].as_str().unwrap_or_default();
        assert!(reason.len() > 20, "no reason: {skipped}");
    }
}

fn resources<'a>(template: &'a Value, of_type: &'a str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let resources = template["Resources"].as_object().expect("resources");
    resources.iter().filter(move |(_, resource)| resource["Type"] == of_type).map(|(name, r)| (name, &r["Properties"]))
}

#[test]
fn numbers_that_must_agree_do() {
    let Some(template) = translated(&template()) else { return };
    let resource = |name: &str| &template["Resources"][name]["Properties"];
    let number =
        |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value}"));
    let (_, source) = resources(&template, "AWS::Lambda::EventSourceMapping").next().expect("the queue's");
    let window = source.get("MaximumBatchingWindowInSeconds").map_or(0, number);
    let timeout = number(&resource("Worker")["Timeout"]);
    let jobs = resource("Jobs");
    assert!(number(&jobs["VisibilityTimeout"]) >= 6 * timeout + window);
    assert!(number(&jobs["RedrivePolicy"]["maxReceiveCount"]) >= 5);
    assert_eq!(source["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]));
    let fortnight = 14 * 24 * 3600;
    assert_eq!(
        (number(&jobs["MessageRetentionPeriod"]), number(&resource("DeadLetters")["MessageRetentionPeriod"])),
        (fortnight, fortnight)
    );
    let concurrency = number(&source["ScalingConfig"]["MaximumConcurrency"]);
    assert!(concurrency >= 2 && concurrency <= number(&resource("Worker")["ReservedConcurrentExecutions"]));
    // A unit hands back before its function is ended; API Gateway gives up after thirty seconds.
    let variables = |name: &str| resource(name)["Environment"]["Variables"].clone();
    assert!(number(&variables("Worker")["BIO_MCP_UNIT_TIMEOUT_SECS"]) < timeout);
    assert!(number(&resource("Api")["Timeout"]) < 30);
    let mut connections = 0;
    for (name, function) in resources(&template, "AWS::Lambda::Function") {
        let pool = number(&variables(name)["BIO_MCP_DATABASE_POOL"]);
        connections += pool * number(&function["ReservedConcurrentExecutions"]);
    }
    assert!(connections <= number(&template["Metadata"]["DatabaseConnections"]), "{connections}");
}

#[test]
fn functions_are_told_only_what_they_read_and_may_do_only_what_they_need() {
    let Some(template) = translated(&template()) else { return };
    let known = std::fs::read_to_string(tests::root().join(".env.example")).expect("read");
    let mut functions = BTreeSet::new();
    for (name, function) in resources(&template, "AWS::Lambda::Function") {
        functions.insert(name.as_str());
        for variable in function["Environment"]["Variables"].as_object().expect("variables").keys() {
            assert!(known.contains(&format!("# {variable}=")), "{name} is told {variable}, which nobody reads");
        }
    }
    assert_eq!(functions, BTreeSet::from(["Api", "Migrate", "Scheduler", "Worker"]));
    let mut roles = 0;
    for (name, role) in resources(&template, "AWS::IAM::Role") {
        roles += 1;
        let policies = role.get("Policies").and_then(Value::as_array).cloned().unwrap_or_default();
        for statement in policies
            .iter()
            .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().cloned().unwrap_or_default())
        {
            let actions = match &statement["Action"] {
                Value::Array(actions) => actions.clone(),
                one => vec![one.clone()],
            };
            for action in actions {
                assert!(!action.as_str().expect("text").contains('*'), "{name} may do {action}");
            }
            assert_ne!(statement["Resource"], "*", "{name}");
        }
    }
    assert!(roles >= 4, "one for each function");
    let may = |name: &str| template["Resources"][format!("{name}Role")]["Properties"]["Policies"].to_string();
    for name in ["Api", "Worker", "Scheduler"] {
        assert!(may(name).contains("kms:GenerateDataKey"), "{name} writes to what is encrypted");
    }
    for (name, what) in
        [("Migrate", "s3:"), ("Migrate", "sqs:"), ("Api", "sqs:ReceiveMessage"), ("Scheduler", "s3:DeleteObject")]
    {
        assert!(!may(name).contains(what), "{name} needs no {what}");
    }
}

/// `sam build` packs programs that are there; it compiles nothing.
#[test]
fn sam_packs_the_programs() {
    let Some(mut python) = python("sam") else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let programs = tests::lambda::bootstrap("api").parent().expect("a directory").to_owned();
    let built = python
        .args(["-m", "samcli", "build", "--build-dir"])
        .arg(dir.path().join("build"))
        .arg("--template")
        .arg(template())
        .env("BOOTSTRAP_DIR", &programs)
        .current_dir(dir.path())
        .output()
        .expect("python3 runs");
    assert!(built.status.success(), "{}", said(&built));
    for (function, program) in
        [("Api", "api"), ("Worker", "worker"), ("Scheduler", "scheduler"), ("Migrate", "migrate")]
    {
        let packed = std::fs::metadata(dir.path().join("build").join(function).join("bootstrap")).expect("packed");
        assert_eq!(packed.len(), std::fs::metadata(programs.join(program)).expect("there").len());
    }
}
