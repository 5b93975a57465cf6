//! Jobs that read the event log: how many there are, how long one runs, and what its progress reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use shared::db::DbError;
use shared::ingest::{Engine, Settings, UnitError, Worker, sweep};
use shared::jobs::{self, Filter, Job, JobState};
use shared::projections::{self, CatchUp, EventBatch, PrepareContext, Projection, ProjectionRows, TOOL, catch_up, lag};
use sqlx::PgConnection;
use tests::feed::{self, catch_up_jobs, others_arrive, with_readers};
use tests::{counting, sync};

/// Settings with five events per batch.
fn small() -> Settings {
    Settings { batch_records: 1, ..Settings::default() }
}

async fn last_job(engine: &Engine) -> Job {
    let filter = Filter { limit: 1, ..Filter::default() };
    jobs::list(&engine.db, &filter).await.expect("listed").0.rows.remove(0).job
}

/// Calls the hooks that run at the end of a job.
async fn ended(engine: &Engine, job: &Job, state: JobState) {
    for upkeep in &*engine.upkeep {
        upkeep.job_ended(engine, job, state).await.expect("done");
    }
}

/// A long load writes events all the time: with one catch-up job after each there would be one per second.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_while_a_catch_up_ends_wait_for_the_sweep() {
    let engine = with_readers(small()).await;
    let worker = Worker::new(engine.clone(), None).expect("a worker");
    others_arrive(&engine, 1, 0).await;
    sweep(&engine, None).await.expect("sweeps");
    worker.run(true).await.expect("works");
    let job = last_job(&engine).await;
    others_arrive(&engine, 5, 0).await;
    ended(&engine, &job, JobState::Succeeded).await;
    assert_eq!(catch_up_jobs(&engine).await, [JobState::Succeeded], "a batch of events is no reason for a job");
    sweep(&engine, None).await.expect("sweeps");
    assert_eq!(catch_up_jobs(&engine).await, [JobState::Queued, JobState::Succeeded]);
    worker.run(true).await.expect("works");
    // Another job ends.
    others_arrive(&engine, 1, 0).await;
    let other = Job { tool: counting::TOOL.to_owned(), ..job.clone() };
    ended(&engine, &other, JobState::Failed).await;
    assert_eq!(catch_up_jobs(&engine).await.len(), 3, "it wrote events, whatever it ended as");
    worker.run(true).await.expect("works");
    // More than one batch is left.
    others_arrive(&engine, 6, 0).await;
    ended(&engine, &job, JobState::Failed).await;
    assert_eq!(catch_up_jobs(&engine).await.len(), 3, "one that failed is repeated by the sweep");
    ended(&engine, &job, JobState::Succeeded).await;
    assert_eq!(catch_up_jobs(&engine).await.len(), 4, "one that ended at its maximum is continued");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_catch_up_lets_a_single_worker_run_other_jobs() {
    let engine = with_readers(small()).await;
    // One job reads 200 batches.
    others_arrive(&engine, 1_200, 0).await;
    sweep(&engine, None).await.expect("sweeps");
    counting::submit(&engine, 1, 0, 0).await;
    Worker::new(engine.clone(), None).expect("a worker").run(true).await.expect("works");
    let tools: Vec<String> =
        sqlx::query_scalar("select tool from jobs order by completed_at").fetch_all(&engine.db).await.expect("read");
    assert_eq!(tools, [TOOL, counting::TOOL, TOOL], "the job that waited runs before the rest of the log is read");
    assert!(!lag(&engine.db, &projections::all()).await.expect("read").remove(0).is_to_be_read());
    assert_eq!(feed::rows(&engine).await.len(), 1_200);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_counts_the_numbers_of_the_log_that_exist() {
    let engine = with_readers(small()).await;
    // The sequence numbers of a log that was lost and rebuilt start at the time in microseconds.
    sqlx::query("update archive_event_counter set last_seq = 1700000000000000").execute(&engine.db).await.expect("set");
    // With members of queries in between, and at the end.
    others_arrive(&engine, 12, 1).await;
    sqlx::query("update archive_event_counter set last_seq = last_seq + 100").execute(&engine.db).await.expect("set");
    for rebuilt in [false, true] {
        if rebuilt {
            projections::rebuild(&engine.db, &projections::all(), "changes").await.expect("started");
        }
        sweep(&engine, None).await.expect("sweeps");
        let job = sync::finish(&engine, last_job(&engine).await.job_id()).await;
        assert_eq!(job.state, JobState::Succeeded, "{:?}", job.error);
        let progress = (job.progress.work_done, job.progress.work_total);
        assert_eq!(progress, (23, 23), "12 events and 11 numbers between them; rebuilt: {rebuilt}");
    }
}

/// A projection without rows. Another process reads to the end of the log while its first batch is prepared.
struct Overtaken(AtomicBool);

struct Nothing;

#[async_trait]
impl Projection for Overtaken {
    fn name(&self) -> &'static str {
        "overtaken"
    }

    fn rules(&self) -> i32 {
        1
    }

    async fn prepare(&self, reading: PrepareContext<'_>, _: &EventBatch) -> Result<Arc<dyn ProjectionRows>, UnitError> {
        if !self.0.swap(true, Ordering::Relaxed) {
            let another: Arc<dyn Projection> = Arc::new(Self(AtomicBool::new(true)));
            assert!(catch_up(reading.engine, &[another], |_| true).await?.is_current);
        }
        Ok(Arc::new(Nothing))
    }
}

#[async_trait]
impl ProjectionRows for Nothing {
    async fn write(&self, _: &mut PgConnection) -> Result<(), DbError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_counts_no_batch_that_another_process_has_written() {
    let engine = feed::engine().await;
    others_arrive(&engine, 8, 0).await;
    let overtaken: Arc<[Arc<dyn Projection>]> =
        Arc::new([Arc::new(Overtaken(AtomicBool::new(false))) as Arc<dyn Projection>]);
    let engine = Engine { pipelines: Arc::new([Arc::new(CatchUp(overtaken.clone())) as _]), ..engine };
    let submitted = projections::submit_if_behind(&engine, &overtaken, sync::LIMITS).await.expect("submitted");
    let job = sync::finish(&engine, submitted.expect("it is behind").job().job_id()).await;
    assert_eq!(job.state, JobState::Succeeded, "{:?}", job.error);
    assert_eq!((job.progress.work_done, job.progress.work_total), (0, 8));
}
