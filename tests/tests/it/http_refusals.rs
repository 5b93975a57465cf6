//! Requests that HTTP refuses, and the responses to them.

use serde_json::{Value, json};
use shared::core::Sha256;
use simulator::Options;
use tests::http::{Server, World, plain, settings as http_settings, sync_of};
use tests::sync::{client, settings};

#[tokio::test(flavor = "multi_thread")]
async fn invalid_values_are_refused_with_their_pointer() {
    let World { simulator: _ncbi, server } = plain().await;
    let job = server.submit(&sync_of(1000..1001)).await;
    let invoke =
        |tool: &str, params: Value| ("POST", "/v1/mcp/invoke".to_owned(), json!({ "tool": tool, "params": params }));
    let submit = |body: Value| ("POST", "/v1/jobs".to_owned(), body);
    let get = |path: &str| ("GET", path.to_owned(), Value::Null);
    let long = "x".repeat(300);
    for ((method, path, body), pointer) in [
        (submit(json!({ "tool": "pubmed.sync", "params": { "query": "a", "qeury": "b" } })), "/params/qeury"),
        (submit(json!({ "tool": "pubmed.sync", "parms": {} })), "/parms"),
        (submit(json!({ "params": {} })), "/tool"),
        (submit(json!({ "tool": "pubmed.sync", "params": {} })), "/params/query"),
        (submit(json!({ "tool": "pubmed.sync", "params": [1] })), "/params"),
        (submit(json!({ "tool": "pubmed.sync", "params": { "query": "a", "pmids": ["1"] } })), "/params/query"),
        (submit(json!({ "tool": "pubmed.sync", "params": { "pmids": [] } })), "/params/query"),
        (submit(json!({ "tool": "pubmed.sync", "params": { "pmids": ["1", "01"] } })), "/params/pmids/1"),
        (submit(json!({ "tool": "pubmed.sync", "params": { "query": "a", "limit": 0 } })), "/params/limit"),
        (submit(json!({ "tool": "pubmed.sync", "params": { "query": "a", "limit": "nine" } })), "/params/limit"),
        (submit(json!({ "tool": "pubmed.sync", "params": { "query": "a\u{0}" } })), "/params/query"),
        (submit(json!({ "tool": "pubmed.sync", "params": { "query": " " } })), "/params/query"),
        (submit(json!({ "tool": "pubmed.sync", "params": { "query": "a" }, "priority": 11 })), "/priority"),
        (submit(json!({ "tool": "pubmed.sync", "params": { "query": "a" }, "ttl_hours": 0 })), "/ttl_hours"),
        (
            submit(json!({ "tool": "pubmed.sync", "params": { "query": "a" }, "idempotency_key": long })),
            "/idempotency_key",
        ),
        (
            submit(json!({ "tool": "pubmed.sync", "params": { "query": "a" }, "idempotency_key": "" })),
            "/idempotency_key",
        ),
        (
            submit(json!({ "tool": "pubmed.sync.incremental", "params": { "query": "a", "overlap_days": 31 } })),
            "/params/overlap_days",
        ),
        (submit(json!({ "tool": "ping" })), "/tool"),
        (submit(json!("pubmed.sync")), ""),
        (invoke("pubmed.search", json!({ "term": "a", "limit": 101 })), "/params/limit"),
        (invoke("pubmed.search", json!({ "term": "a", "offset": 9_999 })), "/params/offset"),
        (invoke("pubmed.search", json!({ "term": "a", "q": "b" })), "/params/q"),
        (invoke("pubmed.search", json!({ "term": "a", "sort": "best" })), "/params/sort"),
        (invoke("pubmed.get", json!({ "pmid": "../1" })), "/params/pmid"),
        (invoke("pubmed.get", json!({ "pmid": "1", "as_of": "yesterday" })), "/params/as_of"),
        (invoke("job.get", json!({ "job_id": "1; drop table jobs" })), "/params/job_id"),
        (invoke("ping", json!({ "message": "x".repeat(1001) })), "/params/message"),
        (get("/v1/pubmed/..%2F1"), "/pmid"),
        (get("/v1/pubmed/%D9%A3"), "/pmid"),
        (get("/v1/pubmed/0"), "/pmid"),
        (get("/v1/pubmed/1?as_of=-5000-01-01T00:00:00Z"), "/as_of"),
        (get("/v1/pubmed/1?as_of=2026-01-01"), "/as_of"),
        (invoke("ping", json!(7)), "/params"),
        (get("/v1/jobs?limit=101"), "/limit"),
        (get("/v1/jobs?limit=0x1"), "/limit"),
        (get("/v1/jobs?state=done"), "/state"),
        (get("/v1/jobs?state=queued&status=running"), "/status"),
        (get("/v1/jobs?cursor=1.2"), "/cursor"),
        (get("/v1/jobs?tool=%27%20or%201=1"), "/tool"),
        (get("/v1/jobs?access_token=secret"), "/access_token"),
        (get("/v1/jobs?limit=1&limit=2"), "/limit"),
        (get("/v1/jobs?tool=%ff"), "/tool"),
        (get(&format!("/v1/jobs/{job}?wait=26")), "/wait"),
        (get(&format!("/v1/jobs/{job}/failures?cursor=-1")), "/cursor"),
    ] {
        let mut request = server.request(method, &path);
        if method == "POST" {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = server.send(request).await;
        assert_eq!(response.error(), (400, "VALIDATION_ERROR"), "{method} {path} {body}: {}", response.body);
        assert_eq!(response.body["details"][0]["pointer"], pointer, "{method} {path} {body}: {}", response.body);
        assert!(!response.body.to_string().contains("drop table"), "what was sent is not repeated");
    }
    for (response, expected) in [
        (server.get("/v1/jobs/%FF").await, (400, "VALIDATION_ERROR")),
        (server.get("/v1/pubmed/%FF").await, (400, "VALIDATION_ERROR")),
        (server.post("/v1/jobs", &json!({ "tool": "pubmed.nothing" })).await, (404, "TOOL_NOT_FOUND")),
        (server.get("/v1/nothing").await, (404, "NOT_FOUND")),
        (server.get("/v1/jobs/nothing").await, (404, "JOB_NOT_FOUND")),
        (server.get(&format!("/v1/jobs/{}", uuid::Uuid::now_v7())).await, (404, "JOB_NOT_FOUND")),
        (server.get(&format!("/v1/jobs/{}", job.to_uppercase())).await, (404, "JOB_NOT_FOUND")),
        (server.get(&format!("/v1/jobs/{job}/manifest")).await, (404, "NOT_FOUND")),
        (server.send(server.request("POST", &format!("/v1/jobs/{job}/retry"))).await, (409, "JOB_NOT_FINISHED")),
    ] {
        assert_eq!(response.error(), expected, "{}", response.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_methods_are_checked_before_anything_is_read() {
    let World { simulator: _ncbi, server } = plain().await;
    let post = |kind: &str, body: Vec<u8>| server.request("POST", "/v1/jobs").header("content-type", kind).body(body);
    let json = "application/json";
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes();
    for (request, expected) in [
        (post("text/plain", b"{}".to_vec()), (415, "UNSUPPORTED_MEDIA_TYPE")),
        (server.request("POST", "/v1/jobs").body("{}"), (415, "UNSUPPORTED_MEDIA_TYPE")),
        (post(json, b"{}".to_vec()).header("content-encoding", "gzip"), (415, "UNSUPPORTED_MEDIA_TYPE")),
        (post(json, vec![b' '; 256 * 1024 + 1]), (413, "PAYLOAD_TOO_LARGE")),
        (post(json, b"".to_vec()), (400, "VALIDATION_ERROR")),
        (post(json, b"{".to_vec()), (400, "VALIDATION_ERROR")),
        (post(json, b"\"\xff\"".to_vec()), (400, "VALIDATION_ERROR")),
        (post(json, br#"{"tool":"\ud800"}"#.to_vec()), (400, "VALIDATION_ERROR")),
        (post(json, deep), (400, "VALIDATION_ERROR")),
        (post(json, b"{\"tool\":\"ping\"} more".to_vec()), (400, "VALIDATION_ERROR")),
    ] {
        let response = server.send(request).await;
        assert_eq!(response.error(), expected, "{}", response.body);
    }
    for (method, path, allowed) in [
        ("PUT", "/v1/jobs", "GET,HEAD,POST"),
        ("POST", "/healthz", "GET,HEAD"),
        ("PATCH", "/v1/jobs/x", "GET,HEAD,DELETE"),
        ("GET", "/v1/mcp/invoke", "POST"),
    ] {
        let response = server.send(server.request(method, path)).await;
        assert_eq!(response.error(), (405, "METHOD_NOT_ALLOWED"), "{method} {path}");
        assert_eq!(response.header("allow"), Some(allowed), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_only_the_health_routes_respond() {
    let token = "bio-mcp_some-token";
    let hash = Sha256::of(token.as_bytes()).to_hex();
    let tokens = format!("{}, agents={hash}", "0".repeat(64));
    let World { simulator: _ncbi, server } =
        World::new(5, Options::default(), &[("BIO_MCP_AUTH_TOKENS", &tokens)]).await;
    let right = format!("Bearer {token}");
    let routes = [
        ("GET", "/v1/mcp/tools"),
        ("POST", "/v1/mcp/invoke"),
        ("GET", "/v1/jobs"),
        ("POST", "/v1/jobs"),
        ("GET", "/v1/jobs/x"),
        ("DELETE", "/v1/jobs/x"),
        ("POST", "/v1/jobs/x/retry"),
        ("GET", "/v1/jobs/x/manifest"),
        ("GET", "/v1/jobs/x/failures"),
        ("GET", "/v1/jobs/x/logs"),
        ("GET", "/v1/pubmed/1"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/llms.txt"),
        ("GET", "/nothing"),
        ("PUT", "/v1/jobs"),
    ];
    for (method, path) in routes {
        let refused = server.send(server.request(method, path)).await;
        assert_eq!(refused.error(), (401, "UNAUTHENTICATED"), "{method} {path}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        let let_in = server.send(server.request(method, path).header("authorization", &right)).await;
        assert_ne!(let_in.status, 401, "{method} {path}");
    }
    for wrong in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  bio-mcp_some-token",
        "Bearer bio-mcp_some-toke",
        "Bearer bio-mcp_some-token2",
        "Basic bio-mcp_some-token",
        "bio-mcp_some-token",
        &format!("Bearer {hash}"),
        &format!("Bearer {}", "x".repeat(5000)),
        "Bearer bio-mcp_some-token, Bearer x",
    ] {
        let refused = server.send(server.request("GET", "/v1/jobs").header("authorization", wrong)).await;
        assert_eq!(refused.error(), (401, "UNAUTHENTICATED"), "{wrong}");
    }
    let twice = server.request("GET", "/v1/jobs").header("authorization", &right).header("authorization", "Bearer x");
    assert_eq!(server.send(twice).await.error(), (401, "UNAUTHENTICATED"), "two answers to one question");
    assert_eq!(server.get("/healthz").await.body, json!({ "status": "healthy" }));
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.get("/readyz").await.body, json!({ "status": "ready" }), "no details for strangers");
    let details = server.send(server.request("GET", "/readyz").header("authorization", &right)).await.body;
    assert_eq!(details["checks"]["database"]["status"], "ready");
    let submit = server
        .request("POST", "/v1/jobs")
        .header("authorization", &right)
        .header("content-type", "application/json")
        .body(sync_of(1000..1001).to_string());
    let job: uuid::Uuid =
        server.send(submit).await.body["job_id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let principal: String = sqlx::query_scalar("select principal from jobs where id = $1")
        .bind(job)
        .fetch_one(&server.engine.db)
        .await
        .expect("there");
    assert_eq!(principal, "agents");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_is_reported_at_every_route_without_leaks() {
    let World { simulator, mut server } = plain().await;
    assert_eq!(server.get("/readyz").await.body["checks"]["archive"]["status"], "ready");
    server.work();
    let job = server.submit(&sync_of(1000..1001)).await;
    server.ended(&job).await;
    let client = client(settings(&simulator));
    server.engine.db.close().await;
    let lost = Server::start(server.engine.clone(), client, &http_settings(&[])).await;
    let ready = lost.get("/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.body["status"]), (503, &json!("not_ready")), "{}", ready.body);
    assert_eq!(lost.get("/healthz").await.status, 200, "the process itself lives");
    for response in [
        lost.get("/v1/jobs").await,
        lost.post("/v1/jobs", &sync_of(1000..1001)).await,
        lost.get("/v1/pubmed/1000").await,
        lost.send(lost.request("DELETE", &format!("/v1/jobs/{job}"))).await,
        lost.send(lost.request("POST", &format!("/v1/jobs/{job}/retry"))).await,
        lost.get(&format!("/v1/jobs/{}?wait=5", uuid::Uuid::now_v7())).await,
    ] {
        assert_eq!(response.error(), (503, "DATABASE_ERROR"), "{}", response.body);
        assert_eq!(response.body["retryable"], true);
        assert!(response.header("retry-after").is_some());
    }
    // Requests without a database continue to work; a search needs it for the shared rate limiter.
    assert_eq!(lost.post("/v1/mcp/invoke", &json!({ "tool": "ping" })).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_host_header_is_refused() {
    let World { simulator: _ncbi, server } =
        World::new(5, Options::default(), &[("BIO_MCP_ALLOWED_HOSTS", "archive.lab")]).await;
    let named = |host: &str| server.send(server.request("GET", "/v1/jobs").header("host", host));
    assert_eq!(named("evil.example:8080").await.error(), (403, "FORBIDDEN"));
    for own in ["localhost:8080", "127.0.0.1", "[::1]:8080", "archive.lab"] {
        assert_eq!(named(own).await.status, 200, "{own}");
    }
}
