//! Every change writes an audit line: who made it, from which interface, in which trace.

use std::io::Read as _;
use std::process::Command;

use serde_json::{Value, json};
use shared::core::Sha256;
use simulator::{Corpus, Options, Spread};
use tests::program::{Archive, Run};
use tests::serving::{Running, client};
use tests::sync::{day, simulator};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test(flavor = "multi_thread")]
async fn every_change_over_http_has_an_audit_line_at_every_level_of_the_log() {
    let archive = Archive::new().await;
    let tokens = format!("ann:admin={},reader:read={}", Sha256::of(b"ann").to_hex(), Sha256::of(b"reader").to_hex());
    let environment =
        [("BIO_MCP_LOG_LEVEL", "error"), ("BIO_MCP_JSON_LOGS", "true"), ("BIO_MCP_AUTH_TOKENS", tokens.as_str())];
    let mut serve = Running(archive.start(&["serve", "--listen", "127.0.0.1:0"], &environment));
    let (address, http) = (serve.address(), client());
    let ask = async |token: &str, method: &str, path: &str, body: Value| -> Value {
        let method = method.parse().expect("a method");
        let response = http
            .request(method, format!("{address}{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"))
            .header("content-type", "application/json")
            .body(if body.is_null() { String::new() } else { body.to_string() });
        serde_json::from_slice(&response.send().await.expect("responded").bytes().await.expect("a body")).expect("JSON")
    };
    let invoke = async |token: &str, tool: &str, params: Value| {
        ask(token, "POST", "/v1/mcp/invoke", json!({ "tool": tool, "params": params })).await
    };
    let job = ask("ann", "POST", "/v1/jobs", json!({ "tool": "pubmed.sync", "params": { "pmids": [1] } })).await;
    let id = job["job_id"].as_str().expect("an id").to_owned();
    ask("ann", "DELETE", &format!("/v1/jobs/{id}"), Value::Null).await;
    let again = ask("ann", "POST", &format!("/v1/jobs/{id}/retry"), Value::Null).await;
    let again = again["job_id"].as_str().expect("an id").to_owned();
    invoke("ann", "corpus.checkpoint.create", json!({ "checkpoint_id": "c", "name": "n" })).await;
    invoke("ann", "corpus.checkpoint.delete", json!({ "checkpoint_id": "c" })).await;
    // Calls that change nothing, refused calls and replays write none.
    invoke("ann", "ping", json!({})).await;
    invoke("reader", "corpus.checkpoint.create", json!({ "checkpoint_id": "d", "name": "n" })).await;
    ask("ann", "DELETE", &format!("/v1/jobs/{id}"), Value::Null).await;
    let stopped = Command::new("kill").args(["-INT", &serve.0.id().to_string()]).status().expect("kill runs");
    assert!(stopped.success());
    let mut log = String::new();
    serve.0.stderr.take().expect("piped").read_to_string(&mut log).expect("read");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect();
    let audits: Vec<&Value> = lines.iter().filter(|line| line["message"] == "audit").collect();
    let said: Vec<(&str, &str)> = audits
        .iter()
        .map(|line| (line["action"].as_str().unwrap_or_default(), line["object"].as_str().unwrap_or_default()))
        .collect();
    let (submitted, retried) = (format!("pubmed.sync {id}"), format!("{again} of {id}"));
    assert_eq!(
        said,
        [
            ("job.submit", submitted.as_str()),
            ("job.cancel", id.as_str()),
            ("job.retry", retried.as_str()),
            ("checkpoint.create", "c"),
            ("checkpoint.delete", "c"),
        ],
        "{log}"
    );
    for line in audits {
        assert_eq!(line["principal"], "ann", "{line}");
        assert_eq!(line["role"], "admin", "{line}");
        assert_eq!(line["trace_id"], TRACE, "{line}");
        assert_eq!(line["source_address"], "127.0.0.1", "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_changes_on_the_command_line_has_an_audit_line() {
    let archive = Archive::new().await;
    archive.run(&["topics", "add", "asthma", "--query-key", "asthma"]).expect(0);
    archive.run(&["topics", "rm", "asthma"]).expect(0);
    let freed = archive.run(&["topics", "unbind", "asthma"]).expect(0);
    assert!(freed.err.contains("topic.unbind") && freed.err.contains("local"), "{}", freed.err);
    let none = archive.run(&["topics", "unbind", "asthma"]).expect(3);
    assert!(!none.err.contains("topic.unbind"), "nothing was changed: {}", none.err);
    archive.run(&["call", "corpus.checkpoint.create", r#"{"checkpoint_id":"c","name":"n"}"#]).expect(0);
    archive.run(&["call", "corpus.checkpoint.delete", r#"{"checkpoint_id":"c"}"#]).expect(0);
    let deleted = archive.run(&["--output", "json", "checkpoints", "deleted"]).expect(0).json();
    assert_eq!(deleted["checkpoints"][0]["checkpoint_id"], "c", "{deleted}");
    let restored = archive.run(&["checkpoints", "restore", "c"]).expect(0);
    assert!(restored.err.contains("checkpoint.restore"), "{}", restored.err);
    archive.run(&["checkpoints", "restore", "c"]).expect(3);
    archive.run(&["call", "corpus.checkpoint.get", r#"{"checkpoint_id":"c"}"#]).expect(0);
}

/// A step may be submitted long after its chain, when the token has another role or has been revoked.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_a_chain_has_an_audit_line_that_says_whose_role_it_has() {
    let ncbi = simulator(Corpus::generated(day("2026-03-10"), 1000, 10, 1, Spread::Even(30)), Options::default()).await;
    let url = ncbi.eutils_url();
    let archive = Archive::new().await;
    let step = json!({ "tool": "pubmed.sync", "params": { "pmids": [1005] } }).to_string();
    let submitted = archive.run(&["call", "pubmed.sync", r#"{"pmids": [1001]}"#, "--then", &step]).expect(0).json();
    let chain = submitted["job_id"].as_str().expect("an id").to_owned();
    let mut worker = archive.command(&["worker", "--once"]);
    worker.envs([
        ("BIO_MCP_PUBMED_BASE_URL", url.as_str()),
        ("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", "1000"),
        ("BIO_MCP_LOG_LEVEL", "error"),
        ("BIO_MCP_JSON_LOGS", "true"),
    ]);
    let run = Run::from(worker.output().expect("runs")).expect(0);
    let lines: Vec<Value> = run.err.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let audits: Vec<&Value> = lines.iter().filter(|line| line["message"] == "audit").collect();
    let says = format!("step 2 of {chain}, with the role of its submission");
    assert_eq!(audits.len(), 1, "{run:?}");
    assert_eq!((&audits[0]["action"], &audits[0]["role"]), (&json!("job.submit"), &json!("admin")), "{run:?}");
    assert!(audits[0]["object"].as_str().expect("text").contains(&says), "{run:?}");
}
