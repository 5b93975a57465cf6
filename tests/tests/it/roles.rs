//! Authorization: roles, quotas and ownership, at every interface.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::config::TopicSetting;
use shared::core::{Role, Sha256};
use shared::ingest::Settings;
use shared::jobs::Limits;
use shared::sources::topics;
use shared::tools::{Kind, Tool, Toolbox, catalogue};
use shared::{checkpoints, syncs};
use simulator::Corpus;
use simulator::Options;
use tests::http::{ApiResponse, Server, settings as http_settings};
use tests::sync::{client, day, engine, settings, simulator};

/// The tokens of these tests: name and role.
const TOKENS: [(&str, &str); 5] =
    [("reader", "read"), ("ann", "submit"), ("bob", "submit"), ("root", "admin"), ("plain", "")];

/// A server that accepts these tokens, with these limits of principals.
async fn server(change: impl FnOnce(Limits) -> Limits) -> Server {
    let ncbi = simulator(Corpus::new(day("2026-03-10")), Options::default()).await;
    let client = client(settings(&ncbi));
    let engine = engine(tests::engine::pool(4).await, client.clone(), Settings::default());
    let hashes = TOKENS.map(|(name, role)| {
        let role = if role.is_empty() { String::new() } else { format!(":{role}") };
        format!("{name}{role}={}", Sha256::of(name.as_bytes()).to_hex())
    });
    let settings = http_settings(&[("BIO_MCP_AUTH_TOKENS", &hashes.join(","))]);
    Server::with(engine, client, &settings, |toolbox| {
        let limits = change(toolbox.limits);
        Toolbox { limits, ..toolbox }
    })
    .await
}

async fn ask(server: &Server, who: &str, method: &str, path: &str, body: Option<Value>) -> ApiResponse {
    let mut request = server.request(method, path).header("authorization", format!("Bearer {who}"));
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    server.send(request).await
}

async fn invoke(server: &Server, who: &str, tool: &str, params: Value) -> ApiResponse {
    ask(server, who, "POST", "/v1/mcp/invoke", Some(json!({ "tool": tool, "params": params }))).await
}

async fn submit(server: &Server, who: &str, pmid: u32) -> ApiResponse {
    let body = json!({ "tool": "pubmed.sync", "params": { "pmids": [pmid] } });
    ask(server, who, "POST", "/v1/jobs", Some(body)).await
}

/// The text of a tool's result over MCP.
async fn over_mcp(server: &Server, who: &str, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let request = server
        .request("POST", "/mcp")
        .header("authorization", format!("Bearer {who}"))
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .header("content-type", "application/json")
        .body(body.to_string());
    server.send(request).await.body
}

