//! template.yaml, terraform/ and deploy/stack.json say the same, and what they say fits the program and itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::{json_of, python, stack, template, translated};

const FUNCTIONS: [&str; 4] = ["api", "migrate", "scheduler", "worker"];

/// What Terraform says, by kind and address, as far as it is known before anything is there.
fn planned() -> Option<Value> {
    let mut python = python("terraform")?;
    Some(json_of(python.arg(tests::root().join("tests/src/terraform/facts.py")).arg(tests::root().join("terraform"))))
}

fn number(value: &Value) -> u64 {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    number.unwrap_or_else(|| panic!("no number: {value}"))
}

/// `api` as the template calls it.
fn logical(function: &str) -> String {
    let (first, rest) = function.split_at(1);
    first.to_uppercase() + rest
}

fn resource<'t>(template: &'t Value, name: &str) -> &'t Value {
    let found = &template["Resources"][name]["Properties"];
    assert!(found.is_object(), "the template has no {name}");
    found
}

fn of_type<'t>(template: &'t Value, kind: &str) -> Vec<(&'t String, &'t Value)> {
    let resources = template["Resources"].as_object().expect("resources");
    resources.iter().filter(|(_, r)| r["Type"] == kind).map(|(name, r)| (name, &r["Properties"])).collect()
}

/// The numbers that both descriptions must have, in the shape of deploy/stack.json.
fn of_stack() -> Value {
    let mut numbers = stack();
    let functions = numbers["functions"].as_object_mut().expect("functions");
    for function in functions.values_mut() {
        let function = function.as_object_mut().expect("a function");
        function.remove("secrets");
        function.remove("may");
    }
    let numbers = numbers.as_object_mut().expect("an object");
    for not_compared_here in ["schema", "database_connections", "environment"] {
        numbers.remove(not_compared_here);
    }
    Value::Object(std::mem::take(numbers))
}

fn of_template(template: &Value) -> Value {
    let mut functions = Map::new();
    for name in FUNCTIONS {
        let function = resource(template, &logical(name));
        functions.insert(
            name.to_owned(),
            json!({
                "timeout_secs": function["Timeout"], "memory_mb": function["MemorySize"],
                "storage_mb": function["EphemeralStorage"]["Size"], "concurrency": function["ReservedConcurrentExecutions"],
            }),
        );
    }
    let (jobs, source) = (resource(template, "Jobs"), resource(template, "WorkerSource"));
    let route = &resource(template, "HttpStage")["DefaultRouteSettings"];
    let rules = &resource(template, "Archive")["LifecycleConfiguration"]["Rules"];
    let (uploads, cold) = (&rules[0], &rules[1]);
    assert_eq!(cold["Transitions"][0], cold["NoncurrentVersionTransitions"][0]);
    assert_eq!(jobs["MessageRetentionPeriod"], resource(template, "DeadLetters")["MessageRetentionPeriod"]);
    let cluster = resource(template, "Cluster");
    let capacity = &cluster["ServerlessV2ScalingConfiguration"];
    let tick = |name: &str| {
        let schedule = resource(template, name);
        let input = schedule["Target"]["Input"].as_str().expect("text");
        json!({ "expression": schedule["ScheduleExpression"], "input": serde_json::from_str::<Value>(input).expect("JSON") })
    };
    let kept: BTreeSet<u64> =
        of_type(template, "AWS::Logs::LogGroup").iter().map(|(_, log)| number(&log["RetentionInDays"])).collect();
    json!({
        "functions": functions,
        "log_retention_days": kept.first(),
        "queue": {
            "visibility_secs": jobs["VisibilityTimeout"], "retention_secs": jobs["MessageRetentionPeriod"],
            "max_receives": jobs["RedrivePolicy"]["maxReceiveCount"], "batch_size": source["BatchSize"],
            "window_secs": source["MaximumBatchingWindowInSeconds"],
            "max_concurrency": source["ScalingConfig"]["MaximumConcurrency"],
        },
        "http": { "rate": route["ThrottlingRateLimit"], "burst": route["ThrottlingBurstLimit"] },
        "archive": {
            "abort_uploads_days": uploads["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"],
            "cold_tier_days": cold["Transitions"][0]["TransitionInDays"],
            "cold_tier_class": cold["Transitions"][0]["StorageClass"],
            "cold_tier_min_bytes": number(&cold["ObjectSizeGreaterThan"]),
        },
        "aurora": {
            "engine_version": cluster["EngineVersion"], "min_acu": capacity["MinCapacity"],
            "max_acu": capacity["MaxCapacity"], "pause_secs": capacity["SecondsUntilAutoPause"],
            "backup_days": cluster["BackupRetentionPeriod"],
        },
        "schedules": { "topics": tick("TopicsTick"), "sweep": tick("SweepTick") },
        "alarms": alarms(of_type(template, "AWS::CloudWatch::Alarm").into_iter().map(|(name, alarm)| {
            assert_eq!(alarm["AlarmActions"], json!([{ "Ref": "Alarms" }]), "{name} is heard by nobody");
            let dimensions = alarm.get("Dimensions").and_then(Value::as_array).cloned().unwrap_or_default();
            let dimensions: Map<String, Value> = dimensions.iter().map(|one| {
                let value = match &one["Value"] {
                    value if *value == json!({ "Ref": "HttpApi" }) => json!("api"),
                    value if value["Fn::GetAtt"][0] == "DeadLetters" => json!("dead_letters"),
                    value => value.clone(),
                };
                (one["Name"].as_str().expect("text").to_owned(), value)
            }).collect();
            json!({
                "description": alarm["AlarmDescription"], "namespace": alarm["Namespace"], "metric": alarm["MetricName"],
                "dimensions": dimensions, "statistic": alarm["Statistic"], "period": alarm["Period"],
                "periods": alarm["EvaluationPeriods"], "threshold": alarm["Threshold"],
                "comparison": alarm["ComparisonOperator"], "missing": alarm["TreatMissingData"],
            })
        })),
    })
}

