//! Costs that must not grow with the archive or the number of files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use shared::archive::{Archive, Source};
use shared::ingest::{Engine, Settings, Worker};
use shared::jobs::{self, Submission};
use shared::pubmed::identity;
use shared::records;
use shared::sources::pubmed_files::{self, NamedParams};
use shared::sources::store_records::{self, Origin, RawBatch, RawRecord, SliceKind};
use shared::verify::{self, VerifyProgress, VerifyRun};
use simulator::{Corpus, Options};
use tests::http::plain;
use tests::slow_store::SlowStore;
use tests::sync::{LIMITS, client, engine, settings, simulator};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_files_are_planned_with_a_few_requests() {
    let upstream = simulator(Corpus::default(), Options::default()).await;
    let names: Vec<String> = (1..=1400).map(|n| format!("pubmed26n{n:04}.xml.gz")).collect();
    for name in &names {
        upstream.publish_update(name, &[], &[], 0);
    }
    let engine = engine(tests::engine::pool(4).await, client(settings(&upstream)), Settings::default());
    let worker = Worker::new(engine.clone(), None).expect("a worker");
    let mut planned = 0;
    for names in names.chunks(100) {
        let params = NamedParams::new(names.to_vec()).expect("names");
        let submission = Submission::new(pubmed_files::TOOL, json!(params), "files");
        let job = jobs::submit(&engine.db, &submission, LIMITS).await.expect("submitted").job().job_id();
        worker.run_one(Some(job)).await.expect("planned");
        planned += jobs::get(&engine.db, job).await.expect("read").expect("there").units_total - 1;
    }
    assert_eq!(planned, 1400);
    assert!(upstream.file_requests() <= 10, "{} requests", upstream.file_requests());

    // A file that the server does not list is named in the error, and no part of its job is started.
    let params = NamedParams::new(vec!["pubmed26n9999.xml.gz".to_owned()]).expect("a name");
    let submission = Submission::new(pubmed_files::TOOL, json!(params), "files");
    let job = jobs::submit(&engine.db, &submission, LIMITS).await.expect("submitted").job().job_id();
    worker.run_job(job).await.expect("ended");
    let job = jobs::get(&engine.db, job).await.expect("read").expect("there");
    assert!(job.error.expect("it failed")["message"].as_str().expect("text").contains("pubmed26n9999.xml.gz"));
}

/// Archives the records `first` to `first + n` through a store, in batches like those of a file.
async fn archive_records(engine: &Engine, n: u32) {
    for first in (1..=n).step_by(1000) {
        let mut raw = RawBatch::default();
        for n in first..(first + 1000).min(n + 1) {
            let xml = format!(
                "<PubmedArticle><MedlineCitation><PMID Version=\"1\">{n}</PMID><Article><ArticleTitle>Title \
                 {n}</ArticleTitle></Article></MedlineCitation></PubmedArticle>"
            );
            let (identity, _) = identity::of_record(xml.as_bytes()).expect("a record");
            let start = raw.bytes.len();
            raw.bytes.extend_from_slice(xml.as_bytes());
            let kind = SliceKind::Record(identity);
            raw.items.push(RawRecord { range: start..raw.bytes.len(), n: n.into(), kind, newest_revision: None });
        }
        let source =
            Source { api: "bulk_file".into(), endpoint: "pubmed26n0001.xml".into(), http_status: 0, http_etag: None };
        let origin = Origin { source, as_of: chrono::DateTime::default(), file_number: 260_001, file_id: None };
        let prepared = store_records::prepare(engine, origin, &raw).await.expect("prepared");
        let batch =
            store_records::store_without_unit(engine, vec![prepared]).await.expect("stored").pop().expect("a batch");
        let mut tx = shared::db::begin(&engine.db).await.expect("begun");
        records::accept(&mut tx, &batch.rows.accepts).await.expect("accepted");
        tx.commit().await.expect("committed");
    }
}

