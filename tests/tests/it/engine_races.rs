//! The engine's protocol under races, on a real Postgres: hundreds of seeded schedules of several
//! workers that claim, die, come back as zombies, cancel and reclaim; afterwards the invariants hold
//! and every record was counted exactly once.

use shared::core::{ErrorCode, JobId, WorkerId};
use shared::ingest::{Claim, Engine, JobProgressed, Lease, UnitError, Worker, finalise};
use shared::jobs::{self, JobState};
use sqlx::Row;
use tests::counting::{self, PER_BATCH};
use tests::invariants;
use tests::random::Random;

/// A worker that takes one action at a time, regardless of its earlier results.
struct Actor {
    worker: WorkerId,
    held: Vec<(Lease, bool)>,
}

/// Fails the test on any error that the protocol does not allow.
#[track_caller]
fn allowed<T>(result: Result<T, UnitError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(UnitError::LeaseLost | UnitError::Cancelled) => None,
        Err(error) => panic!("unexpected: {error:?}"),
    }
}

impl Actor {
    async fn act(&mut self, engine: &Engine, job: JobId, choice: u64) {
        let tools = engine.tools();
        match choice {
            0..3 => {
                let claim = Claim { worker: &self.worker, hostname: "h", tools: &tools, unit: None, job: None };
                if let Some(lease) = Lease::claim(&engine.db, &engine.settings, claim).await.expect("claims") {
                    let started = allowed(lease.start(&engine.db).await).is_some();
                    self.held.push((lease, started));
                }
            }
            3..10 => self.go_on(engine, job).await,
            10 => {
                if let Some((lease, _)) = self.held.pop() {
                    let failed = lease.fail(engine, ErrorCode::ArchiveError, "a test fault", true).await;
                    finalise_if_over(engine, job, allowed(failed)).await;
                }
            }
            11 => {
                if let Some((lease, _)) = self.held.pop() {
                    let back = lease.release(engine).await;
                    finalise_if_over(engine, job, allowed(back)).await;
                }
            }
            12 => {
                if let Some((lease, _)) = self.held.last() {
                    lease.heartbeat(&engine.db, 120.0).await.expect("beats");
                }
            }
            // Every lease expires; workers that hold one have lost their units.
            13 | 14 => {
                sqlx::query("select reclaim_stale_work_units(-1)").execute(&engine.db).await.expect("reclaims");
            }
            _ => {}
        }
    }

    /// The next step of the unit it holds: plan, batch or completion, even if it lost the unit long ago.
    async fn go_on(&mut self, engine: &Engine, job: JobId) {
        let Some((lease, started)) = self.held.last_mut() else { return };
        if !*started {
            self.held.pop();
            return;
        }
        if lease.seq == 0 {
            let plan = counting::plan(&lease.params);
            let done = lease.complete_plan(engine, &plan).await;
            self.held.pop();
            return finalise_if_over(engine, job, allowed(done)).await;
        }
        if let Some(batch) = counting::next_batch(lease) {
            match lease.commit(engine, batch).await {
                Ok(()) => {}
                Err(UnitError::Cancelled) => {
                    let stopped = lease.cancel(engine).await;
                    self.held.pop();
                    finalise_if_over(engine, job, allowed(stopped)).await;
                }
                Err(UnitError::LeaseLost) => _ = self.held.pop(),
                Err(error) => panic!("unexpected: {error:?}"),
            }
            return;
        }
        let done = lease.complete(engine).await;
        self.held.pop();
        finalise_if_over(engine, job, allowed(done)).await;
    }
}

async fn finalise_if_over(engine: &Engine, job: JobId, progressed: Option<JobProgressed>) {
    if progressed == Some(JobProgressed::JobOver) {
        finalise(engine, job).await.expect("finalises");
    }
}

