//! Projections of the event log: read in order, killed and resumed, read concurrently, dropped and rebuilt.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use samples::files::write_sample;
use shared::db::DbError;
use shared::ingest::{Engine, Settings, UnitError, Worker, sweep};
use shared::jobs::{self, Filter, JobState};
use shared::projections::{
    self, CatchUp, EventBatch, PrepareContext, Projection, ProjectionRows, catch_up, lag, rebuild,
};
use shared::readiness::{self, Status};
use sqlx::{PgConnection, PgPool};
use tests::databases::until_one_waits;
use tests::failing_store::{FailingStore, Fault};
use tests::feed::{self, Row, catch_up_jobs, drop_feed, rows};
use tests::program::Archive;
use tests::random::Random;
use tests::serving::Running;
use tests::{counting, sync};

/// A projection that stores the sequence number of each event.
struct Numbers {
    rules: i32,
}

struct NumberRows {
    after: i64,
    upto: i64,
    numbers: Vec<i64>,
    rules: i32,
}

#[async_trait]
impl Projection for Numbers {
    fn name(&self) -> &'static str {
        "numbers"
    }

    fn rules(&self) -> i32 {
        self.rules
    }

    async fn prepare(&self, _: PrepareContext<'_>, batch: &EventBatch) -> Result<Arc<dyn ProjectionRows>, UnitError> {
        let numbers = batch.events.iter().map(|event| event.seq).collect();
        Ok(Arc::new(NumberRows { after: batch.after, upto: batch.upto, numbers, rules: self.rules }))
    }
}

#[async_trait]
impl ProjectionRows for NumberRows {
    async fn write(&self, tx: &mut PgConnection) -> Result<(), DbError> {
        let sql = "delete from numbers where seq > $1 and seq <= $2";
        sqlx::query(sql).bind(self.after).bind(self.upto).execute(&mut *tx).await?;
        let sql = "insert into numbers select n, $2 from unnest($1::bigint[]) as t (n)";
        sqlx::query(sql).bind(&self.numbers).bind(self.rules).execute(tx).await?;
        Ok(())
    }
}

async fn numbers(rules: i32, db: &PgPool) -> Arc<[Arc<dyn Projection>]> {
    let sql = "create table if not exists numbers (seq bigint primary key, rules integer)";
    sqlx::query(sql).execute(db).await.expect("made");
    Arc::new([Arc::new(Numbers { rules }) as Arc<dyn Projection>])
}

/// The version of the rules by which each event was read, in order.
async fn rules_of_rows(db: &PgPool) -> Vec<i32> {
    sqlx::query_scalar("select rules from numbers order by seq").fetch_all(db).await.expect("read")
}

async fn events(db: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from archive_events").fetch_one(db).await.expect("counted")
}