/// Alarms by what they watch: their names are each description's own.
fn alarms(alarms: impl Iterator<Item = Value>) -> Value {
    let by_metric: BTreeMap<String, Value> =
        alarms.map(|alarm| (alarm["metric"].as_str().expect("text").to_owned(), alarm)).collect();
    json!(by_metric)
}

fn of_terraform(planned: &Value) -> Value {
    let at = |kind: &str, address: &str| {
        let found = &planned["resources"][kind][address];
        assert!(found.is_object(), "Terraform has no {kind} {address}");
        found
    };
    let mut functions = Map::new();
    for name in FUNCTIONS {
        let address = if name == "migrate" { "migrate/this".to_owned() } else { format!("functions/{name}/this") };
        let function = at("aws_lambda_function", &address);
        functions.insert(
            name.to_owned(),
            json!({
                "timeout_secs": function["timeout"], "memory_mb": function["memory_size"],
                "storage_mb": function["ephemeral_storage"][0]["size"],
                "concurrency": function["reserved_concurrent_executions"],
            }),
        );
    }
    let (jobs, source) = (at("aws_sqs_queue", "queue/jobs"), at("aws_lambda_event_source_mapping", "jobs"));
    assert_eq!(
        jobs["message_retention_seconds"],
        at("aws_sqs_queue", "queue/dead_letters")["message_retention_seconds"]
    );
    assert_eq!(source["function_response_types"], json!(["ReportBatchItemFailures"]));
    let route = &at("aws_apigatewayv2_stage", "http_api/this")["default_route_settings"][0];
    let rules = &at("aws_s3_bucket_lifecycle_configuration", "archive/this")["rule"];
    let cold = &rules[1]["transition"][0];
    let earlier = &rules[1]["noncurrent_version_transition"][0];
    assert_eq!((&cold["days"], &cold["storage_class"]), (&earlier["noncurrent_days"], &earlier["storage_class"]));
    let cluster = at("aws_rds_cluster", "aurora/this");
    let capacity = &cluster["serverlessv2_scaling_configuration"][0];
    let tick = |name: &str| {
        let schedule = at("aws_scheduler_schedule", &format!("this/{name}"));
        let input = schedule["target"][0]["input"].as_str().expect("text");
        json!({ "expression": schedule["schedule_expression"], "input": serde_json::from_str::<Value>(input).expect("JSON") })
    };
    let logs = planned["resources"]["aws_cloudwatch_log_group"].as_object().expect("logs");
    let kept: BTreeSet<u64> = logs.values().map(|log| number(&log["retention_in_days"])).collect();
    let dimensions_of = stack();
    json!({
        "functions": functions,
        "log_retention_days": kept.first(),
        "queue": {
            "visibility_secs": jobs["visibility_timeout_seconds"], "retention_secs": jobs["message_retention_seconds"],
            "max_receives": serde_json::from_str::<Value>(jobs["redrive_policy"].as_str().unwrap_or("{}")).expect("JSON")
                .get("maxReceiveCount").cloned().unwrap_or_else(|| dimensions_of["queue"]["max_receives"].clone()),
            "batch_size": source["batch_size"], "window_secs": source["maximum_batching_window_in_seconds"],
            "max_concurrency": source["scaling_config"][0]["maximum_concurrency"],
        },
        "http": { "rate": route["throttling_rate_limit"], "burst": route["throttling_burst_limit"] },
        "archive": {
            "abort_uploads_days": rules[0]["abort_incomplete_multipart_upload"][0]["days_after_initiation"],
            "cold_tier_days": cold["days"], "cold_tier_class": cold["storage_class"],
            "cold_tier_min_bytes": rules[1]["filter"][0]["object_size_greater_than"],
        },
        "aurora": {
            "engine_version": cluster["engine_version"], "min_acu": capacity["min_capacity"],
            "max_acu": capacity["max_capacity"], "pause_secs": capacity["seconds_until_auto_pause"],
            "backup_days": cluster["backup_retention_period"],
        },
        "schedules": { "topics": tick("topics"), "sweep": tick("sweep") },
        "alarms": alarms(planned["resources"]["aws_cloudwatch_metric_alarm"].as_object().expect("alarms").values().map(|alarm| {
            let name = alarm["alarm_name"].as_str().expect("text").trim_start_matches("bio-mcp-");
            json!({
                "description": alarm["alarm_description"], "namespace": alarm["namespace"], "metric": alarm["metric_name"],
                // What they name is known only to the provider.
                "dimensions": dimensions_of["alarms"][name]["dimensions"],
                "statistic": alarm["statistic"], "period": alarm["period"], "periods": alarm["evaluation_periods"],
                "threshold": alarm["threshold"], "comparison": alarm["comparison_operator"],
                "missing": alarm["treat_missing_data"],
            })
        })),
    })
}

