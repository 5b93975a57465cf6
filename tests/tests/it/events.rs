//! The change feed for readers: over HTTP in pages and long polls, for one query, and on the command line.

use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use samples::files::write_sample;
use serde_json::{Value, json};
use shared::core::Pmid;
use shared::ingest::Engine;
use shared::syncs::add_members;
use tests::feed::{self, arrive, record};
use tests::http::{Server, World, plain};
use tests::program::Archive;
use tests::random::Random;
use tests::serving::Running;

/// Reads the feed page by page to its end.
async fn all(server: &Server, filter: &str, limit: usize) -> Vec<Value> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let page = server.get(&format!("/v1/events?after={after}&limit={limit}{filter}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let events = page.body["events"].as_array().expect("a list");
        let first = events.first().map(|event| event["seq"].clone());
        let of_first = events.iter().filter(|event| Some(&event["seq"]) == first.as_ref()).count();
        assert!(events.len() <= limit.max(of_first), "more only where one event is more: {}", page.body);
        found.extend(events.iter().cloned());
        let next = page.body["next_seq"].as_i64().expect("a number");
        assert!(events.iter().all(|event| event["seq"].as_i64().is_some_and(|seq| seq > after && seq <= next)));
        if page.body["complete"] == true {
            return found;
        }
        assert!(next > after, "it goes on: {}", page.body);
        after = next;
    }
}

