//! What every tool takes and returns, pinned: the same over HTTP, MCP over HTTP, and MCP over stdio.
//!
//! `BIO_MCP_UPDATE_GOLDEN=1` rewrites `tests/golden/tools.json`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use shared::ingest::Settings;
use simulator::{Corpus, Options, Simulator, Spread};
use tests::http::{ADMIN, Server, settings as http_settings};
use tests::mcp;
use tests::program::Archive;
use tests::sync::{client, day, engine, settings, simulator};

/// A program that speaks MCP over stdio.
struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _archive: Archive,
}

enum Interface {
    Http(Server),
    Mcp(Server),
    Stdio(Box<Program>),
}

impl Interface {
    async fn stdio(ncbi: &Simulator) -> Self {
        let archive = Archive::new().await;
        let mut command = archive.command(&["mcp"]);
        command.env("BIO_MCP_PUBMED_BASE_URL", ncbi.eutils_url()).env("BIO_MCP_PUBMED_FILES_URL", ncbi.files_url());
        command.env("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", "1000");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Self::Stdio(Box::new(Program { child, input, output: BufReader::new(output), _archive: archive }))
    }

    /// The response of a tool: `{"result"}` or `{"error"}`.
    async fn call(&mut self, tool: &str, params: &Value) -> Value {
        match self {
            Self::Http(server) => {
                let response = server.post("/v1/mcp/invoke", &json!({ "tool": tool, "params": params })).await.body;
                match (&response["ok"], response.get("result")) {
                    (Value::Bool(false), _) => json!({ "error": response }),
                    (_, Some(result)) if response["ok"] == true => json!({ "result": result }),
                    _ => json!({ "result": response }),
                }
            }
            Self::Mcp(server) => {
                let call = json!({ "name": tool.replace('.', "_"), "arguments": params });
                split(&mcp::send(server, "tools/call", call, false).await.body)
            }
            Self::Stdio(stdio) => {
                let request = mcp::request("tools/call", json!({ "name": tool, "arguments": params }), false);
                writeln!(stdio.input, "{request}").expect("written");
                let mut line = String::new();
                stdio.output.read_line(&mut line).expect("read");
                split(&serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn split(message: &Value) -> Value {
    let (response, is_error) = mcp::tool_result(message);
    if is_error { json!({ "error": response }) } else { json!({ "result": response }) }
}

/// Replaces values that differ between runs, and the prefix of pointers into the request.
fn steady(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| {
                let value = match key.as_str() {
                    "principal" => json!("<principal>"),
                    "trace_id" | "version" if value.is_string() => json!(format!("<{key}>")),
                    "execution_time_ms" | "duration_ms" | "estimated_duration_secs" | "position_in_queue" => {
                        json!("<n>")
                    }
                    // Depends on whether a worker has started.
                    "state" if value == "queued" || value == "running" => json!("<queued or running>"),
                    // File addresses of this machine are returned only to local callers.
                    "manifest" | "result_ref" => json!("<address or null>"),
                    "pointer" => json!(value.as_str().unwrap_or_default().trim_start_matches("/params")),
                    _ => steady(value),
                };
                (key.clone(), value)
            });
            Value::Object(fields.collect())
        }
        Value::Array(items) => items.iter().map(steady).collect(),
        Value::String(text) if uuid::Uuid::parse_str(text).is_ok() => json!("<id>"),
        Value::String(text) if text.len() >= 20 && chrono::DateTime::parse_from_rfc3339(text).is_ok() => {
            json!("<time>")
        }
        Value::String(text) if text.starts_with("job ") && text.contains(" not found; ") => json!("<no such job>"),
        other => other.clone(),
    }
}

/// The calls in order; `wait` waits for the jobs so far, `change` changes the records at NCBI.
fn steps() -> Vec<(&'static str, Value)> {
    let pmids = ["1001", "1002", "1003"];
    let corpora = |from: &str, to: &str| json!({ "from_checkpoint_id": from, "to_checkpoint_id": to });
    vec![
        ("ping", json!({})),
        ("ping", json!({ "message": "hello <b>&amp;\u{202e}" })),
        ("ping", json!({ "mesage": "hello" })),
        ("pubmed.search", json!({ "term": "all", "limit": 3 })),
        ("pubmed.search", json!({ "q": "tenth" })),
        ("pubmed.search", json!({ "term": " ", "limit": 101 })),
        ("pubmed.search", json!({ "term": "(asthma" })),
        ("pubmed.get", json!({ "pmid": "1001" })),
        ("pubmed.get", json!({ "pmid": "999" })),
        ("pubmed.get", json!({ "pmid": "01001" })),
        ("pubmed.get", json!({ "pmid": "../1001", "as_of": "yesterday" })),
        ("pubmed.sync", json!({ "pmids": pmids, "query_key": "three" })),
        ("wait", json!({})),
        ("pubmed.get", json!({ "pmid": "1001" })),
        (
            "corpus.checkpoint.create",
            json!({ "checkpoint_id": "before", "name": "Before", "primary_queries": ["three"] }),
        ),
        ("pubmed.get_many", json!({ "pmids": [1002, "1001", "1002", "1029", "999"], "include": "authors" })),
        ("pubmed.get_many", json!({ "pmids": ["1001"], "checkpoint_id": "before", "max_chars": "999" })),
        ("corpus.checkpoint.create", json!({ "checkpoint_id": "before", "name": "Again" })),
        ("corpus.checkpoint.create", json!({ "name": "", "checkpoint_id": "no spaces", "primary_queries": [] })),
        ("corpus.checkpoint.create", json!({ "name": "Unknown", "primary_queries": ["three", "four"] })),
        ("corpus.checkpoint.create", json!({ "name": "Orphan", "parent_checkpoint_id": "nobody" })),
        ("change", json!({})),
        ("pubmed.sync", json!({ "pmids": ["1001", "1002", "1003", "1004"], "query_key": "three" })),
        ("pubmed.sync.incremental", json!({ "query": "tenth", "query_key": "tenth" })),
        ("wait", json!({})),
        ("pubmed.get", json!({ "pmid": "1002" })),
        ("pubmed.get", json!({ "pmid": "1002", "checkpoint_id": "before" })),
        ("pubmed.get", json!({ "pmid": "1004", "checkpoint_id": "before" })),
        ("pubmed.get", json!({ "pmid": "1002", "as_of": "2020-01-01T00:00:00Z" })),
        (
            "corpus.checkpoint.create",
            json!({ "checkpoint_id": "after", "name": "After", "description": "Four", "primary_queries": ["three"], "parent_checkpoint_id": "before" }),
        ),
        (
            "corpus.checkpoint.create",
            json!({ "checkpoint_id": "both", "name": "Both", "primary_queries": ["tenth", "three"] }),
        ),
        ("corpus.checkpoint.get", json!({ "checkpoint_id": "before", "documents": 2 })),
        ("corpus.checkpoint.get", json!({ "checkpoint_id": "before", "documents": 2, "after": "1002" })),
        ("corpus.checkpoint.get", json!({ "checkpoint_id": "nobody" })),
        ("corpus.checkpoint.list", json!({ "limit": 2 })),
        ("corpus.checkpoint.list", json!({ "limit": 0, "offset": -1 })),
        ("corpus.checkpoint.diff", corpora("before", "after")),
        ("corpus.checkpoint.diff", corpora("after", "before")),
        ("corpus.checkpoint.diff", corpora("after", "after")),
        ("corpus.checkpoint.diff", corpora("after", "nobody")),
        ("corpus.checkpoint.delete", json!({ "checkpoint_id": "both" })),
        ("corpus.checkpoint.delete", json!({ "checkpoint_id": "both" })),
        ("pubmed.sync", json!({ "query": "all", "pmids": ["1"] })),
        ("pubmed.sync", json!({ "limit": 0 })),
        ("pubmed.sync.incremental", json!({ "query": "other", "query_key": "tenth" })),
        ("pubmed.sync.incremental", json!({ "query": "tenth", "overlap_days": 31 })),
        ("pubmed.ingest_files", json!({ "files": ["../etc/passwd"] })),
        ("pubmed.ingest_files", json!({ "files": ["pubmed26n1335.xml.gz"] })),
        ("wait", json!({})),
        ("job.cancel", json!({ "job_id": "<last>" })),
        ("job.get", json!({ "job_id": "01a20fbf-0000-7000-8000-000000000000" })),
        ("job.cancel", json!({ "job_id": "not an id" })),
    ]
}

/// Runs all steps through one interface.
async fn story(mut interface: Interface, ncbi: &Simulator) -> Vec<Value> {
    let mut told = Vec::new();
    let mut jobs: Vec<Value> = Vec::new();
    for (tool, mut params) in steps() {
        match tool {
            "change" => {
                let mut corpus = ncbi.corpus();
                corpus.revise(1001);
                corpus.retract(1002);
                continue;
            }
            "wait" => {
                for job in jobs.drain(..) {
                    let ended = loop {
                        let seen = interface.call("job.get", &json!({ "job_id": job })).await;
                        if !["queued", "running"].contains(&seen["result"]["state"].as_str().unwrap_or("?")) {
                            break seen;
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    };
                    told.push(json!({ "tool": "job.get", "params": { "job_id": "<id>" }, "answer": steady(&ended) }));
                    jobs_last(&mut told, &job);
                }
                continue;
            }
            _ => {}
        }
        if params["job_id"] == "<last>" {
            params["job_id"] = last_job(&told);
        }
        let response = interface.call(tool, &params).await;
        let kind = shared::tools::find(tool).expect("a tool").kind();
        if let Some(id) = response["result"].get("job_id").filter(|_| kind == shared::tools::Kind::Job) {
            jobs.push(id.clone());
        }
        told.push(json!({ "tool": tool, "params": steady(&params), "answer": steady(&response) }));
    }
    for one in &mut told {
        one.as_object_mut().expect("an object").remove("id");
    }
    told
}

/// Stores the job id with the last response.
fn jobs_last(told: &mut [Value], job: &Value) {
    told.last_mut().expect("told")["id"] = job.clone();
}

fn last_job(told: &[Value]) -> Value {
    told.iter().rev().find_map(|one| one.get("id").cloned()).expect("a job was told of")
}

async fn ncbi() -> Simulator {
    let ncbi = simulator(Corpus::generated(day("2026-03-10"), 1000, 30, 1, Spread::Even(30)), Options::default()).await;
    ncbi.publish_update("pubmed26n1335.xml.gz", &[1005, 1006], &[1004], 1_773_000_000);
    ncbi
}

async fn server(ncbi: &Simulator) -> Server {
    let client = client(settings(ncbi));
    let engine = engine(tests::engine::pool(12).await, client.clone(), Settings::default());
    let mut server = Server::start(engine, client, &http_settings(&[ADMIN])).await.as_admin();
    server.work();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tool_returns_the_same_at_every_interface() {
    let path: PathBuf = tests::root().join("tests/golden/tools.json");
    let mut stories = Vec::new();
    for interface in ["http", "mcp", "stdio"] {
        let ncbi = ncbi().await;
        let opened = match interface {
            "http" => Interface::Http(server(&ncbi).await),
            "mcp" => Interface::Mcp(server(&ncbi).await),
            _ => Interface::stdio(&ncbi).await,
        };
        stories.push((interface, story(opened, &ncbi).await));
    }
    if tests::variable("BIO_MCP_UPDATE_GOLDEN").is_some() {
        let text = serde_json::to_string_pretty(&stories[0].1).expect("JSON") + "\n";
        std::fs::write(&path, text).expect("written");
    }
    let golden: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).expect("the file is there")).expect("JSON");
    for (interface, story) in &stories {
        assert_eq!(story.len(), golden.len(), "{interface}");
        for (told, golden) in story.iter().zip(&golden) {
            assert_eq!(told, golden, "{interface}: {} of {}", told["tool"], told["params"]);
        }
    }
    let told: BTreeSet<&str> = golden.iter().filter_map(|one| one["tool"].as_str()).collect();
    let all: BTreeSet<&str> = shared::tools::catalogue().iter().map(|tool| tool.name).collect();
    assert_eq!(told, all, "every tool has its place in the story");
}
