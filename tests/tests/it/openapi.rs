//! The OpenAPI document: pinned, valid for an independent validator, and correct for generated requests.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use shared::core::Sha256;
use shared::ingest::Settings;
use simulator::{Corpus, Options, Spread};
use tests::http::{Server, settings as http_settings};
use tests::sync::{client, day, engine, settings, simulator};

/// Python with the packages of `.tools/schemathesis`; `None` if they are not installed.
fn python() -> Option<Command> {
    let packages: PathBuf = tests::root().join(".tools/schemathesis");
    if !packages.join(".complete-1").exists() {
        eprintln!("SKIPPED: schemathesis is not in .tools: run `make test`");
        return None;
    }
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).env_remove("SCHEMATHESIS_HOOKS");
    Some(command)
}

#[test]
fn the_document_is_the_published_one() {
    let path = tests::root().join("docs/openapi.json");
    let document = api::openapi::document(&shared::tools::catalogue(), true);
    let text = serde_json::to_string_pretty(&document).expect("JSON") + "\n";
    if tests::variable("BIO_MCP_UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &text).expect("written");
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == text,
        "docs/openapi.json is not what the code says: look at the difference, then\n  \
        BIO_MCP_UPDATE_OPENAPI=1 cargo nextest run -E 'test(/^openapi::/)'"
    );
}

/// Every schema in the document with its location; values (a default, an enum) are not searched.
fn schemas<'a>(at: &str, value: &'a Value, is_schema: bool, found: &mut Vec<(String, &'a Value)>) {
    if is_schema {
        found.push((at.to_owned(), value));
    }
    let Some(members) = value.as_object() else { return };
    for (name, inner) in members {
        let at = format!("{at}/{name}");
        let named = ["schemas", "properties", "patternProperties", "$defs"].contains(&name.as_str());
        let one = ["schema", "items", "not", "contains", "additionalProperties"].contains(&name.as_str());
        match inner {
            Value::Object(inner) if named => {
                inner.iter().for_each(|(name, schema)| schemas(&format!("{at}/{name}"), schema, true, found));
            }
            Value::Array(list) if ["oneOf", "anyOf", "allOf", "prefixItems"].contains(&name.as_str()) => {
                for schema in list {
                    schemas(&at, schema, true, found);
                }
            }
            Value::Array(list) if !is_schema => list.iter().for_each(|inner| schemas(&at, inner, false, found)),
            Value::Object(_) if one => schemas(&at, inner, true, found),
            Value::Object(_) if !is_schema => schemas(&at, inner, false, found),
            _ => {}
        }
    }
}

/// The document has none of the constructs that client generators fail on.
#[test]
fn every_schema_is_one_that_generators_of_clients_read() {
    let document = api::openapi::document(&shared::tools::catalogue(), true);
    let mut found = Vec::new();
    schemas("", &document, false, &mut found);
    assert!(found.len() > 200, "{}", found.len());
    for (at, schema) in found {
        assert!(schema.get("const").is_none() && schema.get("$schema").is_none(), "{at}: {schema}");
        if let Some(values) = schema.get("enum") {
            assert!(schema.get("type").is_some(), "an enum without a type at {at}: {schema}");
            // As names in code: one letter case, other characters replaced.
            let mut names: Vec<String> = values
                .as_array()
                .expect("a list")
                .iter()
                .map(|value| value.to_string().to_uppercase().replace(|c: char| !c.is_alphanumeric(), "_"))
                .collect();
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count, "two names that are one in code at {at}: {schema}");
        }
        for choice in ["oneOf", "anyOf"].iter().filter_map(|keyword| schema.get(keyword)?.as_array()) {
            let enums = choice.iter().filter(|branch| branch.get("enum").is_some()).count();
            assert!(enums <= 1 && choice.len() > 1, "a choice of constants at {at}: {schema}");
        }
        if schema["type"].to_string().contains("\"array\"") {
            assert!(schema["items"].is_object(), "an array without items at {at}: {schema}");
        }
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            assert!(property.get("default").is_none(), "a property that types take for required: {name} at {at}");
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').expect("inside of the document");
            assert!(document.pointer(pointer).is_some(), "{reference} at {at} is nothing");
        }
    }
}

