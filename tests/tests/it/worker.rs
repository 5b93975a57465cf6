//! The worker around a unit: cancelled, stopped, too slow, panicking; and jobs as users see them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use samples::files::write_sample;
use shared::core::{JobId, Principal, Role};
use shared::ingest::{Engine, Pipeline, Plan, Settings, UnitContext, UnitError, Worker, sweep};
use shared::jobs::{self, JobState, Limits, SubmitError, SubmitOutcome};
use tests::counting;
use tests::faulty_line::FaultyLine;
use tests::invariants;
use tests::program::{Archive, text};

/// A counting job whose units behave as the parameter `batches` says.
struct Odd;

const WAITS: u32 = 1;
const PANICS: u32 = 2;

#[async_trait]
impl Pipeline for Odd {
    fn tool(&self) -> &'static str {
        counting::TOOL
    }

    fn phases(&self) -> &'static [&'static str] {
        &["count"]
    }

    async fn plan(&self, context: &UnitContext) -> Result<Plan, UnitError> {
        Ok(counting::plan(&context.lease.params))
    }

    async fn run(&self, context: &mut UnitContext) -> Result<(), UnitError> {
        assert_ne!(context.lease.params["batches"], PANICS, "a planted panic");
        loop {
            context.check().await?;
            tokio::task::yield_now().await;
        }
    }
}

async fn engine(settings: Settings) -> Engine {
    tests::engine::engine(vec![Arc::new(Odd)], settings, 6).await
}

async fn state(engine: &Engine, job: JobId) -> jobs::Job {
    jobs::get(&engine.db, job).await.expect("read").expect("there")
}