/// Runs a job to its end as an undisturbed worker would.
async fn drain(engine: &Engine, job: JobId) {
    sqlx::query("select reclaim_stale_work_units(-1)").execute(&engine.db).await.expect("reclaims");
    sqlx::query("update ingestion_work_units set not_before = now() where status = 'pending'")
        .execute(&engine.db)
        .await
        .expect("woken");
    Worker::new(engine.clone(), None).expect("a worker").run(true).await.expect("works");
    shared::ingest::sweep(engine, None).await.expect("sweeps");
    let job = jobs::get(&engine.db, job).await.expect("read").expect("there");
    assert!(job.state.is_terminal(), "{job:?}");
}

async fn check(engine: &Engine, seed: u64, job: JobId, first: u32, expected: u32) {
    assert_eq!(invariants::broken(&engine.db).await, Vec::<String>::new(), "seed {seed}");
    let row = jobs::get(&engine.db, job).await.expect("read").expect("there");
    let counted = row.progress.counts.requested;
    let last = (first + expected).to_string();
    let (records, events): (i64, i64) = sqlx::query_as(
        "select (select count(*) from pubmed_archive where pmid::int >= $1::int and pmid::int < $2::int), \
                (select count(*) from archive_events where pmid::int >= $1::int and pmid::int < $2::int)",
    )
    .bind(first.to_string())
    .bind(last)
    .fetch_one(&engine.db)
    .await
    .expect("counted");
    assert_eq!((records, events), (counted, counted), "seed {seed}: a record counted or accepted twice: {row:?}");
    if row.state == JobState::Succeeded {
        assert_eq!(counted, i64::from(expected), "seed {seed}: a record is missing");
    }
}

/// Several workers act one after the other, in an order that the seed decides.
#[tokio::test(flavor = "multi_thread")]
async fn no_order_of_turns_breaks_the_protocol() {
    let engine = counting::engine(8).await;
    for seed in 0..250u64 {
        let random = &mut Random(seed);
        let (units, batches) = (1 + random.below(4), 1 + random.below(3));
        let first = 1 + u32::try_from(seed).expect("small") * 1000;
        let (units, batches) = (u32::try_from(units).expect("small"), u32::try_from(batches).expect("small"));
        let job = counting::submit(&engine, first, units, batches).await;
        let mut actors: Vec<Actor> = (0..3).map(|_| Actor { worker: WorkerId::new(), held: Vec::new() }).collect();
        for _ in 0..15 + random.below(40) {
            let actor = usize::try_from(random.below(3)).expect("small");
            let choice = random.below(16);
            if choice == 15 && random.below(6) == 0 {
                jobs::cancel(&engine.db, job).await.expect("cancels");
            }
            actors[actor].act(&engine, job, choice).await;
        }
        drain(&engine, job).await;
        check(&engine, seed, job, first, units * batches * PER_BATCH).await;
    }
}

/// The same concurrently: in each round, all workers act at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_race_breaks_the_protocol() {
    let engine = counting::engine(12).await;
    for seed in 0..150u64 {
        let random = &mut Random(seed ^ 0xabcd);
        let (units, batches) = (1 + random.below(5), 1 + random.below(2));
        let first = 1 + u32::try_from(seed).expect("small") * 1000;
        let (units, batches) = (u32::try_from(units).expect("small"), u32::try_from(batches).expect("small"));
        let job = counting::submit(&engine, first, units, batches).await;
        let mut actors: Vec<Actor> = (0..4).map(|_| Actor { worker: WorkerId::new(), held: Vec::new() }).collect();
        for _ in 0..6 + random.below(10) {
            let cancels = random.below(25) == 0;
            let mut acting = Vec::new();
            for mut actor in actors.drain(..) {
                let (engine, choice) = (engine.clone(), random.below(15));
                acting.push(tokio::spawn(async move {
                    actor.act(&engine, job, choice).await;
                    actor
                }));
            }
            if cancels {
                jobs::cancel(&engine.db, job).await.expect("cancels");
            }
            for one in acting {
                actors.push(one.await.unwrap_or_else(|e| panic!("seed {seed}: {e}")));
            }
        }
        drain(&engine, job).await;
        check(&engine, seed, job, first, units * batches * PER_BATCH).await;
    }
}

