//! Topics: one job per slot, a retry after a failure, and what is reported of it.

use std::time::Duration;

use serde_json::Value;
use shared::core::{ErrorCode, JobId, WorkerId};
use shared::ingest::{Claim, Engine, Lease, Settings, finalise};
use shared::jobs;
use shared::sources::pubmed_sync::IncrementalParams;
use shared::sources::topics::submit_due;
use shared::syncs::{self, Topic};
use simulator::{Corpus, Options, Simulator, Spread};
use tests::program::Archive;
use tests::sync::{LIMITS, client, day, engine, finish, settings, simulator};

/// One slot lasts from 2001 to 2033.
const EVERY: i32 = 1_000_000_000;

async fn with_topic(every_secs: i32) -> (Simulator, Engine) {
    let corpus = Corpus::generated(day("2026-03-10"), 1000, 5, 1, Spread::Even(30));
    let simulator = simulator(corpus, Options::default()).await;
    let engine = engine(tests::engine::pool(6).await, client(settings(&simulator)), Settings::default());
    syncs::bind(&engine.db, "all", "all", "test").await.expect("bound");
    syncs::add_topic(&engine.db, "all", every_secs, 0).await.expect("added");
    (simulator, engine)
}

async fn due(engine: &Engine) -> Vec<JobId> {
    submit_due(engine, LIMITS, 24).await.expect("ticks").into_iter().map(JobId).collect()
}

async fn topic(engine: &Engine) -> Topic {
    syncs::topics(&engine.db).await.expect("listed").remove(0)
}

/// Fails a job, as an outage beyond its time limit does.
async fn fail(engine: &Engine, job: JobId) {
    let (worker, tools) = (WorkerId::new(), engine.tools());
    let claim = Claim { worker: &worker, hostname: "h", tools: &tools, unit: None, job: Some(job) };
    let lease = Lease::claim(&engine.db, &engine.settings, claim).await.expect("claims").expect("a unit");
    lease.start(&engine.db).await.expect("starts");
    lease.fail(engine, ErrorCode::PubmedError, "NCBI is away", false).await.expect("failed");
    assert!(finalise(engine, job).await.expect("finalises"));
}

