//! Roles and permissions of the template, compared with deploy/stack.json, which Terraform reads.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::numbers::{FUNCTIONS, logical, of_type, resource};
use super::{stack, template, translated};

/// The permissions of a role by resource, and the secrets that it reads.
fn permissions(template: &Value, function: &str) -> (BTreeMap<String, BTreeSet<String>>, BTreeSet<&'static str>) {
    let role = resource(template, &format!("{}Role", logical(function)));
    assert_eq!(role["Policies"].as_array().map(Vec::len), Some(1), "{function}");
    let managed = role["ManagedPolicyArns"].to_string();
    assert_eq!(managed.matches(":policy/").count(), 2, "{function}: {managed}");
    // The second one only in a VPC.
    for policy in [":iam::aws:policy/AWSXRayDaemonWriteAccess", ":policy/service-role/AWSLambdaVPCAccessExecutionRole"]
    {
        assert!(managed.contains(policy), "{function}: {managed}");
    }
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
                ("SettingsSecretArn", "settings"),
                ("MasterUserSecret", "master"),
            ] {
                if to.contains(parameter) {
                    secrets.insert(secret);
                }
            }
            continue;
        }
        let on = match to.as_str() {
            to if to.contains("${Archive.Arn}/*/manifests/*\"") => "manifests",
            to if to.contains("${Archive.Arn}/*\"") => "objects",
            to if to.contains("Archive") => "bucket",
            to if to.contains("\"Key\"") => "key",
            to if to.contains("Jobs") => "jobs",
            to if to.contains("Limits") => "limits",
            to if to.contains(&format!("{}Log", logical(function))) => continue,
            to if to.contains("SecretsKeyArn") => {
                assert_eq!(actions, BTreeSet::from(["kms:Decrypt".to_owned()]), "{function}");
                continue;
            }
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
    // Only the worker writes the objects that readers trust.
    for function in FUNCTIONS {
        let writes = |on: &str| set_of(&stack["functions"][function]["may"][on]).contains("s3:PutObject");
        assert_eq!(writes("objects"), function == "worker", "{function}");
        assert_eq!(writes("manifests"), ["api", "scheduler"].contains(&function), "{function}");
        // A large object is stored in parts, which remain if the upload fails and is not aborted.
        for on in ["objects", "manifests"].into_iter().filter(|on| writes(on)) {
            let may = set(&stack["functions"][function]["may"][on]);
            assert!(may.contains("s3:AbortMultipartUpload"), "{function}, {on}");
        }
    }
    for function in ["api", "scheduler", "worker"] {
        let key = set(&stack["functions"][function]["may"]["key"]);
        assert!(key.contains("kms:GenerateDataKey"), "{function} writes to what is encrypted");
    }
    let all = stack["functions"].to_string();
    assert!(!all.contains("Delete") || all.matches("Delete").count() == all.matches("sqs:DeleteMessage").count());
}

/// The template has exactly these roles.
#[test]
fn the_schedule_may_invoke_the_scheduler_and_nothing_else() {
    let Some(template) = translated(&template()) else { return };
    let roles: BTreeSet<&str> = of_type(&template, "AWS::IAM::Role").iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(roles, BTreeSet::from(["ApiRole", "ClockRole", "MigrateRole", "SchedulerRole", "WorkerRole"]));
    let clock = resource(&template, "ClockRole");
    assert!(clock.get("ManagedPolicyArns").is_none());
    let statements = &clock["Policies"][0]["PolicyDocument"]["Statement"];
    assert_eq!(
        *statements,
        json!([
            { "Effect": "Allow", "Action": ["lambda:InvokeFunction"], "Resource": { "Fn::GetAtt": ["Scheduler", "Arn"] } },
            { "Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": { "Fn::GetAtt": ["Key", "Arn"] } },
        ])
    );
}

fn set(list: &Value) -> BTreeSet<String> {
    list.as_array().expect("a list").iter().map(|one| one.as_str().expect("text").to_owned()).collect()
}

/// Empty if there is no list.
fn set_of(list: &Value) -> BTreeSet<String> {
    if list.is_null() { BTreeSet::new() } else { set(list) }
}

fn sorted(lists: &Value) -> Value {
    let lists = lists.as_object().expect("lists").iter();
    json!(lists.map(|(name, list)| (name.clone(), set(list))).collect::<BTreeMap<_, _>>())
}