/// All units of a job complete at the same moment: exactly one of them ends the job.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_last_units_of_a_job_end_it_exactly_once() {
    let engine = counting::engine(12).await;
    for round in 0..60u32 {
        let job = counting::submit(&engine, 1 + round * 1000, 4, 1).await;
        let worker = WorkerId::new();
        let tools = engine.tools();
        let claim = || Claim { worker: &worker, hostname: "h", tools: &tools, unit: None, job: None };
        let lease = Lease::claim(&engine.db, &engine.settings, claim()).await.expect("claims").expect("the plan");
        lease.start(&engine.db).await.expect("starts");
        lease.complete_plan(&engine, &counting::plan(&lease.params)).await.expect("planned");
        let mut ready = Vec::new();
        while let Some(mut lease) = Lease::claim(&engine.db, &engine.settings, claim()).await.expect("claims") {
            lease.start(&engine.db).await.expect("starts");
            lease.commit(&engine, counting::next_batch(&lease).expect("a batch")).await.expect("commits");
            ready.push(lease);
        }
        assert_eq!(ready.len(), 4);
        let ending: Vec<_> = ready
            .into_iter()
            .map(|lease| {
                let engine = engine.clone();
                tokio::spawn(async move { lease.complete(&engine).await.expect("completes") })
            })
            .collect();
        let mut over = 0;
        for one in ending {
            over += usize::from(one.await.expect("no panic") == JobProgressed::JobOver);
        }
        assert_eq!(over, 1, "round {round}: {over} units ended the job");
        assert!(finalise(&engine, job).await.expect("finalises"));
        assert!(!finalise(&engine, job).await.expect("again"), "only once");
    }
    assert_eq!(invariants::broken(&engine.db).await, Vec::<String>::new());
}

