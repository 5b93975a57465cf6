//! A complete source whose records are the words of a text. The engine provides the rest: claims, fencing, retries,
//! progress, quarantine, failures, a manifest.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use shared::archive::codec::decode;
use shared::core::{ErrorCode, JobId, Outcome, Reason, RecordKey, RecordType, Sha256, SkipReason, UnitId, WorkerId};
use shared::ingest::{self, Batch, BatchRows, Claim, CommitError, Engine, Lease, NewUnit, Pipeline, Plan};
use shared::ingest::{RecordOutcome, Rejected, Settings, UnitContext, UnitError, Worker};
use shared::jobs::{self, Job, JobState, Submission, SubmitOutcome};
use sqlx::PgConnection;

const WORD: RecordType = RecordType::new("toy.word");

struct Toy;

#[async_trait]
impl Pipeline for Toy {
    fn tool(&self) -> &'static str {
        "toy.words"
    }

    fn phases(&self) -> &'static [&'static str] {
        &["read"]
    }

    async fn plan(&self, context: &UnitContext) -> Result<Plan, UnitError> {
        let text = context.lease.params["text"].as_str().unwrap_or_default().to_owned();
        let unit = |line: &str| NewUnit { input: json!(line), label: Some(line.to_owned()), required_hostname: None };
        let work_total = i64::try_from(text.split_whitespace().count()).unwrap_or(0);
        let units = text.lines().map(unit).collect();
        let source_digest = Some(Sha256::of(text.as_bytes()).to_hex());
        let external_version = context.lease.params["version"].as_str().unwrap_or(&text).to_owned();
        Ok(Plan {
            units,
            work_total,
            external_version,
            source_digest,
            is_whole: true,
            is_release: true,
            ..Plan::default()
        })
    }

    async fn run(&self, context: &mut UnitContext) -> Result<(), UnitError> {
        let line = context.lease.input.as_str().unwrap_or_default().to_owned();
        let done = context.lease.cursor.as_ref().and_then(Value::as_i64).unwrap_or(0);
        for (n, word) in (1..).zip(line.split(' ')).filter(|(n, _)| *n > done) {
            context.check().await?;
            if word == "flaky" && context.lease.attempt < 3 {
                let message = format!("attempt {} fails", context.lease.attempt);
                return Err(UnitError::Failed { code: ErrorCode::Internal, message, retry: true });
            }
            let mut batch = batch(n, word);
            if word == "bad" {
                let (key, bytes) = (&batch.outcomes[0].key.clone(), word.as_bytes());
                let rejected = Rejected { n, key, source: "a text", reason: "bad", bytes, source_metadata: json!({}) };
                batch.outcomes[0].uri = Some(context.lease.quarantine(&context.engine, &rejected).await?);
                batch.outcomes[0].outcome = Outcome::Failed;
                batch.outcomes[0].reason = Some(Reason::Fault("bad".to_owned()));
            }
            context.commit(batch).await?;
        }
        Ok(())
    }
}

fn batch(n: i64, word: &str) -> Batch {
    let key = if word == "?" { RecordKey::unknown(WORD) } else { RecordKey::new(WORD, word) };
    let outcome = RecordOutcome { key, outcome: Outcome::Archived, hash: None, uri: None, reason: None };
    Batch { outcomes: vec![outcome], cursor: json!(n), work: 1, rows: Some(Arc::new(Words)) }
}

/// Stores each word once.
struct Words;

#[async_trait]
impl BatchRows for Words {
    async fn write(&self, tx: &mut PgConnection, outcomes: &mut [RecordOutcome]) -> Result<(), CommitError> {
        for one in outcomes.iter_mut().filter(|one| one.outcome == Outcome::Archived) {
            let insert = sqlx::query("insert into toy_words values ($1) on conflict do nothing").bind(&one.key.id);
            if insert.execute(&mut *tx).await?.rows_affected() == 0 {
                (one.outcome, one.reason) = (Outcome::Skipped, Some(Reason::Skip(SkipReason::Unchanged)));
            }
        }
        Ok(())
    }
}

async fn engine() -> Engine {
    let engine = tests::engine::engine(vec![Arc::new(Toy)], Settings::default(), 4).await;
    sqlx::query("create table toy_words (word text unique)").execute(&engine.db).await.expect("made");
    engine
}

async fn submit(engine: &Engine, text: &str) -> SubmitOutcome {
    let submission = Submission::new("toy.words", json!({ "text": text }), "read");
    let submission = Submission { exclusive_key: Some("the text".to_owned()), ..submission };
    jobs::submit(&engine.db, &submission, tests::sync::LIMITS).await.expect("submitted")
}

/// A text as a version of its source.
async fn submit_version(engine: &Engine, version: &str, text: &str) -> JobId {
    let submission = Submission::new("toy.words", json!({ "version": version, "text": text }), "read");
    jobs::submit(&engine.db, &submission, tests::sync::LIMITS).await.expect("submitted").job().job_id()
}

