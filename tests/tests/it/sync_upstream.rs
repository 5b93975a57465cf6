//! Syncs from an NCBI that is down, refuses requests, reports too few records, or omits some.

use chrono::Days;
use futures_util::StreamExt;
use shared::config::Secret;
use shared::ingest::{self, Engine, Settings};
use shared::jobs::{self, JobState};
use shared::pubmed::eutils::EutilsSettings;
use shared::sources::pubmed_sync::{SyncParams, submit_sync};
use shared::{records, syncs};
use simulator::{Fault, Faults, Listed, Simulator};
use tests::sync::{
    LIMITS, NOW, at, client, corpus, day, finish, incremental, number, of_all, pmid, settings, sizes,
    start_incremental, sync,
};

#[tokio::test(flavor = "multi_thread")]
async fn ncbi_down_for_a_while_costs_no_attempt_and_a_refusal_is_told() {
    let (simulator, engine) = corpus(10).await;
    simulator.faults().is_down = true;
    let job = start_incremental(&engine, &of_all(None), at(NOW)).await;
    let worker = shared::ingest::Worker::new(engine.clone(), None).expect("a worker");
    worker.run(true).await.expect("nothing left to do now");
    let waiting = jobs::get(&engine.db, job).await.expect("read").expect("there");
    assert_eq!(waiting.state, JobState::Running);
    assert!(waiting.progress.waiting.as_deref().expect("why").contains("NCBI"), "{:?}", waiting.progress);
    let (retries, later): (i32, bool) =
        sqlx::query_as("select retry_count, not_before > now() from ingestion_work_units where status = 'pending'")
            .fetch_one(&engine.db)
            .await
            .expect("one");
    assert_eq!((retries, later), (0, true), "put off, without blame");
    assert!(syncs::one(&engine.db, "all").await.expect("read").expect("bound").watermarks.entry.is_none());
    simulator.faults().is_down = false;
    sqlx::query("update ingestion_work_units set not_before = now()").execute(&engine.db).await.expect("woken");
    // Another process, whose breaker is closed.
    let fresh = tests::sync::engine(engine.db.clone(), client(settings(&simulator)), Settings::default());
    let ended = finish(&Engine { archive: engine.archive.clone(), ..fresh }, job).await;
    assert_eq!((ended.state, number(&ended, "archived")), (JobState::Succeeded, 10));
    assert!(ended.progress.waiting.is_none());

    let wrong = EutilsSettings { api_key: Some(Secret::new("nobodys")), ..settings(&simulator) };
    let refused = tests::sync::engine(engine.db.clone(), client(wrong), Settings::default());
    let failed = sync(&refused, &SyncParams::of_query("all", None, None).expect("fine")).await;
    assert_eq!(failed.state, JobState::Failed);
    let error = failed.error.expect("an error");
    assert_eq!(error["error_code"], "PUBMED_ERROR");
    assert!(error["message"].as_str().expect("text").contains("BIO_MCP_PUBMED_API_KEY"), "{error}");
    assert!(!error.to_string().contains("nobodys"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_too_large_is_taken_in_portions() {
    let (simulator, engine) = corpus(9).await;
    simulator.corpus().entry(1004).expect("there").bytes = 60_000;
    let small = EutilsSettings { max_body_bytes: 30_000, ..settings(&simulator) };
    let engine = tests::sync::engine(engine.db, client(small), Settings::default());
    let asked = SyncParams::of_pmids((1000..1009).map(pmid).collect(), None).expect("fine");
    let job = sync(&engine, &asked).await;
    assert_eq!((number(&job, "archived"), number(&job, "failed")), (8, 1));
    let failures = ingest::failures(&engine.db, job.job_id(), 0, 10).await.expect("listed").rows;
    assert!(failures[0].reason.as_deref().expect("why").contains("larger than 30000 bytes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_walk_that_finds_nothing_sets_no_watermark_and_is_made_again() {
    let (simulator, engine) = corpus(30).await;
    // As if the words of the query were unknown during the whole run.
    *simulator.faults() = Faults { per_thousand: 1000, kinds: vec![Fault::Nothing], ..Faults::default() };
    let empty = incremental(&engine, &of_all(None), at(NOW)).await;
    assert_eq!((empty.state, number(&empty, "requested")), (JobState::Succeeded, 0));
    let result = empty.result.as_ref().expect("a result");
    assert_eq!(result["complete"], false);
    assert!(result["gaps"][0]["message"].as_str().expect("why").contains("found nothing"), "{result:?}");
    let known = syncs::one(&engine.db, "all").await.expect("read").expect("bound");
    assert_eq!(known.watermarks, syncs::Watermarks::default());
    assert_eq!(known.gaps.len(), 1, "status says so");
    *simulator.faults() = Faults::default();
    let full = incremental(&engine, &of_all(None), at(NOW)).await;
    assert_eq!(number(&full, "archived"), 30, "the whole query was walked");
    let known = syncs::one(&engine.db, "all").await.expect("read").expect("bound");
    assert_eq!(known.watermarks, syncs::Watermarks::at(at(NOW)));
    assert_eq!((known.gaps.len(), known.members, known.upstream_count), (0, 30, Some(30)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_search_that_finds_less_than_there_is_loses_nothing() {
    let one = |call: u64, fault: Fault| async move {
        let (simulator, engine) = corpus(60).await;
        simulator.faults().lie = Some((call, fault));
        let first = incremental(&engine, &of_all(None), at(NOW)).await;
        assert_eq!(number(&first, "archived"), 60, "{fault:?} at search {call} of the first walk");
        {
            let mut corpus = simulator.corpus();
            corpus.today = day("2026-03-11");
            (1000..1020).for_each(|number| corpus.revise(number));
            (2000..2010).for_each(|number| _ = corpus.add(number, "new"));
        }
        simulator.faults().lie = Some((call, fault));
        let next = incremental(&engine, &of_all(None), at(NOW) + Days::new(1)).await;
        assert_eq!(number(&next, "archived"), 30, "{fault:?} at search {call} of the windows");
        assert_eq!(next.result.expect("a result")["complete"], true);
    };
    // A few at a time: each has a separate corpus, database and connections.
    let all = (0..7).flat_map(|call| [Fault::Nothing, Fault::Half].map(|fault| Box::pin(one(call, fault))));
    futures_util::stream::iter(all).for_each_concurrent(4, |one| one).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_is_down_ends_no_job() {
    for fault in [Fault::SearchStatus, Fault::SearchDatabase, Fault::SearchConnection, Fault::SearchLost] {
        let (simulator, engine) = corpus(5).await;
        *simulator.faults() = Faults { per_thousand: 1000, kinds: vec![fault], ..Faults::default() };
        let job = start_incremental(&engine, &of_all(None), at(NOW)).await;
        let worker = shared::ingest::Worker::new(engine.clone(), None).expect("a worker");
        worker.run(true).await.expect("nothing left to do now");
        let waiting = jobs::get(&engine.db, job).await.expect("read").expect("there");
        assert_eq!((waiting.state, &waiting.error), (JobState::Running, &None), "{fault:?}: it waits");
        *simulator.faults() = Faults::default();
        sqlx::query("update ingestion_work_units set not_before = now()").execute(&engine.db).await.expect("woken");
        let fresh = tests::sync::engine(engine.db.clone(), client(settings(&simulator)), Settings::default());
        let ended = finish(&Engine { archive: engine.archive.clone(), ..fresh }, job).await;
        assert_eq!((ended.state, number(&ended, "archived")), (JobState::Succeeded, 5), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_efetch_returns_sets_of_nothing_no_record_becomes_missing() {
    for asked in [1, 12] {
        let (simulator, engine) = corpus(12).await;
        let params = SyncParams::of_pmids((1000..1000 + asked).map(pmid).collect(), None).expect("fine");
        sync(&engine, &params).await;
        *simulator.faults() = Faults { per_thousand: 1000, kinds: vec![Fault::NoRecords], ..Faults::default() };
        let submitted = submit_sync(&engine.db, &params, LIMITS, |submission| submission).await.expect("submitted");
        let job = submitted.job().job_id();
        let worker = shared::ingest::Worker::new(engine.clone(), None).expect("a worker");
        worker.run(true).await.expect("nothing left to do now");
        let waiting = jobs::get(&engine.db, job).await.expect("read").expect("there");
        assert_eq!(waiting.state, JobState::Running, "of {asked}: it waits");
        let pointer = records::one(&engine.db, pmid(1000)).await.expect("read").expect("there");
        assert!(pointer.missing_since.is_none(), "of {asked}");
        *simulator.faults() = Faults::default();
        sqlx::query("update ingestion_work_units set not_before = now()").execute(&engine.db).await.expect("woken");
        let fresh = tests::sync::engine(engine.db.clone(), client(settings(&simulator)), Settings::default());
        let ended = finish(&Engine { archive: engine.archive.clone(), ..fresh }, job).await;
        assert_eq!((number(&ended, "missing"), number(&ended, "skipped")), (0, i64::from(asked)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_missing_after_two_responses_that_prove_it_and_not_before() {
    // Also in an archive without any record.
    let (simulator, engine) = corpus(3).await;
    let params = SyncParams::of_pmids(vec![pmid(77)], None).expect("fine");
    // An empty set is followed by two requests with control records.
    let job = sync(&engine, &params).await;
    assert_eq!((job.state, number(&job, "missing")), (JobState::Succeeded, 1));
    let fetches = |simulator: &Simulator| simulator.arrivals().iter().filter(|a| a.endpoint == "efetch").count();
    assert_eq!(fetches(&simulator), 3);
    // Beside a returned record, the first request counts.
    sync(&engine, &SyncParams::of_pmids(vec![pmid(77), pmid(1000)], None).expect("fine")).await;
    assert_eq!(fetches(&simulator), 5);
    // A first response without the record is followed by another request.
    simulator.faults().lie = Some((0, Fault::NoRecords));
    let found = sync(&engine, &SyncParams::of_pmids(vec![pmid(1001)], None).expect("fine")).await;
    assert_eq!((number(&found, "missing"), number(&found, "archived")), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_day_holds_back_its_watermark_and_nothing_else() {
    let (simulator, engine) = corpus(60).await;
    incremental(&engine, &of_all(None), at(NOW)).await;
    {
        let mut corpus = simulator.corpus();
        corpus.today = day("2026-03-12");
        (2000..2010).for_each(|number| _ = corpus.add(number, "new"));
        corpus.entry(2003).expect("there").listed = Listed::Never;
        corpus.today = day("2026-03-13");
        (2010..2020).for_each(|number| _ = corpus.add(number, "new"));
        corpus.entry(2015).expect("there").listed = Listed::Twice;
    }
    let now = at(NOW) + Days::new(4);
    let job = incremental(&engine, &of_all(None), now).await;
    assert_eq!((job.state, number(&job, "archived")), (JobState::Succeeded, 19), "the other days go on");
    let result = job.result.expect("a result");
    assert_eq!(result["complete"], false);
    let gap = &result["gaps"][0];
    assert_eq!((&gap["date"], &gap["from"], &gap["to"]), (&"entry".into(), &"2026-03-12".into(), &"2026-03-12".into()));
    assert_eq!((&gap["counted"], &gap["listed"]), (&10.into(), &9.into()), "{result:?}");
    let known = syncs::one(&engine.db, "all").await.expect("read").expect("bound");
    assert_eq!(known.watermarks.entry, Some(at("2026-03-12T05:00:00Z")));
    assert!(!known.gaps.is_empty());
    let logs: Vec<String> = sqlx::query_scalar("select message from ingestion_job_logs where level = 'warn'")
        .fetch_all(&engine.db)
        .await
        .expect("read");
    assert!(logs.iter().any(|message| message.contains("fewer records than it counts")), "{logs:?}");
    simulator.corpus().entry(2003).expect("there").listed = Listed::Once;
    let next = incremental(&engine, &of_all(None), now).await;
    assert_eq!(number(&next, "archived"), 1, "it is listed again");
    let known = syncs::one(&engine.db, "all").await.expect("read").expect("bound");
    assert_eq!((known.watermarks, known.gaps.len()), (syncs::Watermarks::at(now), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_at_random_change_no_outcome() {
    for seed in 0..6 {
        let (simulator, engine) = corpus(40).await;
        let kinds = Fault::ALL.into_iter().filter(|fault| *fault != Fault::Throttled).collect();
        *simulator.faults() = Faults { kinds, ..Faults::seeded(seed, 250) };
        let patient = EutilsSettings { attempts: 60, page: 9, ..settings(&simulator) };
        let engine = tests::sync::engine(engine.db, client(patient), Settings::default());
        let job = incremental(&engine, &of_all(None), at(NOW)).await;
        assert_eq!(job.state, JobState::Succeeded, "seed {seed}: {:?}", job.error);
        // A set may be short twice in a row: then the record is on the retry list, and archived later.
        *simulator.faults() = Faults::default();
        incremental(&engine, &of_all(None), at(NOW)).await;
        assert_eq!(sizes(&engine).await, (40, 40, 40, 40), "seed {seed}");
    }
}
