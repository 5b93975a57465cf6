//! MCP with independent clients: the official conformance runner, the Inspector and the Python client; HTTP and stdio.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::core::Role;
use shared::core::Sha256;
use shared::ingest::Settings;
use simulator::{Corpus, Options, Simulator, Spread};
use tests::http::{Server, settings as http_settings};
use tests::mcp::{node, python, ran, send, tool_result};
use tests::mcp_fixture::Fixture;
use tests::program::Archive;
use tests::sync::{client, day, engine, settings, simulator};

async fn ncbi() -> Simulator {
    simulator(Corpus::generated(day("2026-03-10"), 1000, 30, 1, Spread::Even(30)), Options::default()).await
}

async fn server(ncbi: &Simulator, more: &[(&str, &str)]) -> Server {
    let client = client(settings(ncbi));
    let engine = engine(tests::engine::pool(12).await, client.clone(), Settings::default());
    Server::start(engine, client, &http_settings(more)).await
}

/// A server with the runner's tools behind this project's transport and checks.
async fn fixture(ncbi: &Simulator) -> Server {
    let client = client(settings(ncbi));
    let engine = engine(tests::engine::pool(4).await, client.clone(), Settings::default());
    Server::with_mcp(engine, client, &http_settings(&[]), Fixture::default()).await
}

/// The result of each scenario: `✓ name: 3 passed, 0 failed`, or `✓ name (why it is not scored)`.
fn scenarios(said: &str) -> BTreeMap<String, bool> {
    let lines = said.lines().map(str::trim);
    let ended = lines.filter_map(|line| {
        let passed = line.strip_prefix("✓ ").map(|rest| (rest, true));
        let (rest, passed) = passed.or_else(|| line.strip_prefix("✗ ").map(|rest| (rest, false)))?;
        Some((rest.split([':', ' ']).next()?.to_owned(), passed))
    });
    ended.collect()
}

fn failed(scenarios: &BTreeMap<String, bool>) -> Vec<&str> {
    scenarios.iter().filter(|(_, passed)| !**passed).map(|(name, _)| name.as_str()).collect()
}

const RUNNER: &str = "@modelcontextprotocol/conformance/dist/index.js";

/// Every server scenario of both revisions, including tasks and unscored ones. The runner calls its own tools, prompts
/// and resources, behind this project's transport.
#[tokio::test(flavor = "multi_thread")]
async fn the_transport_conforms_to_both_revisions() {
    let ncbi = ncbi().await;
    let server = fixture(&ncbi).await;
    for (revision, least) in [("2026-07-28", 50), ("2025-11-25", 33)] {
        let Some(mut runner) = node(RUNNER) else { return };
        runner.args(["server", "--url", &format!("{}/mcp", server.url), "--requirements", revision]);
        let (is_fine, said) = ran(runner).await;
        let ended = scenarios(&said);
        assert!(is_fine && failed(&ended).is_empty(), "{revision}: {:?}\n{said}", failed(&ended));
        assert!(ended.len() >= least, "{revision}: only {} scenarios ran\n{said}", ended.len());
    }
    // The runner that was released with the older revision.
    let Some(mut runner) = node("conformance-2025/dist/index.js") else { return };
    runner.args(["server", "--url", &format!("{}/mcp", server.url), "--suite", "active"]);
    let (is_fine, said) = ran(runner).await;
    let ended = scenarios(&said);
    assert!(is_fine && failed(&ended).is_empty(), "{:?}\n{said}", failed(&ended));
    assert!(ended.len() >= 25, "only {} scenarios ran\n{said}", ended.len());
}

