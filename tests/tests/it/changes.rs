//! The change feed: how changes are classified, over constructed histories, real files, and unreadable objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use samples::files::write_sample;
use serde_json::Value;
use shared::ingest::{Engine, UnitError, Worker};
use shared::projections::{self, CatchUp, catch_up, changes, rebuild};
use shared::pubmed::source::FileSource;
use shared::pubmed::{Article, Item, Splitter};
use shared::sources::operator;
use shared::{jobs, verify};
use sqlx::AssertSqlSafe;
use tests::failing_store::{FailingStore, Fault, Faults};
use tests::feed::{self, arrive, kinds, record, rows};
use tests::forged::{attack, empty, pmid};
use tests::program::{Archive, Run};
use tests::sync;

async fn said(engine: &Engine, n: u32, file: i32, title: &str, notices: &[(&str, u32)]) {
    arrive(engine, file, n, 1, Some(record(n, 1, title, notices))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_has_its_kinds() {
    let engine = feed::engine().await;
    let retraction: &[(&str, u32)] = &[("RetractionIn", 90)];
    // A, B and A again.
    for (file, title) in [(1, "a"), (2, "b"), (3, "a")] {
        said(&engine, 1, file, title, &[]).await;
    }
    // Retracted, revised, retraction withdrawn.
    for (file, title, notices) in [(1, "a", &[][..]), (2, "a", retraction), (3, "b", retraction), (4, "b", &[])] {
        said(&engine, 2, file, title, notices).await;
    }
    // Corrected twice, then an expression of concern.
    let (one, two) = (("ErratumIn", 91), ("ErratumIn", 92));
    for (file, notices) in [(1, &[one][..]), (2, &[one, two]), (3, &[one, two, ("ExpressionOfConcernIn", 93)])] {
        said(&engine, 3, file, "a", notices).await;
    }
    // Deleted, then archived again as retracted.
    said(&engine, 4, 1, "a", &[]).await;
    arrive(&engine, 2, 4, 0, None).await;
    said(&engine, 4, 3, "RETRACTED: a", &[]).await;
    // A retraction notice is a separate record that is not itself retracted.
    said(&engine, 90, 1, "Retraction: a", &[("RetractionOf", 2)]).await;
    feed::catch_up(&engine).await;
    assert_eq!(kinds(&engine, 1).await, ["new", "revised", "revised"]);
    assert_eq!(kinds(&engine, 2).await, ["new", "revised retracted", "revised", "revised retraction_withdrawn"]);
    assert_eq!(kinds(&engine, 3).await, ["new corrected", "revised corrected", "revised concern"]);
    assert_eq!(kinds(&engine, 4).await, ["new", "deleted", "new retracted"]);
    assert_eq!(kinds(&engine, 90).await, ["new"]);
    let notice = rows(&engine).await.into_iter().find(|row| row.2 == "90").expect("there");
    assert_eq!(notice.3.as_deref(), Some("retraction_notice"));
    assert_eq!(notice.4.expect("details")["notices"][0]["pmid"], "2", "it names the record");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_one_of_several_versions_is_no_deletion_of_the_record() {
    let engine = feed::engine().await;
    let version = |n: u32, version: i32, title: &str| Some(record(n, version, title, &[]));
    // The second version is deleted: the first one is the current version again.
    arrive(&engine, 1, 1, 1, version(1, 1, "one")).await;
    arrive(&engine, 2, 1, 2, version(1, 2, "two")).await;
    arrive(&engine, 3, 1, 2, None).await;
    // A lower version arrives late and is deleted: readers of the record see neither.
    arrive(&engine, 1, 2, 2, version(2, 2, "two")).await;
    arrive(&engine, 2, 2, 1, version(2, 1, "one")).await;
    arrive(&engine, 3, 2, 1, None).await;
    // All versions are deleted.
    arrive(&engine, 1, 3, 1, version(3, 1, "one")).await;
    arrive(&engine, 2, 3, 2, version(3, 2, "two")).await;
    arrive(&engine, 3, 3, 0, None).await;
    feed::catch_up(&engine).await;
    assert_eq!(kinds(&engine, 1).await, ["new", "revised", "revised"]);
    assert_eq!(kinds(&engine, 2).await, ["new"]);
    assert_eq!(kinds(&engine, 3).await, ["new", "revised", "deleted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_other_types_of_records_are_told_and_disturb_no_reader_of_pubmed() {
    let engine = feed::engine().await;
    said(&engine, 1, 1, "a", &[]).await;
    let append = async |outcome: &str, hash: Option<&str>| {
        sqlx::query(
            "with n as (update archive_event_counter set last_seq = last_seq + 1 returning last_seq) \
             insert into archive_events (seq, record_type, record_id, outcome, content_hash, s3_uri, accepted_at) \
             select last_seq, 'fulltext', 'PMC1', $1, $2, 'memory:///x', clock_timestamp() from n",
        )
        .bind(outcome)
        .bind(hash)
        .execute(&engine.db)
        .await
    };
    for (outcome, hash) in [("archived", Some("a")), ("archived", Some("b")), ("deleted", None)] {
        append(outcome, hash).await.expect("appended");
    }
    feed::catch_up(&engine).await;
    let of_full_text: Vec<(String, String, Option<String>)> =
        sqlx::query_as("select kind, record_id, integrity from changes where record_type = 'fulltext' order by seq")
            .fetch_all(&engine.db)
            .await
            .expect("read");
    let row = |kind: &str| (kind.to_owned(), "PMC1".to_owned(), None);
    assert_eq!(of_full_text, [row("new"), row("revised"), row("deleted")]);
    let since = shared::checkpoints::states_since(
        &engine.db,
        None,
        (0, 99),
        &shared::checkpoints::StatesPosition::default(),
        10,
    )
    .await;
    assert_eq!(since.expect("read").len(), 1, "exports of PubMed see PubMed");
    for (name, sql) in [
        ("a PMID of a full text", "update archive_events set pmid = '1' where record_type = 'fulltext'"),
        ("no id", "update archive_events set record_id = null where record_type = 'fulltext'"),
        ("another id than the PMID", "update archive_events set record_id = '2' where pmid = '1'"),
        ("no PMID", "update archive_events set pmid = null where pmid = '1'"),
    ] {
        assert!(sqlx::query(sql).execute(&engine.db).await.is_err(), "{name}");
    }
    // Programs older than record types write neither column.
    sqlx::query("update archive_events set record_id = null where pmid = '1'").execute(&engine.db).await.expect("old");
    let there = rows(&engine).await;
    feed::drop_feed(&engine).await;
    feed::catch_up(&engine).await;
    assert_eq!(rows(&engine).await, there);
}

/// An engine over a store whose reads can fail.
async fn failing() -> (Engine, Faults) {
    let (store, faults) = FailingStore::new();
    (Engine { archive: tests::engine::archive(Arc::new(store), 64 << 20), ..feed::engine().await }, faults)
}

fn set(faults: &Faults, fault: Option<(&'static str, Fault)>) {
    *faults.lock().expect("no panic") = fault;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_cannot_be_read_stop_no_reader_and_hide_no_retraction() {
    let engine = feed::engine().await;
    for n in 1..=6 {
        said(&engine, n, 1, &format!("RETRACTED: {n}"), &[]).await;
    }
    for (n, what) in [(1, "garbage"), (2, "truncated"), (3, "of another record"), (4, "forged")] {
        attack(&engine, what, n).await;
    }
    // The newest objects of these four no longer match their rows; versions remain.
    let damaged = "update archive_events set s3_uri = split_part(s3_uri, '?', 1) || '?versionId=none' \
                   where pmid in ('1', '2', '3', '4')";
    sqlx::query(damaged).execute(&engine.db).await.expect("pointed elsewhere");
    feed::forget_notes(&engine).await;
    feed::catch_up(&engine).await;
    for n in 1..=4 {
        assert_eq!(kinds(&engine, n).await, ["new"], "{n}: only what needs no payload");
    }
    assert_eq!(kinds(&engine, 5).await, ["new retracted"]);
    assert_eq!(changes::unknown(&engine.db).await.expect("counted"), 4);
    // The next payload contains the retraction, so it is reported then.
    said(&engine, 1, 2, "RETRACTED: 1, revised", &[]).await;
    said(&engine, 2, 2, "2", &[]).await;
    feed::catch_up(&engine).await;
    assert_eq!(kinds(&engine, 1).await, ["new", "revised retracted"]);
    assert_eq!(kinds(&engine, 2).await, ["new", "revised"]);
    assert_eq!(changes::unknown(&engine.db).await.expect("counted"), 2, "those whose last payload is unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_that_was_repaired_is_read_by_a_rebuild() {
    let engine = feed::engine().await;
    said(&engine, 1, 1, "RETRACTED: 1", &[]).await;
    said(&engine, 2, 1, "2", &[]).await;
    let expected = {
        feed::catch_up(&engine).await;
        rows(&engine).await
    };
    let move_to = async |version: &str| {
        let sql = "update archive_events set s3_uri = split_part(s3_uri, '?', 1) || $1 where pmid = '1'";
        sqlx::query(sql).bind(version).execute(&engine.db).await.expect("moved");
    };
    let uri: String = sqlx::query_scalar("select s3_uri from archive_events where pmid = '1'")
        .fetch_one(&engine.db)
        .await
        .expect("read");
    let version = format!("?{}", uri.split_once('?').expect("a version").1);
    move_to("?versionId=none").await;
    feed::forget_notes(&engine).await;
    rebuild(&engine.db, &projections::all(), "changes").await.expect("started");
    feed::catch_up(&engine).await;
    assert_eq!(kinds(&engine, 1).await, ["new"]);
    move_to(&version).await;
    rebuild(&engine.db, &projections::all(), "changes").await.expect("started");
    feed::catch_up(&engine).await;
    assert_eq!(rows(&engine).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_stops_the_reader_until_it_can_be_read() {
    let (engine, faults) = failing().await;
    for n in 1..=3 {
        said(&engine, n, 1, &format!("RETRACTED: {n}"), &[]).await;
    }
    feed::forget_notes(&engine).await;
    for fault in [Fault::Unavailable, Fault::Denied, Fault::Missing] {
        set(&faults, Some(("pubmed/raw", fault)));
        let failed = catch_up(&engine, &projections::all(), |_| true).await;
        let is_stopped = matches!(failed, Err(UnitError::Failed { retry: true, .. } | UnitError::Blocked { .. }));
        assert!(is_stopped, "{fault:?}: {failed:?}");
        assert_eq!(rows(&engine).await, [], "{fault:?}: nothing is taken for unknown");
    }
    set(&faults, None);
    feed::catch_up(&engine).await;
    assert_eq!(kinds(&engine, 3).await, ["new retracted"]);
}

/// Makes the events and the pointer of a record name this version of its object.
async fn point_to(engine: &Engine, n: u32, version: &str) {
    for table in ["archive_events", "pubmed_archive"] {
        let sql = format!("update {table} set s3_uri = split_part(s3_uri, '?', 1) || $1 where pmid = $2");
        sqlx::query(AssertSqlSafe(sql))
            .bind(format!("?versionId={version}"))
            .bind(n.to_string())
            .execute(&engine.db)
            .await
            .expect("moved");
    }
}

/// A program that cannot read the archive at all must not record every change as unknown.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_which_no_object_can_be_read_stops_the_reader() {
    let engine = feed::engine().await;
    // More than one batch: later events could be read in place of those of the first batch.
    for n in 1..=8 {
        said(&engine, n, 1, &format!("RETRACTED: {n}"), &[]).await;
    }
    feed::forget_notes(&engine).await;
    let newest = engine.archive.store().head(&tests::forged::key(&engine, 8)).await.expect("there").version;
    for n in 1..=8 {
        let garbage = attack(&engine, "garbage", n).await.expect("written");
        point_to(&engine, n, &garbage).await;
    }
    let failed = catch_up(&engine, &projections::all(), |_| true).await;
    assert!(matches!(&failed, Err(UnitError::Failed { retry: true, .. })), "{failed:?}");
    assert_eq!(rows(&engine).await, []);
    // One readable object shows that the others are damaged.
    point_to(&engine, 8, newest.as_str()).await;
    feed::catch_up(&engine).await;
    assert_eq!(changes::unknown(&engine.db).await.expect("counted"), 7);
    assert_eq!(kinds(&engine, 8).await, ["new retracted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_prefix_stops_the_reader_and_a_renamed_one_does_not() {
    let archive = Archive::new().await;
    let sample = write_sample(&archive.dir.path().join("sample"), 100).expect("written");
    archive.ingest(&sample.baseline);
    let db = archive.database().await;
    sqlx::query("update archive_events set integrity_rules = null, integrity = null").execute(&db).await.expect("done");
    let feed = async || -> Vec<(i64, String, Option<String>)> {
        sqlx::query_as("select seq, kind, integrity from changes order by seq, kind")
            .fetch_all(&db)
            .await
            .expect("read")
    };
    let there = feed().await;
    let run = |arguments: &[&str]| -> Run {
        let mut command = archive.command(arguments);
        command.env("BIO_MCP_ARCHIVE_PREFIX", "literature").output().expect("runs").into()
    };
    let failed = run(&["projections", "rebuild", "changes"]).expect(4);
    assert!(failed.err.contains("no object of the archive can be read"), "{failed:?}");
    assert_eq!(feed().await, there, "nothing is taken for unknown");
    let folder = archive.data_dir().join("archive");
    // Earlier versions are stored beside the objects.
    for folder in [folder.clone(), folder.join(".versions")] {
        std::fs::rename(folder.join("pubmed"), folder.join("literature")).expect("renamed");
    }
    run(&["projections", "catch-up"]).expect(0);
    assert_eq!(feed().await, there, "the rebuild has read every object");
    let pmid: String = sqlx::query_scalar("select min(pmid) from pubmed_archive where deleted_at is null")
        .fetch_one(&db)
        .await
        .expect("read");
    run(&["get", &pmid]).expect(0);
}

/// Without a worker there is no later retry.
#[tokio::test(flavor = "multi_thread")]
async fn one_object_that_can_never_be_read_is_given_up_by_a_command_too() {
    let (engine, faults) = failing().await;
    for n in [1, 100_200_300] {
        said(&engine, n, 1, "RETRACTED: a", &[]).await;
    }
    feed::forget_notes(&engine).await;
    set(&faults, Some(("100200300", Fault::Denied)));
    let is_stopped = catch_up(&engine, &projections::all(), |_| false).await;
    assert!(is_stopped.is_err(), "a command that has no time left tries once: {is_stopped:?}");
    assert_eq!(rows(&engine).await, []);
    feed::catch_up(&engine).await;
    assert_eq!(kinds(&engine, 1).await, ["new retracted"]);
    assert_eq!(kinds(&engine, 100_200_300).await, ["new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_that_can_never_be_read_is_given_up_by_the_third_attempt() {
    let (engine, faults) = failing().await;
    for n in [1, 100_200_300] {
        said(&engine, n, 1, "RETRACTED: a", &[]).await;
    }
    feed::forget_notes(&engine).await;
    set(&faults, Some(("100200300", Fault::Unavailable)));
    let engine = Engine { pipelines: Arc::new([Arc::new(CatchUp(projections::all())) as _]), ..engine };
    let submitted = projections::submit_if_behind(&engine, &projections::all(), sync::LIMITS).await.expect("submitted");
    let job = submitted.expect("behind").job().job_id();
    let worker = Worker::new(engine.clone(), None).expect("a worker");
    worker.run_one(Some(job)).await.expect("planned");
    for attempt in 1..=3 {
        assert_eq!(rows(&engine).await, [], "before attempt {attempt}");
        sqlx::query("update ingestion_work_units set not_before = now()").execute(&engine.db).await.expect("due");
        worker.run_one(Some(job)).await.expect("tried");
    }
    let ended = jobs::get(&engine.db, job).await.expect("read").expect("there");
    assert_eq!(ended.state, jobs::JobState::Succeeded, "{:?}", ended.error);
    assert_eq!(kinds(&engine, 1).await, ["new retracted"]);
    assert_eq!(kinds(&engine, 100_200_300).await, ["new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_and_rebuilt_log_is_published_again() {
    let engine = feed::engine().await;
    said(&engine, 1, 1, "a", &[]).await;
    said(&engine, 2, 1, "RETRACTED: b", &[]).await;
    feed::catch_up(&engine).await;
    let old: i64 = sqlx::query_scalar("select max(seq) from changes").fetch_one(&engine.db).await.expect("read");
    empty(&engine).await;
    let mut run = verify::VerifyRun { from_objects: true, ..verify::VerifyRun::default() };
    verify::repair(&engine.db, &engine.archive, &mut run).await.expect("repaired");
    feed::catch_up(&engine).await;
    let anew: Vec<String> = sqlx::query_scalar("select kind from changes where seq > $1 order by record_id, kind")
        .bind(old)
        .fetch_all(&engine.db)
        .await
        .expect("read");
    assert_eq!(anew, ["new", "new", "retracted"], "a mirror gets the whole archive again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_is_a_deletion() {
    let engine = feed::engine().await;
    said(&engine, 1, 1, "a", &[]).await;
    operator::purge(&engine, pmid(1), "a reason", "local", true).await.expect("purged").expect("there");
    feed::catch_up(&engine).await;
    assert_eq!(kinds(&engine, 1).await, ["new", "deleted"]);
}

/// Every real file: the feed's last state of each record equals its typed form, and each retraction has its event.
#[tokio::test(flavor = "multi_thread")]
async fn the_feed_of_real_files_says_what_their_records_say() {
    let files = tests::real_pubmed_files();
    if files.is_empty() {
        return;
    }
    let archive = Archive::new().await;
    let mut said: BTreeMap<String, &'static str> = BTreeMap::new();
    let mut ingest = archive.command(&["ingest", "--as-of", "2026-01-01"]);
    Run::from(ingest.args(&files).output().expect("runs")).expect(0);
    for path in &files {
        let source = FileSource::open(path, u64::MAX).expect("opens");
        let mut splitter = Splitter::new(source, 64 << 20);
        while let Ok(Some(item)) = splitter.next() {
            let Item::Record { bytes, .. } = item else { continue };
            let Ok(xml) = std::str::from_utf8(bytes) else { continue };
            if let Ok(article) = Article::parse(xml)
                && article.integrity.status == "retracted"
            {
                said.insert(article.pmid.clone(), "retracted");
            }
        }
    }
    let db = archive.database().await;
    let live: Vec<(String, String, Option<Value>)> = sqlx::query_as(
        "select distinct on (c.record_id) c.record_id, c.integrity, c.details \
         from changes c join pubmed_archive a on a.pmid = c.record_id and a.deleted_at is null \
         order by c.record_id, c.seq desc",
    )
    .fetch_all(&db)
    .await
    .expect("read");
    let pointers: i64 = sqlx::query_scalar("select count(*) from pubmed_archive where deleted_at is null")
        .fetch_one(&db)
        .await
        .expect("read");
    assert_eq!(i64::try_from(live.len()).expect("small"), pointers, "each live record is in the feed");
    let mut statuses: BTreeMap<String, usize> = BTreeMap::new();
    for chunk in live.chunks(200) {
        let pmids: Vec<&str> = chunk.iter().map(|one| one.0.as_str()).collect();
        let run = archive.run(&["get", "--json", &pmids.join(",")]).expect(0);
        for line in run.out.lines() {
            let got: Value = serde_json::from_str(line).expect("JSON");
            let record = got.get("record").filter(|record| record.is_object()).unwrap_or(&got);
            let pmid = record["pmid"].as_str().expect("a PMID");
            let (_, status, details) = chunk.iter().find(|one| one.0 == pmid).expect("asked for");
            assert_eq!(record["integrity"]["status"], status.as_str(), "{pmid}");
            let notices = details.as_ref().and_then(|details| details["notices"].as_array()).map_or(0, Vec::len);
            assert_eq!(record["integrity"]["notices"].as_array().map_or(0, Vec::len), notices, "{pmid}");
            *statuses.entry(status.clone()).or_default() += 1;
        }
    }
    println!("{statuses:?}");
    assert!(statuses.get("retracted").is_some_and(|n| *n > 2), "there are real retractions: {statuses:?}");
    assert!(statuses.contains_key("corrected") && statuses.contains_key("ok"), "{statuses:?}");
    for pmid in said.keys() {
        let told: i64 = sqlx::query_scalar("select count(*) from changes where record_id = $1 and kind = 'retracted'")
            .bind(pmid)
            .fetch_one(&db)
            .await
            .expect("read");
        assert!(told >= 1, "the retraction of {pmid} is told");
    }
}