/// Two schemas under one name would silently replace each other.
#[test]
fn the_names_of_calls_are_not_those_of_types() {
    let document = api::openapi::document(&shared::tools::catalogue(), true);
    let named = document["components"]["schemas"].as_object().expect("schemas");
    for tool in shared::tools::catalogue() {
        let calls = named.values().filter(|schema| schema["properties"]["tool"]["enum"][0] == tool.name);
        let expected = if tool.kind() == shared::tools::Kind::Job { 2 } else { 1 };
        assert_eq!(calls.count(), expected, "{}", tool.name);
    }
}

#[test]
fn an_independent_validator_accepts_the_document() {
    let Some(mut python) = python() else { return };
    let file = tempfile::NamedTempFile::with_suffix(".json").expect("a temporary file");
    let document = api::openapi::document(&shared::tools::catalogue(), true);
    std::fs::write(file.path(), document.to_string()).expect("written");
    let checked = python.args(["-m", "openapi_spec_validator"]).arg(file.path()).output().expect("python3 runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

/// Requests generated from the document, valid and invalid: no server error, no undocumented response, nothing accepted
/// that it forbids, no request accepted without a token.
#[tokio::test(flavor = "multi_thread")]
async fn every_response_is_as_the_document_says() {
    let Some(mut python) = python() else { return };
    let token = "bio-mcp_a-token-of-a-test";
    let tokens = format!("tests:admin={}", Sha256::of(token.as_bytes()).to_hex());
    let corpus = Corpus::generated(day("2026-03-10"), 1000, 100, 1, Spread::Even(30));
    let ncbi = simulator(corpus, Options::default()).await;
    let client = client(settings(&ncbi));
    let engine = engine(tests::engine::pool(12).await, client.clone(), Settings::default());
    let mut server = Server::start(engine, client, &http_settings(&[("BIO_MCP_AUTH_TOKENS", &tokens)])).await;
    server.work();
    let dir = tempfile::tempdir().expect("a temporary directory");
    // What no schema can express: a query needs matching parentheses and quotes, and its key belongs to one query, so a
    // request that the schema allows may be refused with 400. DELETE cancels a job and keeps its row, so reading it
    // afterwards is no use after deletion; and a new job has no manifest before it has ended. A body that is too long
    // is refused with 413, whatever else is wrong with it. The id of a checkpoint may be taken: 409. Parameters,
    // envelopes and query strings are accepted beyond their schemas where the meaning is clear (see `tool_params`).
    std::fs::write(
        dir.path().join("schemathesis.toml"),
        "[checks.positive_data_acceptance]\nexpected-statuses = [\"2xx\", \"3xx\", \"400\", \"401\", \"404\", \"409\", \"422\", \"429\"]\n[checks.negative_data_rejection]\nexpected-statuses = [\"400\", \"401\", \"404\", \"405\", \"406\", \"413\", \"415\", \"422\", \"429\"]\n[checks.use_after_free]\nenabled = false\n[checks.ensure_resource_availability]\nenabled = false\n\
         [[operations]]\ninclude-path = [\"/v1/jobs\", \"/v1/jobs/{id}\", \"/v1/jobs/{id}/retry\", \"/v1/jobs/{id}/failures\", \"/v1/jobs/{id}/logs\", \"/v1/mcp/invoke\", \"/v1/pubmed/{pmid}\"]\nchecks.negative_data_rejection.enabled = false\n\
         # A reader at the end of the feed is answered after `wait`: at once here.\n\
         [[operations]]\ninclude-path = \"/v1/events\"\nchecks.negative_data_rejection.enabled = false\nparameters = { \"query.wait\" = 0 }\n",
    )
    .expect("written");
    let examples = tests::variable("BIO_MCP_SCHEMATHESIS_EXAMPLES").unwrap_or_else(|| "120".to_owned());
    let seed = tests::variable("BIO_MCP_SCHEMATHESIS_SEED").unwrap_or_else(|| "1".to_owned());
    python
        .current_dir(dir.path())
        .args(["-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"])
        .arg(format!("{}/openapi.json", server.url))
        .args(["--header", &format!("Authorization: Bearer {token}"), "--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--max-examples", &examples, "--seed", &seed, "--no-color", "--warnings", "off"])
        .args(["--suppress-health-check", "all"]);
    let ran = tokio::task::spawn_blocking(move || python.output()).await.expect("joined").expect("python3 runs");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    println!("{}", said.lines().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n"));
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    let health: Value = server.get("/healthz").await.body;
    assert_eq!(health["status"], "healthy");
}
