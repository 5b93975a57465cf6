//! template.yaml, terraform/ and deploy/stack.json agree with each other, with the program, and in themselves.

use std::collections::BTreeSet;

use serde_json::Value;

use super::numbers::{FUNCTIONS, logical, number, of_stack, of_template, of_terraform, planned, resource};
use super::{stack, template, translated};

#[test]
fn both_descriptions_have_the_numbers_of_the_stack() {
    let (Some(template), Some(planned)) = (translated(&template()), planned()) else { return };
    let all = of_stack();
    // In Terraform these depend on values that only the provider knows: terraform/tests checks them.
    let mut known = all.clone();
    known["queue"].as_object_mut().expect("an object").remove("max_receives");
    for alarm in known["alarms"].as_object_mut().expect("alarms").values_mut() {
        alarm.as_object_mut().expect("an alarm").remove("dimensions");
    }
    for (what, expected, found) in
        [("template.yaml", all, of_template(&template)), ("terraform/", known, of_terraform(&planned))]
    {
        for (section, numbers) in expected.as_object().expect("sections") {
            assert_eq!(found[section], *numbers, "{section} of {what}");
        }
    }
}

#[test]
fn timeouts_and_limits_are_consistent() {
    let stack = stack();
    let (queue, functions) = (&stack["queue"], &stack["functions"]);
    let worker = &functions["worker"];
    let timeout = number(&worker["timeout_secs"]);
    assert!(number(&queue["visibility_secs"]) >= 6 * timeout + number(&queue["window_secs"]));
    assert!(number(&queue["max_receives"]) >= 5);
    assert_eq!(number(&queue["retention_secs"]), 14 * 24 * 3600, "what was given up is kept for a fortnight");
    let concurrency = number(&queue["max_concurrency"]);
    // Long-running requests cannot take all concurrency of the api.
    let slots = |name: &str| number(&stack["environment"][name]);
    let busy = slots("BIO_MCP_TOOL_LIMIT_PUBMED_SEARCH") + slots("BIO_MCP_WAIT_SLOTS");
    assert!(busy * 4 <= number(&functions["api"]["concurrency"]) * 3, "{busy} slots");
    assert!(concurrency >= 2 && concurrency <= number(&worker["concurrency"]), "none is throttled");
    // A unit is released before its function times out; API Gateway times out after thirty seconds.
    assert!(number(&stack["environment"]["BIO_MCP_UNIT_TIMEOUT_SECS"]) < timeout);
    assert!(number(&functions["api"]["timeout_secs"]) < 30);
    // A scheduled run ends before the next one of its kind starts.
    assert!(number(&functions["scheduler"]["timeout_secs"]) < 60);
    let pool = number(&stack["environment"]["BIO_MCP_DATABASE_POOL"]);
    let all: u64 = functions.as_object().expect("functions").values().map(|one| number(&one["concurrency"])).sum();
    assert!(all * pool <= number(&stack["database_connections"]), "{all} × {pool} connections");
    let newest = std::fs::read_dir(tests::root().join("migrations"))
        .expect("readable")
        .filter_map(|entry| entry.expect("readable").file_name().to_str()?.split_once('_')?.0.parse::<u64>().ok());
    assert_eq!(Some(number(&stack["schema"])), newest.max(), "another number runs the migrations");
}

/// The environment variables of a function.
fn told(template: &Value, function: &str) -> BTreeSet<String> {
    let variables = &resource(template, &logical(function))["Environment"]["Variables"];
    variables.as_object().expect("variables").keys().cloned().collect()
}

#[test]
fn functions_have_the_same_settings_and_only_those_they_read() {
    let (Some(template), Some(planned)) = (translated(&template()), planned()) else { return };
    let known = std::fs::read_to_string(tests::root().join(".env.example")).expect("read");
    let names = |list: &Value| -> BTreeSet<String> {
        list.as_array().into_iter().flatten().map(|name| name.as_str().expect("text").to_owned()).collect()
    };
    let stack = stack();
    let numbers = stack["environment"].as_object().expect("settings");
    let local = names(&stack["local_environment"]);
    for function in FUNCTIONS {
        let mut in_template = told(&template, function);
        // Variables of local runs only are declared and empty, so that `sam local` can set them.
        for name in &local {
            let declared = &resource(&template, &logical(function))["Environment"]["Variables"][name];
            let parameter = declared["Ref"].as_str().unwrap_or_default();
            let is_empty = *declared == "" || template["Parameters"][parameter]["Default"] == "";
            assert!(is_empty, "{name} of {function}: {declared}");
            in_template.remove(name);
        }
        let mut in_terraform = names(&planned["environment"]["every"]);
        in_terraform.extend(names(&planned["environment"]["of"][function]));
        in_terraform.extend(numbers.keys().cloned());
        assert_eq!(in_template, in_terraform, "what {function} is told");
        for variable in &in_template {
            let is_known = known.contains(&format!("# {variable}="));
            assert!(
                is_known || variable == "AWS_USE_DUALSTACK_ENDPOINT",
                "{function} is told {variable}, which no program reads"
            );
        }
        for (name, value) in numbers {
            let in_template = &resource(&template, &logical(function))["Environment"]["Variables"][name];
            assert_eq!(in_template, value, "{name} of {function}");
        }
    }
    assert_eq!(resource(&template, "Schema")["Version"], stack["schema"].to_string());
}

