//! The numbers of each description, in the structure of deploy/stack.json.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{json_of, python, stack};

pub const FUNCTIONS: [&str; 4] = ["api", "migrate", "scheduler", "worker"];

/// What Terraform plans, by kind and address, as far as it is known before anything exists.
pub fn planned() -> Option<Value> {
    let mut python = python("terraform")?;
    Some(json_of(python.arg(tests::root().join("tests/src/terraform/facts.py")).arg(tests::root().join("terraform"))))
}

pub fn number(value: &Value) -> u64 {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    number.unwrap_or_else(|| panic!("no number: {value}"))
}

/// The template's name of a function: `Api` for `api`.
pub fn logical(function: &str) -> String {
    let (first, rest) = function.split_at(1);
    first.to_uppercase() + rest
}

pub fn resource<'t>(template: &'t Value, name: &str) -> &'t Value {
    let found = &template["Resources"][name]["Properties"];
    assert!(found.is_object(), "the template has no {name}");
    found
}

pub fn of_type<'t>(template: &'t Value, kind: &str) -> Vec<(&'t String, &'t Value)> {
    let resources = template["Resources"].as_object().expect("resources");
    resources.iter().filter(|(_, r)| r["Type"] == kind).map(|(name, r)| (name, &r["Properties"])).collect()
}

/// The numbers that both descriptions must have, in the structure of deploy/stack.json.
pub fn of_stack() -> Value {
    let mut numbers = stack();
    let functions = numbers["functions"].as_object_mut().expect("functions");
    for function in functions.values_mut() {
        let function = function.as_object_mut().expect("a function");
        function.remove("secrets");
        function.remove("may");
    }
    let numbers = numbers.as_object_mut().expect("an object");
    for not_compared_here in ["schema", "database_connections", "environment", "local_environment"] {
        numbers.remove(not_compared_here);
    }
    let alarms_by_name = std::mem::take(numbers["alarms"].as_object_mut().expect("alarms"));
    let of_aurora = numbers.remove("aurora_alarms").expect("alarms of the database");
    let of_aurora = of_aurora.as_object().expect("alarms").clone();
    numbers.insert("alarms".to_owned(), alarms(alarms_by_name.into_iter().chain(of_aurora).map(|(_, alarm)| alarm)));
    Value::Object(std::mem::take(numbers))
}

pub fn of_template(template: &Value) -> Value {
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
        "log_retention_days": only(kept),
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
            "max_acu": capacity["MaxCapacity"], "backup_days": cluster["BackupRetentionPeriod"],
            "log_parameter_bytes": number(&resource(template, "ClusterSettings")["Parameters"]["log_parameter_max_length"]),
        },
        "schedules": { "topics": tick("TopicsTick"), "sweep": tick("SweepTick") },
        "alarms": alarms(of_type(template, "AWS::CloudWatch::Alarm").into_iter().map(|(name, alarm)| {
            assert_eq!(alarm["AlarmActions"], json!([{ "Ref": "Alarms" }]), "{name} notifies no topic");
            let dimensions = alarm.get("Dimensions").and_then(Value::as_array).cloned().unwrap_or_default();
            let dimensions: Map<String, Value> = dimensions.iter().map(|one| {
                let value = match &one["Value"] {
                    value if *value == json!({ "Ref": "HttpApi" }) => json!("api"),
                    value if value["Fn::GetAtt"][0] == "DeadLetters" => json!("dead_letters"),
                    value if *value == json!({ "Ref": "Cluster" }) => json!("cluster"),
                    value if FUNCTIONS.iter().any(|name| *value == json!({ "Ref": logical(name) })) => {
                        json!(format!("{}_function", value["Ref"].as_str().expect("text").to_lowercase()))
                    }
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

/// Alarms by their description text: their names differ between template.yaml and terraform/.
fn alarms(alarms: impl Iterator<Item = Value>) -> Value {
    let mut by_text = Map::new();
    for alarm in alarms {
        let text = alarm["description"].as_str().expect("text").to_owned();
        assert!(by_text.insert(text, alarm).is_none(), "two alarms say the same");
    }
    Value::Object(by_text)
}

/// A parameter of a group, as Terraform encodes it.
fn setting(group: &Value, name: &str) -> Value {
    let parameters = group["parameter"].as_array().expect("parameters");
    parameters.iter().find(|one| one["name"] == name).expect("the parameter")["value"].clone()
}

/// The only number in the set.
fn only(numbers: BTreeSet<u64>) -> u64 {
    assert_eq!(numbers.len(), 1, "they differ: {numbers:?}");
    numbers.into_iter().next().expect("there is one")
}

pub fn of_terraform(planned: &Value) -> Value {
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
    json!({
        "functions": functions,
        "log_retention_days": only(kept),
        "queue": {
            "visibility_secs": jobs["visibility_timeout_seconds"], "retention_secs": jobs["message_retention_seconds"],
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
            "max_acu": capacity["max_capacity"], "backup_days": cluster["backup_retention_period"],
            "log_parameter_bytes": number(&setting(at("aws_rds_cluster_parameter_group", "aurora/this"), "log_parameter_max_length")),
        },
        "schedules": { "topics": tick("topics"), "sweep": tick("sweep") },
        "alarms": alarms(planned["resources"]["aws_cloudwatch_metric_alarm"].as_object().expect("alarms").values().map(|alarm| {
            json!({
                "description": alarm["alarm_description"], "namespace": alarm["namespace"], "metric": alarm["metric_name"],
                "statistic": alarm["statistic"], "period": alarm["period"], "periods": alarm["evaluation_periods"],
                "threshold": alarm["threshold"], "comparison": alarm["comparison_operator"],
                "missing": alarm["treat_missing_data"],
            })
        })),
    })
}
