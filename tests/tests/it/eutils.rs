//! The E-utilities client against every kind of failure, and against recorded exchanges (`recorded`).

mod recorded;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use shared::config::Secret;
use shared::core::Pmid;
use shared::pubmed::eutils::{
    Client, DateField, EutilsError, EutilsSettings, Expected, Listing, Query, ResponseFault as Seen, Returned,
    SearchRequest, Slice, Walk, WalkStep, classify,
};
use simulator::{Corpus, Fault, Faults, Listed, Options, Simulator, Spread};
use tests::sync::{client, day, pmid, settings, simulator};

const MAX: usize = 64 << 20;

async fn small(faults: Faults) -> Simulator {
    let corpus = Corpus::generated(day("2026-03-10"), 1000, 60, 1, Spread::Even(30));
    simulator(corpus, Options { faults, ..Options::default() }).await
}

fn all() -> Query {
    Query::parse("all").expect("a query")
}

fn request(query: &Query, limit: u32) -> SearchRequest<'_> {
    SearchRequest { query, slice: None, start: 0, limit, sort: None }
}

fn few_attempts(simulator: &Simulator) -> EutilsSettings {
    EutilsSettings { attempts: 3, ..settings(simulator) }
}

/// Faults that break a response of any kind.
fn spoiling() -> impl Iterator<Item = Fault> {
    Fault::ALL.into_iter().filter(|fault| !matches!(fault, Fault::Short | Fault::Drift | Fault::Duplicate))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_temporary_failure_is_retried_until_it_passes() {
    let pmids: Vec<Pmid> = (1000..1010).map(pmid).collect();
    for fault in spoiling() {
        let simulator = small(Faults::scripted([Some(fault), Some(fault), None, Some(fault), None])).await;
        let client = client(settings(&simulator));
        let page = client.search(&request(&all(), 20)).await.unwrap_or_else(|e| panic!("{fault:?}: {e}"));
        assert_eq!((page.count, page.pmids.len()), (60, 20), "{fault:?}");
        let set = client.fetch(&pmids, None, MAX).await.unwrap_or_else(|e| panic!("{fault:?}: {e}"));
        assert_eq!((set.returned.len(), set.absent.len()), (10, 0), "{fault:?}");
        assert_eq!(simulator.arrivals().len(), 5, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_stays_is_an_error_and_never_an_empty_response() {
    for fault in spoiling() {
        let simulator = small(Faults { per_thousand: 1000, kinds: vec![fault], ..Faults::default() }).await;
        let client = client(few_attempts(&simulator));
        let search = client.search(&request(&all(), 20)).await.expect_err("no response");
        let fetch = client.fetch(&[pmid(1000)], None, MAX).await.expect_err("no response");
        for error in [&search, &fetch] {
            match fault {
                Fault::Throttled | Fault::ThrottledSilent | Fault::ThrottledOk => {
                    assert!(matches!(error, EutilsError::RateLimited { .. }), "{fault:?}: {error:?}");
                }
                _ => assert!(matches!(error, EutilsError::Unavailable { attempts: 3, .. }), "{fault:?}: {error:?}"),
            }
            assert!(error.retry_after().is_some(), "later: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_or_set_that_is_short_is_asked_for_again() {
    let simulator = small(Faults::scripted([Some(Fault::Short), Some(Fault::Drift), None])).await;
    let client = client(settings(&simulator));
    let page = client.search(&request(&all(), 100)).await.expect("a response");
    assert_eq!((page.pmids.len(), simulator.arrivals().len()), (60, 3));
    simulator.faults().script.extend([Some(Fault::Short)]);
    let pmids: Vec<Pmid> = (1000..1010).map(pmid).collect();
    let set = client.fetch(&pmids, None, MAX).await.expect("a response");
    assert_eq!((set.returned.len(), set.absent.len()), (9, 1), "what is not returned is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_never_adds_up_is_an_error_of_its_own() {
    for fault in [Fault::Short, Fault::Drift] {
        let simulator = small(Faults { per_thousand: 1000, kinds: vec![fault], ..Faults::default() }).await;
        let client = client(few_attempts(&simulator));
        let search = client.search(&request(&all(), 100)).await;
        assert!(matches!(search, Err(EutilsError::Incomplete)), "{fault:?}: {search:?}");
        let listed = client.list(&all(), &Slice::all()).await.expect("it responds");
        let Listing::Short { pmids, counted } = listed else { panic!("{fault:?}: {listed:?}") };
        assert!((pmids.len() as u64) < counted && pmids.len() >= 59, "{fault:?}: {} of {counted}", pmids.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_refused_in_words_that_do_not_repeat_it() {
    let simulator = small(Faults::default()).await;
    let key = "a-key-that-nobody-should-see";
    let with_key = EutilsSettings { api_key: Some(Secret::new(key)), ..settings(&simulator) };
    let client = client(with_key);
    let error = client.search(&request(&all(), 1)).await.expect_err("refused");
    assert!(matches!(error, EutilsError::BadKey), "{error:?}");
    assert_eq!(simulator.arrivals().len(), 1, "it is not asked again");
    // When the limit is reached, NCBI's response contains the key.
    simulator.faults().per_thousand = 1000;
    simulator.faults().kinds = vec![Fault::Throttled];
    let throttled = client.search(&request(&all(), 1)).await.expect_err("refused");
    for text in [format!("{error} {error:?}"), format!("{throttled} {throttled:?}"), format!("{client:?}")] {
        assert!(!text.contains(key), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_fails_every_time_is_rejected() {
    let simulator = small(Faults::default()).await;
    let client = client(settings(&simulator));
    let query = Query::parse("asthma AND").expect("balanced");
    assert!(matches!(client.search(&request(&query, 1)).await, Err(EutilsError::QueryRejected)));
    // Three times, and once more between two successful searches.
    assert_eq!(simulator.arrivals().len(), 6);
    let nothing = Query::parse("nothinglikeit").expect("a query");
    let page = client.search(&request(&nothing, 1)).await.expect("no results are a response");
    assert_eq!(page.count, 0);
    assert_eq!(page.warnings, ["phrase not found: nothinglikeit", "No items found."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_search_backend_never_blames_the_query() {
    let query = Query::parse("asthma AND").expect("balanced");
    for fault in [
        Fault::SearchBackend,
        Fault::SearchStatus,
        Fault::SearchDatabase,
        Fault::SearchConnection,
        Fault::SearchLost,
        Fault::SearchMessage,
        Fault::Backend,
    ] {
        let simulator = small(Faults { per_thousand: 1000, kinds: vec![fault], ..Faults::default() }).await;
        let client = client(EutilsSettings { attempts: 7, ..settings(&simulator) });
        let error = client.search(&request(&query, 1)).await.expect_err("it is down");
        assert!(matches!(error, EutilsError::Unavailable { attempts: 7, .. }), "{fault:?}: {error:?}");
        assert!(error.retry_after().is_some(), "{fault:?}: waited out");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_set_is_an_outcome_only_beside_a_returned_control_record() {
    let simulator = small(Faults::default()).await;
    let client = client(few_attempts(&simulator));
    let (live, control) = ([pmid(1000)], [pmid(1001)]);
    simulator.faults().lie = Some((0, Fault::NoRecords));
    let alone = client.fetch(&live, None, MAX).await.expect("a whole response");
    assert_eq!((alone.absent.as_slice(), alone.is_proof), (&live[..], false), "it proves nothing");
    simulator.faults().lie = Some((0, Fault::NoRecords));
    let set = client.fetch(&live, Some(&control), MAX).await.expect("asked again");
    assert_eq!((set.returned.len(), set.absent.len(), set.is_proof), (1, 0, true), "and the control is left out");
    let absent = client.fetch(&[pmid(999)], Some(&control), MAX).await.expect("a whole response");
    assert_eq!((absent.returned.len(), absent.absent.len(), absent.is_proof), (0, 1, true));
    *simulator.faults() = Faults { per_thousand: 1000, kinds: vec![Fault::NoRecords], ..Faults::default() };
    let down = client.fetch(&live, Some(&control), MAX).await.expect_err("an outage");
    assert!(matches!(down, EutilsError::Unavailable { fault: Seen::NoRecords, .. }), "{down:?}");
    let unproven = client.fetch(&live, Some(&live), MAX).await.expect_err("a record is no control of itself");
    assert!(matches!(unproven, EutilsError::Unavailable { .. }), "{unproven:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_index_has_twice_is_listed_once_and_one_that_is_displaced_is_found() {
    let simulator = small(Faults::default()).await;
    let client = client(settings(&simulator));
    simulator.corpus().entry(1007).expect("there").listed = Listed::Twice;
    match client.list(&all(), &Slice::all()).await.expect("listed") {
        Listing::Complete { pmids, counted } => assert_eq!((pmids.len(), counted), (60, 61)),
        other => panic!("{other:?}"),
    }
    // Listed twice instead of another, which is counted: the list is incomplete until that one is returned.
    simulator.corpus().entry(1007).expect("there").listed = Listed::Once;
    simulator.faults().script.extend([Some(Fault::Duplicate), None]);
    match client.list(&all(), &Slice::all()).await.expect("listed") {
        Listing::Complete { pmids, counted } => assert_eq!((pmids.len(), counted), (60, 60)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_creation_dates_can_be_searched_by_is_what_the_server_lists() {
    for (lists_creation, fault) in
        [(true, None), (false, None), (true, Some(Fault::Truncated)), (true, Some(Fault::Html))]
    {
        let faults = Faults::scripted([fault, None]);
        let corpus = Corpus::new(day("2026-03-10"));
        let simulator = simulator(corpus, Options { faults, lists_creation, ..Options::default() }).await;
        let listed = client(settings(&simulator)).lists_field(DateField::Creation).await.expect("it responds");
        assert_eq!(listed, lists_creation, "{fault:?}");
    }
    // A server without EInfo lists nothing.
    let simulator = small(Faults::default()).await;
    let elsewhere = EutilsSettings { base_url: format!("{}none/", simulator.eutils_url()), ..settings(&simulator) };
    assert!(!client(elsewhere).lists_field(DateField::Creation).await.expect("it responds"));
    let Some(data) = tests::real_data() else { return };
    let info = std::fs::read(data.join("eutils/einfo/einfo2.xml")).expect("readable");
    assert_eq!(classify(Expected::Info, 200, &info), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_opens_for_a_server_that_is_down() {
    let simulator = small(Faults { is_down: true, ..Faults::default() }).await;
    let client = client(few_attempts(&simulator));
    let mut asked = 0;
    for _ in 0..20 {
        match client.search(&request(&all(), 1)).await {
            Err(EutilsError::BreakerOpen { retry_after }) => assert!(retry_after > Duration::ZERO),
            Err(EutilsError::Unavailable { .. }) => asked += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(asked <= 3, "{asked} calls went through");
    assert!(simulator.arrivals().len() <= 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_at_its_deadline_and_says_why() {
    let options = Options { delay: Duration::from_millis(400), ..Options::default() };
    let simulator = simulator(Corpus::new(day("2026-03-10")), options).await;
    let hurried = EutilsSettings { deadline: Duration::from_millis(100), ..settings(&simulator) };
    let error = client(hurried).search(&request(&all(), 1)).await.expect_err("too late");
    assert!(matches!(error, EutilsError::Deadline { fault: Seen::Timeout, .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_response_ends_at_the_time_limit_of_its_request_or_call() {
    let limit = Duration::from_millis(400);
    let simulator = small(Faults::scripted([Some(Fault::Stalled), None, Some(Fault::Stalled)])).await;
    let began = Instant::now();
    let patient = client(EutilsSettings { request_timeout: limit, ..settings(&simulator) });
    let page = patient.search(&request(&all(), 20)).await.expect("asked again");
    assert_eq!((page.pmids.len(), simulator.arrivals().len()), (20, 2));
    let hurried = client(EutilsSettings { deadline: limit, ..settings(&simulator) });
    let error = hurried.fetch(&[pmid(1000)], None, MAX).await.expect_err("no time is left");
    assert!(matches!(error, EutilsError::Deadline { fault: Seen::Timeout, .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // The limits of jobs; interactive calls have shorter ones.
    let usual = EutilsSettings::new("http://127.0.0.1:1/");
    assert_eq!((usual.request_timeout.as_secs(), usual.deadline.as_secs()), (60, 180));
}

/// Walks over a query until one is complete; later runs list the incomplete slices again.
async fn list(client: &Client, query: &Query, cap: u32) -> Vec<Pmid> {
    for _ in 0..20 {
        let (found, is_complete) = walk_once(client, query, cap).await;
        if is_complete {
            return found;
        }
    }
    panic!("no walk adds up");
}

async fn walk_once(client: &Client, query: &Query, cap: u32) -> (Vec<Pmid>, bool) {
    let mut walk = Walk::over([Slice::all()]);
    let mut found = Vec::new();
    while let Some(step) = walk.next(cap) {
        match step {
            WalkStep::Count(slice) => walk.counted(client.count(query, &slice).await.expect("counted")),
            WalkStep::List(slice) => match client.list(query, &slice).await.expect("listed") {
                Listing::TooMany(count) => walk.too_many(count),
                Listing::Complete { pmids, counted } => {
                    walk.listed(counted);
                    found.extend(pmids);
                }
                Listing::Short { pmids, counted } => {
                    if !walk.short(counted, pmids.len() as u64) {
                        found.extend(pmids);
                    }
                }
            },
        }
    }
    (found, walk.shortfalls().is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_past_the_cap_are_exact_for_adversarial_dates() {
    for spread in [Spread::Even(700), Spread::Spike(30), Spread::OneDay] {
        for (count, cap, page) in [(50, 50, 7), (51, 50, 50), (500, 50, 13), (2000, 99, 40)] {
            let mut corpus = Corpus::generated(day("2026-03-10"), 1000, count, 7, spread);
            // A back issue, added long after its publication date, and one with a future date.
            corpus.entry(1001).expect("there").entered = day("1848-05-01");
            corpus.entry(1002).expect("there").entered = day("2999-12-31");
            let options = Options { cap: cap as usize, ..Options::default() };
            let simulator = simulator(corpus, options).await;
            let client = client(EutilsSettings { cap, page, ..settings(&simulator) });
            let found = list(&client, &all(), cap).await;
            let distinct: BTreeSet<Pmid> = found.iter().copied().collect();
            assert_eq!(
                (found.len(), distinct.len()),
                (count as usize, count as usize),
                "{spread:?} {count} {cap} {page}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_records_meet_the_real_cap() {
    let corpus = Corpus::generated(day("2026-03-10"), 1_000_000, 1_000_000, 3, Spread::Spike(3650));
    let simulator = simulator(corpus, Options::default()).await;
    let client = client(EutilsSettings { page: 9_999, ..settings(&simulator) });
    let found = list(&client, &all(), 9_999).await;
    assert_eq!(found.len(), 1_000_000);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>().len(), 1_000_000);
    let requests = simulator.arrivals().len();
    assert!(requests < 600, "{requests} requests for at least 101 parts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_reports_too_few_results_is_detected_at_every_call() {
    let query = all();
    for fault in [Fault::Nothing, Fault::Half] {
        for call in 0..12 {
            let corpus = Corpus::generated(day("2026-03-10"), 1000, 120, 1, Spread::Even(30));
            let faults = Faults { lie: Some((call, fault)), ..Faults::default() };
            let simulator = simulator(corpus, Options { cap: 40, faults, ..Options::default() }).await;
            let client = client(EutilsSettings { cap: 40, page: 17, ..settings(&simulator) });
            let (found, is_complete) = walk_once(&client, &query, 40).await;
            let found: BTreeSet<Pmid> = found.into_iter().collect();
            assert_eq!((found.len(), is_complete), (120, true), "{fault:?} at search {call}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corpus_that_changes_between_pages_does_not_change_the_list() {
    let corpus = Corpus::generated(day("2026-03-10"), 1000, 50, 1, Spread::Even(30));
    let simulator = simulator(corpus, Options::default()).await;
    let client = client(EutilsSettings { page: 7, ..settings(&simulator) });
    let adding = async {
        for n in 0..200 {
            simulator.corpus().add(5000 + n, "new");
            tokio::task::yield_now().await;
        }
    };
    let query = all();
    let whole = Slice::days(DateField::Entry, day("2025-01-01"), day("2026-03-09"));
    let (listed, ()) = tokio::join!(client.list(&query, &whole), adding);
    assert!(matches!(listed.expect("listed"), Listing::Complete { pmids, .. } if pmids.len() == 50));
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_of_any_kind_with_failures_at_random_are_never_wrong() {
    let query = all();
    for seed in 0..20 {
        let corpus = Corpus::generated(day("2026-03-10"), 1000, 120, seed, Spread::Spike(20));
        // All but the fault that makes the client wait for a second.
        let kinds = Fault::ALL.into_iter().filter(|fault| *fault != Fault::Throttled).collect();
        let faults = Faults { kinds, ..Faults::seeded(seed, 300) };
        let options = Options { cap: 40, faults, ..Options::default() };
        let simulator = simulator(corpus, options).await;
        let patient = EutilsSettings { cap: 40, page: 11, attempts: 40, ..settings(&simulator) };
        let client = client(patient);
        let found: BTreeSet<Pmid> = list(&client, &query, 40).await.into_iter().collect();
        assert_eq!(found.len(), 120, "seed {seed}");
        let some: Vec<Pmid> = found.into_iter().take(30).collect();
        let set = client.fetch(&some, None, MAX).await.expect("fetched");
        assert_eq!(set.returned.len() + set.absent.len(), 30, "seed {seed}");
        for one in &set.returned {
            let Returned::Record { range, identity } = one else { panic!("{one:?}") };
            let xml = simulator.corpus().xml(identity.pmid.get()).expect("served").into_owned();
            assert_eq!(set.bytes[range.clone()], *xml.as_bytes(), "byte for byte");
        }
    }
}
