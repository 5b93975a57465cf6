//! After a permanent purge of a record, no row contains any of its text.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use shared::ingest::{Engine, UnitError};
use shared::projections::{self, EventBatch, PrepareContext, Projection, ProjectionRows, catch_up, changes, rebuild};
use shared::sources::operator;
use sqlx::AssertSqlSafe;
use tests::feed::{self, arrive, record, rows};
use tests::forged::pmid;

/// Title and notices of the record.
const TEXTS: [&str; 2] = ["RETRACTED: Unmistakable", "J 987654"];

/// A record with two payloads, and one that stays.
async fn archived() -> Engine {
    let engine = feed::engine().await;
    for (file, title) in [(1, "a plain title"), (2, TEXTS[0])] {
        arrive(&engine, file, 1, 1, Some(record(1, 1, title, &[("ErratumIn", 987_654)]))).await;
    }
    arrive(&engine, 1, 2, 1, Some(record(2, 1, "RETRACTED: b", &[("ErratumIn", 91)]))).await;
    engine
}

/// The tables with a row that contains one of the texts.
async fn tables_with_text(engine: &Engine) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.tables \
         where table_schema = current_schema() and table_type = 'BASE TABLE' order by 1",
    )
    .fetch_all(&engine.db)
    .await
    .expect("listed");
    assert!(tables.len() > 20, "{tables:?}");
    let mut found = Vec::new();
    for table in tables {
        let sql = format!("select exists (select from \"{table}\" as one where one::text like any ($1::text[]))");
        let patterns: Vec<String> = TEXTS.iter().map(|text| format!("%{text}%")).collect();
        let is_in: bool =
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(patterns).fetch_one(&engine.db).await.expect("read");
        if is_in {
            found.push(table);
        }
    }
    found
}

async fn purge(engine: &Engine) -> Result<(), UnitError> {
    operator::purge(engine, pmid(1), "a reason", "local", true).await.map(|purged| assert!(purged.is_some()))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_has_text_of_a_record_that_was_purged_for_good() {
    let engine = archived().await;
    feed::catch_up(&engine).await;
    assert_eq!(tables_with_text(&engine).await, ["archive_events", "changes"], "the test finds the texts");
    operator::purge(&engine, pmid(1), "a reason", "local", false).await.expect("purged").expect("there");
    feed::catch_up(&engine).await;
    assert_eq!(tables_with_text(&engine).await, ["archive_events", "changes"], "its versions are still readable");
    purge(&engine).await.expect("purged");
    assert_eq!(tables_with_text(&engine).await, Vec::<String>::new());
    feed::catch_up(&engine).await;
    assert_eq!(feed::kinds(&engine, 1).await, ["new", "revised", "deleted"]);
    assert_eq!(feed::kinds(&engine, 2).await, ["new retracted corrected"], "other records are as they were");
    assert_eq!(changes::unknown(&engine.db).await.expect("counted"), 0, "nothing is to be repaired");
    // The log reveals no more than the feed.
    let there = rows(&engine).await;
    rebuild(&engine.db, &projections::all(), "changes").await.expect("started");
    feed::catch_up(&engine).await;
    assert_eq!(rows(&engine).await, there);
    assert_eq!(tables_with_text(&engine).await, Vec::<String>::new());
}

/// The change feed; another process purges the record during its first batch.
struct Purging(AtomicBool);

#[async_trait]
impl Projection for Purging {
    fn name(&self) -> &'static str {
        changes::CHANGES
    }

    fn rules(&self) -> i32 {
        changes::ChangesProjection.rules()
    }

    async fn prepare(
        &self,
        reading: PrepareContext<'_>,
        batch: &EventBatch,
    ) -> Result<Arc<dyn ProjectionRows>, UnitError> {
        let rows = changes::ChangesProjection.prepare(reading, batch).await?;
        if !self.0.swap(true, Ordering::Relaxed) {
            purge(reading.engine).await?;
        }
        Ok(rows)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_before_a_purge_is_not_written_after_it() {
    let engine = archived().await;
    let purging = Arc::new(Purging(AtomicBool::new(false))) as Arc<dyn Projection>;
    assert!(catch_up(&engine, &[purging], |_| true).await.expect("reads").is_current);
    assert_eq!(tables_with_text(&engine).await, Vec::<String>::new());
    assert_eq!(feed::kinds(&engine, 1).await, ["new", "revised", "deleted"]);
}
