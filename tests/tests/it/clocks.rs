//! A clock that jumped ahead leaves timestamps in the future. None of them blocks anything: a timestamp more than a
//! minute ahead of the database's clock is corrected, and the correction is recorded.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Days, Utc};
use shared::core::WorkerId;
use shared::db::clock::{corrections, pull_back_jobs};
use shared::ingest::{Claim, Engine, Lease, Worker, sweep};
use shared::jobs::{self, JobState};
use shared::limits::PostgresRateLimiter;
use shared::pubmed::eutils::RateLimiter;
use shared::sources::pubmed_sync::SyncParams;
use shared::sources::topics::submit_due;
use shared::syncs;
use sqlx::PgPool;
use tests::counting;
use tests::program::Archive;
use tests::sync::{LIMITS, NOW, at, corpus, day, finish, incremental, number, of_all, pmid, start_incremental, sync};

async fn execute(db: &PgPool, sql: &'static str) {
    sqlx::query(sql).execute(db).await.expect("done");
}

async fn watermark(engine: &Engine) -> Option<DateTime<Utc>> {
    syncs::one(&engine.db, "all").await.expect("read").expect("bound").watermarks.entry
}

async fn told(db: &PgPool) -> BTreeSet<String> {
    corrections(db, 100).await.expect("listed").into_iter().map(|one| one.what).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watermark_in_the_future_goes_back_to_the_last_good_one_and_nothing_is_missed() {
    let (simulator, engine) = corpus(20).await;
    incremental(&engine, &of_all(None), at(NOW)).await;
    // A run while the clock was a year ahead, and a record entered after the real time of that run.
    execute(
        &engine.db,
        "with ahead as (update sync_queries set entry_watermark = now() + interval '1 year', \
             modification_watermark = now() + interval '1 year' returning query_key, entry_watermark) \
         insert into sync_watermark_moves (query_key, field, new, moved_by) \
         select query_key, field, entry_watermark, 'run' from ahead, unnest(array['entry', 'modification']) field",
    )
    .await;
    {
        let mut corpus = simulator.corpus();
        corpus.today = day("2026-03-20");
        corpus.add(9001, "entered meanwhile");
    }
    let next = at(NOW) + Days::new(40);
    let run = incremental(&engine, &of_all(None), next).await;
    assert_eq!((run.state, number(&run, "archived")), (JobState::Succeeded, 1));
    assert_eq!(run.result.expect("a result")["watermarks"]["before"]["entry"], "2026-03-10T17:00:00Z");
    assert_eq!(watermark(&engine).await, Some(next));
    let told = corrections(&engine.db, 10).await.expect("listed");
    assert_eq!(told.len(), 2, "both watermarks: {told:?}");
    assert!(told.iter().all(|one| one.name == "all" && one.set_to == Some(at(NOW))), "{told:?}");
    let moved_by: String = sqlx::query_scalar("select moved_by from sync_watermark_moves order by id offset 5 limit 1")
        .fetch_one(&engine.db)
        .await
        .expect("noted");
    assert_eq!(moved_by, "clock");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_watermark_the_whole_query_is_walked_again() {
    let (_simulator, engine) = corpus(20).await;
    syncs::bind(&engine.db, "all", "all", "test").await.expect("bound");
    execute(
        &engine.db,
        "update sync_queries set entry_watermark = now() + interval '2 hours', \
         modification_watermark = now() - interval '1 hour', \
         resume = jsonb_build_object('end', now() + interval '1 year', 'day', null, 'field', 'entry', 'after', 5)",
    )
    .await;
    let run = incremental(&engine, &of_all(None), at(NOW)).await;
    assert_eq!((run.state, number(&run, "archived")), (JobState::Succeeded, 20), "{:?}", run.error);
    let told = told(&engine.db).await;
    assert!(told.contains("sync_queries.entry_watermark") && told.contains("sync_queries.resume"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_less_than_a_minute_ahead_are_unchanged() {
    let (_simulator, engine) = corpus(1).await;
    syncs::bind(&engine.db, "all", "all", "test").await.expect("bound");
    execute(
        &engine.db,
        "update sync_queries set entry_watermark = now() + interval '50 s', modification_watermark = now()",
    )
    .await;
    assert!(syncs::pull_back_syncs(&engine.db).await.expect("looked").is_empty());
    assert!(pull_back_jobs(&engine.db).await.expect("looked").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_planned_by_a_clock_that_was_ahead_moves_no_watermark() {
    let (_simulator, engine) = corpus(20).await;
    incremental(&engine, &of_all(None), at(NOW)).await;
    let ahead = shared::core::clock::now() + Days::new(365);
    let job = start_incremental(&engine, &of_all(None), ahead).await;
    // It is planned before the sweep runs, and ends after the clock was corrected.
    Worker::new(engine.clone(), None).expect("a worker").run_one(Some(job)).await.expect("planned");
    let run = finish(&engine, job).await;
    assert_eq!(run.state, JobState::Succeeded, "{:?}", run.error);
    assert_eq!(watermark(&engine).await, Some(at(NOW)), "until when it really walked is not known");
    assert!(told(&engine.db).await.contains("sync_runs.plan"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_in_the_future_does_not_stop_its_topic() {
    let (_simulator, engine) = corpus(1).await;
    syncs::bind(&engine.db, "all", "all", "test").await.expect("bound");
    syncs::add_topic(&engine.db, "all", 1_000_000_000, 0).await.expect("added");
    execute(&engine.db, "update sync_topics set last_slot_at = now() + interval '1 year'").await;
    assert_eq!(submit_due(&engine, LIMITS, 24).await.expect("ticks").len(), 1);
    let topic = syncs::topics(&engine.db).await.expect("listed").remove(0);
    assert!(topic.last_slot_at.expect("a slot") < shared::core::clock::now());
    assert!(told(&engine.db).await.contains("sync_topics.last_slot_at"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_the_future_does_not_delay_retries_for_ever() {
    let (_simulator, engine) = corpus(1).await;
    syncs::bind(&engine.db, "all", "all", "test").await.expect("bound");
    syncs::add_topic(&engine.db, "all", 3600, 0).await.expect("added");
    execute(
        &engine.db,
        "update sync_queries set failed_runs = 1, failed_at = now() + interval '1 year', last_run_at = failed_at",
    )
    .await;
    execute(
        &engine.db,
        "insert into sync_retry (query_key, pmid, reason, first_failed_at, last_failed_at) \
         values ('all', '5', 'not_returned', now() + interval '1 year', now() + interval '1 year')",
    )
    .await;
    assert_eq!(sweep(&engine, None).await.expect("sweeps").corrected, 2);
    let topic = syncs::topics(&engine.db).await.expect("listed").remove(0);
    let wait = topic.next_try_at.expect("a time") - shared::core::clock::now();
    assert!(wait <= chrono::TimeDelta::minutes(5), "{wait}");
    let retry = syncs::retry_list(&engine.db, 1).await.expect("listed").0.remove(0);
    assert!(retry.first_failed_at <= shared::core::clock::now());
}

#[tokio::test(flavor = "multi_thread")]
async fn reservations_in_the_future_block_no_request_and_pauses_last_at_most_a_minute() {
    let db = tests::engine::pool(4).await;
    let rate_limiter = PostgresRateLimiter::new(db.clone(), "ncbi", 10);
    let soon = || Instant::now() + Duration::from_secs(5);
    rate_limiter.acquire(soon()).await.expect("the first");
    execute(&db, "update upstream_pace set next_at = now() + interval '1 day'").await;
    let asked = Instant::now();
    rate_limiter.acquire(soon()).await.expect("at once, for nothing but a clock put it off");
    assert!(asked.elapsed() < Duration::from_secs(5));
    let found = corrections(&db, 10).await.expect("listed");
    assert_eq!((found.len(), found[0].what.as_str(), found[0].name.as_str()), (1, "upstream_pace.next_at", "ncbi"));
    rate_limiter.pause_for(Duration::from_secs(3600)).await.expect("held");
    let held: f64 =
        sqlx::query_scalar("select extract(epoch from next_at - now())::double precision from upstream_pace")
            .fetch_one(&db)
            .await
            .expect("read");
    assert!(held > 50.0 && held <= 60.0, "{held} s");
    rate_limiter.acquire(soon()).await.expect_err("a hold is believed");
    assert_eq!(corrections(&db, 10).await.expect("listed").len(), 1, "and is no wrong clock");
}

#[tokio::test(flavor = "multi_thread")]
async fn units_and_jobs_stored_by_a_clock_ahead_still_run() {
    let engine = counting::engine(4).await;
    let (silent, waiting, old) = (
        counting::submit(&engine, 1, 1, 1).await,
        counting::submit(&engine, 1000, 1, 1).await,
        counting::submit(&engine, 2000, 1, 1).await,
    );
    let (worker, tools) = (WorkerId::new(), engine.tools());
    let claim = |job| Claim { worker: &worker, hostname: "h", tools: &tools, unit: None, job: Some(job) };
    // A worker that died while the clock was ahead.
    Lease::claim(&engine.db, &engine.settings, claim(silent)).await.expect("claims").expect("a unit");
    execute(
        &engine.db,
        "update ingestion_work_units set heartbeat_at = now() + interval '1 year' where status = 'claimed'",
    )
    .await;
    sqlx::query(
        "update ingestion_work_units set not_before = now() + interval '1 year', woken_at = now() + interval '1 year' \
         where job_id = $1",
    )
    .bind(waiting.0)
    .execute(&engine.db)
    .await
    .expect("set");
    execute(
        &engine.db,
        "update jobs set created_at = created_at + interval '1 year', deadline_at = deadline_at + interval '1 year'",
    )
    .await;
    sqlx::query(
        "update jobs set state = 'failed', completed_at = now() + interval '1 year', \
         expires_at = now() + interval '366 days' where id = $1",
    )
    .bind(old.0)
    .execute(&engine.db)
    .await
    .expect("set");

    assert!(sweep(&engine, None).await.expect("sweeps").corrected >= 4);
    let later: i64 = sqlx::query_scalar(
        "select count(*) from jobs \
         where state <> 'failed' and (created_at > now() or deadline_at > now() + interval '2 hours') \
            or expires_at > now() + interval '25 hours' or completed_at > now()",
    )
    .fetch_one(&engine.db)
    .await
    .expect("counted");
    assert_eq!(later, 0);
    let stuck: i64 = sqlx::query_scalar(
        "select count(*) from ingestion_work_units \
         where not_before > now() or coalesce(woken_at, heartbeat_at) > now()",
    )
    .fetch_one(&engine.db)
    .await
    .expect("counted");
    assert_eq!(stuck, 0);
    // Its silence is counted from the correction on.
    execute(
        &engine.db,
        "update ingestion_work_units set heartbeat_at = heartbeat_at - interval '3 minutes' where status = 'claimed'",
    )
    .await;
    assert_eq!(sweep(&engine, None).await.expect("sweeps").reclaimed, 1);
    Worker::new(engine.clone(), None).expect("a worker").run(true).await.expect("works");
    for job in [silent, waiting] {
        let ended = jobs::get(&engine.db, job).await.expect("read").expect("there");
        assert_eq!(ended.state, JobState::Succeeded, "{:?}", ended.error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_delayed_by_five_minutes_at_most() {
    let engine = counting::engine(2).await;
    let job = counting::submit(&engine, 1, 1, 1).await;
    let (worker, tools) = (WorkerId::new(), engine.tools());
    let claim = Claim { worker: &worker, hostname: "h", tools: &tools, unit: None, job: Some(job) };
    let lease = Lease::claim(&engine.db, &engine.settings, claim).await.expect("claims").expect("a unit");
    lease.snooze(&engine, Duration::from_secs(86_400), "it is away").await.expect("put off");
    let pause: f64 =
        sqlx::query_scalar("select extract(epoch from not_before - now())::double precision from ingestion_work_units")
            .fetch_one(&engine.db)
            .await
            .expect("read");
    assert!(pause > 200.0 && pause <= 300.0, "{pause} s");
    assert!(pull_back_jobs(&engine.db).await.expect("looked").is_empty(), "a pause is no wrong clock");
}

/// A database whose clock is a year behind that of this process: this process's clock jumped ahead.
#[tokio::test(flavor = "multi_thread")]
async fn fetched_records_are_as_of_the_clock_of_the_database() {
    let (simulator, engine) = corpus(3).await;
    let url = tests::databases::empty_database().await;
    let setup = shared::db::connect(url.parse().expect("a URL"), 1).await.expect("connects");
    let name: String = sqlx::query_scalar("select current_database()::text").fetch_one(&setup).await.expect("a name");
    execute(&setup, "create schema behind").await;
    execute(
        &setup,
        "create function behind.clock_timestamp() returns timestamptz language sql volatile as \
         $$ select pg_catalog.clock_timestamp() - interval '1 year' $$",
    )
    .await;
    execute(
        &setup,
        "create function behind.now() returns timestamptz language sql stable as \
         $$ select pg_catalog.now() - interval '1 year' $$",
    )
    .await;
    let path = format!("alter database {name} set search_path = behind, public, pg_catalog");
    sqlx::query(sqlx::AssertSqlSafe(path)).execute(&setup).await.expect("set");
    let db = shared::db::connect(url.parse().expect("a URL"), 4).await.expect("connects");
    shared::db::migrate(&db).await.expect("migrates");
    let engine = Engine { db: db.clone(), ..engine };
    let before = shared::core::clock::now();
    let asked = SyncParams::of_pmids((1000..1003).map(pmid).collect(), None).expect("fine");
    let job = sync(&engine, &asked).await;
    assert_eq!(number(&job, "archived"), 3, "{:?}", job.error);
    drop(simulator);
    let (first, last): (DateTime<Utc>, DateTime<Utc>) =
        sqlx::query_as("select min(as_of), max(as_of) from pubmed_archive").fetch_one(&db).await.expect("read");
    let year = chrono::TimeDelta::days(364);
    assert!(last < before - year && first > before - year - chrono::TimeDelta::days(3), "{first} to {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_which_clock_was_ahead() {
    let archive = Archive::new().await;
    archive.run(&["topics", "add", "all", "--query-key", "every"]).expect(0);
    let db = archive.database().await;
    execute(&db, "update sync_topics set last_slot_at = now() + interval '1 year'").await;
    archive.run(&["worker", "--once"]).expect(0);
    let status = archive.run(&["status"]).expect(0).out;
    assert!(status.contains("a clock was ahead") && status.contains("sync_topics.last_slot_at"), "{status}");
    let json = archive.run(&["--output", "json", "status"]).expect(0).json();
    assert_eq!(json["clock_corrections"][0]["what"], "sync_topics.last_slot_at");
}

/// Each timestamp column is either corrected when its value is in the future, or nothing ever waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn every_timestamp_column_has_a_rule_for_future_values() {
    const PULLED_BACK: [&str; 21] = [
        "sync_queries.entry_watermark",
        "sync_queries.modification_watermark",
        "sync_queries.creation_watermark",
        "sync_queries.failed_at",
        "sync_queries.last_run_at",
        "sync_queries.last_success_at",
        "sync_topics.last_slot_at",
        "sync_retry.first_failed_at",
        "sync_retry.last_failed_at",
        "upstream_pace.next_at",
        "jobs.created_at",
        "jobs.started_at",
        "jobs.deadline_at",
        "jobs.expires_at",
        "ingestion_work_units.not_before",
        "ingestion_work_units.heartbeat_at",
        "ingestion_work_units.woken_at",
        "pubmed_archive.as_of",
        "pubmed_archive_versions.as_of",
        "leases.expires_at",
        "ingestion_workers.seen_at",
    ];
    /// Only displayed, or only compared with other stored timestamps.
    const NEVER_WAITED_FOR: [&str; 43] = [
        "jobs.cancel_requested_at",
        "jobs.completed_at",
        "jobs.updated_at",
        "ingestion_jobs.created_at",
        "ingestion_jobs.started_at",
        "ingestion_jobs.completed_at",
        "ingestion_work_units.claimed_at",
        "ingestion_work_units.lease_until",
        "ingestion_work_units.completed_at",
        "ingestion_unit_attempts.claimed_at",
        "ingestion_unit_attempts.started_at",
        "ingestion_unit_attempts.ended_at",
        "ingestion_workers.started_at",
        "ingestion_raw_files.verified_at",
        "ingestion_job_logs.at",
        "quarantine.created_at",
        "quarantine.as_of",
        "pubmed_archive.fetched_at",
        "pubmed_archive.deleted_at",
        "pubmed_archive.missing_since",
        "pubmed_archive.updated_at",
        "pubmed_archive_history.fetched_at",
        "pubmed_archive_versions.fetched_at",
        "pubmed_archive_versions.deleted_at",
        "pubmed_archive.from_objects_at",
        "archive_intents.created_at",
        "archive_set_aside.found_at",
        "maintenance.updated_at",
        "sync_queries.upstream_counted_at",
        "archive_events.accepted_at",
        "projections.updated_at",
        "local_files.modified_at",
        "local_files.registered_at",
        "sync_queries.created_at",
        "sync_watermark_moves.old",
        "sync_watermark_moves.new",
        "sync_watermark_moves.moved_at",
        "sync_topics.created_at",
        "purges.purged_at",
        "corpus_checkpoints.created_at",
        "corpus_checkpoints.deleted_at",
        "clock_corrections.was",
        "clock_corrections.set_to",
    ];
    let db = tests::engine::pool(1).await;
    let columns: Vec<String> = sqlx::query_scalar(
        "select c.relname || '.' || a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid \
         join pg_namespace n on n.oid = c.relnamespace \
         where n.nspname = 'public' and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped \
           and a.atttypid = 'timestamptz'::regtype and c.relname <> '_sqlx_migrations'",
    )
    .fetch_all(&db)
    .await
    .expect("listed");
    let known: BTreeSet<&str> =
        PULLED_BACK.into_iter().chain(NEVER_WAITED_FOR).chain(["clock_corrections.found_at"]).collect();
    let unknown: Vec<&String> = columns.iter().filter(|column| !known.contains(column.as_str())).collect();
    assert!(unknown.is_empty(), "does anything wait for {unknown:?}? pull it back, or list it here");
    for column in PULLED_BACK {
        assert!(columns.iter().any(|one| one == column), "{column} is gone: take it off the list");
    }
}
