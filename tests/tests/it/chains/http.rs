//! Chains over HTTP: validation, references, roles, limits, identity.

use std::sync::Arc;

use serde_json::{Value, json};
use shared::core::{JobId, Principal, Role, Sha256};
use shared::ingest::{Engine, Settings, Worker};
use shared::jobs::{self, Filter, JobState, Limits, Step, Submission};
use shared::tools::ToolSteps;
use simulator::{Corpus, Options, Simulator, Spread};
use tests::http::{ApiResponse, Server, World, plain, settings as http_settings, sync_of};
use tests::invariants;
use tests::sync::{LIMITS, client, day, engine, settings, simulator};

use super::{chain, states, then, work};

/// A sync of a few records with these next steps.
fn chained(then: &[Value]) -> Value {
    let mut body = sync_of(1000..1003);
    body["then"] = json!(then);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_run_one_after_another_and_refer_to_the_result_before() {
    let World { simulator, mut server } = plain().await;
    simulator.corpus().entry(1001).expect("there").is_served = false;
    let mut body = chained(&[
        then("pubmed_sync", &json!({ "pmids": [1010, 1011], "query_key": { "$result": "/query_key" } })),
        then("pubmed.sync.incremental", &json!({ "query": "all", "limit": { "$result": "/archived" } })),
    ]);
    body["params"]["query_key"] = json!("mine");
    body["priority"] = json!(3);
    let first = server.submit(&body).await;
    let waiting = server.get(&format!("/v1/jobs/{first}")).await.body;
    assert_eq!(
        (&waiting["chain_id"], &waiting["step"], &waiting["then_state"]),
        (&json!(first), &json!(1), &json!("waiting"))
    );
    let tools: Vec<_> = waiting["then"].as_array().expect("steps").iter().map(|step| step["tool"].clone()).collect();
    assert_eq!(tools, ["pubmed.sync", "pubmed.sync.incremental"], "{waiting}");

    server.work();
    let first = server.ended(&first).await;
    assert_eq!((&first["state"], &first["then_state"]), (&json!("succeeded"), &json!("submitted")), "{first}");
    let id = |job: &Value, name: &str| job[name].as_str().unwrap_or_else(|| panic!("{name}: {job}")).to_owned();
    let second = server.ended(&id(&first, "next_job_id")).await;
    assert_eq!((&second["state"], &second["step"], &second["priority"]), (&json!("succeeded"), &json!(2), &json!(3)));
    assert_eq!((&second["params"]["query_key"], &second["previous_job_id"]), (&json!("mine"), &first["job_id"]));
    assert_eq!((&second["trace_id"], &second["principal"]), (&first["trace_id"], &first["principal"]));
    let third = server.ended(&id(&second, "next_job_id")).await;
    assert_eq!((&third["state"], &third["params"]["limit"]), (&json!("succeeded"), &json!(2)), "{third}");
    assert_eq!((&third["then"], &third["then_state"], &third["next_job_id"]), (&json!([]), &Value::Null, &Value::Null));
    let listed = server.get(&format!("/v1/jobs?chain_id={}", id(&first, "job_id"))).await.body;
    assert_eq!(listed["total"], 3, "{listed}");

    // Failed records of a job that succeeded are retried as a job outside the chain: its next step was submitted.
    let alone = server.post(&format!("/v1/jobs/{}/retry", id(&first, "job_id")), &json!({})).await;
    let alone = server.ended(&id(&alone.body, "job_id")).await;
    assert_eq!((&alone["parent_job_id"], &alone["chain_id"]), (&first["job_id"], &Value::Null), "{alone}");
    assert_eq!(invariants::broken(&server.engine.db).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_cancelled_and_retried_as_one() {
    let World { simulator: _ncbi, server } = plain().await;
    let body =
        chained(&[then("pubmed.sync", &json!({ "pmids": [1010] })), then("pubmed.sync", &json!({ "pmids": [1011] }))]);
    let queued = server.submit(&body).await;
    let path = format!("/v1/jobs/{queued}");
    let cancelled = server.send(server.request("DELETE", &path)).await.body;
    assert_eq!(cancelled, json!({ "job_id": queued, "state": "cancelled", "cancelled": true }));
    let shown = server.get(&path).await.body;
    assert_eq!((&shown["then_state"], &shown["next_job_id"]), (&json!("not_submitted"), &Value::Null), "{shown}");
    let logs = server.get(&format!("{path}/logs")).await.body.to_string();
    assert!(logs.contains("the 2 steps after this one are not submitted"), "{logs}");

    // A second chain; its first job has ended, and is the one that the client knows.
    let first = server.submit(&body).await;
    let id: JobId = first.parse().expect("an id");
    Worker::new(server.engine.clone(), None).expect("a worker").run_job(id).await.expect("works");
    let second = chain(&server.engine, id).await.pop().expect("two");
    assert_eq!((second.chain_step, second.state), (Some(2), JobState::Queued));
    let path = format!("/v1/jobs/{first}");
    let delete = async |path: &str| server.send(server.request("DELETE", path)).await.body;
    let mut ended = json!({ "job_id": first, "state": "succeeded", "cancelled": false, "next_job_id": second.id });
    assert_eq!(delete(&path).await, ended, "it does not change, nor does another");
    let cancelled = delete(&format!("/v1/jobs/{}", second.id)).await;
    assert_eq!(cancelled, json!({ "job_id": second.id, "state": "cancelled", "cancelled": true }));
    ended.as_object_mut().expect("an object").remove("next_job_id");
    assert_eq!(delete(&path).await, ended);

    let child = server.post(&format!("{path}/retry"), &json!({})).await;
    assert_eq!(child.status, 202, "{}", child.body);
    let child = server.get(&format!("/v1/jobs/{}", child.body["job_id"].as_str().expect("an id"))).await.body;
    assert_eq!((&child["parent_job_id"], &child["step"]), (&json!(second.id), &json!(2)), "it goes on from there");
    work(&server.engine).await;
    let all = chain(&server.engine, id).await;
    let expected = [JobState::Succeeded, JobState::Cancelled, JobState::Succeeded, JobState::Succeeded];
    assert_eq!(states(&all), [1, 2, 2, 3].into_iter().zip(expected).collect::<Vec<_>>());
    assert_eq!(all[3].params["pmids"], json!(["1011"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_failed_records_is_retried_outside_its_stopped_chain() {
    let World { simulator, server } = plain().await;
    simulator.corpus().entry(1001).expect("there").is_served = false;
    let first = server.submit(&chained(&[then("pubmed.sync", &json!({ "pmids": { "$result": "/nothing" } }))])).await;
    work(&server.engine).await;
    let id: JobId = first.parse().expect("an id");
    assert_eq!(states(&chain(&server.engine, id).await), [(1, JobState::Succeeded), (2, JobState::Failed)]);
    let child = server.post(&format!("/v1/jobs/{first}/retry"), &json!({})).await;
    assert_eq!(child.status, 202, "{}", child.body);
    let child = server.get(&format!("/v1/jobs/{}", child.body["job_id"].as_str().expect("an id"))).await.body;
    assert_eq!((&child["parent_job_id"], &child["chain_id"]), (&json!(first), &Value::Null), "{child}");
    assert_eq!(child["params"]["pmids"], json!(["1001"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reference_gives_is_checked_when_its_step_is_submitted() {
    let World { simulator: _ncbi, mut server } = plain().await;
    server.work();
    for (params, pointer, reason) in [
        (json!({ "pmids": { "$result": "/nothing" } }), "/pmids", "has nothing at /nothing"),
        (json!({ "pmids": [{ "$result": "/manifest" }] }), "/pmids/0", "PMID"),
        (json!({ "pmids": { "$result": "/pmids_failed" } }), "/query", "is required"),
        (json!({ "query": "all", "limit": { "$result": "/requested/x" } }), "/limit", "has nothing at"),
        (json!({ "query": "all", "limit": { "$result": "/failed" } }), "/limit", "at least 1"),
    ] {
        let first = server.submit(&chained(&[then("pubmed.sync", &params)])).await;
        let first = server.ended(&first).await;
        let second = server.ended(first["next_job_id"].as_str().expect("a job")).await;
        let error = &second["error"];
        assert_eq!((&second["state"], &error["error_code"]), (&json!("failed"), &json!("VALIDATION_ERROR")));
        assert_eq!(error["details"][0]["pointer"], pointer, "{error}");
        assert!(error["message"].as_str().expect("text").contains(reason), "{error}");
        assert_eq!(second["params"], params, "as it was written");
        let again =
            server.post(&format!("/v1/jobs/{}/retry", second["job_id"].as_str().expect("id")), &json!({})).await;
        assert_eq!((again.error(), &again.body["details"][0]["pointer"]), ((400, "VALIDATION_ERROR"), &json!(pointer)));
    }
    assert_eq!(invariants::broken(&server.engine.db).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_is_checked_when_the_chain_is_submitted() {
    let World { simulator: _ncbi, server } = plain().await;
    let step = || then("pubmed.sync", &json!({ "pmids": [1010] }));
    for (steps, pointer, reason) in [
        (vec![step(); 9], "/then", "of at most 8"),
        (vec![step(), then("pubmed.nothing", &json!({}))], "/then/1/tool", "unknown tool"),
        (vec![then("pubmed.get", &json!({ "pmid": 1 }))], "/then/0/tool", "fast tool"),
        (vec![then("pubmed.sync", &json!({ "pmids": ["x"] }))], "/then/0/params/pmids/0", "PMID"),
        (vec![then("pubmed.sync", &json!({}))], "/then/0/params/query", "is required"),
        (
            vec![then("pubmed.sync", &json!({ "pmid": { "$result": "/a" } }))],
            "/then/0/params/pmid",
            "is not a parameter",
        ),
        (vec![then("pubmed.sync", &json!({ "pmids": { "$result": "a" } }))], "/then/0/params/pmids", "JSON pointer"),
        (
            vec![then("pubmed.sync", &json!({ "query": { "$result": "/q" }, "limit": 0 }))],
            "/then/0/params/limit",
            "at least 1",
        ),
        (
            vec![then("pubmed.sync", &json!({ "query": { "$result": "/q" }, "other": 1 }))],
            "/then/0/params/other",
            "is not a parameter",
        ),
        (vec![then("pubmed.sync", &json!({ "$result": "/q" }))], "/then/0/params", "is not a parameter"),
        (vec![json!({ "tool": "pubmed.sync", "params": {}, "key": 1 })], "/then/0/key", "is not a parameter"),
        (vec![json!({ "params": {} })], "/then/0/tool", "is required"),
        (
            vec![then("pubmed.sync.incremental", &json!({ "limit": { "$result": "/archived" } }))],
            "/then/0/params/query",
            "is required",
        ),
    ] {
        let refused = server.post("/v1/jobs", &chained(&steps)).await;
        let details = refused.body["details"].as_array().cloned().unwrap_or_default();
        let found = details.iter().find(|detail| detail["pointer"] == pointer);
        let found = found.unwrap_or_else(|| panic!("{pointer}: {}", refused.body));
        assert!(found["reason"].as_str().expect("text").contains(reason), "{found}");
        assert_eq!(refused.error(), (400, "VALIDATION_ERROR"));
    }
    // All errors of all steps are reported at once; the job itself has no earlier result to refer to.
    let two = [then("pubmed.sync", &json!({ "limit": 0 })), then("pubmed.nothing", &json!({}))];
    let refused = server.post("/v1/jobs", &chained(&two)).await.body;
    assert_eq!(refused["details"].as_array().map(Vec::len), Some(2), "{refused}");
    let own = json!({ "tool": "pubmed.sync", "params": { "pmids": { "$result": "/a" } } });
    assert_eq!(server.post("/v1/jobs", &own).await.error(), (400, "VALIDATION_ERROR"));
    let (page, total) = jobs::list(&server.engine.db, &Filter { limit: 1, ..Filter::default() }).await.expect("listed");
    assert!(page.rows.is_empty() && total == 0, "nothing was submitted");
    let most = server.post("/v1/jobs", &chained(&vec![step(); 8])).await;
    assert_eq!(most.status, 202, "{}", most.body);
    work(&server.engine).await;
    let id = most.body["job_id"].as_str().expect("an id").parse().expect("an id");
    let all = chain(&server.engine, id).await;
    assert_eq!((all.len(), all.iter().all(|job| job.state == JobState::Succeeded)), (9, true), "equal steps are steps");
}

/// A server with one token per role, named after it, and these limits on steps.
async fn with_roles(limits: Limits) -> (Simulator, Server) {
    let ncbi = simulator(Corpus::generated(day("2026-03-10"), 1000, 30, 1, Spread::Even(30)), Options::default()).await;
    let client = client(settings(&ncbi));
    let engine = engine(tests::engine::pool(6).await, client.clone(), Settings::default());
    let engine = Engine { steps: Arc::new(ToolSteps { limits }), ..engine };
    let hashes = ["submit", "admin"].map(|name| format!("{name}:{name}={}", Sha256::of(name.as_bytes()).to_hex()));
    let settings = http_settings(&[("BIO_MCP_AUTH_TOKENS", &hashes.join(","))]);
    (ncbi, Server::start(engine, client, &settings).await)
}

async fn ask(server: &Server, who: &str, method: &str, path: &str, body: &Value) -> ApiResponse {
    let request = server.request(method, path).header("authorization", format!("Bearer {who}"));
    server.send(request.header("content-type", "application/json").body(body.to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_needs_its_role_when_it_is_named_and_when_it_is_submitted() {
    let (_ncbi, server) = with_roles(LIMITS).await;
    let files = || then("pubmed.ingest_files", &json!({ "files": ["pubmed26n0001.xml.gz"] }));
    let refused = ask(&server, "submit", "POST", "/v1/jobs", &chained(&[files()])).await;
    assert_eq!(refused.error(), (403, "FORBIDDEN"), "{}", refused.body);
    let allowed = ask(&server, "admin", "POST", "/v1/jobs", &chained(&[files()])).await;
    assert_eq!(allowed.status, 202, "{}", allowed.body);
    let id: JobId = allowed.body["job_id"].as_str().expect("an id").parse().expect("an id");
    Worker::new(server.engine.clone(), None).expect("a worker").run_job(id).await.expect("works");
    let second = chain(&server.engine, id).await.pop().expect("two");
    assert_eq!(
        (second.tool.as_str(), second.principal.as_str(), second.state),
        ("pubmed.ingest_files", "admin", JobState::Queued)
    );
    let other = ask(&server, "submit", "DELETE", &format!("/v1/jobs/{id}"), &json!({})).await;
    assert_eq!(other.error(), (403, "FORBIDDEN"), "a chain of another principal");

    // A row that was inserted without checks.
    let then = vec![Step { tool: "pubmed.ingest_files".into(), params: json!({ "files": ["pubmed26n0001.xml.gz"] }) }];
    let principal = Principal { name: "submit".into(), role: Role::Submit };
    let submission =
        Submission { principal, then, ..Submission::new("pubmed.sync", json!({ "pmids": ["1000"] }), "search") };
    let job = jobs::submit(&server.engine.db, &submission, LIMITS).await.expect("submitted").job().job_id();
    Worker::new(server.engine.clone(), None).expect("a worker").run_job(job).await.expect("works");
    let refused = chain(&server.engine, job).await.pop().expect("two");
    assert_eq!(refused.error.expect("an error")["error_code"], "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_beyond_a_limit_waits_and_is_then_a_job_that_can_be_retried() {
    let none = Limits { principal_queued_jobs: 0, ..LIMITS };
    let (_ncbi, server) = with_roles(none).await;
    let step = then("pubmed.sync", &json!({ "pmids": [1010], "query_key": "kept" }));
    let body = chained(&[step, then("pubmed.sync", &json!({ "pmids": [1011] }))]);
    let first = ask(&server, "submit", "POST", "/v1/jobs", &body).await.body;
    let id: JobId = first["job_id"].as_str().expect("an id").parse().expect("an id");
    let bound = async || -> i64 {
        let sql = "select count(*) from sync_queries";
        sqlx::query_scalar(sql).fetch_one(&server.engine.db).await.expect("counted")
    };
    for _ in 0..2 {
        work(&server.engine).await;
        let waiting = ask(&server, "submit", "GET", &format!("/v1/jobs/{id}"), &json!({})).await.body;
        assert_eq!((&waiting["state"], &waiting["then_state"]), (&json!("succeeded"), &json!("waiting")), "{waiting}");
    }
    assert_eq!((chain(&server.engine, id).await.len(), bound().await), (1, 0), "a step that waits takes no key");
    sqlx::query("update jobs set completed_at = now() - interval '2 hours' where id = $1")
        .bind(id.0)
        .execute(&server.engine.db)
        .await
        .expect("aged");
    work(&server.engine).await;
    let refused = chain(&server.engine, id).await.pop().expect("two");
    assert_eq!(refused.error.as_ref().expect("an error")["error_code"], "RATE_LIMIT_EXCEEDED");
    assert_eq!(bound().await, 0, "nor does one that is refused");
    // Requests to this server have no limit.
    let again = ask(&server, "submit", "POST", &format!("/v1/jobs/{id}/retry"), &json!({})).await;
    assert_eq!(again.status, 202, "{}", again.body);
    work(&server.engine).await;
    assert_eq!(chain(&server.engine, id).await.len(), 3, "the third waits too");
    work(&Engine { steps: Arc::new(ToolSteps { limits: LIMITS }), ..server.engine.clone() }).await;
    let all = chain(&server.engine, id).await;
    let expected = [JobState::Succeeded, JobState::Failed, JobState::Succeeded, JobState::Succeeded];
    assert_eq!(states(&all), [1, 2, 2, 3].into_iter().zip(expected).collect::<Vec<_>>());
    assert_eq!((all[2].attempt, all[2].query_key.as_deref()), (2, Some("kept")));
    // The limit does not apply to admins.
    let body = chained(&[then("pubmed.sync", &json!({ "pmids": [1012] }))]);
    let first = ask(&server, "admin", "POST", "/v1/jobs", &body);
    let id: JobId = first.await.body["job_id"].as_str().expect("an id").parse().expect("an id");
    work(&server.engine).await;
    assert_eq!(states(&chain(&server.engine, id).await), [(1, JobState::Succeeded), (2, JobState::Succeeded)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_are_part_of_the_identity_of_a_request() {
    let World { simulator: _ncbi, server } = plain().await;
    let one = chained(&[then("pubmed.sync", &json!({ "pmids": [1010] }))]);
    let other = chained(&[then("pubmed.sync", &json!({ "pmids": [1011] }))]);
    let alone = sync_of(1000..1003);
    let keyed = async |body: &Value| {
        let request = server.request("POST", "/v1/jobs").header("idempotency-key", "k");
        server.send(request.header("content-type", "application/json").body(body.to_string())).await
    };
    let first = keyed(&one).await;
    assert_eq!(first.status, 202, "{}", first.body);
    let again = keyed(&one).await;
    assert_eq!((again.status.as_u16(), &again.body["job_id"]), (200, &first.body["job_id"]));
    for different in [&other, &alone] {
        assert_eq!(keyed(different).await.error(), (422, "IDEMPOTENCY_CONFLICT"));
    }
    // Without a key: equal chains are the same request, others are not.
    let mut ids = Vec::new();
    for body in [&one, &one, &other, &alone, &alone] {
        ids.push(server.post("/v1/jobs", body).await.body["job_id"].as_str().expect("an id").to_owned());
    }
    assert!(
        ids[0] == ids[1] && ids[3] == ids[4] && ids[0] != ids[2] && ids[0] != ids[3] && ids[2] != ids[3],
        "{ids:?}"
    );

    // A running query excludes another run of it: its next steps would be lost.
    let run = json!({ "tool": "pubmed.sync.incremental", "params": { "query": "all" } });
    let running = server.submit(&run).await;
    assert_eq!(server.post("/v1/jobs", &run).await.body["job_id"], running);
    let mut followed = run.clone();
    followed["then"] = one["then"].clone();
    let refused = server.post("/v1/jobs", &followed).await;
    assert_eq!(refused.error(), (409, "ALREADY_EXISTS"));
    assert!(refused.body["message"].as_str().expect("text").contains(&running), "{}", refused.body);
}