/// A claim by `id in (select … limit)` takes far more than asked for under a nested-loop plan.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_takes_no_more_than_asked_whatever_the_plan() {
    let engine = counting::engine(4).await;
    // One job with many units: the limit also holds within a job.
    counting::submit(&engine, 1, 40, 1).await;
    let worker = WorkerId::new();
    let tools = engine.tools();
    let claim = Claim { worker: &worker, hostname: "h", tools: &tools, unit: None, job: None };
    let plan = Lease::claim(&engine.db, &engine.settings, claim).await.expect("claims").expect("the plan");
    plan.start(&engine.db).await.expect("starts");
    plan.complete_plan(&engine, &counting::plan(&plan.params)).await.expect("planned");
    let mut connection = engine.db.acquire().await.expect("a connection");
    for switch in ["hashjoin", "mergejoin", "sort", "hashagg", "material"] {
        let off = sqlx::AssertSqlSafe(format!("set enable_{switch} = off"));
        sqlx::query(off).execute(&mut *connection).await.expect("set");
    }
    let claimed = sqlx::query("select id from claim_work_unit('w', 'h', array['test.count'], 5)")
        .fetch_all(&mut *connection)
        .await
        .expect("claims");
    assert_eq!(claimed.len(), 5);
    let taken: i64 = sqlx::query_scalar("select count(*) from ingestion_work_units where status = 'claimed'")
        .fetch_one(&mut *connection)
        .await
        .expect("counted");
    assert_eq!(taken, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_accepts_nothing_more() {
    let engine = counting::engine(4).await;
    let job = counting::submit(&engine, 1, 1, 3).await;
    let worker = WorkerId::new();
    let tools = engine.tools();
    let claim = || Claim { worker: &worker, hostname: "h", tools: &tools, unit: None, job: None };
    let plan = Lease::claim(&engine.db, &engine.settings, claim()).await.expect("claims").expect("the plan");
    plan.start(&engine.db).await.expect("starts");
    plan.complete_plan(&engine, &counting::plan(&plan.params)).await.expect("planned");
    let mut lease = Lease::claim(&engine.db, &engine.settings, claim()).await.expect("claims").expect("a unit");
    lease.start(&engine.db).await.expect("starts");
    lease.commit(&engine, counting::next_batch(&lease).expect("a batch")).await.expect("commits");
    let cancelled = jobs::cancel(&engine.db, job).await.expect("cancels").expect("there");
    assert_eq!((cancelled.state, cancelled.cancelled, cancelled.stopping), (JobState::Running, true, true));
    assert!(!lease.heartbeat(&engine.db, 120.0).await.expect("beats"), "the heartbeat tells");
    let refused = lease.commit(&engine, counting::next_batch(&lease).expect("a batch")).await;
    assert!(matches!(refused, Err(UnitError::Cancelled)), "{refused:?}");
    assert_eq!(lease.cancel(&engine).await.expect("stops"), JobProgressed::JobOver);
    finalise(&engine, job).await.expect("finalises");
    let ended = jobs::get(&engine.db, job).await.expect("read").expect("there");
    assert_eq!(ended.state, JobState::Cancelled);
    assert_eq!(ended.progress.counts.requested, i64::from(PER_BATCH), "what was committed before stays");
    let again = jobs::cancel(&engine.db, job).await.expect("responds").expect("there");
    assert_eq!((again.state, again.stopping), (JobState::Cancelled, false));
    assert_eq!(invariants::broken(&engine.db).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_without_progress_fails_after_three_attempts_and_with_progress_does_not() {
    let engine = counting::engine(4).await;
    let job = counting::submit(&engine, 1, 1, 9).await;
    let worker = WorkerId::new();
    let tools = engine.tools();
    let claim = || Claim { worker: &worker, hostname: "h", tools: &tools, unit: None, job: None };
    let plan = Lease::claim(&engine.db, &engine.settings, claim()).await.expect("claims").expect("the plan");
    plan.start(&engine.db).await.expect("starts");
    plan.complete_plan(&engine, &counting::plan(&plan.params)).await.expect("planned");
    for round in 0..5 {
        let mut lease = Lease::claim(&engine.db, &engine.settings, claim()).await.expect("claims").expect("a unit");
        lease.start(&engine.db).await.expect("starts");
        lease.commit(&engine, counting::next_batch(&lease).expect("a batch")).await.expect("commits");
        let dead: i32 = sqlx::query_scalar("select reclaim_work_units_of($1)")
            .bind(worker.as_str())
            .fetch_one(&engine.db)
            .await
            .expect("reclaims");
        assert_eq!(dead, 1, "round {round}");
    }
    for attempt in 1..=2 {
        let lease = Lease::claim(&engine.db, &engine.settings, claim()).await.expect("claims");
        let lease = lease.unwrap_or_else(|| panic!("attempt {attempt} is still there"));
        lease.start(&engine.db).await.expect("starts");
        sqlx::query("select reclaim_work_units_of($1)")
            .bind(worker.as_str())
            .execute(&engine.db)
            .await
            .expect("reclaims");
    }
    assert!(Lease::claim(&engine.db, &engine.settings, claim()).await.expect("asks").is_none(), "out of attempts");
    shared::ingest::sweep(&engine, None).await.expect("sweeps");
    let ended = jobs::get(&engine.db, job).await.expect("read").expect("there");
    assert_eq!(ended.state, JobState::Failed);
    assert_eq!(ended.error.expect("an error")["error_code"], "WORKER_LOST");
    assert_eq!(invariants::broken(&engine.db).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn submitting_again_returns_the_same_job_while_it_is_active() {
    let engine = counting::engine(20).await;
    let submitting: Vec<_> = (0..32)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { counting::submit(&engine, 1, 1, 1).await })
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    for one in submitting {
        ids.insert(one.await.expect("no panic"));
    }
    assert_eq!(ids.len(), 1, "32 submissions at once are one job");
    let job = *ids.iter().next().expect("one");
    drain(&engine, job).await;
    assert_ne!(counting::submit(&engine, 1, 1, 1).await, job, "a finished job is not returned");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_never_see_an_older_event_appear() {
    let engine = counting::engine(12).await;
    for n in 0..6u32 {
        counting::submit(&engine, 1 + n * 1000, 2, 4).await;
    }
    let working: Vec<_> = (0..4)
        .map(|_| {
            let worker = Worker::new(engine.clone(), None).expect("a worker");
            tokio::spawn(async move { worker.run(true).await.expect("works") })
        })
        .collect();
    let mut seen: Vec<i64> = Vec::new();
    while !working.iter().all(tokio::task::JoinHandle::is_finished) {
        let rows =
            sqlx::query("select seq from archive_events order by seq").fetch_all(&engine.db).await.expect("read");
        let now: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        assert!(now.starts_with(&seen), "an event appeared before one that was seen");
        seen = now;
    }
    for worker in working {
        worker.await.expect("no panic");
    }
    let times: Vec<chrono::DateTime<chrono::Utc>> =
        sqlx::query_scalar("select accepted_at from archive_events order by seq")
            .fetch_all(&engine.db)
            .await
            .expect("read");
    assert!(times.is_sorted(), "events are accepted in the order of their numbers");
}

/// After its unit was reclaimed, every write of the old worker is refused, even when the unit runs again.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_lease_can_write_nothing() {
    let engine = counting::engine(4).await;
    counting::submit(&engine, 1, 1, 1).await;
    let (dead, alive) = (WorkerId::new(), WorkerId::new());
    let tools = engine.tools();
    let claim = async |worker: &WorkerId| {
        let claim = Claim { worker, hostname: "h", tools: &tools, unit: None, job: None };
        let lease = Lease::claim(&engine.db, &engine.settings, claim).await.expect("claims").expect("a unit");
        lease.start(&engine.db).await.expect("starts");
        lease
    };
    let plan = claim(&alive).await;
    plan.complete_plan(&engine, &counting::plan(&plan.params)).await.expect("planned");
    let mut zombie = claim(&dead).await;
    zombie.commit(&engine, counting::next_batch(&zombie).expect("a batch")).await.expect("commits");
    sqlx::query("select reclaim_work_units_of($1)").bind(dead.as_str()).execute(&engine.db).await.expect("reclaims");
    let owner = claim(&alive).await;

    assert!(!zombie.heartbeat(&engine.db, 120.0).await.expect("beats"));
    let lost = |result: Result<JobProgressed, UnitError>| matches!(result, Err(UnitError::LeaseLost));
    assert!(lost(zombie.complete(&engine).await), "complete");
    assert!(lost(zombie.fail(&engine, ErrorCode::ArchiveError, "x", false).await), "fail");
    assert!(lost(zombie.release(&engine).await), "hand back");
    assert!(lost(zombie.cancel(&engine).await), "stop");
    let again = zombie.commit(&engine, shared::ingest::Batch::default()).await;
    assert!(matches!(again, Err(UnitError::LeaseLost)), "commit");
    assert_eq!(owner.complete(&engine).await.expect("completes"), JobProgressed::JobOver);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_past_its_deadline_is_given_up() {
    let engine = counting::engine(4).await;
    let job = counting::submit(&engine, 1, 2, 1).await;
    sqlx::query("update jobs set deadline_at = now() - interval '1 second'").execute(&engine.db).await.expect("aged");
    Worker::new(engine.clone(), None).expect("a worker").run(true).await.expect("works");
    shared::ingest::sweep(&engine, None).await.expect("sweeps");
    let ended = jobs::get(&engine.db, job).await.expect("read").expect("there");
    assert_eq!(ended.state, JobState::Failed);
    assert_eq!(ended.error.expect("an error")["error_code"], "DEADLINE_EXCEEDED");
    assert_eq!(invariants::broken(&engine.db).await, Vec::<String>::new());
}
