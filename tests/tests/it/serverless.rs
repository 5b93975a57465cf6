//! End to end as deployed: a job POSTed through the function `api` is processed by worker functions that SQS invokes,
//! with sweeps by the scheduler. The same with duplicated, reordered and lost messages, with killed workers, and with
//! S3, SQS and DynamoDB unavailable at times: the result is always the same.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::aws;
use tests::cloud::{Cloud, ask};
use tests::event_source::event;
use tests::lambda::Function;
use tests::{invariants, s3};
use tokio::net::{TcpListener, TcpStream};

const RECORDS: u32 = 1300;

/// All records of the corpus by their PMIDs.
fn sync_of_all() -> Value {
    let pmids: Vec<String> = (1000..1000 + RECORDS).map(|pmid| pmid.to_string()).collect();
    json!({ "tool": "pubmed.sync", "params": { "pmids": pmids } })
}

async fn submit(api: &Function) -> String {
    let (status, job) = ask(api, "POST", "/v1/jobs", Some(&sync_of_all())).await.expect("responds");
    assert_eq!(status, 202, "{job}");
    job["job_id"].as_str().expect("an id").to_owned()
}

/// The job when it has ended; sets `is_over` then.
async fn ended(api: &Function, job: &str, is_over: &AtomicBool) -> Value {
    loop {
        // While the archive or the database is unavailable, the request is repeated.
        if let Ok((200, job)) = ask(api, "GET", &format!("/v1/jobs/{job}?wait=2"), None).await
            && ["succeeded", "failed", "cancelled"].contains(&job["state"].as_str().expect("a state"))
        {
            is_over.store(true, Ordering::Relaxed);
            return job;
        }
    }
}