fn kinds_of(events: &[Value]) -> Vec<(i64, String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    events
        .iter()
        .map(|one| (one["seq"].as_i64().expect("a number"), text(&one["record_id"]), text(&one["kind"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_each_change_once_whatever_the_size_of_its_pages() {
    let World { server, simulator: _ncbi } = plain().await;
    feed::history(&server.engine, &mut Random(21), 0..60).await;
    feed::catch_up(&server.engine).await;
    let rows: Vec<(i64, String, String)> =
        feed::rows(&server.engine).await.into_iter().map(|row| (row.0, row.2, row.1)).collect();
    let whole = all(&server, "", 1000).await;
    let sorted = |mut events: Vec<(i64, String, String)>| {
        events.sort();
        events
    };
    assert_eq!(sorted(kinds_of(&whole)), sorted(rows.clone()));
    for limit in [1, 2, 3, 7] {
        assert_eq!(all(&server, "", limit).await, whole, "pages of {limit}");
    }
    for kinds in ["retracted", "new", "revised,deleted", "retracted,corrected,concern,retraction_withdrawn"] {
        let wanted: Vec<_> =
            whole.iter().filter(|one| kinds.split(',').any(|kind| one["kind"] == kind)).cloned().collect();
        assert_eq!(all(&server, &format!("&kinds={kinds}"), 2).await, wanted, "{kinds}");
    }
    let one = whole.iter().find(|one| one["kind"] == "retracted").expect("a retraction");
    assert_eq!(
        (&one["record_type"], &one["pmid"], &one["integrity"]),
        (&json!("pubmed"), &one["record_id"], &json!("retracted"))
    );
    assert!(
        one["content_hash"].as_str().is_some_and(|hash| hash.len() == 64) && one["accepted_at"].is_string(),
        "{one}"
    );
    let deleted = whole.iter().find(|one| one["kind"] == "deleted").expect("a deletion");
    assert_eq!((&deleted["content_hash"], &deleted["integrity"]), (&Value::Null, &Value::Null));
    let named = whole.iter().find(|one| one["kind"] == "corrected").expect("a correction");
    assert!(named["notices"].as_array().expect("a list").iter().any(|one| one["ref_type"] == "ErratumIn"), "{named}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_behind_says_so_and_its_reader_misses_nothing() {
    let World { server, simulator: _ncbi } = plain().await;
    arrive(&server.engine, 1, 1, 1, Some(record(1, 1, "a", &[]))).await;
    let behind = server.get("/v1/events").await.body;
    assert_eq!(behind, json!({ "events": [], "next_seq": 0, "complete": false }));
    feed::catch_up(&server.engine).await;
    arrive(&server.engine, 1, 2, 1, Some(record(2, 1, "a", &[]))).await;
    let first = server.get("/v1/events").await.body;
    assert_eq!((first["events"].as_array().map(Vec::len), &first["complete"]), (Some(1), &json!(false)), "{first}");
    let next = first["next_seq"].as_i64().expect("a number");
    let none = server.get(&format!("/v1/events?after={next}")).await.body;
    assert_eq!(none, json!({ "events": [], "next_seq": next, "complete": false }), "not beyond what was read");
    feed::catch_up(&server.engine).await;
    let second = server.get(&format!("/v1/events?after={next}")).await.body;
    assert_eq!((&second["events"][0]["pmid"], &second["complete"]), (&json!("2"), &json!(true)));
    let end = second["next_seq"].as_i64().expect("a number");
    assert_eq!(server.get(&format!("/v1/events?after={end}")).await.body["next_seq"], end);
    // A position beyond the end belongs to another log: it is refused, or its reader would wait for ever.
    let beyond = server.get(&format!("/v1/events?after={}", end + 1)).await;
    assert_eq!(beyond.error(), (400, "VALIDATION_ERROR"));
    assert_eq!(beyond.body["details"][0]["pointer"], "/after");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_parameters_of_the_feed_are_named() {
    let World { server, simulator: _ncbi } = plain().await;
    for (query, pointer) in [
        ("after=-1", "/after"),
        ("after=x", "/after"),
        ("limit=0", "/limit"),
        ("limit=1001", "/limit"),
        ("wait=26", "/wait"),
        ("kinds=missing", "/kinds"),
        ("kinds=new,", ""),
        ("query_key=unknown", "/query_key"),
        ("since=1", "/since"),
    ] {
        let response = server.get(&format!("/v1/events?{query}")).await;
        if pointer.is_empty() {
            assert_eq!(response.status, 200, "{query}: {}", response.body);
            continue;
        }
        assert_eq!(response.error(), (400, "VALIDATION_ERROR"), "{query}");
        assert_eq!(response.body["details"][0]["pointer"], pointer, "{query}");
    }
    assert_eq!(server.post("/v1/events", &json!({})).await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_waits_has_the_next_change_as_soon_as_it_is_there() {
    let World { mut server, simulator: _ncbi } = plain().await;
    let began = Instant::now();
    let none = server.get("/v1/events?wait=1").await.body;
    assert_eq!(none, json!({ "events": [], "next_seq": 0, "complete": true }));
    assert!(began.elapsed() >= Duration::from_secs(1), "it was held back");
    let engine = server.engine.clone();
    let request = server.request("GET", "/v1/events?wait=25&kinds=retracted");
    let waiting = tokio::spawn(async move { request.send().await.expect("a response").bytes().await });
    // A change of another kind does not end the wait.
    arrive(&engine, 1, 1, 1, Some(record(1, 1, "a", &[]))).await;
    feed::catch_up(&engine).await;
    let began = Instant::now();
    arrive(&engine, 2, 1, 1, Some(record(1, 1, "RETRACTED: a", &[]))).await;
    feed::catch_up(&engine).await;
    let told = waiting.await.expect("no panic").expect("a body");
    let told: Value = serde_json::from_slice(&told).expect("JSON");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(
        (told["events"].as_array().map(Vec::len), &told["events"][0]["kind"]),
        (Some(1), &json!("retracted")),
        "{told}"
    );
    // A server that shuts down ends the waits of its readers.
    let after = told["next_seq"].as_i64().expect("a number");
    let request = server.request("GET", &format!("/v1/events?wait=25&after={after}"));
    let waiting = tokio::spawn(async move { request.send().await });
    let began = Instant::now();
    while !waiting.is_finished() && began.elapsed() < Duration::from_millis(300) {
        tokio::task::yield_now().await;
    }
    server.stop();
    let _ = waiting.await.expect("no panic");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

/// Makes records members of a query.
async fn join(engine: &Engine, key: &str, numbers: &[u32]) {
    let mut tx = shared::db::begin(&engine.db).await.expect("begun");
    let pmids: Vec<Pmid> = numbers.iter().map(|n| Pmid::new(*n).expect("a PMID")).collect();
    add_members(&mut tx, key, &pmids).await.expect("added");
    tx.commit().await.expect("committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_new_in_the_feed_of_a_query_when_it_joins() {
    let World { server, simulator: _ncbi } = plain().await;
    let engine = &server.engine;
    let said = async |n: u32, file: i32, title: &str| arrive(engine, file, n, 1, Some(record(n, 1, title, &[]))).await;
    for n in 1..=5 {
        said(n, 1, "a").await;
    }
    said(2, 2, "RETRACTED: a").await;
    arrive(engine, 2, 3, 1, None).await;
    feed::catch_up(engine).await;
    join(engine, "mine", &[1, 2, 3]).await;
    let read = async |limit: usize| {
        let events = kinds_of(&all(&server, "&query_key=mine", limit).await);
        events.into_iter().map(|(_, n, kind)| format!("{n} {kind}")).collect::<Vec<_>>()
    };
    assert_eq!(read(100).await, ["1 new", "2 new", "2 retracted"], "as it is now; a deleted one is not there");
    said(1, 3, "b").await;
    said(4, 3, "b").await;
    said(3, 4, "c").await;
    feed::catch_up(engine).await;
    join(engine, "mine", &[5, 1]).await;
    said(5, 5, "RETRACTED: b").await;
    said(2, 6, "b").await;
    feed::catch_up(engine).await;
    let expected = [
        "1 new",
        "2 new",
        "2 retracted",
        "1 revised",
        "3 new",
        "5 new",
        "5 revised",
        "5 retracted",
        "2 revised",
        "2 retraction_withdrawn",
    ];
    for limit in [100, 1, 2, 3] {
        assert_eq!(read(limit).await, expected, "pages of {limit}; record 4 does not belong to it");
    }
    let retracted = kinds_of(&all(&server, "&query_key=mine&kinds=retracted", 1).await);
    assert_eq!(retracted.iter().map(|one| one.1.as_str()).collect::<Vec<_>>(), ["2", "5"]);
    // Pages already read stay the same, whichever records join later.
    let whole = all(&server, "&query_key=mine", 100).await;
    join(engine, "mine", &[4]).await;
    let later = all(&server, "&query_key=mine", 100).await;
    assert_eq!(later[..whole.len()], whole[..]);
    assert_eq!(kinds_of(&later[whole.len()..])[0].1, "4");
    assert!(later.last().expect("one")["seq"].as_i64() > whole.last().expect("one")["seq"].as_i64());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_what_an_ingest_changed_and_follows_what_comes() {
    let archive = Archive::new().await;
    let sample = write_sample(archive.dir.path(), 100).expect("written");
    archive.ingest(&sample.baseline);
    let printed = archive.run(&["events", "--json"]).expect(0);
    let first: Vec<Value> = printed.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    // One record has two versions.
    assert_eq!(first.iter().filter(|one| one["kind"] == "new").count(), sample.baseline_records - 1);
    let last = first.iter().filter_map(|one| one["seq"].as_i64()).max().expect("some");
    let after = last.to_string();
    assert!(printed.err.contains(&format!("--after {after}")), "{}", printed.err);
    assert_eq!(archive.run(&["events", "--json", "--after", &after]).expect(0).out, "");

    let mut following =
        archive.start(&["events", "--follow", "--json", "--after", &after, "--kinds", "retracted"], &[]);
    let out = following.stdout.take().expect("piped");
    let following = Running(following);
    archive.ingest(&sample.update);
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).expect("a line");
    let told: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(told["kind"], "retracted", "{told}");
    assert_eq!(following.end("-INT"), Some(0));

    let shown = archive.run(&["events", "--kinds", "retracted,deleted", "--limit", "1"]).expect(0);
    assert_eq!(shown.out.lines().count(), 1, "{}", shown.out);
    assert!(shown.out.contains("retracted") || shown.out.contains("deleted"), "{}", shown.out);
    archive.run(&["events", "--kinds", "missing"]).expect(2);
    archive.run(&["events", "--query-key", "none"]).expect(3);
    archive.run(&["events", "--after", "999999"]).expect(2);

    let status = archive.run(&["--output", "json", "status"]).expect(0).json();
    assert_eq!(
        (&status["projections"][0]["name"], &status["projections"][0]["events_behind"]),
        (&json!("changes"), &json!(0))
    );
    assert!(archive.run(&["status"]).expect(0).out.contains("change feed  current at event"));
    let before = archive.run(&["events", "--json"]).expect(0).out;
    archive.run(&["projections", "rebuild", "nothing"]).expect(3);
    archive.run(&["projections", "rebuild", "changes"]).expect(0);
    assert_eq!(archive.run(&["events", "--json"]).expect(0).out, before);
    let told = archive.run(&["--output", "json", "projections", "status"]).expect(0).json();
    assert_eq!((&told["integrity_unknown"], &told["projections"][0]["rebuilt_seq"]), (&json!(0), &Value::Null));

    // Changes that no job wrote are read too.
    let pmid = first[0]["pmid"].as_str().expect("a PMID");
    archive.run(&["purge", pmid, "--reason", "a test"]).expect(0);
    let last = archive.run(&["events", "--json"]).expect(0).json();
    assert_eq!((&last["kind"], &last["pmid"]), (&json!("deleted"), &json!(pmid)));
}
