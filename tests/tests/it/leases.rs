//! Leases of units: a heartbeat keeps one, silence loses it, and a claim whose response was lost blocks no unit.

use std::sync::Arc;

use shared::core::WorkerId;
use shared::ingest::{Claim, Engine, Lease, Worker, sweep};
use shared::jobs::{self, JobState};
use tests::databases::until_one_waits;
use tests::faulty_line::FaultyLine;
use tests::{counting, invariants};

async fn begun(engine: &Engine) -> Lease {
    counting::submit(engine, 1, 1, 1).await;
    let (worker, tools) = (WorkerId::new(), engine.tools());
    let claim = Claim { worker: &worker, hostname: "h", tools: &tools, unit: None, job: None };
    let lease = Lease::claim(&engine.db, &engine.settings, claim).await.expect("claims").expect("the plan");
    lease.start(&engine.db).await.expect("starts");
    lease
}

async fn silent_for_an_hour(engine: &Engine) {
    sqlx::query("update ingestion_work_units set heartbeat_at = now() - interval '1 hour'")
        .execute(&engine.db)
        .await
        .expect("aged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_keeps_a_unit_and_silence_loses_it() {
    let engine = counting::engine(4).await;
    let lease = begun(&engine).await;
    assert_eq!(sweep(&engine, None).await.expect("sweeps").reclaimed, 0, "it was claimed a moment ago");
    silent_for_an_hour(&engine).await;
    assert!(lease.heartbeat(&engine.db, 120.0).await.expect("beats"));
    assert_eq!(sweep(&engine, None).await.expect("sweeps").reclaimed, 0, "the heartbeat was heard");
    let lease_left: f64 = sqlx::query_scalar(
        "select extract(epoch from lease_until - now())::double precision from ingestion_work_units",
    )
    .fetch_one(&engine.db)
    .await
    .expect("read");
    assert!(lease_left > 100.0, "{lease_left} s");
    silent_for_an_hour(&engine).await;
    assert_eq!(sweep(&engine, None).await.expect("sweeps").reclaimed, 1);
    assert!(!lease.heartbeat(&engine.db, 120.0).await.expect("beats"), "too late");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_that_comes_while_a_sweep_waits_for_the_job_keeps_the_unit() {
    let engine = counting::engine(6).await;
    let lease = begun(&engine).await;
    silent_for_an_hour(&engine).await;
    let mut job = shared::db::begin(&engine.db).await.expect("begins");
    sqlx::query("select 1 from jobs where id = $1 for update")
        .bind(lease.job.0)
        .execute(&mut *job)
        .await
        .expect("locked");
    let other = engine.clone();
    let sweeping = tokio::spawn(async move { sweep(&other, None).await });
    // The sweep has seen the stale heartbeat, and waits for the job's lock before it checks again.
    until_one_waits(&engine.db).await;
    assert!(lease.heartbeat(&engine.db, 120.0).await.expect("beats"));
    job.rollback().await.expect("unlocked");
    assert_eq!(sweeping.await.expect("no panic").expect("sweeps").reclaimed, 0);
    assert!(lease.heartbeat(&engine.db, 120.0).await.expect("beats"), "it is still its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_response_was_lost_is_released_at_once() {
    let url = tests::databases::new_database().await;
    let direct = shared::db::connect(url.parse().expect("a URL"), 4).await.expect("connects");
    let line = FaultyLine::new(&url).await;
    let through = shared::db::connect(line.options.clone(), 2).await.expect("connects");
    let engine = Engine { db: direct.clone(), ..counting::engine(1).await };
    let worker = Worker::new(Engine { db: through, ..engine.clone() }, None).expect("a worker");
    let job = counting::submit(&engine, 1, 2, 1).await;

    // This text is a parameter of the claim, and of no other statement.
    line.lose(counting::TOOL);
    worker.run_one(None).await.expect_err("the response is lost");
    assert_eq!(line.lost(), 1);
    let unit: (String, i64, i32, bool) =
        sqlx::query_as("select status, epoch, retry_count, not_before <= now() from ingestion_work_units")
            .fetch_one(&direct)
            .await
            .expect("one");
    assert_eq!(unit, ("pending".to_owned(), 1, 0, true), "claimed once, given back without blame, to be had at once");

    // The same in the middle of a job.
    worker.run_one(None).await.expect("the plan");
    line.lose(counting::TOOL);
    worker.run_one(None).await.expect_err("the response is lost");
    assert_eq!(line.lost(), 2);
    worker.run(true).await.expect("works");
    let ended = jobs::get(&direct, job).await.expect("read").expect("there");
    assert_eq!(ended.state, JobState::Succeeded);
    assert_eq!(invariants::broken(&direct).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_runs_is_not_released_after_a_lost_response() {
    let url = tests::databases::new_database().await;
    let direct = shared::db::connect(url.parse().expect("a URL"), 4).await.expect("connects");
    let line = FaultyLine::new(&url).await;
    let through = shared::db::connect(line.options.clone(), 4).await.expect("connects");
    let engine = Engine { db: direct.clone(), ..counting::engine(1).await };
    let worker = Arc::new(Worker::new(Engine { db: through, ..engine.clone() }, None).expect("a worker"));
    let job = counting::submit(&engine, 1, 4, 2).await;
    line.lose(counting::TOOL);
    worker.run_one(None).await.expect_err("the response is lost");
    // For a while the worker checks for lost claims first; two tasks of one worker claim and run concurrently.
    let both = (0..2).map(|_| {
        let worker = worker.clone();
        tokio::spawn(async move { worker.run(true).await })
    });
    for one in both.collect::<Vec<_>>() {
        one.await.expect("no panic").expect("works");
    }
    let lost: i64 =
        sqlx::query_scalar("select coalesce(sum(epoch - 1), 0)::bigint from ingestion_work_units where seq > 0")
            .fetch_one(&direct)
            .await
            .expect("read");
    assert_eq!(lost, 0, "every unit was claimed once");
    assert_eq!(jobs::get(&direct, job).await.expect("read").expect("there").state, JobState::Succeeded);
}