async fn finish(engine: &Engine, job: JobId) -> Job {
    for _ in 0..3 {
        sqlx::query("update ingestion_work_units set not_before = now()").execute(&engine.db).await.expect("due");
        Worker::new(engine.clone(), None).expect("a worker").run(true).await.expect("works");
    }
    assert_eq!(tests::invariants::broken(&engine.db).await, Vec::<String>::new());
    jobs::get(&engine.db, job).await.expect("read").expect("there")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_gets_all_that_it_does_not_write() {
    let engine = engine().await;
    let job = submit(&engine, "one two ?\nbad two").await.job().job_id();
    let other = submit(&engine, "another text").await;
    assert!(matches!(&other, SubmitOutcome::Replayed(job) if job.job.id == other.job().id), "one text at a time");
    let ended = finish(&engine, job).await;
    assert_eq!((ended.state, ended.completed_with_failures()), (JobState::Succeeded, true), "{:?}", ended.error);
    let counts = ended.result.expect("a result").counts;
    assert_eq!((counts.requested, counts.archived, counts.skipped, counts.failed), (5, 3, 1, 1));
    assert_eq!((ended.progress.done, ended.progress.work_done, ended.progress.counts), (5, 5, counts));
    let failed = ingest::failures(&engine.db, job, 0, 10).await.expect("listed").rows.pop().expect("one");
    assert_eq!((failed.record_type.as_str(), failed.record_id.as_deref()), ("toy.word", Some("bad")));
    let aside = ingest::quarantined(&engine.db, Some(job.0), 10).await.expect("listed").pop().expect("one");
    let key = engine.archive.layout().quarantine(job, UnitId(aside.unit_id), aside.n);
    let object = engine.archive.store().get(&key, None, 1 << 20).await.expect("there");
    assert_eq!((decode(&object.bytes, 9).expect("zstd"), Some(&aside.uri)), (b"bad".to_vec(), failed.uri.as_ref()));
    let bytes = engine.archive.manifest(job, &ended.result_ref.expect("a manifest")).await.expect("there");
    let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(
        (&manifest["parts"][0]["name"], manifest["counts"]["archived"].as_i64()),
        (&json!("one two ?"), Some(3))
    );
    let again = submit(&engine, "one two ?\nbad two").await.job().job_id();
    let again = finish(&engine, again).await;
    assert_eq!(again.error.expect("a release comes once")["error_code"], "ALREADY_EXISTS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_worker_and_failed_attempts_cost_a_source_nothing() {
    let engine = engine().await;
    let job = submit(&engine, "one flaky two").await.job().job_id();
    Worker::new(engine.clone(), None).expect("a worker").run_one(Some(job)).await.expect("planned");
    let (dead, tools) = (WorkerId::new(), engine.tools());
    let claim = Claim { worker: &dead, hostname: "h", tools: &tools, unit: None, job: Some(job) };
    let mut lease = Lease::claim(&engine.db, &engine.settings, claim).await.expect("claims").expect("a unit");
    lease.start(&engine.db).await.expect("starts");
    lease.commit(&engine, batch(1, "one")).await.expect("commits");
    let reclaim = sqlx::query("select reclaim_work_units_of($1)").bind(dead.as_str());
    reclaim.execute(&engine.db).await.expect("reclaimed");
    assert!(matches!(lease.commit(&engine, batch(2, "flaky")).await, Err(UnitError::LeaseLost)), "it is fenced");
    let ended = finish(&engine, job).await;
    assert_eq!((ended.state, ended.progress.counts.archived), (JobState::Succeeded, 3), "{:?}", ended.error);
    let attempts = ingest::troubled_attempts(&engine.db, job, 10).await.expect("listed");
    let told = attempts.iter().map(|one| (one.attempt, one.ended_as.as_deref(), one.error_message.as_deref()));
    let lost = (1, Some("reclaimed"), Some("its worker died or hung"));
    assert_eq!(told.collect::<Vec<_>>(), [lost, (2, Some("failed"), Some("attempt 2 fails"))]);
}

/// The recorded release of each version: version and digest.
async fn releases(engine: &Engine) -> Vec<(String, Option<String>)> {
    let sql = "select external_version, source_digest from ingestion_jobs \
               where status = 'completed' and is_release order by external_version";
    sqlx::query_as(sql).fetch_all(&engine.db).await.expect("read")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_other_content_is_a_new_run_that_replaces_it() {
    let engine = engine().await;
    let digest = |text: &str| Some(Sha256::of(text.as_bytes()).to_hex());
    let release = |version: &str, text: &str| (version.to_owned(), digest(text));
    let first = submit_version(&engine, "2026_01", "one two").await;
    assert_eq!(finish(&engine, first).await.state, JobState::Succeeded);
    let other = submit_version(&engine, "2026_02", "one two").await;
    assert_eq!(finish(&engine, other).await.state, JobState::Succeeded);
    assert_eq!(releases(&engine).await, [release("2026_01", "one two"), release("2026_02", "one two")]);

    let same = submit_version(&engine, "2026_01", "one two").await;
    assert_eq!(finish(&engine, same).await.error.expect("it comes once")["error_code"], "ALREADY_EXISTS");

    let corrected = submit_version(&engine, "2026_01", "one three").await;
    Worker::new(engine.clone(), None).expect("a worker").run_one(Some(corrected)).await.expect("planned");
    // While one run is active there is no second one, whatever its content.
    for text in ["one two", "one four"] {
        let beside = submit_version(&engine, "2026_01", text).await;
        Worker::new(engine.clone(), None).expect("a worker").run_one(Some(beside)).await.expect("refused");
        let refused = jobs::get(&engine.db, beside).await.expect("read").expect("there");
        assert_eq!(refused.error.expect("one is running")["error_code"], "ALREADY_EXISTS", "{text}");
    }
    let ended = finish(&engine, corrected).await;
    assert_eq!(ended.state, JobState::Succeeded, "{:?}", ended.error);
    assert_eq!(releases(&engine).await, [release("2026_01", "one three"), release("2026_02", "one two")]);
    let logs = jobs::logs(&engine.db, corrected, 10).await.expect("read");
    let told = logs.iter().find(|line| line.message.contains("replaces")).expect("its log says so");
    assert_eq!(told.fields["replaced_job_id"], json!(first), "{told:?}");
}
