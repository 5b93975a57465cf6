//! What a partly failed sync leaves behind: the retry list, quarantine, and watermarks.

use std::sync::Arc;

use chrono::Days;
use shared::core::{ErrorCode, WorkerId};
use shared::ingest::{self, Claim, Lease, Settings, Worker, finalise};
use shared::jobs::{self, JobState};
use shared::sources::pubmed_sync::{IncrementalParams, SyncParams};
use shared::syncs;
use simulator::{Corpus, Fault, Faults, Options, Spread};
use sqlx::PgPool;
use tests::sync::{
    NOW, at, client, corpus, day, engine, finish, incremental, number, of_all, pmid, settings, simulator,
    start_incremental, sync,
};

const DAMAGED: &str =
    "<PubmedArticle><MedlineCitation><PMID Version=\"1\">1004</PMID><x></MedlineCitation></PubmedArticle>";

async fn quarantined(db: &PgPool) -> Vec<Option<String>> {
    ingest::quarantined(db, None, 100).await.expect("listed").into_iter().map(|entry| entry.record_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_counts_what_is_tried_again_too() {
    let (simulator, engine) = corpus(400).await;
    let tenth = |limit| IncrementalParams::new("tenth", Some("tenth"), Some(2), Some(limit)).expect("fine");
    syncs::bind(&engine.db, "tenth", "tenth", "test").await.expect("bound");
    // The query does not list most of them: they are only on the retry list.
    sqlx::query(
        "insert into sync_retry (query_key, pmid, reason) \
         select 'tenth', n::text, 'damaged' from generate_series(1000, 1299) n",
    )
    .execute(&engine.db)
    .await
    .expect("listed");
    let fetches = || simulator.arrivals().iter().filter(|arrival| arrival.endpoint == "efetch").count();
    for limit in [1, 5] {
        let before = fetches();
        let run = incremental(&engine, &tenth(limit), at(NOW)).await;
        assert!((1..=limit).contains(&number(&run, "requested")), "{:?}", run.result);
        // Units of five, requests of three.
        assert!(fetches() - before <= 3, "{limit}");
        assert_eq!(run.result.expect("a result")["more"], true);
    }
    // New records get a share of each limit, so the walk ends long before the retry list does.
    let mut runs = 0;
    loop {
        let run = incremental(&engine, &tenth(6), at(NOW)).await;
        assert!(number(&run, "requested") <= 6);
        if run.result.expect("a result")["more"] == false {
            break;
        }
        runs += 1;
        assert!(runs < 20, "forty records, three a run");
    }
    assert!(syncs::retry_list(&engine.db, 1).await.expect("listed").1 > 150);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_leaves_quarantine_when_it_is_archived() {
    let (simulator, engine) = corpus(10).await;
    let asked = SyncParams::of_pmids((1000..1010).map(pmid).collect(), None).expect("fine");
    // Damaged before it is archived, and archived later.
    simulator.corpus().entry(1004).expect("there").xml = Some(Arc::from(DAMAGED));
    sync(&engine, &asked).await;
    assert_eq!(quarantined(&engine.db).await, [Some("1004".to_owned())]);
    sync(&engine, &SyncParams::of_pmids(vec![pmid(1005)], None).expect("fine")).await;
    assert_eq!(quarantined(&engine.db).await.len(), 1, "another record changes nothing");
    simulator.corpus().entry(1004).expect("there").xml = None;
    let mended = sync(&engine, &asked).await;
    assert_eq!(number(&mended, "archived"), 1);
    assert_eq!(quarantined(&engine.db).await, []);
    // Damaged after it was archived, and later unchanged.
    simulator.corpus().entry(1004).expect("there").xml = Some(Arc::from(DAMAGED));
    sync(&engine, &asked).await;
    assert_eq!(quarantined(&engine.db).await.len(), 1);
    simulator.corpus().entry(1004).expect("there").xml = None;
    let unchanged = sync(&engine, &asked).await;
    assert_eq!(number(&unchanged, "archived"), 0);
    assert_eq!(quarantined(&engine.db).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_damaged_later_stays_in_quarantine() {
    let (simulator, engine) = corpus(10).await;
    let asked = SyncParams::of_pmids(vec![pmid(1004)], None).expect("fine");
    simulator.corpus().entry(1004).expect("there").xml = Some(Arc::from(DAMAGED));
    sync(&engine, &asked).await;
    // As if the damaged state had been fetched after the valid one.
    let later = "update quarantine set source_metadata = source_metadata \
                 || jsonb_build_object('as_of', (source_metadata ->> 'as_of')::timestamptz + interval '1 hour')";
    sqlx::query(later).execute(&engine.db).await.expect("set");
    simulator.corpus().entry(1004).expect("there").xml = None;
    assert_eq!(number(&sync(&engine, &asked).await, "archived"), 1);
    assert_eq!(quarantined(&engine.db).await.len(), 1, "it could be the newer state");
    // If both come from files, file numbers decide; if one was fetched, only the time.
    for (file, as_of, stays) in [(261_335, "1 hour", true), (0, "-1 hour", false)] {
        let came = "update quarantine set source_metadata = source_metadata \
                    || jsonb_build_object('file_number', $1::integer, 'as_of', now() + $2::interval)";
        sqlx::query(came).bind(file).bind(as_of).execute(&engine.db).await.expect("set");
        simulator.corpus().revise(1004);
        assert_eq!(number(&sync(&engine, &asked).await, "archived"), 1);
        assert_eq!(quarantined(&engine.db).await.len(), usize::from(stays), "{file} {as_of}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_record_that_is_not_returned_is_retried_for_a_day_at_least() {
    let (simulator, engine) = corpus(6).await;
    simulator.corpus().entry(1002).expect("there").is_served = false;
    incremental(&engine, &of_all(None), at(NOW)).await;
    for run in 1..=6 {
        incremental(&engine, &of_all(None), at(NOW) + Days::new(60 + run)).await;
        assert_eq!(syncs::retry_list(&engine.db, 10).await.expect("listed").1, 1, "after run {run} of the same hour");
    }
    simulator.corpus().entry(1002).expect("there").is_served = true;
    let back = incremental(&engine, &of_all(None), at(NOW) + Days::new(70)).await;
    assert_eq!(number(&back, "archived"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_left_out_of_one_response_is_requested_again_at_once() {
    let (simulator, engine) = corpus(9).await;
    let asked = SyncParams::of_pmids((1000..1003).map(pmid).collect(), None).expect("fine");
    *simulator.faults() = Faults::scripted([Some(Fault::Short)]);
    let job = sync(&engine, &asked).await;
    assert_eq!((number(&job, "archived"), number(&job, "missing")), (3, 0), "{:?}", simulator.faults().shown);
    assert_eq!(simulator.faults().shown.get("Short"), Some(&1));
}

/// A permanently failed unit holds the watermarks before its first day, whatever was completed after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_unit_is_not_treated_as_done() {
    // With a cap of seven results the days of the window are walked in several slices.
    let corpus = Corpus::generated(day("2026-03-10"), 1000, 30, 1, Spread::Even(30));
    let simulator = simulator(corpus, Options { cap: 7, ..Options::default() }).await;
    let engine = engine(tests::engine::pool(6).await, client(settings(&simulator)), Settings::default());
    let start = at("2026-02-20T17:00:00Z");
    incremental(&engine, &of_all(None), start).await;
    let before = syncs::one(&engine.db, "all").await.expect("read").expect("bound").watermarks;
    {
        let mut corpus = simulator.corpus();
        for (n, today) in ["2026-03-01", "2026-03-03", "2026-03-05", "2026-03-07"].into_iter().enumerate() {
            corpus.today = day(today);
            for number in 0..5 {
                corpus.add(20_000 + u32::try_from(n).expect("small") * 10 + number, "new");
            }
        }
        corpus.today = day("2026-03-10");
    }
    let job = start_incremental(&engine, &of_all(None), at(NOW)).await;
    let worker = Worker::new(engine.clone(), None).expect("a worker");
    let done = async || -> i64 {
        sqlx::query_scalar(
            "select count(*) from ingestion_work_units where job_id = $1 and phase = 'fetch' and seq > 0 \
             and status = 'completed'",
        )
        .bind(job.0)
        .fetch_one(&engine.db)
        .await
        .expect("asked")
    };
    // A unit in the middle: four are completed before it, and the others after it.
    while done().await < 4 {
        worker.run_one(Some(job)).await.expect("works");
    }
    let (worker_id, tools) = (WorkerId::new(), engine.tools());
    let claim = Claim { worker: &worker_id, hostname: "h", tools: &tools, unit: None, job: Some(job) };
    let lease = Lease::claim(&engine.db, &engine.settings, claim).await.expect("claims").expect("a unit");
    lease.start(&engine.db).await.expect("starts");
    lease.fail(&engine, ErrorCode::ArchiveError, "it cannot be stored", false).await.expect("failed");
    worker.run_job(job).await.expect("works");
    finalise(&engine, job).await.expect("finalised");
    let ended = jobs::get(&engine.db, job).await.expect("read").expect("there");
    assert_eq!(ended.state, JobState::Failed);
    let after = syncs::one(&engine.db, "all").await.expect("read").expect("bound").watermarks;
    let failed: chrono::NaiveDate = sqlx::query_scalar(
        "select day from sync_open_slices o join ingestion_work_units u \
         on u.job_id = o.job_id and u.phase = 'fetch' and u.seq = o.unit_seq \
         where u.job_id = $1 and u.status = 'failed'",
    )
    .bind(job.0)
    .fetch_one(&engine.db)
    .await
    .expect("its first slice begins with a day");
    assert!(after.entry > before.entry, "what was done before it counts: {after:?}");
    assert!(after.entry <= Some(syncs::start_of(failed)), "nothing from {failed} on does: {after:?}");
    let again = start_incremental(&engine, &of_all(None), at(NOW) + Days::new(1)).await;
    let again = finish(&engine, again).await;
    assert_eq!(again.state, JobState::Succeeded, "{:?}", again.error);
    let live: i64 =
        sqlx::query_scalar("select count(*) from pubmed_archive").fetch_one(&engine.db).await.expect("read");
    assert_eq!(live, 50, "the next run fetches it");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_records_with_one_pmid_the_newer_version_wins_in_either_order() {
    for newer_first in [true, false] {
        let (simulator, engine) = corpus(10).await;
        let old = simulator.corpus().xml(1004).expect("served").into_owned();
        let new = old.replace("<PMID Version=\"1\">1004</PMID>", "<PMID Version=\"2\">1004</PMID>");
        assert_ne!(old, new, "the version is in it");
        let both = if newer_first { format!("{new}{old}") } else { format!("{old}{new}") };
        simulator.corpus().entry(1004).expect("there").xml = Some(Arc::from(both.as_str()));
        let job = sync(&engine, &SyncParams::of_pmids(vec![pmid(1004)], None).expect("fine")).await;
        assert_eq!((number(&job, "archived"), number(&job, "failed")), (1, 0), "{:?}", job.result);
        let pointer = shared::records::one(&engine.db, pmid(1004)).await.expect("read").expect("there");
        assert_eq!(pointer.content_hash, Some(shared::core::Sha256::of(new.as_bytes())), "{newer_first}");
    }
}
