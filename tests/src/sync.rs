//! Syncs in tests: a simulator, its client, and an engine with sync pipelines.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use shared::core::{JobId, Pmid};
use shared::ingest::{Engine, Settings, Worker};
use shared::jobs::{self, Job, Limits};
use shared::pubmed::eutils::{Client, EutilsSettings, LocalRateLimiter};
use shared::records;
use shared::sources::pubmed_files::FileSettings;
use shared::sources::pubmed_sync::{IncrementalParams, Sources, SyncParams, submit_incremental, submit_sync};
use simulator::{Corpus, Options, Simulator, Spread};
use sqlx::PgPool;

/// An afternoon of the last day of the records of [`corpus`].
pub const NOW: &str = "2026-03-10T17:00:00Z";

pub fn day(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

pub fn pmid(n: u32) -> Pmid {
    Pmid::new(n).expect("a PMID")
}

/// A simulator on a free port.
pub async fn simulator(corpus: Corpus, options: Options) -> Simulator {
    Simulator::start(corpus, options).await.expect("a port is free")
}

/// Client settings for a simulator: short delays, and small pages.
pub fn settings(simulator: &Simulator) -> EutilsSettings {
    EutilsSettings {
        backoff: Duration::from_millis(2),
        deadline: Duration::from_secs(60),
        attempts: 12,
        ..EutilsSettings::new(simulator.eutils_url())
    }
}

/// A client without a rate limit.
pub fn client(settings: EutilsSettings) -> Client {
    Client::new(settings, Arc::new(LocalRateLimiter::unlimited()))
}

/// A plain HTTP client; creating the other one first installs the crypto provider that both use.
pub fn http(simulator: &Simulator) -> reqwest::Client {
    drop(client(settings(simulator)));
    reqwest::Client::new()
}

/// Settings for the bulk files of the client's server, downloaded into a directory of this test run.
pub fn files(client: &Client) -> FileSettings {
    let files_url = client.settings().base_url.replace("entrez/eutils/", "pubmed/");
    let downloads = std::env::temp_dir().join(format!("bio-mcp-downloads-{}", uuid::Uuid::new_v4().simple()));
    FileSettings { max_file_bytes: 1 << 30, files_url, downloads }
}

/// An engine over a database, an in-memory store and a client.
pub fn engine(db: PgPool, client: Client, settings: Settings) -> Engine {
    // Small units and requests, so that a few records need several of each.
    let sources = Sources { unit_records: 5, request_records: 3, ..Sources::new(client, 1_000_000) };
    let pipelines = shared::sources::all(files(&sources.client), &sources);
    Engine { settings, pipelines, ..crate::engine::plain(db, &sources.client) }
}

/// A simulator with `count` records of the last thirty days, numbered from 1000, and an engine that can sync them.
pub async fn corpus(count: u32) -> (Simulator, Engine) {
    let corpus = Corpus::generated(day("2026-03-10"), 1000, count, 1, Spread::Even(30));
    let simulator = simulator(corpus, Options::default()).await;
    let engine = engine(crate::engine::pool(6).await, client(settings(&simulator)), Settings::default());
    (simulator, engine)
}

/// An incremental sync of all records, with the query key `all`.
pub fn of_all(limit: Option<i64>) -> IncrementalParams {
    IncrementalParams::new("all", Some("all"), Some(2), limit).expect("fine")
}

/// Number of objects, pointers, history rows and events.
pub async fn sizes(engine: &Engine) -> (usize, i64, i64, i64) {
    let objects = engine.archive.store().list("pubmed/raw/", None, usize::MAX).await.expect("listed");
    let mut versions = 0;
    for key in &objects {
        versions += engine.archive.store().versions(key).await.expect("listed").len();
    }
    let summary = records::summary(&engine.db).await.expect("counted");
    (versions, summary.live, summary.payloads, summary.events)
}

/// Submission limits that are never reached.
pub const LIMITS: Limits = Limits::without_quotas(1_000_000, 3600.0);

/// Submits an incremental sync that starts at a time.
pub async fn start_incremental(engine: &Engine, params: &IncrementalParams, now: DateTime<Utc>) -> JobId {
    let submitted = submit_incremental(&engine.db, params, LIMITS, |submission| submission).await.expect("submitted");
    sqlx::query("update jobs set started_at = $2 where id = $1 and started_at is null")
        .bind(submitted.job().id)
        .bind(now)
        .execute(&engine.db)
        .await
        .expect("dated");
    submitted.job().job_id()
}

/// Runs a job until it ends.
pub async fn finish(engine: &Engine, job: JobId) -> Job {
    let worker = Worker::new(engine.clone(), None).expect("a worker");
    worker.run_job(job).await.expect("works");
    jobs::get(&engine.db, job).await.expect("read").expect("there")
}

/// Runs an incremental sync until it ends.
pub async fn incremental(engine: &Engine, params: &IncrementalParams, now: DateTime<Utc>) -> Job {
    let job = start_incremental(engine, params, now).await;
    finish(engine, job).await
}

/// Runs a sync until it ends.
pub async fn sync(engine: &Engine, params: &SyncParams) -> Job {
    let submitted = submit_sync(&engine.db, params, LIMITS, |submission| submission).await.expect("submitted");
    finish(engine, submitted.job().job_id()).await
}

/// A number in a job's result.
#[track_caller]
pub fn number(job: &Job, key: &str) -> i64 {
    let result = serde_json::to_value(&job.result).expect("JSON");
    result[key].as_i64().unwrap_or_else(|| panic!("no {key} in {job:?}"))
}
