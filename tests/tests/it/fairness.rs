//! Scheduling of concurrent jobs: priorities, fairness, limits, deadlines, estimates.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::core::{JobId, WorkerId};
use shared::ingest::{Claim, Engine, Lease, Settings, Worker, sweep};
use shared::jobs::{self, Limits, Submission};
use tests::counting::{self, Counting};
use tests::invariants;

async fn engine(settings: Settings) -> Engine {
    tests::engine::engine(vec![Arc::new(Counting)], settings, 8).await
}

async fn claim(engine: &Engine) -> Option<Lease> {
    let worker = WorkerId::new();
    let tools = engine.tools();
    let claim = Claim { worker: &worker, hostname: "h", tools: &tools, unit: None, job: None };
    Lease::claim(&engine.db, &engine.settings, claim).await.expect("claims")
}

/// Submits a job and plans it, so that its units are pending.
async fn planned(engine: &Engine, first: u32, units: u32, priority: i16) -> JobId {
    let job = counting::submit(engine, first, units, 1).await;
    sqlx::query("update jobs set priority = $2 where id = $1")
        .bind(job.0)
        .bind(priority)
        .execute(&engine.db)
        .await
        .expect("set");
    let worker = WorkerId::new();
    let tools = engine.tools();
    let unit: uuid::Uuid = sqlx::query_scalar("select id from ingestion_work_units where job_id = $1")
        .bind(job.0)
        .fetch_one(&engine.db)
        .await
        .expect("one");
    let only =
        Claim { worker: &worker, hostname: "h", tools: &tools, unit: Some(shared::core::UnitId(unit)), job: None };
    let lease = Lease::claim(&engine.db, &engine.settings, only).await.expect("claims").expect("the planning unit");
    lease.start(&engine.db).await.expect("starts");
    lease.complete_plan(engine, &counting::plan(&lease.params)).await.expect("planned");
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_job_does_not_starve_a_small_one_and_priority_goes_first() {
    let engine = engine(Settings { job_units: 100, ..Settings::default() }).await;
    let large = planned(&engine, 1, 50, 0).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(claim(&engine).await.expect("a unit"));
    }
    assert!(held.iter().all(|lease| lease.job == large));
    let small = planned(&engine, 1000, 3, 0).await;
    let next: Vec<JobId> = [claim(&engine).await, claim(&engine).await, claim(&engine).await]
        .into_iter()
        .flatten()
        .map(|l| l.job)
        .collect();
    assert_eq!(next, [small, small, small], "it has fewer running");
    let urgent = planned(&engine, 2000, 1, 10).await;
    assert_eq!(claim(&engine).await.expect("a unit").job, urgent);
    assert_eq!(claim(&engine).await.expect("a unit").job, large);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_exactly_however_many_claim_at_once() {
    let limits = BTreeMap::from([(counting::TOOL.to_owned(), 2)]);
    let engine = engine(Settings { job_units: 3, tool_limits: limits, ..Settings::default() }).await;
    let mut all = Vec::new();
    for n in 0..4 {
        all.push(counting::submit(&engine, n * 100 + 1, 5, 1).await);
    }
    let claims: Vec<_> = (0..16)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { claim(&engine).await })
        })
        .collect();
    let mut claimed = Vec::new();
    for one in claims {
        claimed.extend(one.await.expect("no panic"));
    }
    let jobs: std::collections::BTreeSet<JobId> = claimed.iter().map(|lease| lease.job).collect();
    assert_eq!((claimed.len(), jobs.len()), (2, 2), "two jobs of the tool, their planning units");
    for lease in &claimed {
        lease.start(&engine.db).await.expect("starts");
        lease.complete_plan(&engine, &counting::plan(&lease.params)).await.expect("planned");
    }
    let claims: Vec<_> = (0..16)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { claim(&engine).await })
        })
        .collect();
    let mut per_job: BTreeMap<JobId, usize> = BTreeMap::new();
    for one in claims {
        if let Some(lease) = one.await.expect("no panic") {
            *per_job.entry(lease.job).or_default() += 1;
        }
    }
    assert_eq!(per_job.values().copied().collect::<Vec<_>>(), [3, 3], "three units of each, no more");
}

/// Claims wait for each other's locks; a job submitted meanwhile must not be claimed and lost.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_submitted_while_others_claim_are_all_done_at_once() {
    let engine = engine(Settings::default()).await;
    let until = Instant::now() + Duration::from_secs(2);
    let mut workers = Vec::new();
    for _ in 0..4 {
        let worker = Worker::new(engine.clone(), None).expect("a worker");
        workers.push(tokio::spawn(async move {
            while Instant::now() < until {
                worker.run(true).await.expect("works");
            }
        }));
    }
    let mut all = Vec::new();
    let mut first = 1;
    while Instant::now() + Duration::from_millis(500) < until {
        all.push(counting::submit(&engine, first, 1, 1).await);
        first += 100;
    }
    for worker in workers {
        worker.await.expect("no panic");
    }
    Worker::new(engine.clone(), None).expect("a worker").run(true).await.expect("works");
    let left: i64 = sqlx::query_scalar("select count(*) from jobs where state <> 'succeeded'")
        .fetch_one(&engine.db)
        .await
        .expect("counted");
    assert_eq!(left, 0, "of {}", all.len());
    assert_eq!(invariants::broken(&engine.db).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_past_its_deadline_fails_and_one_that_ran_tells_how_long_the_next_takes() {
    let engine = engine(Settings::default()).await;
    let done = counting::submit(&engine, 1, 2, 1).await;
    Worker::new(engine.clone(), None).expect("a worker").run(true).await.expect("works");
    sqlx::query("update jobs set completed_at = started_at + interval '90 s' where id = $1")
        .bind(done.0)
        .execute(&engine.db)
        .await
        .expect("set");
    let submission = Submission {
        query_key: None,
        exclusive_key: None,
        ..Submission::new(counting::TOOL, serde_json::json!({"first": 500, "units": 1, "batches": 1}), "count")
    };
    let limits = Limits::without_quotas(10, 0.0);
    let late = jobs::submit(&engine.db, &submission, limits).await.expect("submitted").details().clone();
    assert_eq!(late.estimated_duration_secs, Some(90.0));
    assert_eq!(sweep(&engine, None).await.expect("sweeps").overdue, 1);
    let failed = jobs::details(&engine.db, late.job.job_id()).await.expect("read").expect("there");
    assert_eq!(failed.estimated_duration_secs, Some(0.0));
    let failed = failed.job;
    assert_eq!(failed.error.as_ref().expect("an error")["error_code"], "DEADLINE_EXCEEDED");
    let logs = jobs::logs(&engine.db, failed.job_id(), 10).await.expect("read");
    assert_eq!(logs.last().expect("a line").level, "error");
}