/// Moves the last failure into the past.
async fn later(engine: &Engine, secs: i32) {
    sqlx::query("update sync_queries set failed_at = failed_at - make_interval(secs => $1)")
        .bind(secs)
        .execute(&engine.db)
        .await
        .expect("aged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_whose_run_failed_is_tried_again_with_growing_pauses() {
    let (_simulator, engine) = with_topic(EVERY).await;
    let first = due(&engine).await;
    assert_eq!(first.len(), 1);
    fail(&engine, first[0]).await;
    let told = topic(&engine).await;
    let failure = told.last_failure.expect("it is told");
    assert_eq!(
        (told.failed_runs, failure.error_code.as_str(), failure.message.as_str()),
        (1, "PUBMED_ERROR", "NCBI is away")
    );
    assert_eq!(told.next_try_at.expect("a time") - failure.at, chrono::TimeDelta::minutes(5));
    let mut pause = 300;
    for run in 2..5 {
        later(&engine, pause - 5).await;
        assert!(due(&engine).await.is_empty(), "run {run}: not before its time");
        later(&engine, 6).await;
        let (one, other) = tokio::join!(due(&engine), due(&engine));
        let again: Vec<JobId> = one.into_iter().chain(other).collect();
        assert_eq!(again.len(), 1, "run {run}: one more try, however many look");
        assert!(due(&engine).await.is_empty(), "while it runs there is no other");
        fail(&engine, again[0]).await;
        assert_eq!(topic(&engine).await.failed_runs, run);
        pause *= 2;
    }
    later(&engine, pause + 1).await;
    let last = due(&engine).await;
    let ended = finish(&engine, last[0]).await;
    assert_eq!(ended.state, jobs::JobState::Succeeded, "{:?}", ended.error);
    let told = topic(&engine).await;
    assert_eq!((told.failed_runs, told.next_try_at), (0, None));
    assert!(told.last_success_at.is_some() && told.last_failure.is_some(), "what was wrong stays readable");
    assert!(due(&engine).await.is_empty(), "until the next slot");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pause_after_a_failure_is_longer_than_the_interval_of_the_topic() {
    let (_simulator, engine) = with_topic(3600).await;
    for (runs, minutes) in [(1, 5), (2, 10), (4, 40), (5, 60), (1_000_000, 60)] {
        sqlx::query("update sync_queries set failed_runs = $1, failed_at = now(), failure_code = 'PUBMED_ERROR'")
            .bind(runs)
            .execute(&engine.db)
            .await
            .expect("set");
        let told = topic(&engine).await;
        let pause = told.next_try_at.expect("a time") - told.last_failure.expect("one").at;
        assert_eq!(pause, chrono::TimeDelta::minutes(minutes), "after {runs}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_is_no_failure_and_a_failed_one_is_no_success() {
    let (_simulator, engine) = with_topic(EVERY).await;
    let job = due(&engine).await[0];
    jobs::cancel(&engine.db, job).await.expect("cancels");
    shared::ingest::sweep(&engine, None).await.expect("sweeps");
    assert_eq!(topic(&engine).await.failed_runs, 0);
    assert!(due(&engine).await.is_empty(), "who cancelled it meant it");
    sqlx::query("update sync_queries set created_at = now() - interval '3 days'")
        .execute(&engine.db)
        .await
        .expect("aged");
    sqlx::query("update sync_topics set last_slot_at = null").execute(&engine.db).await.expect("set");
    sqlx::query("delete from jobs").execute(&engine.db).await.expect("expired");
    let job = due(&engine).await[0];
    fail(&engine, job).await;
    let age = syncs::oldest_topic_secs(&engine.db).await.expect("asked").expect("a topic");
    assert!(age > Duration::from_secs(2 * 86_400).as_secs_f64(), "the alarm counts from the last success: {age} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_of_a_user_does_not_use_up_the_slot_of_a_topic() {
    let (_simulator, engine) = with_topic(EVERY).await;
    let params = IncrementalParams::new("all", Some("all"), None, None).expect("fine");
    let own = shared::sources::pubmed_sync::submit_incremental(&engine.db, &params, LIMITS, |s| s).await;
    let own = own.expect("submitted").job().job_id();
    assert!(due(&engine).await.is_empty(), "one run of a query at a time");
    assert!(topic(&engine).await.last_slot_at.is_none(), "the slot waits");
    finish(&engine, own).await;
    let made = due(&engine).await;
    assert_eq!(made.len(), 1);
    let job = jobs::get(&engine.db, made[0]).await.expect("read").expect("there");
    assert_eq!(job.principal, "topics");
    assert!(topic(&engine).await.last_slot_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_topics_show_failures_and_never_synced() {
    let archive = Archive::new().await;
    archive.run(&["topics", "add", "all", "--query-key", "every", "--every", "1d"]).expect(0);
    let status = archive.run(&["status"]).expect(0);
    assert!(status.out.contains("never synced"), "{}", status.out);
    let db = archive.database().await;
    let failed = "update sync_queries set failed_runs = 2, failed_at = '2026-03-10 12:00+00', last_run_at = now(), \
                  failure_code = 'PUBMED_ERROR', failure_message = 'NCBI is away'";
    sqlx::query(failed).execute(&db).await.expect("set");
    let status = archive.run(&["status"]).expect(0).out;
    assert!(!status.contains("never synced"), "{status}");
    assert!(status.contains("2026-03-10 12:00 PUBMED_ERROR: NCBI is away, 2 runs in a row"), "{status}");
    let listed = archive.run(&["topics", "list"]).expect(0).out;
    assert!(listed.contains("PUBMED_ERROR: NCBI is away") && listed.contains("again at 2026-03-10 12:10"), "{listed}");
    let json: Value = archive.run(&["--output", "json", "topics", "list"]).expect(0).json();
    assert_eq!(json["topics"][0]["last_failure"]["error_code"], "PUBMED_ERROR");
    let json = archive.run(&["--output", "json", "status"]).expect(0).json();
    assert_eq!((&json["queries"][0]["failed_runs"], &json["clock_corrections"]), (&2.into(), &serde_json::json!([])));
    sqlx::query("update sync_queries set failed_runs = 0").execute(&db).await.expect("set");
    let status = archive.run(&["status"]).expect(0).out;
    assert!(status.contains("incomplete") && !status.contains("never synced"), "{status}");
}