#[test]
fn both_descriptions_have_the_numbers_of_the_stack() {
    let (Some(template), Some(planned)) = (translated(&template()), planned()) else { return };
    let mut expected = of_stack();
    expected["alarms"] = alarms(expected["alarms"].as_object().expect("alarms").values().cloned());
    for (what, found) in [("template.yaml", of_template(&template)), ("terraform/", of_terraform(&planned))] {
        for (section, numbers) in expected.as_object().expect("sections") {
            assert_eq!(found[section], *numbers, "{section} of {what}");
        }
    }
}

#[test]
fn numbers_that_must_fit_do() {
    let stack = stack();
    let (queue, functions) = (&stack["queue"], &stack["functions"]);
    let worker = &functions["worker"];
    let timeout = number(&worker["timeout_secs"]);
    assert!(number(&queue["visibility_secs"]) >= 6 * timeout + number(&queue["window_secs"]));
    assert!(number(&queue["max_receives"]) >= 5);
    assert_eq!(number(&queue["retention_secs"]), 14 * 24 * 3600, "what was given up is kept for a fortnight");
    let concurrency = number(&queue["max_concurrency"]);
    assert!(concurrency >= 2 && concurrency <= number(&worker["concurrency"]), "none is throttled");
    // A unit hands back before its function is ended; API Gateway gives up after thirty seconds.
    assert!(number(&stack["environment"]["BIO_MCP_UNIT_TIMEOUT_SECS"]) < timeout);
    assert!(number(&functions["api"]["timeout_secs"]) < 30);
    // A tick ends before the next one of its kind.
    assert!(number(&functions["scheduler"]["timeout_secs"]) < 60);
    let pool = number(&stack["environment"]["BIO_MCP_DATABASE_POOL"]);
    let all: u64 = functions.as_object().expect("functions").values().map(|one| number(&one["concurrency"])).sum();
    assert!(all * pool <= number(&stack["database_connections"]), "{all} × {pool} connections");
    let newest = std::fs::read_dir(tests::root().join("migrations"))
        .expect("readable")
        .filter_map(|entry| entry.expect("readable").file_name().to_str()?.split_once('_')?.0.parse::<u64>().ok());
    assert_eq!(Some(number(&stack["schema"])), newest.max(), "another number runs the migrations");
}

/// The settings that a function is told.
fn told(template: &Value, function: &str) -> BTreeSet<String> {
    let variables = &resource(template, &logical(function))["Environment"]["Variables"];
    variables.as_object().expect("variables").keys().cloned().collect()
}

#[test]
fn functions_are_told_the_same_and_only_what_they_read() {
    let (Some(template), Some(planned)) = (translated(&template()), planned()) else { return };
    let known = std::fs::read_to_string(tests::root().join(".env.example")).expect("read");
    let names = |list: &Value| -> BTreeSet<String> {
        list.as_array().into_iter().flatten().map(|name| name.as_str().expect("text").to_owned()).collect()
    };
    let stack = stack();
    let numbers = stack["environment"].as_object().expect("settings");
    for function in FUNCTIONS {
        let in_template = told(&template, function);
        let mut in_terraform = names(&planned["environment"]["every"]);
        in_terraform.extend(names(&planned["environment"]["of"][function]));
        in_terraform.extend(numbers.keys().cloned());
        assert_eq!(in_template, in_terraform, "what {function} is told");
        for variable in &in_template {
            let is_known = known.contains(&format!("# {variable}="));
            assert!(
                is_known || variable == "AWS_USE_DUALSTACK_ENDPOINT",
                "{function} is told {variable}, which nobody reads"
            );
        }
        for (name, value) in numbers {
            let in_template = &resource(&template, &logical(function))["Environment"]["Variables"][name];
            assert_eq!(in_template, value, "{name} of {function}");
        }
    }
    assert_eq!(resource(&template, "Schema")["Version"], stack["schema"].to_string());
}

