//! Jobs over HTTP: a real port, a real client, a simulated NCBI.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use simulator::Options;
use tests::http::{ADMIN, World, plain, sync_of};
use tests::invariants;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_submitted_waited_for_and_read_to_its_last_record() {
    let World { simulator, mut server } = plain().await;
    simulator.corpus().entry(1004).expect("there").xml = Some(Arc::from(
        "<PubmedArticle><MedlineCitation><PMID Version=\"1\">1004</PMID><x></MedlineCitation></PubmedArticle>",
    ));
    simulator.corpus().entry(1007).expect("there").is_served = false;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let request = server
        .request("POST", "/v1/jobs")
        .header("content-type", "application/json; charset=utf-8")
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"))
        .body(sync_of(1000..1010).to_string());
    let new = server.send(request).await;
    assert_eq!(new.status, 202, "{}", new.body);
    let job = new.body["job_id"].as_str().expect("an id").to_owned();
    assert_eq!(new.header("location"), Some(format!("/v1/jobs/{job}").as_str()));
    assert_eq!((new.header("retry-after"), new.header("x-trace-id")), (Some("1"), Some(trace)));
    assert_eq!((&new.body["state"], &new.body["position_in_queue"]), (&json!("queued"), &json!(0)));

    let waiting = server.get(&format!("/v1/jobs/{job}")).await;
    let tag = waiting.header("etag").expect("a version").to_owned();
    assert_eq!((&waiting.body["trace_id"], &waiting.body["attempt"]), (&json!(trace), &json!(1)));
    let unchanged = server.send(server.request("GET", &format!("/v1/jobs/{job}")).header("if-none-match", &tag)).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.header("etag")), (304, Some(tag.as_str())));
    // No worker runs yet: a short wait ends without a change.
    let poll = server.request("GET", &format!("/v1/jobs/{job}?wait=1")).header("if-none-match", &tag);
    assert_eq!(server.send(poll).await.status, 304);

    server.work();
    let poll = server.request("GET", &format!("/v1/jobs/{job}?wait=25")).header("if-none-match", &tag);
    let changed = server.send(poll).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(tag.as_str()), "the wait ended with the change");

    let ended = server.ended(&job).await;
    assert_eq!((&ended["state"], &ended["completed_with_failures"]), (&json!("succeeded"), &json!(true)), "{ended}");
    let counts = ["requested", "archived", "skipped", "failed", "deleted", "missing"];
    assert_eq!(counts.map(|key| ended["result"][key].as_i64()), [10, 8, 0, 1, 0, 1].map(Some), "{ended}");
    assert_eq!(ended["result"]["pmids_failed"], json!(["1004"]));
    assert!(ended["duration_ms"].is_i64() && ended["expires_at"].is_string(), "{ended}");

    let manifest = server.get(&format!("/v1/jobs/{job}/manifest")).await;
    assert_eq!((manifest.status.as_u16(), &manifest.body["job_id"]), (200, &json!(job)));
    assert_eq!(manifest.body["counts"]["archived"], 8);
    let mut failures = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let page = server.get(&format!("/v1/jobs/{job}/failures?limit=1&cursor={cursor}")).await.body;
        assert_eq!(page["total"], 2);
        failures.extend(page["failures"].as_array().expect("a list").iter().map(|one| one["pmid"].clone()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    failures.sort_by_key(ToString::to_string);
    assert_eq!(failures, [json!("1004"), json!("1007")]);
    let logs = server.get(&format!("/v1/jobs/{job}/logs")).await.body;
    let lines: Vec<&str> =
        logs["logs"].as_array().expect("lines").iter().filter_map(|l| l["message"].as_str()).collect();
    assert!(lines.contains(&"planned") && lines.contains(&"succeeded"), "{logs}");

    // A retry creates a child job of the failed records only.
    simulator.corpus().entry(1004).expect("there").xml = None;
    let child = server.send(server.request("POST", &format!("/v1/jobs/{job}/retry"))).await;
    assert_eq!(child.status, 202, "{}", child.body);
    let child = server.ended(child.body["job_id"].as_str().expect("an id")).await;
    assert_eq!((&child["parent_job_id"], &child["attempt"]), (&json!(job), &json!(2)));
    let counts = ["requested", "archived", "missing"].map(|name| child["result"][name].as_i64());
    assert_eq!(counts, [Some(2), Some(1), Some(1)], "what failed and what was not returned: {child}");
    assert_eq!(invariants::broken(&server.engine.db).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_validated_like_a_submission() {
    let World { simulator, mut server } = plain().await;
    server.work();
    simulator.corpus().entry(1004).expect("there").xml = Some(Arc::from(
        "<PubmedArticle><MedlineCitation><PMID Version=\"1\">1004</PMID><x></MedlineCitation></PubmedArticle>",
    ));
    let job = server.submit(&sync_of(1000..1009)).await;
    assert_eq!(server.ended(&job).await["state"], "succeeded");
    let path = format!("/v1/jobs/{job}/retry");
    for (body, pointer) in
        [(json!({ "idempotency": "x" }), "/idempotency"), (json!({ "idempotency_key": "" }), "/idempotency_key")]
    {
        let response = server.post(&path, &body).await;
        assert_eq!(
            (response.error().0, &response.body["details"][0]["pointer"]),
            (400, &json!(pointer)),
            "{}",
            response.body
        );
    }
    let keyed = async || server.send(server.request("POST", &path).header("idempotency-key", "again")).await;
    let first = keyed().await;
    assert_eq!(first.status, 202, "{}", first.body);
    server.ended(first.body["job_id"].as_str().expect("an id")).await;
    let second = keyed().await;
    assert_eq!((second.status.as_u16(), &second.body["job_id"]), (200, &first.body["job_id"]), "the key counts");
    // The same key with another job.
    let other = server.submit(&sync_of(1000..1003)).await;
    assert_eq!(server.ended(&other).await["state"], "succeeded");
    let nothing = server.post(&format!("/v1/jobs/{other}/retry"), &json!({})).await;
    assert_eq!(nothing.error(), (400, "VALIDATION_ERROR"), "nothing failed: {}", nothing.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_given_only_where_more_follows() {
    let World { simulator: _ncbi, mut server } = plain().await;
    server.work();
    let job = server.submit(&sync_of(1000..1002)).await;
    server.ended(&job).await;
    let logs = server.get(&format!("/v1/jobs/{job}/logs")).await.body;
    let n = logs["total"].as_u64().expect("a number");
    let exactly = server.get(&format!("/v1/jobs/{job}/logs?limit={n}")).await.body;
    assert_eq!(exactly["next_cursor"], Value::Null, "{exactly}");
    let fewer = server.get(&format!("/v1/jobs/{job}/logs?limit={}", n - 1)).await.body;
    let cursor = fewer["next_cursor"].as_str().expect("more follows");
    let rest = server.get(&format!("/v1/jobs/{job}/logs?cursor={cursor}")).await.body;
    assert_eq!(rest["logs"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_ignores_a_query_parameter_that_it_does_not_know() {
    let World { simulator: _ncbi, server } = plain().await;
    let job = server.submit(&sync_of(1000..1002)).await;
    for (method, path) in [
        ("GET", "/openapi.json".to_owned()),
        ("GET", "/llms.txt".to_owned()),
        ("GET", "/v1/mcp/tools".to_owned()),
        ("POST", "/v1/mcp/invoke".to_owned()),
        ("GET", "/v1/jobs".to_owned()),
        ("POST", "/v1/jobs".to_owned()),
        ("GET", format!("/v1/jobs/{job}")),
        ("DELETE", format!("/v1/jobs/{job}")),
        ("POST", format!("/v1/jobs/{job}/retry")),
        ("GET", format!("/v1/jobs/{job}/manifest")),
        ("GET", format!("/v1/jobs/{job}/failures")),
        ("GET", format!("/v1/jobs/{job}/logs")),
        ("GET", "/v1/pubmed/1000".to_owned()),
    ] {
        let response = server.send(server.request(method, &format!("{path}?dryrun=true"))).await;
        assert_eq!(response.error(), (400, "VALIDATION_ERROR"), "{method} {path}: {}", response.body);
        assert_eq!(response.body["details"][0]["pointer"], "/dryrun", "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_sent_again_is_not_a_second_one() {
    let World { simulator: _ncbi, server } = plain().await;
    let mut keyed = sync_of(1000..1003);
    keyed["idempotency_key"] = json!("once");
    let first = server.submit(&keyed).await;
    let again = server.post("/v1/jobs", &keyed).await;
    assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(again.body["job_id"], json!(first));
    // The header is equivalent; its name is case-insensitive.
    let by_header = server
        .request("POST", "/v1/jobs")
        .header("content-type", "application/json")
        .header("IDEMPOTENCY-KEY", "once")
        .body(sync_of(1000..1003).to_string());
    assert_eq!(server.send(by_header).await.body["job_id"], json!(first));
    // The order of the PMIDs is irrelevant.
    let shuffled = json!({ "tool": "pubmed_sync", "idempotency_key": "once", "params": { "pmids": ["1002", "1000", "1001", "1000"] } });
    assert_eq!(server.post("/v1/jobs", &shuffled).await.body["job_id"], json!(first));
    let mut other = sync_of(1000..1004);
    other["idempotency_key"] = json!("once");
    let conflict = server.post("/v1/jobs", &other).await;
    assert_eq!(conflict.error(), (422, "IDEMPOTENCY_CONFLICT"));
    // Without a key, while the job waits.
    let unkeyed = server.submit(&sync_of(1005..1006)).await;
    assert_eq!(server.post("/v1/jobs", &sync_of(1005..1006)).await.body["job_id"], json!(unkeyed));
    let invoked = json!({ "tool": "pubmed.sync", "params": { "pmids": ["1005"] } });
    assert_eq!(server.post("/v1/mcp/invoke", &invoked).await.body["job_id"], json!(unkeyed));

    // Fifty concurrent requests: one job.
    let incremental = json!({ "tool": "pubmed.sync.incremental", "params": { "query": "all" }, "priority": 5 });
    let responses = (0..50).map(|_| server.post("/v1/jobs", &incremental));
    let responses = futures_util::future::join_all(responses).await;
    assert_eq!(responses.iter().filter(|response| response.status == 202).count(), 1, "one made it");
    assert!(responses.iter().all(|response| response.body["job_id"] == responses[0].body["job_id"]));
    let all = server.get("/v1/jobs?limit=100").await.body;
    assert_eq!(all["total"], 3, "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_page_by_page_with_a_true_total() {
    let World { simulator: _ncbi, mut server } = plain().await;
    let mut submitted = Vec::new();
    for n in 0..7 {
        submitted.push(server.submit(&sync_of(1000 + n..1001 + n)).await);
    }
    submitted.reverse();
    let mut seen = Vec::new();
    let mut path = "/v1/jobs?limit=3&tool=pubmed_sync&status=pending".to_owned();
    loop {
        let page = server.get(&path).await;
        assert_eq!((page.status.as_u16(), &page.body["total"]), (200, &json!(7)), "{}", page.body);
        seen.extend(page.body["jobs"].as_array().expect("jobs").iter().map(|job| job["job_id"].clone()));
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/v1/jobs?limit=3&tool=pubmed.sync&state=queued&cursor={cursor}");
    }
    assert_eq!(seen, submitted.iter().map(|job| json!(job)).collect::<Vec<_>>(), "newest first, each once");
    let offset = server.get("/v1/jobs?limit=2&offset=5").await.body;
    assert_eq!(offset["jobs"][1]["job_id"], json!(submitted[6]));
    assert_eq!(offset["next_cursor"], Value::Null);

    // A queued job is cancelled at once, a finished one is unchanged.
    let gone = server.send(server.request("DELETE", &format!("/v1/jobs/{}", submitted[0]))).await;
    assert_eq!(gone.body, json!({ "job_id": submitted[0], "state": "cancelled", "cancelled": true }));
    server.work();
    for job in &submitted[1..] {
        assert_eq!(server.ended(job).await["state"], "succeeded");
    }
    let ended = server.send(server.request("DELETE", &format!("/v1/jobs/{}", submitted[3]))).await;
    assert_eq!(ended.body, json!({ "job_id": submitted[3], "state": "succeeded", "cancelled": false }));
    let again = server.send(server.request("DELETE", &format!("/v1/jobs/{}", submitted[0]))).await;
    assert_eq!(again.body, json!({ "job_id": submitted[0], "state": "cancelled", "cancelled": false }));
    assert_eq!(server.get("/v1/jobs?tool=pubmed.ingest_files").await.body["total"], 0, "the command line's tool");
    for (status, total) in [("completed", 6), ("cancelled", 1), ("failed", 0), ("running", 0)] {
        assert_eq!(server.get(&format!("/v1/jobs?status={status}")).await.body["total"], total, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_request_gets_a_response_when_the_server_stops() {
    let World { simulator: _ncbi, mut server } = plain().await;
    let job = server.submit(&sync_of(1000..1001)).await;
    let tag = server.get(&format!("/v1/jobs/{job}")).await.header("etag").expect("a version").to_owned();
    let began = std::time::Instant::now();
    let poll = server.request("GET", &format!("/v1/jobs/{job}?wait=25")).header("if-none-match", &tag);
    let waiting = tokio::spawn(poll.send());
    // The request is waiting once a connection listens.
    let listening = "select count(*) from pg_stat_activity where datname = current_database() and query like 'LISTEN%'";
    while sqlx::query_scalar::<_, i64>(listening).fetch_one(&server.engine.db).await.expect("counted") == 0 {
        tokio::task::yield_now().await;
    }
    server.stop();
    let response = waiting.await.expect("joined").expect("a response, not a broken connection");
    assert_eq!(response.status(), 304);
    assert!(began.elapsed() < Duration::from_secs(20), "long before the wait is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_ingested_by_their_names() {
    let World { simulator, server } = World::new(30, Options::default(), &[ADMIN]).await;
    let mut server = server.as_admin();
    server.work();
    let archived = server.submit(&sync_of(1000..1003)).await;
    server.ended(&archived).await;
    simulator.corpus().revise(1001);
    // Published later than anything was fetched.
    let later = shared::core::clock::now().timestamp() + 60;
    simulator.publish_update("pubmed26n1400.xml.gz", &[1000, 1001, 1004], &[1002], later);
    let of = |files: Value| json!({ "tool": "pubmed.ingest_files", "params": { "files": files } });
    let job = server.submit(&of(json!(["pubmed26n1400.xml.gz", "pubmed26n1400.xml.gz"]))).await;
    let ended = server.ended(&job).await;
    assert_eq!(ended["params"]["files"], json!(["pubmed26n1400.xml.gz"]), "each once");
    let counts = ["requested", "archived", "skipped", "deleted", "failed"].map(|key| ended["result"][key].as_i64());
    assert_eq!(counts, [4, 2, 1, 1, 0].map(Some), "{ended}");
    assert_eq!(ended["result"]["files"][0]["name"], "pubmed26n1400.xml.gz");
    assert_eq!(ended["progress"]["fraction"], 1.0);
    assert_eq!(server.get("/v1/pubmed/1002").await.body["found"], false);
    assert!(server.get("/v1/pubmed/1002").await.body["deleted_at"].is_string());
    let again = server.submit(&of(json!(["pubmed26n1400.xml.gz"]))).await;
    assert_eq!(server.ended(&again).await["result"]["archived"], 0, "nothing is written twice");

    let missing = server.submit(&of(json!(["pubmed26n1400.xml.gz", "pubmed26n1500.xml.gz"]))).await;
    let failed = server.ended(&missing).await;
    assert_eq!(failed["state"], "failed");
    assert!(failed["error"]["message"].as_str().is_some_and(|text| text.contains("pubmed26n1500.xml.gz")), "{failed}");
    let names = |count: u32| json!((1..=count).map(|n| format!("pubmed26n{n:04}.xml.gz")).collect::<Vec<_>>());
    let too_many = server.post("/v1/jobs", &of(names(101))).await;
    assert_eq!(too_many.error(), (400, "VALIDATION_ERROR"));
    assert!(
        too_many.body["details"][0]["reason"].as_str().is_some_and(|text| text.contains("100")),
        "{:?}",
        too_many.body
    );
    // Waits for the job: the invariants hold when no job is active.
    let most = server.submit(&of(names(100))).await;
    server.ended(&most).await;
    for (files, pointer) in [
        (json!([]), "/params/files"),
        (json!(["pubmed26n1400.xml.gz", "../etc/passwd"]), "/params/files/1"),
        (json!(["http://evil.example/pubmed26n1400.xml.gz"]), "/params/files/0"),
    ] {
        let refused = server.post("/v1/jobs", &of(files)).await;
        assert_eq!(
            (refused.error(), &refused.body["details"][0]["pointer"]),
            ((400, "VALIDATION_ERROR"), &json!(pointer))
        );
    }
    assert_eq!(invariants::broken(&server.engine.db).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_plain_meanings_hold_at_every_route() {
    let World { simulator, mut server } = plain().await;
    for pmid in [1004, 1005] {
        simulator.corpus().entry(pmid).expect("there").is_served = false;
    }
    // The key of one retry cannot be used for another.
    let [one, other] = [server.submit(&sync_of(1003..1005)).await, server.submit(&sync_of(1005..1007)).await];
    server.work();
    server.ended(&one).await;
    server.ended(&other).await;
    let retry = async |job: &str| {
        let path = format!("/v1/jobs/{job}/retry");
        server.send(server.request("POST", &path).header("idempotency-key", "again")).await
    };
    assert_eq!(retry(&one).await.status, 202);
    assert_eq!(retry(&other).await.error(), (422, "IDEMPOTENCY_CONFLICT"));

    // The header works the same at the route that runs tools.
    let invoke = async |pmid: u32| {
        let body = json!({ "tool": "pubmed.sync", "params": { "pmids": [pmid] } }).to_string();
        let request = server.request("POST", "/v1/mcp/invoke").header("content-type", "application/json");
        server.send(request.header("idempotency-key", "invoked").body(body)).await
    };
    let first = invoke(1010).await;
    assert_eq!(first.status, 202, "{}", first.body);
    server.ended(first.body["job_id"].as_str().expect("an id")).await;
    let again = invoke(1010).await;
    assert_eq!((again.status.as_u16(), &again.body["job_id"]), (200, &first.body["job_id"]));
    assert_eq!(invoke(1011).await.error(), (422, "IDEMPOTENCY_CONFLICT"));

    for body in [
        json!({ "tool": "pubmed.sync", "params": { "pmids": 1012 }, "priority": "5", "ttl_hours": 24.0 }),
        json!({ "tool": "pubmed.sync", "params": { "pmids": ["1013"] }, "priority": null, "ttl_hours": "" }),
        json!({ "tool": "pubmed.sync", "params": "{\"pmids\": [1014]}", "idempotency_key": 7 }),
    ] {
        let response = server.post("/v1/jobs", &body).await;
        assert_eq!(response.status, 202, "{body}: {}", response.body);
    }
    let ping = server.post("/v1/mcp/invoke", &json!({ "tool": "ping", "params": [] })).await;
    assert_eq!(ping.status, 200, "{}", ping.body);
    for (body, pointer) in [
        (json!({ "tool": "pubmed.sync", "params": { "pmids": [1] }, "priority": 11 }), "/priority"),
        (json!({ "tool": "pubmed.sync", "params": { "pmids": [1] }, "ttl_hours": "soon" }), "/ttl_hours"),
        (json!({ "tool": "pubmed.sync", "params": [1] }), "/params"),
        (json!({ "tool": "pubmed.sync", "prams": {} }), "/prams"),
    ] {
        let refused = server.post("/v1/jobs", &body).await;
        assert_eq!(
            (refused.error(), &refused.body["details"][0]["pointer"]),
            ((400, "VALIDATION_ERROR"), &json!(pointer))
        );
    }
    for query in ["limit=&cursor=&state=", "limit=10.0&offset="] {
        assert_eq!(server.get(&format!("/v1/jobs?{query}")).await.status, 200, "{query}");
    }
    assert_eq!(server.get("/v1/jobs?lmit=").await.error(), (400, "VALIDATION_ERROR"));
    let cursor = server.get(&format!("/v1/jobs/{one}/failures?cursor=abc")).await;
    assert_eq!(cursor.body["details"][0]["reason"], "is not a cursor that a listing returned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_many_records_is_shown_with_the_first_of_them() {
    let World { simulator: _ncbi, mut server } = World::new(150, Options::default(), &[]).await;
    let job = server.submit(&sync_of(1000..1150)).await;
    let shown = server.get(&format!("/v1/jobs/{job}")).await.body;
    assert_eq!(shown["params"]["pmids"].as_array().map(Vec::len), Some(100));
    assert_eq!(shown["params"]["omitted"], json!({ "pmids": 50 }));
    server.work();
    assert_eq!(server.ended(&job).await["result"]["requested"], 150, "all of them are worked on");
}
