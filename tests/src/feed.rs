//! The change feed in tests: records with integrity information, and the resulting rows.

use std::sync::Arc;

use serde_json::Value;
use shared::core::Outcome;
use shared::ingest::{Engine, Settings};
use shared::jobs::{self, Filter, JobState};
use shared::projections::{self, CatchUpOutcome, ReadersOfTheLog, TOOL};
use shared::sources::store_records::Origin;

use crate::counting::Counting;
use crate::forged::{arrive_record, as_of, source};
use crate::random::Random;
use crate::sync::LIMITS;

/// A row of the feed: number, kind, record, integrity, and details.
pub type Row = (i64, String, String, Option<String>, Option<Value>);

/// An engine without jobs, with at most five events per batch.
pub async fn engine() -> Engine {
    let settings = Settings { batch_records: 1, ..Settings::default() };
    crate::engine::engine(Vec::new(), settings, 6).await
}

/// A counting engine whose jobs are followed by catch-up jobs of the projections.
pub async fn with_readers(settings: Settings) -> Engine {
    let readers = ReadersOfTheLog::new(projections::all(), LIMITS);
    let pipelines = vec![Arc::new(Counting) as _, readers.pipeline()];
    let engine = crate::engine::engine(pipelines, settings, 8).await;
    Engine { upkeep: Arc::new([Arc::new(readers) as _]), ..engine }
}

/// States of the catch-up jobs, newest first.
pub async fn catch_up_jobs(engine: &Engine) -> Vec<JobState> {
    let filter = Filter { tool: Some(TOOL.to_owned()), limit: 100, ..Filter::default() };
    jobs::list(&engine.db, &filter).await.expect("listed").0.rows.into_iter().map(|one| one.job.state).collect()
}

/// Adds events of records outside PubMed, which need no object; before each of them `gap` numbers are memberships.
pub async fn others_arrive(engine: &Engine, count: i32, gap: i32) {
    let sql = "with last as (update archive_event_counter set last_seq = last_seq + $1 * ($2 + 1) \
                             returning last_seq - $1 * ($2 + 1) as seq) \
               insert into archive_events (seq, record_type, record_id, outcome, content_hash, s3_uri, accepted_at) \
               select seq + n * ($2 + 1), 'fulltext', 'PMC' || seq + n, 'archived', 'a', 'memory:///x', \
                      clock_timestamp() \
               from last cross join generate_series(1, $1) n";
    sqlx::query(sql).bind(count).bind(gap).execute(&engine.db).await.expect("arrived");
}

/// A record that refers to notices: the type of each, and the PMID of the notice.
pub fn record(n: u32, version: i32, title: &str, notices: &[(&str, u32)]) -> String {
    let notices = notices
        .iter()
        .map(|(kind, pmid)| {
            format!(
                "<CommentsCorrections RefType=\"{kind}\"><RefSource>J {pmid}</RefSource><PMID>{pmid}</PMID>\
                 </CommentsCorrections>"
            )
        })
        .collect::<Vec<_>>()
        .concat();
    format!(
        "<PubmedArticle><MedlineCitation><PMID Version=\"{version}\">{n}</PMID><Article><ArticleTitle>{title}\
         </ArticleTitle></Article><CommentsCorrectionsList>{notices}</CommentsCorrectionsList></MedlineCitation>\
         </PubmedArticle>"
    )
}

/// Accepts a payload, or a deletion, of a numbered file of NLM.
pub async fn arrive(engine: &Engine, file: i32, n: u32, version: i32, xml: Option<String>) -> Outcome {
    let origin = Origin { source: source(file), as_of: as_of(file), file_number: 260_000 + file, file_id: None };
    arrive_record(engine, origin, n, version, xml).await
}

/// Accepts payloads and deletions of six records, some with versions, in the order of these files.
pub async fn history(engine: &Engine, random: &mut Random, files: std::ops::Range<i32>) {
    for file in files {
        let n = 1 + u32::try_from(random.below(6)).expect("small");
        let version = if n > 4 { 1 + i32::try_from(random.below(2)).expect("small") } else { 1 };
        let title = ["a", "b", "RETRACTED: a"][usize::try_from(random.below(3)).expect("small")];
        let notices: &[(&str, u32)] = match random.below(5) {
            0 => &[("ErratumIn", 71)],
            1 => &[("ErratumIn", 71), ("ErratumIn", 72)],
            2 => &[("ExpressionOfConcernIn", 73)],
            3 => &[("RetractionIn", 74)],
            _ => &[],
        };
        let (version, xml) = match random.below(8) {
            0 => (0, None),
            1 => (version, None),
            _ => (version, Some(record(n, version, title, notices))),
        };
        arrive(engine, file, n, version, xml).await;
    }
}

/// Runs every projection until it is current.
pub async fn catch_up(engine: &Engine) -> CatchUpOutcome {
    let done = projections::catch_up(engine, &projections::all(), |_| true).await.expect("reads on");
    assert!(done.is_current);
    done
}

/// All rows of the feed.
pub async fn rows(engine: &Engine) -> Vec<Row> {
    sqlx::query_as("select seq, kind, record_id, integrity, details from changes order by seq, kind")
        .fetch_all(&engine.db)
        .await
        .expect("read")
}

/// The kinds of a record's changes, in order; those of one event are joined.
pub async fn kinds(engine: &Engine, n: u32) -> Vec<String> {
    sqlx::query_scalar(
        "select string_agg(kind, ' ' order by array_position(array['new', 'revised', 'retracted', \
         'retraction_withdrawn', 'corrected', 'concern', 'deleted'], kind)) \
         from changes where record_id = $1 group by seq order by seq",
    )
    .bind(n.to_string())
    .fetch_all(&engine.db)
    .await
    .expect("read")
}

/// Removes the integrity that was recorded when payloads were archived, as in an archive from before it was recorded.
pub async fn forget_notes(engine: &Engine) {
    sqlx::query("update archive_events set integrity_rules = null, integrity = null")
        .execute(&engine.db)
        .await
        .expect("forgotten");
}

/// Deletes the feed and its position.
pub async fn drop_feed(engine: &Engine) {
    sqlx::raw_sql("truncate changes, projections").execute(&engine.db).await.expect("dropped");
}
