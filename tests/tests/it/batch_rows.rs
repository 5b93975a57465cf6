//! Rows that a source writes with a batch: exactly once per successful commit, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use serde_json::json;
use shared::core::{ErrorCode, JobId, Outcome, Reason, RecordKey, RecordType, SkipReason, WorkerId};
use shared::db::DbError;
use shared::ingest::{Batch, BatchRows, Claim, CommitError, Engine, Lease, RecordOutcome, UnitError};
use sqlx::PgConnection;
use tests::counting;

const THING: RecordType = RecordType::new("thing");

/// Changes the outcome that it is given, then fails `failures` times.
struct Rows {
    failures: AtomicUsize,
    seen: Arc<std::sync::Mutex<Vec<Outcome>>>,
    error: fn() -> CommitError,
}

#[async_trait]
impl BatchRows for Rows {
    async fn write(&self, tx: &mut PgConnection, outcomes: &mut [RecordOutcome]) -> Result<(), CommitError> {
        self.seen.lock().expect("no panic").push(outcomes[0].outcome);
        sqlx::query("insert into things values (1)").execute(tx).await?;
        outcomes[0].outcome = Outcome::Skipped;
        outcomes[0].reason = Some(Reason::Skip(SkipReason::Older));
        let left = self.failures.load(Ordering::SeqCst);
        if left > 0 {
            self.failures.store(left - 1, Ordering::SeqCst);
            return Err((self.error)());
        }
        Ok(())
    }
}

/// A started unit.
async fn unit() -> (Engine, JobId, Lease) {
    let engine = counting::engine(4).await;
    sqlx::query("create table things (n integer)").execute(&engine.db).await.expect("made");
    let job = counting::submit(&engine, 1, 1, 1).await;
    let (worker, tools) = (WorkerId::new(), engine.tools());
    let claim = async || {
        let claim = Claim { worker: &worker, hostname: "h", tools: &tools, unit: None, job: None };
        let lease = Lease::claim(&engine.db, &engine.settings, claim).await.expect("claims").expect("a unit");
        lease.start(&engine.db).await.expect("starts");
        lease
    };
    let plan = claim().await;
    plan.complete_plan(&engine, &counting::plan(&plan.params)).await.expect("planned");
    let lease = claim().await;
    (engine, job, lease)
}

fn batch(failures: usize, error: fn() -> CommitError) -> (Batch, Arc<std::sync::Mutex<Vec<Outcome>>>) {
    let seen = Arc::default();
    let rows = Rows { failures: AtomicUsize::new(failures), seen: Arc::clone(&seen), error };
    let outcome = RecordOutcome {
        key: RecordKey::new(THING, "a"),
        outcome: Outcome::Archived,
        hash: None,
        uri: None,
        reason: None,
    };
    (Batch { outcomes: vec![outcome], cursor: json!(1), work: 1, rows: Some(Arc::new(rows)) }, seen)
}

async fn things(engine: &Engine) -> i64 {
    sqlx::query_scalar("select count(*) from things").fetch_one(&engine.db).await.expect("counted")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_commit_starts_from_the_original_outcomes() {
    let (engine, job, mut lease) = unit().await;
    let (batch, seen) = batch(2, || DbError::from(sqlx::Error::PoolTimedOut).into());
    lease.commit(&engine, batch).await.expect("the database is back");
    assert_eq!(*seen.lock().expect("no panic"), [Outcome::Archived; 3], "what an attempt amends is its own");
    assert_eq!(things(&engine).await, 1, "what was not committed is not there");
    let counts = shared::jobs::get(&engine.db, job).await.expect("read").expect("there").progress.counts;
    assert_eq!((counts.requested, counts.archived, counts.older), (1, 0, 1), "the amended outcome counts");
    assert_eq!(lease.tally(), counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_rows_roll_back_their_batch() {
    let (engine, job, mut lease) = unit().await;
    let refuse = || -> CommitError {
        let message = "decide again".to_owned();
        UnitError::Failed { code: ErrorCode::ArchiveError, message, retry: true }.into()
    };
    let (batch, seen) = batch(1, refuse);
    let refused = lease.commit(&engine, batch.clone()).await;
    assert!(matches!(refused, Err(UnitError::Failed { retry: true, .. })), "{refused:?}");
    assert_eq!(seen.lock().expect("no panic").len(), 1, "and it is not tried in place");
    assert_eq!(things(&engine).await, 0);
    assert!(lease.cursor.is_none());
    let progress = shared::jobs::get(&engine.db, job).await.expect("read").expect("there").progress;
    assert_eq!((progress.counts.requested, progress.work_done), (0, 0));
    lease.commit(&engine, batch).await.expect("the next attempt");
    assert_eq!(things(&engine).await, 1);
    assert_eq!(tests::invariants::broken(&engine.db).await, Vec::<String>::new());
}