async fn unit_runs(engine: &Engine) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let running: bool = sqlx::query_scalar(
            "select exists (select from ingestion_work_units where seq > 0 and status = 'processing')",
        )
        .fetch_one(&engine.db)
        .await
        .expect("asked");
        if running {
            return;
        }
        assert!(Instant::now() < deadline, "the unit starts");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_heartbeat_tells_a_running_unit_that_its_job_was_cancelled() {
    let engine = engine(Settings { heartbeat: Duration::from_millis(20), ..Settings::default() }).await;
    let job = counting::submit(&engine, 1, 1, WAITS).await;
    let worker = Worker::new(engine.clone(), None).expect("a worker");
    let working = tokio::spawn(async move { worker.run_job(job).await });
    unit_runs(&engine).await;
    assert!(jobs::cancel(&engine.db, job).await.expect("cancels").expect("there").stopping);
    working.await.expect("no panic").expect("ends");
    assert_eq!(state(&engine, job).await.state, JobState::Cancelled);
    assert_eq!(invariants::broken(&engine.db).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_releases_its_unit() {
    let engine = engine(Settings::default()).await;
    let job = counting::submit(&engine, 1, 1, WAITS).await;
    let worker = Worker::new(engine.clone(), None).expect("a worker");
    let stop = worker.shutdown_flag();
    let working = tokio::spawn(async move { worker.run(false).await });
    unit_runs(&engine).await;
    stop.store(true, Ordering::Relaxed);
    working.await.expect("no panic").expect("ends");
    let (status, attempts): (String, i32) =
        sqlx::query_as("select status, retry_count from ingestion_work_units where seq = 1")
            .fetch_one(&engine.db)
            .await
            .expect("one");
    assert_eq!((status.as_str(), attempts), ("pending", 0), "without blame");
    assert_eq!(state(&engine, job).await.state, JobState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_are_too_slow_or_panic_fail_after_their_attempts() {
    let engine = engine(Settings { unit_timeout: Duration::from_millis(30), ..Settings::default() }).await;
    for (first, behaviour, code) in [(1, WAITS, "DEADLINE_EXCEEDED"), (1001, PANICS, "INTERNAL")] {
        let job = counting::submit(&engine, first, 1, behaviour).await;
        for _ in 0..3 {
            sqlx::query("update ingestion_work_units set not_before = now()").execute(&engine.db).await.expect("woken");
            Worker::new(engine.clone(), None).expect("a worker").run(true).await.expect("works");
        }
        sweep(&engine, None).await.expect("sweeps");
        let ended = state(&engine, job).await;
        assert_eq!(ended.state, JobState::Failed, "{code}");
        assert_eq!(ended.error.expect("an error")["error_code"], code);
        let logs = jobs::logs(&engine.db, job, 10).await.expect("read");
        assert_eq!(
            logs.iter().map(|l| l.level.as_str()).collect::<Vec<_>>(),
            ["info", "warn", "warn", "error", "error"]
        );
    }
    assert_eq!(invariants::broken(&engine.db).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_reclaims_units_of_silent_workers_and_deletes_expired_jobs() {
    let engine = counting::engine(4).await;
    let job = counting::submit(&engine, 1, 1, 1).await;
    let worker = shared::core::WorkerId::new();
    let tools = engine.tools();
    let claim = shared::ingest::Claim { worker: &worker, hostname: "h", tools: &tools, unit: None, job: None };
    shared::ingest::Lease::claim(&engine.db, &engine.settings, claim).await.expect("claims").expect("the plan");
    sqlx::query("update ingestion_work_units set heartbeat_at = now() - interval '1 hour'")
        .execute(&engine.db)
        .await
        .expect("aged");
    assert_eq!(sweep(&engine, None).await.expect("sweeps").reclaimed, 1);
    Worker::new(engine.clone(), None).expect("a worker").run(true).await.expect("works");
    assert_eq!(state(&engine, job).await.state, JobState::Succeeded);
    sqlx::query("update jobs set expires_at = now() - interval '1 second'").execute(&engine.db).await.expect("aged");
    assert_eq!(sweep(&engine, None).await.expect("sweeps").expired, 1);
    assert!(jobs::get(&engine.db, job).await.expect("read").is_none());
    let records: i64 =
        sqlx::query_scalar("select count(*) from pubmed_archive").fetch_one(&engine.db).await.expect("one");
    assert_eq!(records, i64::from(counting::PER_BATCH), "archive rows never go");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_identifies_a_job_and_the_queue_has_a_limit() {
    let engine = counting::engine(4).await;
    let submission = |params: serde_json::Value, key: Option<&str>| jobs::Submission {
        tool: counting::TOOL.into(),
        params,
        idempotency_key: key.map(str::to_owned),
        principal: Principal { name: "test".into(), role: Role::Admin },
        priority: 0,
        ttl_hours: 24,
        trace_id: "t".into(),
        parent_job_id: None,
        query_key: None,
        exclusive_key: None,
        records_at_most: None,
        then: Vec::new(),
        chain_position: None,
        first_unit: jobs::FirstUnit { phase: "count".into(), required_hostname: None },
    };
    let limits = Limits::without_quotas(2, 60.0);
    let submit =
        async |params: serde_json::Value, key| jobs::submit(&engine.db, &submission(params, key), limits).await;
    let first = submit(serde_json::json!({ "a": 1 }), Some("k")).await.expect("submitted");
    let again = submit(serde_json::json!({ "a": 1 }), Some("k")).await.expect("replayed");
    assert!(matches!(&again, SubmitOutcome::Replayed(job) if job.job.id == first.job().id));
    let other = submit(serde_json::json!({ "a": 2 }), Some("k")).await;
    assert!(matches!(other, Err(SubmitError::IdempotencyConflict)), "{other:?}");
    submit(serde_json::json!({ "a": 3 }), None).await.expect("submitted");
    let full = submit(serde_json::json!({ "a": 4 }), None).await;
    assert!(matches!(full, Err(SubmitError::TooManyJobs(2))), "{full:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_shown_watched_and_cancelled_from_the_command_line() {
    let archive = Archive::new().await;
    let sample = write_sample(&archive.dir.path().join("s"), 120).expect("written");
    let submit = |file: &std::path::Path| {
        let run = archive.run(&["--output", "json", "ingest", "--detach", text(file)]).expect(0);
        run.json()["job_id"].as_str().expect("an id").to_owned()
    };
    let (first, second) = (submit(&sample.baseline), submit(&sample.update));
    let show = |job: &str| archive.run(&["--output", "json", "jobs", "show", job]).expect(0).json();
    assert_eq!((&show(&first)["position_in_queue"], &show(&second)["position_in_queue"]), (&0.into(), &1.into()));
    assert!(archive.run(&["jobs", "cancel", &second]).expect(0).out.contains("is cancelled"));
    archive.run(&["worker", "--once"]).expect(0);
    archive.run(&["jobs", "watch", &first]).expect(0);
    assert!(archive.run(&["jobs", "show", &first]).expect(0).out.contains("succeeded"));
    assert_eq!(show(&second)["state"], "cancelled");
    assert!(archive.run(&["jobs", "cancel", &first]).expect(0).out.contains("has already ended as succeeded"));
    let listed = archive.run(&["--output", "json", "jobs", "list", "--state", "cancelled"]).expect(0).json();
    assert_eq!(listed["total"], 1);
    // The two jobs, and the catch-up job of the projections.
    let total = archive.run(&["--output", "json", "jobs", "list"]).expect(0).json()["total"].clone();
    assert!(archive.run(&["jobs", "list", "--limit", "1"]).expect(0).out.contains(&format!("1 of {total}")));
    archive.run(&["jobs", "list", "--state", "odd"]).expect(2);
}

/// Sessions that listen for work on the database of a test.
async fn listening(engine: &Engine) -> Vec<i32> {
    sqlx::query_scalar("select pid from pg_stat_activity where datname = current_database() and query ilike 'listen%'")
        .fetch_all(&engine.db)
        .await
        .expect("asked")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_listens_again_after_the_database_was_away() {
    let url = tests::databases::new_database().await;
    let direct = shared::db::connect(url.parse().expect("a URL"), 2).await.expect("connects");
    let line = FaultyLine::new(&url).await;
    let through = shared::db::connect(line.options.clone(), 4).await.expect("connects");
    let engine = Engine { db: direct, ..counting::engine(1).await };
    let waiting = async |before: &[i32]| {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let now = listening(&engine).await;
            if now.iter().any(|pid| !before.contains(pid)) {
                return now;
            }
            assert!(Instant::now() < deadline, "the worker does not listen: {now:?}, before {before:?}");
            tokio::task::yield_now().await;
        }
    };
    let worker = Worker::new(Engine { db: through, ..engine.clone() }, None).expect("a worker");
    let stop = worker.shutdown_flag();
    let working = tokio::spawn(async move { worker.run(false).await });
    let first = waiting(&[]).await;
    // More often than the listener itself reconnects.
    line.cut(4);
    let again = waiting(&first).await;
    assert_eq!(line.refusals(), 0, "it was away for a while: {first:?}, {again:?}");
    stop.store(true, Ordering::Relaxed);
    working.await.expect("no panic").expect("ends");
}