/// What a role may do, by what it may do it to; and the secrets that it reads.
fn permissions(template: &Value, function: &str) -> (BTreeMap<String, BTreeSet<String>>, BTreeSet<&'static str>) {
    let role = resource(template, &format!("{}Role", logical(function)));
    let (mut may, mut secrets) = (BTreeMap::new(), BTreeSet::new());
    for statement in role["Policies"][0]["PolicyDocument"]["Statement"].as_array().expect("statements") {
        let statement = statement.get("Fn::If").map_or(statement, |branches| &branches[1]);
        let actions: BTreeSet<String> = match &statement["Action"] {
            Value::Array(actions) => actions.iter().map(|action| action.as_str().expect("text").to_owned()).collect(),
            one => BTreeSet::from([one.as_str().expect("text").to_owned()]),
        };
        assert!(actions.iter().all(|action| !action.contains('*')), "{function} may do {actions:?}");
        assert_ne!(statement["Resource"], "*", "{function}");
        let to = statement["Resource"].to_string();
        if actions.contains("secretsmanager:GetSecretValue") {
            for (parameter, secret) in [
                ("DatabaseSecretArn", "database"),
                ("AuthTokensSecretArn", "tokens"),
                ("PubmedApiKeySecretArn", "pubmed_key"),
            ] {
                if to.contains(parameter) {
                    secrets.insert(secret);
                }
            }
            continue;
        }
        let on = match to.as_str() {
            to if to.contains("${Archive.Arn}/*") => "objects",
            to if to.contains("Archive") => "bucket",
            to if to.contains("\"Key\"") => "key",
            to if to.contains("Jobs") => "jobs",
            to if to.contains("Limits") => "limits",
            to if to.contains(&format!("{}Log", logical(function))) => continue,
            to if to.contains("SecretsKeyArn") => continue,
            to => panic!("{function} may do {actions:?} to {to}"),
        };
        may.insert(on.to_owned(), actions);
    }
    (may, secrets)
}

#[test]
fn every_function_has_a_role_of_its_own_that_may_do_what_the_stack_says() {
    let Some(template) = translated(&template()) else { return };
    let stack = stack();
    assert_eq!(of_type(&template, "AWS::Lambda::Function").len(), FUNCTIONS.len());
    for function in FUNCTIONS {
        let role = &resource(&template, &logical(function))["Role"];
        assert_eq!(*role, json!({ "Fn::GetAtt": [format!("{}Role", logical(function)), "Arn"] }));
        let expected = &stack["functions"][function];
        let (may, secrets) = permissions(&template, function);
        assert_eq!(json!(may), sorted(&expected["may"]), "what {function} may do");
        assert_eq!(json!(secrets), json!(set(&expected["secrets"])), "the secrets of {function}");
        for actions in expected["may"].as_object().expect("permissions").values() {
            assert!(set(actions).iter().all(|action| !action.contains('*')), "{function} may do {actions}");
        }
    }
    for function in ["api", "scheduler", "worker"] {
        let key = set(&stack["functions"][function]["may"]["key"]);
        assert!(key.contains("kms:GenerateDataKey"), "{function} writes to what is encrypted");
    }
    let all = stack["functions"].to_string();
    assert!(!all.contains("Delete") || all.matches("Delete").count() == all.matches("sqs:DeleteMessage").count());
}

fn set(list: &Value) -> BTreeSet<String> {
    list.as_array().expect("a list").iter().map(|one| one.as_str().expect("text").to_owned()).collect()
}

fn sorted(lists: &Value) -> Value {
    let lists = lists.as_object().expect("lists").iter();
    json!(lists.map(|(name, list)| (name.clone(), set(list))).collect::<BTreeMap<_, _>>())
}

#[test]
fn both_have_the_same_dashboard_of_metrics_that_are_there() {
    let Some(template) = translated(&template()) else { return };
    let file = std::fs::read_to_string(tests::root().join("deploy/dashboard.json")).expect("read");
    let file: Value = serde_json::from_str(&file).expect("JSON");
    let body = resource(&template, "Dashboard")["DashboardBody"]["Fn::Sub"][0].as_str().expect("text");
    assert_eq!(serde_json::from_str::<Value>(body).expect("JSON"), file);
    // Every metric of ours that is shown, or that an alarm waits for, is one that the program writes.
    let program = ["shared/src/words/metrics.rs", "shared/src/gauges.rs", "functions/scheduler/src/lib.rs"]
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
        assert!(program.contains(&format!("\"{name}\"")), "nobody writes {name}");
    }
}