/// The role that each tool needs, repeated here on purpose: adding a tool requires a decision.
fn needed(tool: &str) -> Role {
    match tool {
        "ping"
        | "pubmed.search"
        | "pubmed.get"
        | "pubmed.get_many"
        | "corpus.checkpoint.get"
        | "corpus.checkpoint.list"
        | "corpus.checkpoint.diff"
        | "job.get" => Role::Read,
        "pubmed.sync"
        | "pubmed.sync.incremental"
        | "corpus.checkpoint.create"
        | "corpus.checkpoint.delete"
        | "job.cancel" => Role::Submit,
        "pubmed.ingest_files" => Role::Admin,
        other => panic!("which role does {other} need?"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tool_refuses_a_lower_role_at_every_interface_before_any_other_check() {
    let server = server(|limits| limits).await;
    let roles = [("reader", Role::Read), ("ann", Role::Submit), ("plain", Role::Submit), ("root", Role::Admin)];
    for tool in catalogue() {
        assert_eq!(tool.role, needed(tool.name), "{}", tool.name);
        for (who, role) in roles {
            let case = format!("{} as {who}", tool.name);
            let may = role >= tool.role;
            // Parameters that no tool takes: an unauthorized caller learns nothing about them.
            let wrong = json!({ "no such parameter": 1 });
            let expected = if may { (400, "VALIDATION_ERROR") } else { (403, "FORBIDDEN") };
            let response = invoke(&server, who, tool.name, wrong.clone()).await;
            assert_eq!(response.error(), expected, "{case}");
            if tool.kind() == Kind::Job {
                let body = json!({ "tool": tool.name, "params": wrong });
                assert_eq!(ask(&server, who, "POST", "/v1/jobs", Some(body)).await.error(), expected, "{case}");
            }
            let params = json!({ "name": tool.flat_name(), "arguments": wrong });
            let called = over_mcp(&server, who, "tools/call", params).await;
            assert_eq!(called["result"]["isError"], true, "{case}: {called}");
            let text = called["result"]["content"][0]["text"].as_str().unwrap_or_default();
            assert!(text.contains(expected.1), "{case}: {text}");
        }
    }
    for (who, role) in roles {
        let listed = over_mcp(&server, who, "tools/list", json!({})).await;
        let listed: BTreeSet<String> = listed["result"]["tools"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|tool| tool["name"].as_str().expect("a name").to_owned())
            .collect();
        let expected: BTreeSet<String> =
            catalogue().iter().filter(|tool| tool.role <= role).map(Tool::flat_name).collect();
        assert_eq!(listed, expected, "{who} is shown what it may call");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_that_changes_something_refuses_readers() {
    let server = server(|limits| limits).await;
    let made = submit(&server, "ann", 1).await;
    assert_eq!(made.status, 202, "{}", made.body);
    let job = format!("/v1/jobs/{}", made.body["job_id"].as_str().expect("an id"));
    for path in ["/v1/jobs", &job, &format!("{job}/failures"), &format!("{job}/logs"), "/v1/mcp/tools", "/openapi.json"]
    {
        assert_eq!(ask(&server, "reader", "GET", path, None).await.status, 200, "{path}");
    }
    let shown = ask(&server, "reader", "GET", &job, None).await;
    assert_eq!(shown.body["principal"], "ann", "every reader sees whose job it is");
    assert_eq!(ask(&server, "reader", "DELETE", &job, None).await.error(), (403, "FORBIDDEN"));
    assert_eq!(ask(&server, "reader", "POST", &format!("{job}/retry"), None).await.error(), (403, "FORBIDDEN"));
    assert_eq!(submit(&server, "reader", 2).await.error(), (403, "FORBIDDEN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_cancelled_and_retried_by_its_own_principal_or_an_admin() {
    let server = server(|limits| limits).await;
    for (who, allowed) in [("bob", false), ("root", true), ("ann", true)] {
        let made = submit(&server, "ann", 1).await;
        let id = made.body["job_id"].as_str().expect("an id").to_owned();
        let job = format!("/v1/jobs/{id}");
        let by_tool = invoke(&server, "bob", "job.cancel", json!({ "job_id": id })).await;
        assert_eq!(by_tool.error(), (403, "FORBIDDEN"));
        let cancelled = ask(&server, who, "DELETE", &job, None).await;
        let retry = ask(&server, who, "POST", &format!("{job}/retry"), None).await;
        if allowed {
            assert_eq!((cancelled.status.as_u16(), &cancelled.body["cancelled"]), (200, &json!(true)), "{who}");
            assert_eq!(retry.status, 202, "{who}: {}", retry.body);
            let child = format!("/v1/jobs/{}", retry.body["job_id"].as_str().expect("an id"));
            let child = ask(&server, "reader", "GET", &child, None).await;
            assert_eq!(child.body["principal"], who, "what it does again is its own");
            assert_eq!(
                ask(
                    &server,
                    who,
                    "DELETE",
                    child.body["job_id"].as_str().map(|id| format!("/v1/jobs/{id}")).expect("an id").as_str(),
                    None
                )
                .await
                .status,
                200
            );
        } else {
            assert_eq!(cancelled.error(), (403, "FORBIDDEN"), "{who}");
            assert_eq!(retry.error(), (403, "FORBIDDEN"), "{who}");
            assert_eq!(ask(&server, "ann", "GET", &job, None).await.body["state"], "queued", "nothing has changed");
            ask(&server, "ann", "DELETE", &job, None).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn high_priorities_and_bulk_files_are_for_admins() {
    let server = server(|limits| limits).await;
    let with = |priority: i64| json!({ "tool": "pubmed.sync", "params": { "pmids": [1] }, "priority": priority });
    for (who, priority, status) in [("ann", 5, 202), ("bob", 6, 403), ("bob", 10, 403), ("root", 10, 202)] {
        let response = ask(&server, who, "POST", "/v1/jobs", Some(with(priority))).await;
        assert_eq!(response.status, status, "{who} {priority}: {}", response.body);
    }
    let files = json!({ "files": ["pubmed26n0001.xml.gz"] });
    assert_eq!(invoke(&server, "ann", "pubmed.ingest_files", files.clone()).await.error(), (403, "FORBIDDEN"));
    let bulk = invoke(&server, "root", "pubmed.ingest_files", files).await;
    assert_eq!(bulk.status, 202, "{}", bulk.body);
    assert_eq!(bulk.body["estimated_cost"]["records_at_most"], 30_000, "{}", bulk.body);
    // An equal request returns the same job.
    let id = bulk.body["job_id"].as_str().expect("an id");
    ask(&server, "root", "DELETE", &format!("/v1/jobs/{id}"), None).await;
    let again = ask(&server, "ann", "POST", &format!("/v1/jobs/{id}/retry"), None).await;
    assert_eq!(again.error(), (403, "FORBIDDEN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_by_one_principal_leaves_capacity_for_others_admins_and_topics() {
    let server = server(|limits| Limits { max_queued_jobs: 20, principal_queued_jobs: 10, ..limits }).await;
    let mut refused = 0;
    for pmid in 1..=40 {
        let response = submit(&server, "ann", pmid).await;
        if response.status != 202 {
            assert_eq!(response.error(), (429, "RATE_LIMIT_EXCEEDED"));
            assert!(response.header("retry-after").is_some(), "it says when to come again");
            assert!(response.body["message"].as_str().is_some_and(|text| text.contains("PRINCIPAL_QUEUED_JOBS")));
            refused += 1;
        }
    }
    assert_eq!(refused, 30, "ten of its jobs wait");
    // With eight jobs of another principal, only the reserve is left.
    for pmid in 1..=8 {
        assert_eq!(submit(&server, "bob", pmid).await.status, 202, "{pmid}");
    }
    assert_eq!(submit(&server, "bob", 9).await.error(), (429, "RATE_LIMIT_EXCEEDED"));
    assert_eq!(submit(&server, "root", 1).await.status, 202, "a tenth is left for admins");
    let db = &server.engine.db;
    topics::add(db, "asthma", Some("asthma"), Some(3600), Some(0)).await.expect("a topic");
    let limits = Limits { max_queued_jobs: 20, principal_queued_jobs: 10, ..Limits::without_quotas(20, 60.0) };
    let made = topics::submit_due(&server.engine, limits, 24).await.expect("ticks");
    assert_eq!(made.len(), 1, "and for topics");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_principal_stores_in_a_day_is_limited() {
    let server = server(|limits| Limits { principal_daily_records: Some(100), ..limits }).await;
    let db = &server.engine.db;
    let pmids = |count: u32| json!({ "tool": "pubmed.sync", "params": { "pmids": (1..=count).collect::<Vec<_>>() } });
    let fits = ask(&server, "ann", "POST", "/v1/jobs", Some(pmids(100))).await;
    assert_eq!(fits.status, 202, "{}", fits.body);
    assert_eq!(fits.body["estimated_cost"], json!({ "records_at_most": 100, "usd_at_most": 0.0 }));
    let query = json!({ "tool": "pubmed.sync", "params": { "query": "asthma" } });
    let bounded = ask(&server, "ann", "POST", "/v1/jobs", Some(query.clone())).await;
    assert_eq!(bounded.body["estimated_cost"]["records_at_most"], 100, "no job stores more than its principal may");
    let unbounded = ask(&server, "root", "POST", "/v1/jobs", Some(query.clone())).await;
    assert_eq!(unbounded.body["estimated_cost"]["records_at_most"], Value::Null);
    let beyond = ask(&server, "ann", "POST", "/v1/jobs", Some(pmids(101))).await;
    assert_eq!(beyond.error(), (429, "RATE_LIMIT_EXCEEDED"));
    let stored = "insert into principal_records values ('ann', (now() at time zone 'UTC')::date, 100), \
                  ('bob', (now() at time zone 'UTC')::date - 1, 100)";
    sqlx::query(stored).execute(db).await.expect("written");
    let used_up =
        ask(&server, "ann", "POST", "/v1/jobs", Some(json!({ "tool": "pubmed.sync", "params": { "query": "b" } })))
            .await;
    assert_eq!(used_up.error(), (429, "RATE_LIMIT_EXCEEDED"));
    let wait: u64 = used_up.header("retry-after").and_then(|text| text.parse().ok()).expect("seconds");
    assert!((1..=86_400).contains(&wait), "until 00:00 UTC: {wait}");
    assert_eq!(ask(&server, "bob", "POST", "/v1/jobs", Some(pmids(100))).await.status, 202, "yesterday does not count");
    let bound: i64 =
        sqlx::query_scalar("select count(*) from sync_queries where query = 'b'").fetch_one(db).await.expect("counted");
    assert_eq!(bound, 0, "a job that was refused takes no key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_deleted_by_its_maker_or_an_admin_and_can_be_restored() {
    let server = server(|limits| limits).await;
    let db = &server.engine.db;
    let create = |id: &str| json!({ "checkpoint_id": id, "name": "n" });
    assert_eq!(invoke(&server, "reader", "corpus.checkpoint.create", create("a")).await.error(), (403, "FORBIDDEN"));
    let made = invoke(&server, "ann", "corpus.checkpoint.create", create("a")).await;
    assert_eq!(made.body["result"]["principal"], "ann", "{}", made.body);
    let which = json!({ "checkpoint_id": "a" });
    for who in ["bob", "reader"] {
        assert_eq!(invoke(&server, who, "corpus.checkpoint.delete", which.clone()).await.error(), (403, "FORBIDDEN"));
    }
    let read = invoke(&server, "bob", "corpus.checkpoint.get", which.clone()).await;
    assert_eq!(read.status, 200, "it is there, and everyone may read it");
    assert_eq!(invoke(&server, "ann", "corpus.checkpoint.delete", which.clone()).await.status, 200);
    for tool in ["corpus.checkpoint.get", "corpus.checkpoint.delete"] {
        assert_eq!(invoke(&server, "root", tool, which.clone()).await.error(), (404, "NOT_FOUND"), "{tool}");
    }
    let listed = invoke(&server, "reader", "corpus.checkpoint.list", json!({})).await;
    assert_eq!(listed.body["result"]["total"], 0, "{}", listed.body);
    let taken = invoke(&server, "bob", "corpus.checkpoint.create", create("a")).await;
    assert_eq!(taken.error(), (409, "ALREADY_EXISTS"), "its id is kept for it");
    assert!(checkpoints::restore(db, "a").await.expect("asked"), "an operator restores it");
    let restored = invoke(&server, "bob", "corpus.checkpoint.get", which.clone()).await;
    assert_eq!(restored.body["result"]["digest"], read.body["result"]["digest"]);
    // After thirty days it is deleted.
    assert_eq!(invoke(&server, "root", "corpus.checkpoint.delete", which).await.status, 200, "an admin may");
    let aged = "update corpus_checkpoints set deleted_at = now() - interval '31 days'";
    sqlx::query(aged).execute(db).await.expect("aged");
    assert_eq!(checkpoints::expire(db).await.expect("swept"), 1);
    assert!(!checkpoints::restore(db, "a").await.expect("asked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_key_come_from_its_own_query_or_its_own_principal() {
    let server = server(|limits| limits).await;
    let sync = |params: Value| json!({ "tool": "pubmed.sync", "params": params });
    let post = async |who: &str, params: Value| ask(&server, who, "POST", "/v1/jobs", Some(sync(params))).await;
    assert_eq!(post("ann", json!({ "query": "asthma", "query_key": "asthma" })).await.status, 202);
    for (who, params) in [
        ("bob", json!({ "pmids": [1, 2], "query_key": "asthma" })),
        ("ann", json!({ "pmids": [1, 2], "query_key": "asthma" })),
        ("root", json!({ "pmids": [1, 2], "query_key": "asthma" })),
        ("bob", json!({ "query": "gout", "query_key": "asthma" })),
    ] {
        let response = post(who, params.clone()).await;
        assert_eq!(response.error(), (400, "VALIDATION_ERROR"), "{who} {params}");
        assert_eq!(response.body["details"][0]["pointer"], "/params/query_key", "{}", response.body);
    }
    // A list of PMIDs belongs to its principal.
    assert_eq!(post("ann", json!({ "pmids": [1], "query_key": "mine" })).await.status, 202);
    assert_eq!(post("ann", json!({ "pmids": [2], "query_key": "mine" })).await.status, 202, "more of its own");
    assert_eq!(post("bob", json!({ "pmids": [3], "query_key": "mine" })).await.error(), (400, "VALIDATION_ERROR"));
    let turned = post("bob", json!({ "query": "gout", "query_key": "mine" })).await;
    assert_eq!(
        turned.error(),
        (400, "VALIDATION_ERROR"),
        "a list never becomes a query with members of its own choice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_taken_stops_no_other_topic_and_is_freed_by_an_operator() {
    let server = server(|limits| limits).await;
    let db = &server.engine.db;
    let taken = json!({ "tool": "pubmed.sync.incremental", "params": { "query": "spam", "query_key": "asthma" } });
    let job = ask(&server, "ann", "POST", "/v1/jobs", Some(taken)).await;
    assert_eq!(job.status, 202, "{}", job.body);
    let topic = |key: &str, query: &str| TopicSetting { query_key: Some(key.to_owned()), query: query.to_owned() };
    let configured = [topic("asthma", "asthma[mesh]"), topic("gout", "gout[mesh]")];
    topics::add_configured(db, &configured).await.expect("it starts");
    let known: Vec<String> = syncs::topics(db).await.expect("read").into_iter().map(|topic| topic.query_key).collect();
    assert_eq!(known, ["gout"], "the other one is synced");
    assert_eq!(syncs::unbind(db, "asthma").await.expect("asked"), syncs::Unbound::Busy, "its job goes on");
    let path = format!("/v1/jobs/{}", job.body["job_id"].as_str().expect("an id"));
    ask(&server, "root", "DELETE", &path, None).await;
    let made = json!({ "checkpoint_id": "c", "name": "n", "primary_queries": ["asthma"] });
    assert_eq!(invoke(&server, "ann", "corpus.checkpoint.create", made).await.status, 200);
    let held = syncs::unbind(db, "asthma").await.expect("asked");
    assert_eq!(held, syncs::Unbound::Checkpoints(vec!["c".to_owned()]));
    invoke(&server, "root", "corpus.checkpoint.delete", json!({ "checkpoint_id": "c" })).await;
    let freed = syncs::unbind(db, "asthma").await.expect("asked");
    assert_eq!(freed, syncs::Unbound::Done { query: "spam".to_owned(), members: 0 });
    assert_eq!(syncs::unbind(db, "asthma").await.expect("asked"), syncs::Unbound::NotBound);
    topics::add_configured(db, &configured).await.expect("again");
    assert_eq!(syncs::topics(db).await.expect("read").len(), 2, "now both are synced");
}