/// Scenarios that need none of the runner's tools pass against the real tools. In `server-stateless` the runner calls
/// four of its own tools; those checks, and subscriptions, which this server does not offer, are listed as exceptions.
#[tokio::test(flavor = "multi_thread")]
async fn the_real_server_passes_what_needs_no_fixtures() {
    let ncbi = ncbi().await;
    let server = server(&ncbi, &[]).await;
    let modern = [
        "tools-list",
        "resources-list",
        "dns-rebinding-protection",
        "sep-2164-resource-not-found",
        "server-sse-multiple-streams",
        "http-header-validation",
        "input-required-result-unsupported-methods",
    ];
    let legacy = ["server-initialize", "ping", "tools-list", "resources-list", "dns-rebinding-protection"];
    for (revision, names) in [("2026-07-28", &modern[..]), ("2025-11-25", &legacy[..])] {
        for name in names {
            let Some(mut runner) = node(RUNNER) else { return };
            let url = format!("{}/mcp", server.url);
            runner.args(["server", "--url", &url, "--scenario", name, "--spec-version", revision, "--force"]);
            let (is_fine, said) = ran(runner).await;
            assert!(is_fine && !said.contains("SKIPPED"), "{name} of {revision}:\n{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_lists_and_calls_over_http_and_stdio() {
    let ncbi = ncbi().await;
    let server = server(&ncbi, &[]).await;
    let archive = Archive::new().await;
    let program = tests::program::path();
    let data_dir = archive.data_dir();
    let stdio = [program.to_str().expect("UTF-8"), "--data-dir", data_dir.to_str().expect("UTF-8"), "mcp"];
    let url = format!("{}/mcp", server.url);
    for target in [&[url.as_str(), "--transport", "http"][..], &stdio[..]] {
        for (method, more, wanted) in [
            ("tools/list", &[][..], "corpus_checkpoint_create"),
            ("tools/call", &["--tool-name", "ping", "--tool-arg", "message=hello there"][..], "hello there"),
            ("resources/read", &["--uri", "bio-mcp://corpus/status"][..], "total_documents"),
        ] {
            let Some(mut inspector) = node("@modelcontextprotocol/inspector/clients/launcher/build/index.js") else {
                return;
            };
            for (name, value) in archive.command(&[]).get_envs() {
                match value {
                    Some(value) => inspector.env(name, value),
                    None => inspector.env_remove(name),
                };
            }
            inspector.env("BIO_MCP_PUBMED_BASE_URL", ncbi.eutils_url());
            inspector.arg("--cli").args(target).args(["--method", method]).args(more);
            let (is_fine, said) = ran(inspector).await;
            assert!(is_fine && said.contains(wanted), "{target:?} {method}:\n{said}");
        }
    }
}

/// The Python client validates every response against the output schema of its tool.
const PYTHON: &str = r#"
import asyncio, json, os, sys
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

async def look(target, mode):
    async with Client(target, mode=mode) as client:
        tools = (await client.list_tools()).tools
        names = [tool.name for tool in tools]
        assert all(tool.annotations.read_only_hint is not None for tool in tools), tools
        pong = await client.call_tool("ping", {"message": "hi"})
        assert pong.structured_content["message"] == "hi" and not pong.is_error, pong
        found = await client.call_tool("pubmed.search", {"term": "all", "limit": 3})
        assert found.structured_content["total_count"] == 30, found
        record = await client.call_tool("pubmed_get", {"pmid": "1001", "as_of": ""})
        assert record.structured_content["found"] is True, record
        refused = await client.call_tool("pubmed_get", {"pmid": "01"})
        assert refused.is_error and refused.structured_content is None, refused
        assert json.loads(refused.content[0].text)["error_code"] == "VALIDATION_ERROR", refused
        job = (await client.call_tool("pubmed_sync", {"pmids": ["1001", "1002"]})).structured_content
        while True:
            seen = (await client.call_tool("job_get", {"job_id": job["job_id"]})).structured_content
            if seen["state"] not in ("queued", "running"):
                break
            await asyncio.sleep(0.05)
        assert seen["state"] == "succeeded" and seen["result"]["requested"] == 2, seen
        paper = await client.read_resource("bio-mcp://pubmed/paper/1001")
        assert json.loads(paper.contents[0].text)["source"] == "archive", paper
        for resource in (await client.list_resources()).resources:
            json.loads((await client.read_resource(resource.uri)).contents[0].text)
        assert len((await client.list_resource_templates()).resource_templates) == 2
        return names

async def main():
    url, program, data_dir = sys.argv[1:4]
    stdio = StdioServerParameters(command=program, args=["--data-dir", data_dir, "mcp"], env=dict(os.environ))
    lists = []
    for mode in ("legacy", "auto"):
        lists.append(await look(streamable_http_client(url), mode))
        lists.append(await look(stdio_client(stdio), mode))
    assert lists[:2] == lists[2:], lists
    print("fine", len(lists[0]), len(lists[1]))

asyncio.run(main())
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works_over_http_and_stdio_in_both_eras() {
    let ncbi = ncbi().await;
    let mut server = server(&ncbi, &[]).await;
    server.work();
    let archive = Archive::new().await;
    let Some(mut python) = python() else { return };
    for (name, value) in archive.command(&[]).get_envs() {
        if let Some(value) = value {
            python.env(name, value);
        }
    }
    python.env("BIO_MCP_PUBMED_BASE_URL", ncbi.eutils_url()).env("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", "1000");
    python.args(["-c", PYTHON, &format!("{}/mcp", server.url)]).arg(tests::program::path()).arg(archive.data_dir());
    let (is_fine, said) = ran(python).await;
    // Over HTTP without a token, and over stdio, where the client started the program.
    let listed = [Role::Submit, Role::Admin]
        .map(|role| shared::tools::catalogue().iter().filter(|tool| tool.role <= role).count().to_string());
    assert!(is_fine && said.contains(&format!("fine {}", listed.join(" "))), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_a_task_that_outlives_its_client() {
    let ncbi = ncbi().await;
    let mut server = server(&ncbi, &[]).await;
    let sync = json!({ "name": "pubmed_sync", "arguments": { "pmids": ["1001", "1002", "1003"] } });
    let plain = send(&server, "tools/call", sync.clone(), false).await;
    let (job, is_error) = tool_result(&plain.body);
    assert!(!is_error && job["state"] == "queued", "{job}");

    let made = send(&server, "tools/call", sync, true).await;
    let task = &made.body["result"];
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")), "{task}");
    let id = task["taskId"].as_str().expect("an id");
    assert_eq!(job["job_id"], id, "the same job, asked for twice");
    assert!(task["ttlMs"].is_u64() && task["pollIntervalMs"].is_u64() && task.get("result").is_none(), "{task}");

    let refused = send(&server, "tasks/get", json!({ "taskId": id }), false).await;
    assert_eq!((refused.status.as_u16(), &refused.body["error"]["code"]), (400, &json!(-32021)), "{}", refused.body);
    let unknown = json!({ "taskId": "01a20fbf-0000-7000-8000-000000000000" });
    assert_eq!(send(&server, "tasks/get", unknown, true).await.body["error"]["code"], -32602);

    server.work();
    server.ended(id).await;
    let ended = send(&server, "tasks/get", json!({ "taskId": id }), true).await.body;
    let ended = &ended["result"];
    assert_eq!((&ended["status"], &ended["result"]["isError"]), (&json!("completed"), &json!(false)), "{ended}");
    assert_eq!(ended["result"]["structuredContent"]["archived"], 3, "{ended}");
    let cancelled = send(&server, "tasks/cancel", json!({ "taskId": id }), true).await.body;
    assert_eq!(cancelled["result"], json!({ "resultType": "complete" }), "what has ended stays as it is");
    let update = json!({ "taskId": id, "inputResponses": { "nothing": true } });
    assert_eq!(send(&server, "tasks/update", update, true).await.body["result"], json!({ "resultType": "complete" }));
    assert_eq!(send(&server, "tasks/get", json!({ "taskId": id }), true).await.body["result"]["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_says_so_and_a_failed_one_has_the_error_body() {
    let ncbi = ncbi().await;
    let mut server = server(&ncbi, &[]).await;
    let call = |pmid: &str| json!({ "name": "pubmed_sync", "arguments": { "pmids": [pmid] } });
    let task = |body: &Value| body["result"]["taskId"].as_str().expect("a task").to_owned();
    let id = task(&send(&server, "tools/call", call("1001"), true).await.body);
    send(&server, "tasks/cancel", json!({ "taskId": id }), true).await;
    let seen = send(&server, "tasks/get", json!({ "taskId": id }), true).await.body;
    assert_eq!(seen["result"]["status"], "cancelled", "{seen}");

    let id = task(&send(&server, "tools/call", call("1002"), true).await.body);
    sqlx::query("update jobs set deadline_at = now() - interval '1 second' where id = $1")
        .bind(id.parse::<uuid::Uuid>().expect("a job"))
        .execute(&server.engine.db)
        .await
        .expect("late");
    server.work();
    server.ended(&id).await;
    let seen = send(&server, "tasks/get", json!({ "taskId": id }), true).await.body;
    let (error, is_error) = tool_result(&json!({ "result": seen["result"]["result"] }));
    assert!(is_error && error["ok"] == false && error["error_code"] == "DEADLINE_EXCEEDED", "{error}");
    assert_eq!((&error["tool"], &error["retryable"]), (&json!("pubmed.sync"), &json!(true)));
    assert_eq!(seen["result"]["status"], "completed", "the tool ran, and failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn mcp_requires_a_token_and_an_allowed_host_and_origin() {
    let ncbi = ncbi().await;
    let token = "bio-mcp_a-token-of-a-test";
    let hash = Sha256::of(token.as_bytes()).to_hex();
    let more = [
        ("BIO_MCP_AUTH_TOKENS", hash.as_str()),
        ("BIO_MCP_ALLOWED_HOSTS", "archive.lab"),
        ("BIO_MCP_ALLOWED_ORIGINS", "https://app.lab"),
    ];
    let server = server(&ncbi, &more).await;
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
    let post = |headers: &[(&'static str, &'static str)]| {
        let request = server.request("POST", "/mcp").header("content-type", "application/json");
        let mut request = request.header("accept", "application/json, text/event-stream").body(ping.clone());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        server.send(request)
    };
    let bearer = ("authorization", "Bearer bio-mcp_a-token-of-a-test");
    assert_eq!(post(&[]).await.error(), (401, "UNAUTHENTICATED"));
    assert_eq!(post(&[bearer]).await.status, 200);
    assert_eq!(post(&[bearer, ("host", "archive.lab")]).await.status, 200);
    assert_eq!(post(&[bearer, ("origin", "https://app.lab")]).await.status, 200);
    for bad in [
        &[bearer, ("host", "evil.example")][..],
        &[bearer, ("origin", "https://evil.example")],
        &[bearer, ("origin", "null")],
        &[bearer, ("origin", "")],
        &[bearer, ("origin", "https://app.lab"), ("origin", "https://app.lab")],
        &[bearer, ("origin", "https://app.lab.evil.example")],
    ] {
        assert_eq!(post(bad).await.error(), (403, "FORBIDDEN"), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_refused_as_json_rpc_says() {
    let ncbi = ncbi().await;
    let server = server(&ncbi, &[]).await;
    let long = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{}\"}}", "x".repeat(262_144));
    for (body, status, code) in [
        ("{", 400, json!(-32700)),
        ("[]", 400, json!(-32600)),
        ("7", 400, json!(-32600)),
        (r#"{"id":1,"method":"ping"}"#, 400, json!(-32600)),
        (r#"{"jsonrpc":"2.0","id":1}"#, 400, json!(-32600)),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 400, json!(-32600)),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, 400, json!(-32600)),
        (&long, 413, Value::Null),
    ] {
        let request = server.request("POST", "/mcp").header("content-type", "application/json");
        let request = request.header("accept", "application/json, text/event-stream").body(body.to_owned());
        let response = server.send(request).await;
        let head: String = body.chars().take(60).collect();
        assert_eq!(
            (response.status.as_u16(), &response.body["error"]["code"]),
            (status, &code),
            "{head}: {}",
            response.body
        );
    }
    let plain = server.request("POST", "/mcp").header("accept", "application/json").body("{}");
    assert_eq!(server.send(plain).await.error(), (415, "UNSUPPORTED_MEDIA_TYPE"));
    let refused = server.get("/mcp").await;
    assert_eq!((refused.error(), refused.header("allow")), ((405, "METHOD_NOT_ALLOWED"), Some("POST")));
}
