//! Tables, columns and functions that are published: queries of users name them.

use std::collections::BTreeSet;

use samples::files::write_sample;
use shared::core::Sha256;
use tests::program::{Archive, text};

/// Tables and their published columns; others may be added.
const PUBLISHED: [(&str, &str); 11] = [
    ("pubmed_archive", "pmid s3_uri content_hash fetched_at api_etag updated_at object_etag deleted_at missing_since"),
    ("pubmed_archive_versions", "pmid version s3_uri content_hash deleted_at"),
    ("pubmed_archive_history", "pmid content_hash s3_uri fetched_at"),
    ("archive_events", "seq pmid outcome content_hash s3_uri accepted_at record_type record_id"),
    ("query_members", "query_key pmid first_seq"),
    ("sync_retry", "query_key pmid reason"),
    (
        "jobs",
        "id tool params params_hash idempotency_key principal state priority parent_job_id query_key progress result \
         result_ref error trace_id exclusive_key units_total units_done units_failed version attempt \
         cancel_requested_at deadline_at created_at started_at completed_at expires_at updated_at",
    ),
    (
        "ingestion_jobs",
        "id organization_id job_type external_version internal_version source_url source_metadata source_digest status \
         total_records records_processed records_stored records_failed created_at started_at completed_at is_release \
         is_whole",
    ),
    (
        "ingestion_work_units",
        "id job_id phase seq input cursor status priority epoch retry_count max_retries not_before worker_id \
         worker_hostname claimed_at heartbeat_at lease_until processing_duration_ms outcomes_ref error_code \
         error_message",
    ),
    ("ingestion_raw_files", "job_id file_name s3_uri size_bytes expected_md5 computed_md5 verified_at"),
    ("ingestion_job_logs", "job_id at level message fields"),
];

#[tokio::test]
async fn every_published_name_is_there() {
    let db = tests::engine::pool(1).await;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select table_name::text, column_name::text from information_schema.columns where table_schema = 'public'",
    )
    .fetch_all(&db)
    .await
    .expect("listed");
    let there: BTreeSet<(&str, &str)> = columns.iter().map(|(table, column)| (&**table, &**column)).collect();
    let published =
        PUBLISHED.iter().flat_map(|(table, columns)| columns.split(' ').map(move |column| (*table, column)));
    let missing: Vec<_> = published.filter(|name| !there.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Without the optional arguments.
    for call in ["claim_work_unit('w', 'h', array[]::text[], 0)", "reclaim_stale_work_units()"] {
        let sql = format!("select count(*) from {call}");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&db).await.unwrap_or_else(|error| panic!("{call}: {error}"));
    }
}

/// Users can recompute it: `sha256sum FILE… | sha256sum`.
#[tokio::test(flavor = "multi_thread")]
async fn the_digest_of_an_ingest_is_that_of_its_files() {
    let archive = Archive::new().await;
    let sample = write_sample(archive.dir.path(), 120).expect("written");
    archive.run(&["ingest", text(&sample.update), text(&sample.baseline)]).expect(0);
    let lines = [&sample.baseline, &sample.update].map(|file| {
        let name = file.file_name().expect("a name").to_str().expect("text");
        format!("{}  {name}\n", Sha256::of(&std::fs::read(file).expect("read")).to_hex())
    });
    let db = archive.database().await;
    let digest: Option<String> =
        sqlx::query_scalar("select source_digest from ingestion_jobs").fetch_one(&db).await.expect("one ingest");
    assert_eq!(digest, Some(Sha256::of(lines.concat().as_bytes()).to_hex()));
}