#[test]
fn both_have_the_same_dashboard_of_metrics_that_are_there() {
    let Some(template) = translated(&template()) else { return };
    let file = std::fs::read_to_string(tests::root().join("deploy/dashboard.json")).expect("read");
    let file: Value = serde_json::from_str(&file).expect("JSON");
    let body = resource(&template, "Dashboard")["DashboardBody"]["Fn::Sub"][0].as_str().expect("text");
    assert_eq!(serde_json::from_str::<Value>(body).expect("JSON"), file);
    // The program emits every metric of ours that is shown or has an alarm.
    let program = ["shared/core/src/metrics.rs", "shared/src/gauges.rs", "functions/scheduler/src/lib.rs"]
        .map(|path| std::fs::read_to_string(tests::root().join(path)).expect("read"))
        .join("\n");
    let mut shown: BTreeSet<String> = stack()["alarms"]
        .as_object()
        .expect("alarms")
        .values()
        .filter(|alarm| alarm["namespace"] == "bio-mcp")
        .map(|alarm| alarm["metric"].as_str().expect("text").to_owned())
        .collect();
    for widget in file["widgets"].as_array().expect("widgets") {
        let mut namespace = "";
        for metric in widget["properties"]["metrics"].as_array().expect("metrics") {
            match metric[0].as_str() {
                Some("." | "...") | None => {}
                Some(another) => namespace = another,
            }
            if let (true, Some(name)) = (namespace == "bio-mcp" && metric[0] != "...", metric[1].as_str()) {
                shown.insert(name.to_owned());
            }
        }
    }
    assert!(shown.len() > 6, "{shown:?}");
    for name in shown {
        assert!(program.contains(&format!("\"{name}\"")), "nothing writes {name}");
    }
}

/// `sam local` sets only variables that the template declares.
#[test]
fn the_environment_of_a_local_run_is_declared_and_valid() {
    let Some(template) = translated(&template()) else { return };
    let file = std::fs::read_to_string(tests::root().join("events/local-env.json")).expect("read");
    let file: Value = serde_json::from_str(&file).expect("JSON");
    let local = file["Parameters"].as_object().expect("variables of every function");
    for function in FUNCTIONS {
        let declared = told(&template, function);
        for name in local.keys() {
            assert!(declared.contains(name), "{function} does not declare {name}");
        }
    }
    let lookup = |name: &str| local.get(name).and_then(Value::as_str).map(str::to_owned);
    let config = shared::config::Config::read(&shared::tools::limits(), lookup).expect("valid settings");
    assert!(shared::db::options(&config.database).is_ok() && config.archive.is_some() && config.has_s3_endpoint);
    // The event that submits a job has a token whose hash is configured.
    let event = std::fs::read_to_string(tests::root().join("events/api-submit.json")).expect("read");
    let event: Value = serde_json::from_str(&event).expect("JSON");
    let token =
        event["headers"]["authorization"].as_str().and_then(|text| text.strip_prefix("Bearer ")).expect("a token");
    let hash = shared::core::Sha256::of(token.as_bytes()).to_hex();
    assert!(local["BIO_MCP_AUTH_TOKENS"].as_str().is_some_and(|text| text.ends_with(&hash)), "{hash}");
}

/// In both, logs may use the key as AWS requires, and a worker may send to the queue that invokes it.
#[test]
fn both_let_logs_use_the_key_and_workers_wake_each_other() {
    let (Some(template), Some(planned)) = (translated(&template()), planned()) else { return };
    let key = &resource(&template, "Key")["KeyPolicy"]["Statement"];
    let logs = key.as_array().expect("statements").iter().find(|one| one["Sid"] == "Logs").expect("a statement");
    let verbs = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"];
    assert_eq!(logs["Action"], serde_json::json!(verbs));
    let in_terraform = std::fs::read_to_string(tests::root().join("terraform/key.tf")).expect("read");
    let listed = verbs.map(|verb| format!("\"{verb}\"")).join(", ");
    assert!(in_terraform.contains(&format!("[{listed}]")), "{in_terraform}");
    assert_eq!(resource(&template, "Worker")["RecursiveLoop"], "Allow");
    assert_eq!(planned["resources"]["aws_lambda_function_recursion_config"]["worker"]["recursive_loop"], "Allow");
}
