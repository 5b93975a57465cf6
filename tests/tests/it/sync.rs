//! Syncs of PMIDs and queries: outcomes, keys, windows, limits, and equal records by file and by EFetch.

use std::sync::Arc;

use chrono::Days;
use samples::files::FileWriter;
use shared::archive::DiskStore;
use shared::core::{Caller, host};
use shared::ingest::{Engine, Settings};
use shared::jobs::{self, FirstUnit, JobState, Submission, SubmitOutcome};
use shared::pubmed::eutils::EutilsSettings;
use shared::sources::operator::{self, Retried};
use shared::sources::pubmed_files;
use shared::sources::pubmed_sync::{
    IncrementalParams, Sources, SubmitSyncError, SyncParams, submit_incremental, submit_sync,
};
use shared::{ingest, records, syncs, verify};
use simulator::{Corpus, Entry, Options, Simulator, Spread};
use tests::invariants;
use tests::sync::{
    LIMITS, NOW, at, client, corpus, day, engine, files, finish, incremental, number, of_all, pmid, settings,
    simulator, sizes, start_incremental, sync,
};

#[tokio::test(flavor = "multi_thread")]
async fn each_pmid_has_one_outcome_and_they_sum_to_what_was_asked() {
    let (simulator, engine) = corpus(20).await;
    {
        let mut corpus = simulator.corpus();
        corpus.entry(1003).expect("there").is_served = false;
        corpus.entry(1004).expect("there").xml = Some(Arc::from(
            "<PubmedArticle><MedlineCitation><PMID Version=\"1\">1004</PMID><x></MedlineCitation></PubmedArticle>",
        ));
        corpus.entry(1005).expect("there").xml =
            Some(Arc::from("<PubmedArticle><MedlineCitation><Other/></MedlineCitation></PubmedArticle>"));
    }
    let asked = (1000..1010).chain([5, 999_999_999]).map(pmid).collect();
    let params = SyncParams::of_pmids(asked, Some("mine")).expect("fine");
    let first = sync(&engine, &params).await;
    assert_eq!(first.state, JobState::Succeeded, "{:?}", first.error);
    let counts = |job: &jobs::Job| {
        ["requested", "archived", "skipped", "failed", "deleted", "missing"].map(|key| number(job, key))
    };
    assert_eq!(counts(&first), [12, 7, 0, 2, 0, 3]);
    assert!(first.completed_with_failures());
    let result = first.result.as_ref().expect("a result");
    assert_eq!(result["pmids_failed"], serde_json::json!(["1004", "1005"]));
    let again = sync(&engine, &params).await;
    assert_eq!(counts(&again), [12, 0, 7, 2, 0, 3], "nothing is stored twice");
    assert_eq!(sizes(&engine).await, (7, 7, 7, 7));
    let members: i64 = sqlx::query_scalar("select count(*) from query_members where query_key = 'mine'")
        .fetch_one(&engine.db)
        .await
        .expect("counted");
    assert_eq!(members, 7);
    let failures = ingest::failures(&engine.db, first.job_id(), 0, 100).await.expect("listed").rows;
    assert_eq!(failures.len(), 5);
    assert_eq!(invariants::broken(&engine.db).await, Vec::<String>::new());
    assert!(
        verify::check(&engine.db, &engine.archive, &verify::VerifyRun::default()).await.expect("checked").is_clean()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_does_again_only_what_failed() {
    let (simulator, engine) = corpus(20).await;
    simulator.corpus().entry(1004).expect("there").xml = Some(Arc::from(
        "<PubmedArticle><MedlineCitation><PMID Version=\"1\">1004</PMID><x></MedlineCitation></PubmedArticle>",
    ));
    let params = SyncParams::of_pmids((1000..1010).map(pmid).collect(), None).expect("fine");
    let first = sync(&engine, &params).await;
    simulator.corpus().entry(1004).expect("there").xml = None;
    let child = ingest::retry(&engine, &first, LIMITS, &Caller::command_line(), |s| s)
        .await
        .expect("submitted")
        .expect("something failed");
    assert_eq!(child.job().parent_job_id, Some(first.id));
    let child = finish(&engine, child.job().job_id()).await;
    assert_eq!((number(&child, "requested"), number(&child, "archived")), (1, 1));
    assert!(
        ingest::retry(&engine, &child, LIMITS, &Caller::command_line(), |s| s).await.expect("asked").is_none(),
        "nothing failed"
    );
    assert!(ingest::quarantined(&engine.db, None, 10).await.expect("listed").is_empty(), "it came whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_record_is_archived_when_it_can_be_read() {
    let (simulator, engine) = corpus(20).await;
    simulator.corpus().entry(1004).expect("there").xml = Some(Arc::from(
        "<PubmedArticle><MedlineCitation><PMID Version=\"1\">1004</PMID><x></MedlineCitation></PubmedArticle>",
    ));
    sync(&engine, &SyncParams::of_pmids(vec![pmid(1004)], None).expect("fine")).await;
    simulator.corpus().entry(1004).expect("there").xml = None;
    let entry = &ingest::quarantined(&engine.db, None, 10).await.expect("listed")[0];
    assert!(matches!(operator::retry_quarantined(&engine, entry).await.expect("tried"), Retried::StillBad { .. }));
    // As if a later program could parse it.
    let xml = simulator.corpus().xml(1004).expect("served").into_owned();
    let key =
        engine.archive.layout().quarantine(shared::core::JobId(entry.job_id), shared::core::UnitId(entry.unit_id), 99);
    engine.archive.put_once(key, shared::archive::codec::encode_zstd(xml.as_bytes())).await.expect("stored");
    let readable = ingest::Quarantined { n: 99, ..entry.clone() };
    let retried = operator::retry_quarantined(&engine, &readable).await.expect("tried");
    assert_eq!(retried, Retried::Archived { pmid: pmid(1004) });
    assert!(ingest::quarantined(&engine.db, None, 10).await.expect("listed").is_empty(), "it is off the list");
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_what_changed_upstream_changes_and_an_unchanged_run_writes_nothing() {
    let (simulator, engine) = corpus(60).await;
    let first = incremental(&engine, &of_all(None), at(NOW)).await;
    assert_eq!(number(&first, "archived"), 60);
    let before = sizes(&engine).await;
    let searches = |simulator: &Simulator| simulator.arrivals().iter().filter(|a| a.endpoint == "esearch").count();
    let (asked, fetched) = (searches(&simulator), simulator.arrivals().len() - searches(&simulator));
    let next = at(NOW) + Days::new(1);
    let unchanged = incremental(&engine, &of_all(None), next).await;
    assert_eq!(sizes(&engine).await, before, "no object, pointer, history or event");
    assert_eq!(number(&unchanged, "archived"), 0);
    // Three windows, 8 to 11 March: each is listed and counted again, and the whole query is counted.
    assert_eq!(searches(&simulator) - asked, 7);
    let overlap = usize::try_from(number(&unchanged, "requested")).expect("small");
    assert!(overlap > 0);
    let others = simulator.arrivals().iter().filter(|a| a.endpoint == "einfo").count();
    assert_eq!(others, 2, "once a run");
    let fetches = simulator.arrivals().len() - searches(&simulator) - fetched - 1;
    // Units of five, requests of three.
    assert_eq!(fetches, overlap / 5 * 2 + (overlap % 5).div_ceil(3), "only the overlap is fetched");

    {
        let mut corpus = simulator.corpus();
        corpus.today = day("2026-03-12");
        corpus.revise(1050);
        corpus.retract(1051);
        corpus.add(9001, "new");
    }
    let changed = incremental(&engine, &of_all(None), next + Days::new(1)).await;
    assert_eq!(number(&changed, "archived"), 3, "{:?}", changed.result);
    let result = changed.result.expect("a result");
    assert_eq!(result["query_key"], "all");
    assert_eq!(result["windows"][0]["entry"][0], "2026-03-09");
    assert_eq!(result["watermarks"]["before"]["entry"], "2026-03-11T17:00:00Z");
    assert_eq!(result["watermarks"]["after"]["entry"], "2026-03-12T17:00:00Z");
    let manifest = changed.result_ref.expect("a manifest");
    let key = manifest.trim_start_matches("memory:///").split('?').next().expect("a key").to_owned();
    let key = shared::archive::Key::parse(&key).expect("a key");
    let object = engine.archive.object(&key, None).await.expect("there");
    let manifest: serde_json::Value = serde_json::from_slice(&object.bytes).expect("JSON");
    assert_eq!(manifest["windows"], result["windows"]);
    assert_eq!(manifest["counts"]["archived"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_vanishes_upstream_is_missing_and_not_deleted() {
    let (simulator, engine) = corpus(10).await;
    let asked = SyncParams::of_pmids((1000..1003).map(pmid).collect(), None).expect("fine");
    sync(&engine, &asked).await;
    simulator.corpus().remove(1001);
    let gone = sync(&engine, &asked).await;
    assert_eq!((number(&gone, "missing"), number(&gone, "deleted")), (1, 0));
    let pointer = records::one(&engine.db, pmid(1001)).await.expect("read").expect("its pointer stays");
    assert!(pointer.missing_since.is_some() && pointer.deleted_at.is_none() && pointer.content_hash.is_some());
    simulator.corpus().put(1001, Entry::on(day("2026-03-09")));
    let back = sync(&engine, &asked).await;
    assert_eq!((number(&back, "missing"), number(&back, "skipped")), (0, 3));
    let pointer = records::one(&engine.db, pmid(1001)).await.expect("read").expect("there");
    assert!(pointer.missing_since.is_none(), "it was found again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_stops_and_the_next_run_continues_after_it() {
    let (simulator, engine) = corpus(30).await;
    let mut runs = 0;
    loop {
        let job = incremental(&engine, &of_all(Some(7)), at(NOW)).await;
        runs += 1;
        assert!(number(&job, "requested") <= 7);
        if job.result.expect("a result")["more"] == false {
            break;
        }
        let marks = syncs::one(&engine.db, "all").await.expect("read").expect("bound").watermarks;
        assert!(marks.entry.is_none(), "the walk is not over");
        assert!(runs < 10);
    }
    assert_eq!(sizes(&engine).await.1, 30);
    assert_eq!(runs, 5);
    // Also inside windows of days: everything changes on one day.
    {
        let mut corpus = simulator.corpus();
        corpus.today = day("2026-03-11");
        for number in 1000..1030 {
            corpus.revise(number);
        }
    }
    let mut archived = 0;
    for _ in 0..20 {
        let job = incremental(&engine, &of_all(Some(4)), at(NOW) + Days::new(2)).await;
        assert!(number(&job, "requested") <= 4);
        archived += number(&job, "archived");
        if job.result.expect("a result")["more"] == false {
            break;
        }
    }
    assert_eq!(archived, 30, "each once");
    let marks = syncs::one(&engine.db, "all").await.expect("read").expect("bound").watermarks;
    assert_eq!(marks.modification, Some(at(NOW) + Days::new(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_query_and_has_one_run_at_a_time() {
    let (_simulator, engine) = corpus(5).await;
    let other = IncrementalParams::new("tenth", Some("all"), None, None).expect("fine");
    let first = start_incremental(&engine, &of_all(None), at(NOW)).await;
    let second = start_incremental(&engine, &of_all(Some(3)), at(NOW)).await;
    assert_eq!(first, second, "whatever else it asks for");
    let refused = submit_incremental(&engine.db, &other, LIMITS, |s| s).await;
    assert!(matches!(refused, Err(SubmitSyncError::Bind(syncs::BindError::OtherQuery { .. }))));
    let plain = SyncParams::of_query("tenth", Some("all"), None).expect("fine");
    assert!(matches!(submit_sync(&engine.db, &plain, LIMITS, |s| s).await, Err(SubmitSyncError::Bind(_))));
    assert!(
        !syncs::set_watermarks_by_hand(&engine.db, "all", at(NOW), "test").await.expect("asked"),
        "not while it runs"
    );
    finish(&engine, first).await;
    assert!(syncs::set_watermarks_by_hand(&engine.db, "all", at("2026-02-01T00:00:00Z"), "test").await.expect("moved"));
    let moves: Vec<(String, String)> = sqlx::query_as("select field, moved_by from sync_watermark_moves order by id")
        .fetch_all(&engine.db)
        .await
        .expect("read");
    assert_eq!(moves.len(), 6, "each move is noted: {moves:?}");
    assert_eq!(moves[3].1, "test");
    let rewalk = incremental(&engine, &of_all(None), at(NOW)).await;
    assert_eq!(rewalk.result.expect("a result")["windows"][0]["entry"][0], "2026-01-29");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_record_holds_back_no_watermark_and_is_retried_first() {
    let (simulator, engine) = corpus(12).await;
    simulator.corpus().entry(1011).expect("there").xml =
        Some(Arc::from("<PubmedArticle><PMID>no</PMID></PubmedArticle>"));
    let first = incremental(&engine, &of_all(None), at(NOW)).await;
    assert_eq!((first.state, number(&first, "failed")), (JobState::Succeeded, 1));
    let known = syncs::one(&engine.db, "all").await.expect("read").expect("bound");
    assert_eq!(known.watermarks.entry, Some(at(NOW)));
    let (list, total) = syncs::retry_list(&engine.db, 10).await.expect("listed");
    assert_eq!((list[0].pmid.as_str(), total), ("1011", 1));
    // Long after every window, only the retry list leads to it.
    let far = at(NOW) + Days::new(60);
    let again = incremental(&engine, &of_all(Some(1)), far).await;
    assert_eq!(number(&again, "failed"), 1);
    assert_eq!(syncs::retry_list(&engine.db, 10).await.expect("listed").0[0].attempts, 2);
    simulator.corpus().entry(1011).expect("there").xml = None;
    let mended = incremental(&engine, &of_all(None), far).await;
    assert_eq!(number(&mended, "archived"), 1);
    assert_eq!(syncs::retry_list(&engine.db, 10).await.expect("listed").1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_record_that_is_never_returned_is_requested_a_few_times() {
    let (simulator, engine) = corpus(6).await;
    simulator.corpus().entry(1002).expect("there").is_served = false;
    let first = incremental(&engine, &of_all(None), at(NOW)).await;
    assert_eq!(number(&first, "missing"), 1);
    for run in 1..=3 {
        assert_eq!(syncs::retry_list(&engine.db, 10).await.expect("listed").1, 1, "before run {run}");
        let aged = "update sync_retry set first_failed_at = first_failed_at - interval '1 day'";
        sqlx::query(aged).execute(&engine.db).await.expect("aged");
        incremental(&engine, &of_all(None), at(NOW) + Days::new(60 + run)).await;
    }
    assert_eq!(syncs::retry_list(&engine.db, 10).await.expect("listed").1, 0, "withdrawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_records_are_refused_with_their_number() {
    let (_simulator, engine) = corpus(50).await;
    let sources = |client| Sources { max_records: 49, ..Sources::new(client, 1) };
    let simulator =
        simulator(Corpus::generated(day("2026-03-10"), 1000, 50, 1, Spread::Even(30)), Options::default()).await;
    let client = client(settings(&simulator));
    let strict = Engine { pipelines: shared::sources::all(files(&client), &sources(client.clone())), ..engine };
    let failed = sync(&strict, &SyncParams::of_query("all", None, None).expect("fine")).await;
    let error = failed.error.expect("refused");
    assert_eq!(error["error_code"], "VALIDATION_ERROR");
    assert!(error["message"].as_str().expect("text").contains("50 records"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_sync_takes_the_newest() {
    let (_simulator, engine) = corpus(20).await;
    let job = sync(&engine, &SyncParams::of_query("all", None, Some(6)).expect("fine")).await;
    assert_eq!(number(&job, "requested"), 6);
    // Also of very many records, without listing them all.
    let many = Corpus::generated(day("2026-03-10"), 100_000, 50_000, 1, Spread::Spike(300));
    let many = simulator(many, Options { cap: 100, ..Options::default() }).await;
    let narrow = EutilsSettings { cap: 100, ..settings(&many) };
    let other = tests::sync::engine(tests::engine::pool(4).await, client(narrow), Settings::default());
    let job = sync(&other, &SyncParams::of_query("all", None, Some(150)).expect("fine")).await;
    assert_eq!(number(&job, "archived"), 150);
    let first = records::page(&other.db, None, 1).await.expect("read");
    assert_eq!(first[0].pmid.get(), 149_850, "the newest");
    assert!(many.arrivals().len() < 200, "{} requests", many.arrivals().len());
    let archived = records::page(&engine.db, None, 100).await.expect("read");
    assert_eq!(archived.iter().map(|p| p.pmid.get()).collect::<Vec<_>>(), (1014..1020).collect::<Vec<_>>());
}

/// Ingests a file with these records as of a time.
async fn ingest_file(engine: &Engine, dir: &std::path::Path, records: &[String], mtime: u32) -> jobs::Job {
    let path = dir.join(format!("pubmed26n{:04}.xml.gz", mtime % 10_000));
    let mut file = FileWriter::create(&path, mtime).expect("created");
    for record in records {
        file.record(record).expect("written");
    }
    file.finish(&[]).expect("written");
    let hostname = host::name();
    let registered = pubmed_files::register(&engine.db, &hostname, &path, 1 << 30).await.expect("registered");
    let params = pubmed_files::Params { files: vec![registered.file], hostname: hostname.clone(), as_of: None };
    let submission = Submission::new(pubmed_files::TOOL, serde_json::json!(params), "files");
    let submission = Submission {
        first_unit: FirstUnit { required_hostname: Some(hostname), ..submission.first_unit },
        ..submission
    };
    let SubmitOutcome::Created(job) = jobs::submit(&engine.db, &submission, LIMITS).await.expect("submitted") else {
        panic!("new")
    };
    finish(engine, job.job.job_id()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_records_by_file_and_by_efetch_are_stored_once_in_either_order() {
    for file_first in [true, false] {
        let (simulator, engine) = corpus(9).await;
        let dir = tempfile::tempdir().expect("a directory");
        let mut records: Vec<String> =
            (1000..1009).map(|n| simulator.corpus().xml(n).expect("served").into_owned()).collect();
        // The file has one record with other XML spelling, and an older state of another.
        records[3] = records[3].replace("&#x3bc;", "\u{3bc}").replace("ValidYN=\"Y\"", "ValidYN='Y'");
        assert_ne!(records[3], simulator.corpus().xml(1003).expect("served"));
        simulator.corpus().revise(1004);
        let asked = SyncParams::of_pmids((1000..1009).map(pmid).collect(), None).expect("fine");
        let reasons = async |job: &jobs::Job| -> Vec<Option<String>> {
            let uri: String = sqlx::query_scalar("select outcomes_ref from ingestion_work_units where job_id = $1 and outcomes_ref is not null order by seq limit 1")
                .bind(job.id)
                .fetch_one(&engine.db)
                .await
                .expect("a part");
            let key = uri.trim_start_matches("memory:///").split('?').next().expect("a key").to_owned();
            let key = shared::archive::Key::parse(&key).expect("a key");
            let object = engine.archive.store().get(&key, None, 1 << 20).await.expect("there");
            let text = shared::archive::codec::decode(&object.bytes, 1 << 20).expect("decodes");
            String::from_utf8(text)
                .expect("UTF-8")
                .lines()
                .map(|line| {
                    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
                    line["reason"].as_str().map(str::to_owned)
                })
                .collect()
        };
        if file_first {
            let by_file = ingest_file(&engine, dir.path(), &records, 1_700_000_001).await;
            assert_eq!(number(&by_file, "archived"), 9);
            let by_efetch = sync(&engine, &asked).await;
            assert_eq!((number(&by_efetch, "archived"), number(&by_efetch, "skipped")), (1, 8), "only the revised one");
            assert!(reasons(&by_efetch).await.contains(&Some("format_only".to_owned())));
        } else {
            let by_efetch = sync(&engine, &asked).await;
            assert_eq!(number(&by_efetch, "archived"), 9);
            let by_file = ingest_file(&engine, dir.path(), &records, 1_700_000_001).await;
            assert_eq!((number(&by_file, "archived"), number(&by_file, "skipped")), (0, 9), "nothing newer in it");
            let why = reasons(&by_file).await;
            assert!(
                why.contains(&Some("format_only".to_owned())) && why.contains(&Some("older".to_owned())),
                "{why:?}"
            );
        }
        let current = simulator.corpus().xml(1004).expect("served").into_owned();
        let pointer = records::one(&engine.db, pmid(1004)).await.expect("read").expect("there");
        assert_eq!(
            pointer.content_hash,
            Some(shared::core::Sha256::of(current.as_bytes())),
            "the newer is the pointer"
        );
        assert!(
            verify::check(&engine.db, &engine.archive, &verify::VerifyRun::default())
                .await
                .expect("checked")
                .is_clean()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_leaves_a_tombstone_and_takes_versions_only_when_told() {
    let (simulator, engine) = corpus(5).await;
    let dir = tempfile::tempdir().expect("a directory");
    let layout = engine.archive.layout().clone();
    let engine = Engine {
        archive: shared::archive::Archive::new(Arc::new(DiskStore::new(dir.path())), layout, 64 << 20),
        ..engine
    };
    let asked = SyncParams::of_pmids(vec![pmid(1001), pmid(1002)], None).expect("fine");
    sync(&engine, &asked).await;
    simulator.corpus().revise(1001);
    sync(&engine, &asked).await;
    assert!(operator::purge(&engine, pmid(4), "no reason", "test", false).await.expect("asked").is_none());
    let kept = operator::purge(&engine, pmid(1002), "asked for by its author", "test", false)
        .await
        .expect("purged")
        .expect("there");
    assert_eq!(kept.versions_deleted, 0);
    let gone = operator::purge(&engine, pmid(1001), "asked for by its author", "test", true)
        .await
        .expect("purged")
        .expect("there");
    assert_eq!(gone.versions_deleted, 2);
    let key = engine.archive.layout().record(pmid(1001));
    assert_eq!(engine.archive.store().versions(&key).await.expect("listed").len(), 1, "the tombstone");
    let (envelope, _) = engine.archive.envelope_at(&key, None).await.expect("readable");
    assert_eq!((envelope.content_hash(), envelope.source.api.as_str()), (None, "operator"));
    assert_eq!(envelope.source.endpoint, "asked for by its author");
    for number in [1001, 1002] {
        let pointer = records::one(&engine.db, pmid(number)).await.expect("read").expect("there");
        assert!(pointer.deleted_at.is_some());
    }
    let noted: i64 = sqlx::query_scalar("select count(*) from purges").fetch_one(&engine.db).await.expect("counted");
    assert_eq!(noted, 2);
    let report = verify::check(&engine.db, &engine.archive, &verify::VerifyRun::default()).await.expect("checked");
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_make_one_job_for_each_slot() {
    let (_simulator, engine) = corpus(5).await;
    let params = of_all(None);
    syncs::bind(&engine.db, &params.query_key, &params.query, "test").await.expect("bound");
    assert!(syncs::add_topic(&engine.db, "all", 3600, 5).await.expect("added"));
    assert!(!syncs::add_topic(&engine.db, "all", 3600, 5).await.expect("added"), "the same again changes nothing");
    let (one, other) = tokio::join!(
        shared::sources::topics::submit_due(&engine, LIMITS, 24),
        shared::sources::topics::submit_due(&engine, LIMITS, 24)
    );
    let made: Vec<_> = one.expect("ticks").into_iter().chain(other.expect("ticks")).collect();
    assert_eq!(made.len(), 1, "however many look");
    assert!(
        shared::sources::topics::submit_due(&engine, LIMITS, 24).await.expect("ticks").is_empty(),
        "until the next slot"
    );
    let job = jobs::get(&engine.db, shared::core::JobId(made[0])).await.expect("read").expect("there");
    assert_eq!((job.priority, job.principal.as_str()), (5, "topics"));
    sqlx::query("update sync_topics set last_slot_at = last_slot_at - interval '1 hour'")
        .execute(&engine.db)
        .await
        .expect("aged");
    assert!(
        shared::sources::topics::submit_due(&engine, LIMITS, 24).await.expect("ticks").is_empty(),
        "the slot has its job"
    );
    finish(&engine, job.job_id()).await;
    assert!(syncs::remove_topic(&engine.db, "all").await.expect("removed"));
    assert!(!syncs::remove_topic(&engine.db, "all").await.expect("removed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_enters_long_after_its_publication_is_found_by_its_creation_date() {
    for lists_creation in [true, false] {
        let generated = Corpus::generated(day("2026-03-10"), 1000, 20, 1, Spread::Even(30));
        let simulator = simulator(generated, Options { lists_creation, ..Options::default() }).await;
        let engine = engine(tests::engine::pool(4).await, client(settings(&simulator)), Settings::default());
        incremental(&engine, &of_all(None), at(NOW)).await;
        {
            let mut corpus = simulator.corpus();
            corpus.today = day("2026-03-12");
            corpus.add_late(5000, "late", day("2019-05-01"));
        }
        let next = incremental(&engine, &of_all(None), at(NOW) + Days::new(2)).await;
        assert_eq!(number(&next, "archived"), i64::from(lists_creation));
        let marks = syncs::one(&engine.db, "all").await.expect("read").expect("bound").watermarks;
        let creation = if lists_creation { at(NOW) + Days::new(2) } else { at(NOW) };
        assert_eq!((marks.entry, marks.creation), (Some(at(NOW) + Days::new(2)), Some(creation)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_years_cost_few_searches() {
    let generated = Corpus::generated(day("2026-03-10"), 1000, 40, 1, Spread::Even(3600));
    let simulator = simulator(generated, Options::default()).await;
    let engine = engine(tests::engine::pool(4).await, client(settings(&simulator)), Settings::default());
    let params = of_all(None);
    syncs::bind(&engine.db, &params.query_key, &params.query, "test").await.expect("bound");
    let moved = syncs::set_watermarks_by_hand(&engine.db, "all", at("2016-03-10T05:00:00Z"), "test").await;
    assert!(moved.expect("asked"));
    let job = incremental(&engine, &params, at(NOW)).await;
    assert_eq!(number(&job, "archived"), 40);
    let searches = simulator.arrivals().iter().filter(|a| a.endpoint == "esearch").count();
    assert!(searches <= 10, "{searches} searches for ten years");
    let marks = syncs::one(&engine.db, "all").await.expect("read").expect("bound").watermarks;
    assert_eq!(marks, syncs::Watermarks::at(at(NOW)));
}