/// `BIO_MCP_SCALE_RECORDS` runs a longer measurement; the durations are printed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_object_is_read_once_and_many_at_a_time() {
    let n: u32 = tests::variable("BIO_MCP_SCALE_RECORDS").and_then(|text| text.parse().ok()).unwrap_or(3000);
    let engine = tests::engine::engine(Vec::new(), Settings::default(), 4).await;
    let (store, requests) = SlowStore::new(Duration::from_millis(20));
    let layout = engine.archive.layout().clone();
    let engine = Engine { archive: Archive::new(Arc::new(store), layout, 64 << 20), ..engine };
    archive_records(&engine, n).await;
    requests.take();
    let bound = |read: &str, requests: usize| {
        // One read per record, and two kinds of listings per thousand.
        let most = n as usize + n.div_ceil(1000) as usize * 4 + 8;
        assert!(requests <= most, "{read}: {requests} requests for {n} records");
    };
    let began = Instant::now();
    let report = verify::check(&engine.db, &engine.archive, &VerifyRun::default()).await.expect("checked");
    assert!(report.is_clean(), "{:?}", report.problems);
    println!("{n} records verified in {:?}", began.elapsed());
    bound("verify", requests.take());
    assert_eq!(requests.most_at_once(), 64, "reads at the same time");

    sqlx::raw_sql("truncate pubmed_archive, pubmed_archive_history, archive_events")
        .execute(&engine.db)
        .await
        .expect("lost");
    let began = Instant::now();
    let mut run = VerifyRun::default();
    let repaired = verify::repair(&engine.db, &engine.archive, &mut run).await.expect("repaired");
    assert_eq!(repaired.pointers, u64::from(n));
    let report = verify::check(&engine.db, &engine.archive, &run).await.expect("checked");
    assert!(report.is_clean(), "{:?}", report.problems);
    println!("{n} records repaired and verified in {:?}", began.elapsed());
    bound("repair and verify", requests.take());
    assert_eq!(tests::invariants::broken(&engine.db).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_that_was_stopped_resumes() {
    let engine = tests::engine::engine(Vec::new(), Settings::default(), 4).await;
    archive_records(&engine, 2500).await;
    sqlx::raw_sql("truncate pubmed_archive, pubmed_archive_history, archive_events")
        .execute(&engine.db)
        .await
        .expect("lost");
    // Stopped after its first page: dropped in the middle, as by a kill.
    let (told, mut page) = tokio::sync::mpsc::unbounded_channel();
    let on_progress = move |progress: VerifyProgress| told.send(progress.done).unwrap_or_default();
    let mut run = VerifyRun { on_progress: &on_progress, ..VerifyRun::default() };
    tokio::select! {
        biased;
        _ = page.recv() => {}
        done = verify::repair(&engine.db, &engine.archive, &mut run) => panic!("it was not stopped: {done:?}"),
    }
    let again = verify::repair(&engine.db, &engine.archive, &mut VerifyRun::default()).await.expect("repaired");
    assert!(again.objects < 2500, "{again:?}");
    let report = verify::check(&engine.db, &engine.archive, &VerifyRun::default()).await.expect("checked");
    assert!(report.is_clean(), "{:?}", report.problems);
}

/// Inserts the rows of an archive with that many records, without objects.
async fn fill(db: &sqlx::PgPool, records: i64) {
    // The duration of this setup does not matter.
    let mut patient = shared::db::patient(db).await.expect("connects");
    for sql in [
        "begin",
        "alter table pubmed_archive disable trigger user",
        "alter table pubmed_archive_history disable trigger user",
        "alter table archive_events disable trigger user",
        "insert into pubmed_archive (pmid, s3_uri, content_hash, fetched_at, object_etag, record_version, as_of, file_number, position, deleted_at)
         select n, 'memory:///' || n || '?versionId=1', case when n % 100 > 0 then md5(n::text) || md5(n::text) end, now(), '1', 1, now(), 0, 0,
                case when n % 100 = 0 then now() end from generate_series(1, RECORDS) n",
        "insert into pubmed_archive_history (pmid, content_hash, s3_uri, fetched_at)
         select pmid, content_hash, s3_uri, fetched_at from pubmed_archive where content_hash is not null",
        "insert into archive_events (seq, pmid, outcome, content_hash, s3_uri, accepted_at)
         select row_number() over (), pmid, 'archived', content_hash, s3_uri, now() from pubmed_archive where content_hash is not null",
        "update archive_event_counter set last_seq = (select max(seq) from archive_events)",
        "update archive_counts c set deleted = r.deleted, payloads = r.payloads, events = r.events from archive_counted r",
        "update corpus_digests set documents = (select count(*) from pubmed_archive where content_hash is not null)",
        "alter table pubmed_archive enable trigger user",
        "alter table pubmed_archive_history enable trigger user",
        "alter table archive_events enable trigger user",
        "commit",
        "vacuum analyze pubmed_archive",
    ] {
        let sql = sql.replace("RECORDS", &records.to_string());
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *patient).await.expect("filled");
    }
}

/// The fastest of a few runs, to exclude other load on the machine.
async fn best<F: Future<Output = ()>>(ask: impl Fn() -> F) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        ask().await;
        best = best.min(began.elapsed());
    }
    best
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frequent_queries_do_not_grow_with_the_archive() {
    let world = plain().await;
    let server = &world.server;
    let db = &world.server.engine.db;
    fill(db, 1_000_000).await;
    let summary = shared::records::summary(db).await.expect("read");
    assert_eq!((summary.live, summary.deleted, summary.payloads), (990_000, 10_000, 990_000));
    let limit = Duration::from_millis(100);
    let took = best(async || {
        let _ = shared::records::summary(db).await.expect("read");
    })
    .await;
    assert!(took < limit, "status took {took:?}");
    for path in ["/readyz", "/metrics", "/v1/jobs", "/v1/jobs?state=running&tool=pubmed.sync"] {
        let took = best(async || assert_eq!(server.get(path).await.status, 200, "{path}")).await;
        assert!(took < limit, "{path} took {took:?}");
    }
    let took = best(async || {
        let _ = shared::checkpoints::now(db).await.expect("read");
    })
    .await;
    assert!(took < limit, "corpus/status took {took:?}");
    let took = best(async || {
        let _ = shared::syncs::queries(db).await.expect("read");
    })
    .await;
    assert!(took < limit, "queries took {took:?}");
}