/// The feed, and the same feed dropped and rebuilt in one run.
async fn with_a_new_one(engine: &Engine) -> (Vec<Row>, Vec<Row>) {
    let there = rows(engine).await;
    drop_feed(engine).await;
    let large = Engine { settings: Settings::default(), ..engine.clone() };
    feed::catch_up(&large).await;
    (there, rows(engine).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_dropped_and_made_again_is_the_same() {
    for seed in 0..6 {
        let engine = feed::engine().await;
        let mut random = Random(seed);
        for part in 0..5 {
            feed::history(&engine, &mut random, part * 12..part * 12 + 12).await;
            if random.percent(70) {
                feed::catch_up(&engine).await;
            }
        }
        feed::catch_up(&engine).await;
        let (there, again) = with_a_new_one(&engine).await;
        assert!(there.len() > 20, "seed {seed}: {}", there.len());
        assert_eq!(there, again, "seed {seed}: however the log was cut into batches");
        // Rebuilt from the payloads alone.
        feed::forget_notes(&engine).await;
        let (_, from_objects) = with_a_new_one(&engine).await;
        assert_eq!(there, from_objects, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_writes_what_the_log_says_over_whatever_is_there() {
    let engine = feed::engine().await;
    feed::history(&engine, &mut Random(11), 0..60).await;
    feed::catch_up(&engine).await;
    let expected = rows(&engine).await;
    for damage in [
        "delete from changes where seq % 3 = 0",
        "update changes set integrity = 'ok', details = null where integrity <> 'ok'",
        "update changes c set kind = 'concern' where kind = 'new' and seq % 2 = 0 \
         and not exists (select from changes o where o.seq = c.seq and o.kind = 'concern')",
        "insert into changes (seq, kind, record_type, record_id) select seq, 'retraction_withdrawn', 'pubmed', '1' \
         from changes where seq % 4 = 1 on conflict do nothing",
    ] {
        sqlx::query(damage).execute(&engine.db).await.expect("damaged");
        assert_ne!(rows(&engine).await, expected, "{damage}");
        rebuild(&engine.db, &projections::all(), "changes").await.expect("started");
        // New events are read first, so that a rebuild does not delay readers.
        let mut parts = 0;
        let one = catch_up(&engine, &projections::all(), |_| false).await.expect("reads");
        assert!(!one.is_current, "a batch is not all");
        while !catch_up(&engine, &projections::all(), |_| false).await.expect("reads").is_current {
            parts += 1;
            assert!(parts < 100);
        }
        assert!(parts > 3, "{parts} batches");
        assert_eq!(rows(&engine).await, expected, "{damage}");
    }
    let unknown = rebuild(&engine.db, &projections::all(), "nothing").await;
    assert!(matches!(unknown, Err(projections::RebuildError::Unknown)));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_during_a_rebuild_are_read_before_it_goes_on() {
    let engine = feed::engine().await;
    feed::history(&engine, &mut Random(12), 0..40).await;
    feed::catch_up(&engine).await;
    rebuild(&engine.db, &projections::all(), "changes").await.expect("started");
    let mut random = Random(13);
    for part in 0..40 {
        feed::history(&engine, &mut random, 40 + part..41 + part).await;
        catch_up(&engine, &projections::all(), |_| false).await.expect("reads");
        let lag = lag(&engine.db, &projections::all()).await.expect("read").remove(0);
        assert_eq!(lag.events_behind, 0, "part {part}: {lag:?}");
    }
    feed::catch_up(&engine).await;
    let (there, again) = with_a_new_one(&engine).await;
    assert_eq!(there, again);
}

/// The projection `numbers`; while it prepares a batch of a rebuild, another process handles a new event.
struct Overtaken {
    /// Last event before the rebuild.
    last: i64,
    /// Number of prepared batches of the rebuild.
    prepared: Arc<AtomicI32>,
}

#[async_trait]
impl Projection for Overtaken {
    fn name(&self) -> &'static str {
        "numbers"
    }

    fn rules(&self) -> i32 {
        1
    }

    async fn prepare(
        &self,
        context: PrepareContext<'_>,
        batch: &EventBatch,
    ) -> Result<Arc<dyn ProjectionRows>, UnitError> {
        if batch.upto <= self.last {
            let file = 1000 + self.prepared.fetch_add(1, Ordering::Relaxed);
            let xml = feed::record(1, 1, &format!("title {file}"), &[]);
            feed::arrive(context.engine, file, 1, 1, Some(xml)).await;
            let other = numbers(1, &context.engine.db).await;
            catch_up(context.engine, &other, |_| false).await?;
        }
        Numbers { rules: 1 }.prepare(context, batch).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_progresses_while_another_process_handles_new_events() {
    let engine = feed::engine().await;
    feed::history(&engine, &mut Random(15), 0..40).await;
    let all = numbers(1, &engine.db).await;
    catch_up(&engine, &all, |_| true).await.expect("reads");
    let last = events(&engine.db).await;
    assert!(last > 10, "{last}: more than two batches");
    rebuild(&engine.db, &all, "numbers").await.expect("started");
    let prepared = Arc::new(AtomicI32::new(0));
    let overtaken: Arc<[Arc<dyn Projection>]> =
        Arc::new([Arc::new(Overtaken { last, prepared: prepared.clone() }) as Arc<dyn Projection>]);
    let is_progressing = |_: i64| prepared.load(Ordering::Relaxed) < 50;
    let done = catch_up(&engine, &overtaken, is_progressing).await.expect("reads");
    assert!(done.is_current);
    let batches = (last + 4) / 5;
    assert_eq!(i64::from(prepared.load(Ordering::Relaxed)), batches, "no batch of the rebuild was discarded");
    assert_eq!(
        i64::try_from(rules_of_rows(&engine.db).await.len()),
        Ok(events(&engine.db).await),
        "every event has its row"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_readers_at_once_write_each_batch_once() {
    let engine = feed::engine().await;
    feed::history(&engine, &mut Random(14), 0..80).await;
    let readers = (0..4).map(|_| {
        let engine = engine.clone();
        tokio::spawn(async move { feed::catch_up(&engine).await.events })
    });
    let mut read = 0;
    for reader in readers.collect::<Vec<_>>() {
        read += reader.await.expect("no panic");
    }
    assert_eq!(read, events(&engine.db).await, "each event was counted once");
    let (there, again) = with_a_new_one(&engine).await;
    assert_eq!(there, again);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_it_resumes_and_ends_the_same() {
    const SMALL: (&str, &str) = ("BIO_MCP_BATCH_RECORDS", "10");
    let archive = Archive::new().await;
    let sample = write_sample(archive.dir.path(), 150).expect("written");
    archive.ingest(&sample.baseline);
    archive.ingest(&sample.update);
    let db = archive.database().await;
    let changes = async || -> Vec<(i64, String)> {
        sqlx::query_as("select seq, kind from changes order by seq, kind").fetch_all(&db).await.expect("read")
    };
    let expected = changes().await;
    let last: i64 = sqlx::query_scalar("select max(seq) from archive_events").fetch_one(&db).await.expect("read");
    assert!(expected.len() > 150, "an ingest leaves the feed current: {}", expected.len());
    for point in ["projection_prepared:1", "projection_prepared:2", "projection_written:1", "projection_written:3"] {
        sqlx::raw_sql("truncate changes, projections").execute(&db).await.expect("dropped");
        let mut child = archive.start(&["projections", "catch-up"], &[SMALL, ("BIO_MCP_CRASH_AT", point)]);
        assert_eq!(child.wait().expect("ends").signal(), Some(9), "{point} is passed");
        let seq: Option<i64> =
            sqlx::query_scalar("select seq from projections").fetch_optional(&db).await.expect("read");
        let (seq, there) = (seq.unwrap_or(0), changes().await);
        let upto: Vec<_> = expected.iter().filter(|(n, _)| *n <= seq).cloned().collect();
        assert!(seq < last, "{point}: it was killed before the end");
        assert_eq!(there, upto, "{point}: what is written is what the position says");
        archive.run(&["projections", "catch-up"]).expect(0);
        assert_eq!(changes().await, expected, "{point}");
    }
}

/// An interrupted command finishes its batch: a transaction that is dropped halfway would make its connection unusable.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_interrupted_ends_at_the_end_of_a_batch() {
    let archive = Archive::new().await;
    let sample = write_sample(archive.dir.path(), 150).expect("written");
    archive.ingest(&sample.baseline);
    let db = archive.database().await;
    sqlx::raw_sql("truncate changes; update projections set seq = 0").execute(&db).await.expect("dropped");
    let mut held = db.acquire().await.expect("connects");
    sqlx::raw_sql("begin; select from projections for update").execute(&mut *held).await.expect("locked");
    let mut running = Running(archive.start(&["projections", "catch-up"], &[("BIO_MCP_BATCH_RECORDS", "10")]));
    until_one_waits(&db).await;
    running.signal("-INT");
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(700) {
        assert!(running.0.try_wait().expect("asked").is_none(), "it does not leave its transaction");
        tokio::task::yield_now().await;
    }
    sqlx::raw_sql("commit").execute(&mut *held).await.expect("released");
    assert_eq!(running.0.wait().expect("ends").code(), Some(130));
    let sql = "select p.seq, coalesce(max(c.seq), 0) between 1 and 50 from projections p left join changes c on true \
               group by p.seq";
    let written: (i64, bool) = sqlx::query_as(sql).fetch_one(&db).await.expect("read");
    assert_eq!(written, (50, true), "the batch that had begun is written, and no other");
    archive.run(&["projections", "catch-up"]).expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_rules_rebuild_and_older_ones_leave_the_log_alone() {
    let engine = feed::engine().await;
    feed::history(&engine, &mut Random(15), 0..30).await;
    let old = numbers(1, &engine.db).await;
    catch_up(&engine, &old, |_| true).await.expect("reads");
    let submit = async |projections: &[Arc<dyn Projection>]| {
        let submitted = projections::submit_if_behind(&engine, projections, sync::LIMITS).await.expect("looked");
        submitted.map(|submitted| submitted.job().id)
    };
    assert_eq!(submit(&old).await, None, "nothing is left");
    let count = usize::try_from(events(&engine.db).await).expect("small");
    assert_eq!(rules_of_rows(&engine.db).await, vec![1; count]);
    let new = numbers(2, &engine.db).await;
    assert!(submit(&new).await.is_some(), "its rows are to be read again");
    sqlx::query("delete from jobs").execute(&engine.db).await.expect("forgotten");
    catch_up(&engine, &new, |_| true).await.expect("reads");
    assert_eq!(rules_of_rows(&engine.db).await, vec![2; count], "read again by the newer rules");
    feed::history(&engine, &mut Random(16), 30..40).await;
    let done = catch_up(&engine, &old, |_| true).await.expect("reads");
    assert_eq!((done.events, rules_of_rows(&engine.db).await.len()), (0, count), "the newer program reads on");
    assert_eq!(submit(&old).await, None, "an older one would submit jobs that read nothing, for ever");
    catch_up(&engine, &new, |_| true).await.expect("reads");
    assert!(rules_of_rows(&engine.db).await.iter().all(|rules| *rules == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_wrote_events_is_followed_by_one_that_reads_them() {
    let engine = feed::with_readers(Settings::default()).await;
    // The payloads are missing from the store, as if they were lost.
    feed_of_counting(&engine).await;
    let worker = Worker::new(engine.clone(), None).expect("a worker");
    assert_eq!(catch_up_jobs(&engine).await, [JobState::Queued], "submitted once, whatever ends meanwhile");
    worker.run(true).await.expect("works");
    assert_eq!(catch_up_jobs(&engine).await, [JobState::Succeeded]);
    assert_eq!(i64::try_from(rows(&engine).await.len()).expect("small"), events(&engine.db).await);
    // Nothing to read: no job, neither after another one nor by the sweep.
    let other = counting::submit(&engine, 500, 0, 0).await;
    worker.run_job(other).await.expect("works");
    sweep(&engine, None).await.expect("sweeps");
    assert_eq!(catch_up_jobs(&engine).await.len(), 1);
    // The sweep finds events that no job wrote.
    feed::arrive(&engine, 1, 7, 1, Some(feed::record(7, 1, "a", &[]))).await;
    sweep(&engine, None).await.expect("sweeps");
    sweep(&engine, None).await.expect("sweeps");
    assert_eq!(catch_up_jobs(&engine).await, [JobState::Queued, JobState::Succeeded], "one at a time");
    worker.run(true).await.expect("works");
    assert_eq!(feed::kinds(&engine, 7).await, ["new"]);
    let job =
        jobs::list(&engine.db, &Filter { limit: 1, ..Filter::default() }).await.expect("listed").0.rows.remove(0).job;
    assert_eq!((job.principal.as_str(), job.exclusive_key.as_deref()), ("projections", Some("projections")));
    assert_eq!((job.progress.work_done, job.progress.work_total), (1, 1), "{:?}", job.progress);
    assert_eq!(tests::invariants::broken(&engine.db).await, Vec::<String>::new());
}

/// Runs two counting jobs to their ends, with objects of their payloads.
async fn feed_of_counting(engine: &Engine) {
    let worker = Worker::new(engine.clone(), None).expect("a worker");
    for first in [100, 200] {
        let job = counting::submit(engine, first, 2, 2).await;
        worker.run_job(job).await.expect("works");
    }
    // The payloads of counting jobs are numbers: there is nothing to read in them.
    sqlx::query("update archive_events set integrity_rules = 1").execute(&engine.db).await.expect("noted");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_catch_up_that_failed_the_next_sweep_starts_another_not_its_end() {
    let (store, faults) = FailingStore::new();
    let engine = feed::with_readers(Settings::default()).await;
    let engine = tests::forged::over(&engine, Arc::new(store));
    for n in 1..=3 {
        feed::arrive(&engine, 1, n, 1, Some(feed::record(n, 1, "a", &[]))).await;
    }
    feed::forget_notes(&engine).await;
    *faults.lock().expect("no panic") = Some(("pubmed/raw", Fault::Unavailable));
    let worker = Worker::new(engine.clone(), None).expect("a worker");
    for _ in 0..4 {
        sqlx::query("update ingestion_work_units set not_before = now()").execute(&engine.db).await.expect("due");
        worker.run(true).await.expect("works");
    }
    assert_eq!(catch_up_jobs(&engine).await, [JobState::Failed], "tried three times, and left");
    *faults.lock().expect("no panic") = None;
    sweep(&engine, None).await.expect("sweeps");
    worker.run(true).await.expect("works");
    assert_eq!(catch_up_jobs(&engine).await, [JobState::Succeeded, JobState::Failed]);
    assert_eq!(rows(&engine).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_reader_is_reported_and_an_active_one_is_not() {
    let engine = feed::engine().await;
    let check = async || readiness::check_readiness(&engine, &[]).await.checks.projections;
    assert_eq!(check().await.status, Status::Ready, "an empty log");
    feed::history(&engine, &mut Random(17), 0..20).await;
    let lagging = async || lag(&engine.db, &projections::all()).await.expect("read").remove(0);
    let behind = lagging().await;
    assert_eq!((behind.events_behind, behind.seq), (events(&engine.db).await, 0), "{behind:?}");
    assert!(behind.seconds_behind < 60.0 && !behind.is_stalled() && behind.is_to_be_read());
    catch_up(&engine, &projections::all(), |_| false).await.expect("reads");
    // An old log that is being read: its position moved a moment ago.
    sqlx::raw_sql("update archive_events set accepted_at = now() - interval '1 year'")
        .execute(&engine.db)
        .await
        .expect("aged");
    let moving = lagging().await;
    assert!(moving.seconds_behind > 1e6 && moving.stalled_seconds < 60.0, "{moving:?}");
    let check_now = check().await;
    assert_eq!(check_now.status, Status::Ready, "{}", check_now.detail);
    assert!(check_now.detail.contains("catching up"), "{}", check_now.detail);
    let age = "update projections set updated_at = now() - interval '20 minutes'";
    sqlx::query(age).execute(&engine.db).await.expect("aged");
    let stalled = check().await;
    assert_eq!(stalled.status, Status::Degraded);
    assert!(stalled.detail.contains("has not moved for 20 min"), "{}", stalled.detail);
    assert!(readiness::check_readiness(&engine, &[]).await.is_ready(), "requests are served all the same");
    feed::catch_up(&engine).await;
    sqlx::query(age).execute(&engine.db).await.expect("aged");
    assert_eq!(check().await.status, Status::Ready, "nothing is left to read");
    // A clock that was ahead hides no lag.
    feed::history(&engine, &mut Random(18), 20..30).await;
    sqlx::raw_sql(
        "update projections set updated_at = now() + interval '1 day'; \
         update archive_events set accepted_at = now() - interval '1 hour' where seq > (select seq from projections)",
    )
    .execute(&engine.db)
    .await
    .expect("aged");
    assert_eq!(check().await.status, Status::Degraded);
    tokio::time::timeout(Duration::from_secs(60), feed::catch_up(&engine)).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_the_log_can_be_run_by_any_worker_that_has_its_pipeline() {
    let engine = feed::engine().await;
    feed::history(&engine, &mut Random(19), 0..40).await;
    let engine = Engine { pipelines: Arc::new([Arc::new(CatchUp(projections::all())) as _]), ..engine };
    let submitted = projections::submit_if_behind(&engine, &projections::all(), sync::LIMITS).await.expect("submitted");
    let job = submitted.expect("it is behind").job().job_id();
    let ended = sync::finish(&engine, job).await;
    assert_eq!(ended.state, JobState::Succeeded, "{:?}", ended.error);
    assert!(ended.result.expect("a result").manifest.is_some());
    let (there, again) = with_a_new_one(&engine).await;
    assert_eq!(there, again);
    let none = projections::submit_if_behind(&engine, &projections::all(), sync::LIMITS).await.expect("looked");
    assert!(none.is_none(), "nothing is left");
}