/// Sweeps until `is_over`. The lease may be unavailable; the sweep works without it.
async fn sweep(scheduler: &Function, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        scheduler.invoke(&json!({ "action": "sweep" })).await.expect("sweeps");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// The expected result after any disturbance.
async fn all_is_well(cloud: &Cloud, job: &Value) {
    assert_eq!(job["state"], "succeeded", "{}", job["error"]);
    let result = &job["result"];
    assert_eq!(
        (&result["requested"], &result["archived"], &result["failed"]),
        (&json!(RECORDS), &json!(RECORDS), &json!(0)),
        "{result}"
    );
    let db = cloud.database().await;
    assert_eq!(invariants::broken(&db).await, Vec::<String>::new());
    let pointers: Vec<(String, String)> =
        sqlx::query_as("select pmid, s3_uri from pubmed_archive order by pmid").fetch_all(&db).await.expect("read");
    assert_eq!(pointers.len(), RECORDS as usize);
    let events: i64 = sqlx::query_scalar("select count(*) from archive_events").fetch_one(&db).await.expect("read");
    assert_eq!(events, i64::from(RECORDS), "each record was accepted once");
    // Each pointer's object exists in the version that it names, and nothing is stored twice.
    let client = s3::client(&aws::endpoint().expect("there"));
    let stored = versions(&client, &cloud.bucket).await;
    for (pmid, uri) in &pointers {
        assert!(stored.contains(uri), "the object of {pmid} is not there: {uri}");
    }
    assert_eq!(stored.len(), pointers.len(), "an object is stored twice, or belongs to no record");
    let manifest = job["result_ref"].as_str().expect("a manifest");
    assert!(manifest.starts_with(&format!("s3://{}/pubmed/manifests/sync_run=", cloud.bucket)), "{manifest}");
}

/// Addresses of all versions of records, in the form of pointers.
async fn versions(client: &aws_sdk_s3::Client, bucket: &str) -> BTreeSet<String> {
    let (mut found, mut key, mut version) = (BTreeSet::new(), None, None);
    loop {
        let list = client.list_object_versions().bucket(bucket).prefix("pubmed/raw/");
        let page = list.set_key_marker(key).set_version_id_marker(version).send().await.expect("listed");
        for object in page.versions() {
            let (key, version) = (object.key().expect("a key"), object.version_id().expect("a version"));
            found.insert(format!("s3://{bucket}/{key}?versionId={version}"));
        }
        if page.is_truncated() != Some(true) {
            return found;
        }
        (key, version) = (page.next_key_marker, page.next_version_id_marker);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_goes_through_every_function_and_comes_out_whole() {
    let Some(cloud) = Cloud::new(RECORDS, None).await else { return };
    cloud.migrate().await;
    let api = cloud.function("api", &[]);
    let workers = [cloud.function("worker", &[]), cloud.function("worker", &[])];
    let job = submit(&api).await;
    let is_over = AtomicBool::new(false);
    let work = workers.iter().map(|worker| {
        let (source, is_over) = (cloud.event_source(1), &is_over);
        async move {
            while !is_over.load(Ordering::Relaxed) {
                source.poll(async |event| worker.invoke(&event).await).await;
            }
        }
    });
    let wait = ended(&api, &job, &is_over);
    // Nothing was lost, so no sweep is needed.
    let (job, _) = tokio::join!(wait, join_all(work));
    all_is_well(&cloud, &job).await;
    assert_eq!(cloud.queues.count(&cloud.queues.dead_url).await, 0);

    // One trace from the request to the worker's last line.
    let trace = "0af7651916cd43dd8448eb211c80319c";
    assert_eq!(job["trace_id"], trace);
    let lines: Vec<Value> = workers.iter().flat_map(Function::log_lines).collect();
    // Not the catch-up job of the projections.
    let ended = lines.iter().find(|line| line["message"] == "job ended" && line["job_id"] == job["job_id"]);
    let ended = ended.expect("the end is logged");
    assert_eq!((&ended["trace_id"], &ended["service"]), (&json!(trace), &json!("worker")));
    let archived: f64 = lines
        .iter()
        .filter(|line| line["outcome"] == "archived")
        .filter_map(|line| line["records_total"].as_f64())
        .sum();
    assert!((archived - f64::from(RECORDS)).abs() < 0.5, "the metrics say {archived}");

    // Existing records are not stored again; the manifest can be read.
    let (status, manifest) =
        ask(&api, "GET", &format!("/v1/jobs/{}/manifest", job["job_id"].as_str().expect("an id")), None)
            .await
            .expect("responds");
    assert_eq!((status, &manifest["counts"]["archived"]), (200, &json!(RECORDS)), "{manifest}");
    let (status, record) = ask(&api, "GET", "/v1/pubmed/1000", None).await.expect("responds");
    assert_eq!((status, &record["found"], &record["source"]), (200, &json!(true), &json!("archive")), "{record}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_doubled_shuffled_and_lost_change_nothing() {
    let Some(cloud) = Cloud::new(RECORDS, None).await else { return };
    cloud.migrate().await;
    let api = cloud.function("api", &[]);
    let scheduler = cloud.function("scheduler", &[]);
    let workers: Vec<Function> = (0..2).map(|_| cloud.function("worker", &[])).collect();
    let job = submit(&api).await;
    let is_over = AtomicBool::new(false);
    let deliver = async {
        let source = cloud.event_source(3);
        let mut received = 0;
        while !is_over.load(Ordering::Relaxed) {
            let mut messages = source.receive().await;
            for message in &messages {
                source.delete(message).await;
            }
            received += messages.len();
            // A third is lost; the others are delivered five times, each time in another order, to both workers.
            messages.retain(|_| fastrand::u8(0..3) > 0);
            let mut copies: Vec<Value> = Vec::new();
            for _ in 0..5 {
                fastrand::shuffle(&mut messages);
                copies.push(event(&messages));
            }
            let deliveries = copies.iter().enumerate().map(|(n, event)| workers[n % workers.len()].invoke(event));
            for response in join_all(deliveries).await {
                assert_eq!(response.expect("responds"), json!({ "batchItemFailures": [] }));
            }
        }
        received
    };
    let sweep = sweep(&scheduler, &is_over);
    let wait = ended(&api, &job, &is_over);
    let (job, received, ()) = tokio::join!(wait, deliver, sweep);
    assert!(received > 0);
    // The projections catch up meanwhile: this completes an interrupted catch-up.
    scheduler.invoke(&json!({ "action": "sweep" })).await.expect("sweeps");
    all_is_well(&cloud, &job).await;
}

/// AWS behind a proxy that refuses connections at times.
async fn shutter(endpoint: &str, is_shut: Arc<AtomicBool>) -> String {
    let to = endpoint.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let (to, is_shut) = (to.clone(), is_shut.clone());
            tokio::spawn(async move {
                let Ok(mut to) = TcpStream::connect(to).await else { return };
                let until_shut = async {
                    while !is_shut.load(Ordering::Relaxed) {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                    () = until_shut => {}
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_workers_and_outages_of_aws_change_nothing() {
    let Some(endpoint) = aws::endpoint() else { return };
    let is_shut = Arc::new(AtomicBool::new(false));
    let proxy = shutter(&endpoint, is_shut.clone()).await;
    let Some(cloud) = Cloud::new(RECORDS, Some(&proxy)).await else { return };
    cloud.migrate().await;
    let api = cloud.function("api", &[]);
    let scheduler = cloud.function("scheduler", &[]);
    let job = submit(&api).await;
    let is_over = AtomicBool::new(false);
    let work = (0..2).map(|n| {
        let (cloud, source, is_over) = (&cloud, cloud.event_source(1), &is_over);
        async move {
            let mut worker = cloud.function("worker", &[]);
            let mut kills = 2;
            while !is_over.load(Ordering::Relaxed) {
                let mut is_killed = false;
                source
                    .poll(async |event| {
                        let invoked = worker.invoke(&event);
                        if kills == 0 || n == 1 {
                            return invoked.await;
                        }
                        // At a random moment, often in the middle of a unit.
                        let pause = Duration::from_millis(fastrand::u64(20..400));
                        let ended = tokio::time::timeout(pause, invoked).await;
                        is_killed = ended.is_err();
                        ended.unwrap_or_else(|_| Err(tests::lambda::Crashed("killed".to_owned())))
                    })
                    .await;
                if is_killed {
                    kills -= 1;
                    worker.kill();
                    worker = cloud.function("worker", &[]);
                }
            }
        }
    });
    let bursts = async {
        // Enough outages that most of the work meets one; then the job can finish.
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(900)).await;
            is_shut.store(true, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(250)).await;
            is_shut.store(false, Ordering::Relaxed);
        }
    };
    let sweep = sweep(&scheduler, &is_over);
    let wait = ended(&api, &job, &is_over);
    let (job, _, (), ()) = tokio::join!(wait, join_all(work), bursts, sweep);
    // The projections catch up meanwhile: this completes an interrupted catch-up.
    scheduler.invoke(&json!({ "action": "sweep" })).await.expect("sweeps");
    let db = cloud.database().await;
    assert_eq!(job["state"], "succeeded", "{}", job["error"]);
    assert_eq!(job["result"]["archived"], json!(RECORDS), "{}", job["result"]);
    assert_eq!(invariants::broken(&db).await, Vec::<String>::new());
    let pointers: i64 = sqlx::query_scalar("select count(*) from pubmed_archive").fetch_one(&db).await.expect("read");
    assert_eq!(pointers, i64::from(RECORDS));
}
