//! With write access to the store any object can be written under any key. No forged object is served or adopted,
//! `verify` names each, and a repair restores the earlier state.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use shared::archive::codec::{self, Encoder};
use shared::archive::{Compression, DiskStore, Key, MemoryStore, S3Settings, S3Store, Source};
use shared::core::{Outcome, Pmid, clock};
use shared::ingest::{Engine, Settings};
use shared::pubmed::identity;
use shared::records::{self, Pointer};
use shared::sources::store_records::{self, Ahead, Origin, PreparedRecords, RawBatch, RawRecord, SliceKind};
use shared::verify::{self, VerifyRun};
use simulator::{Corpus, Options, Spread};
use tests::forged::{
    ATTACKS, PLANTED, RECORDS, arrive, arrive_from, as_of, attack, check, empty, essence, genuine, held, key, over,
    pmid, source, write,
};
use tests::http::{Server, settings};
use tests::program::{self, Archive};
use tests::random::Random;
use tests::record_files::record;
use tests::sync::{client, day, settings as eutils_settings, simulator};

/// One archive: attacked at random, read, verified, ingested into and repaired.
async fn survives(engine: &Engine, interfaces: &Interfaces, seed: u64, name: &str) {
    let mut random = Random(seed);
    empty(engine).await;
    genuine(engine, &mut random).await;
    let report = check(engine).await;
    assert!(report.is_clean(), "{name} {seed}: {:?}", report.problems);
    let before = held(engine).await;
    let served = interfaces.responses().await;

    let mut attacked: BTreeMap<u32, Vec<(&str, String)>> = BTreeMap::new();
    for _ in 0..=random.below(5) {
        let what = ATTACKS[usize::try_from(random.below(ATTACKS.len() as u64)).expect("small")];
        let n =
            if random.percent(10) { PLANTED } else { 1 + u32::try_from(random.below(RECORDS.into())).expect("small") };
        if let Some(version) = attack(engine, what, n).await {
            attacked.entry(n).or_default().push((what, version));
        }
    }
    let told = format!("{name}, seed {seed}: {attacked:?}");

    // Never served.
    assert_eq!(held(engine).await, before, "{told}");
    assert_eq!(interfaces.responses().await, served, "{told}");
    // Always reported: the record, and each version that is not genuine.
    let report = check(engine).await;
    for (n, versions) in &attacked {
        let of = |problem: &&verify::Problem| problem.pmid.as_deref() == Some(&n.to_string());
        let named: Vec<&str> = report.problems.iter().filter(of).map(|problem| problem.detail.as_str()).collect();
        assert!(!named.is_empty(), "{told}: {:?}", report.problems);
        let is_replay = |what: &str| what == "replayed" && name == "disk";
        for (_, version) in versions.iter().filter(|(what, _)| !is_replay(what) && *n != PLANTED) {
            assert!(named.iter().any(|detail| detail.contains(version.as_str())), "{told}: {named:?}");
        }
        for (what, said) in [("too large", "was not read"), ("a bomb", "decompresses to more than")] {
            let is_newest = versions.last().is_some_and(|(last, _)| *last == what) && *n != PLANTED;
            assert!(!is_newest || named.iter().any(|detail| detail.contains(said)), "{told}: {named:?}");
        }
    }
    // Never adopted.
    if random.percent(50) {
        let mut expected = Vec::new();
        for n in (1..=RECORDS).chain([PLANTED]) {
            let version = if n == 2 { 2 } else { 1 };
            let outcome = arrive(engine, 8, n, version, Some(&format!("{n}, newer"))).await;
            assert_eq!(outcome, Outcome::Archived, "{told}: {n}");
            expected.push((pmid(n), Some(record(n, version, "2026-01-08", &format!("{n}, newer")))));
        }
        let now = held(engine).await;
        assert_eq!(now.iter().map(|(pmid, (_, xml))| (*pmid, xml.clone())).collect::<Vec<_>>(), expected, "{told}");
    }
    let before = held(engine).await;
    verify::repair(&engine.db, &engine.archive, &mut VerifyRun::default()).await.expect("repaired");
    assert_eq!(essence(&held(engine).await), essence(&before), "{told}");
    let report = check(engine).await;
    assert!(report.is_clean(), "{told}: {:?}", report.problems);
    let aside = format!("{:?}", report.set_aside);
    for (n, versions) in &attacked {
        let is_known = |version: &str| before.get(&pmid(*n)).is_some_and(|(held, _)| held.s3_uri.contains(version));
        for (what, version) in versions {
            let is_genuine = *what == "replayed" && name == "disk";
            assert!(is_genuine || is_known(version) || aside.contains(version.as_str()), "{told}: {aside}");
        }
    }
    // The current object is the one that the pointer names.
    for (pmid, (pointer, _)) in held(engine).await {
        let (there, _) = engine.archive.envelope_at(&key(engine, pmid.get()), None).await.expect("readable");
        assert_eq!(there.content_hash(), pointer.content_hash, "{told}: {pmid}");
    }
}

/// The interfaces through which an archive is read.
struct Interfaces {
    server: Server,
    /// The command line, where it can read the store.
    program: Option<Archive>,
}

impl Interfaces {
    async fn of(engine: &Engine, client: &shared::pubmed::eutils::Client, program: Option<Archive>) -> Self {
        Self { server: Server::start(engine.clone(), client.clone(), &settings(&[])).await, program }
    }

    /// Their responses about all records.
    async fn responses(&self) -> Value {
        let pmids: Vec<String> = (1..=RECORDS).map(|n| n.to_string()).collect();
        let params = json!({ "pmids": pmids, "include": ["all"] });
        let many = json!({ "tool": "pubmed.get_many", "params": params });
        let many = self.server.post("/v1/mcp/invoke", &many).await;
        let mut all = vec![many.body["result"]["records"].clone()];
        for n in pmids {
            let params = json!({ "pmid": n, "include": ["all"] });
            let one = json!({ "tool": "pubmed.get", "params": params });
            let one = self.server.post("/v1/mcp/invoke", &one).await;
            assert_eq!(one.body["ok"], true, "{}", one.body);
            all.push(one.body["result"].clone());
        }
        for (program, format) in self.program.iter().flat_map(|program| [(program, "json"), (program, "xml")]) {
            let exported = program.run(&["export", "--format", format]).expect(0).out;
            assert_eq!(exported.lines().count(), RECORDS as usize - 1, "one was deleted: {exported}");
            all.push(json!(exported));
        }
        Value::Array(all)
    }
}

/// A server over an engine, once per store.
async fn world() -> (Engine, shared::pubmed::eutils::Client, simulator::Simulator) {
    let ncbi = simulator(Corpus::generated(day("2026-03-10"), 1000, 1, 1, Spread::Even(30)), Options::default()).await;
    let client = client(eutils_settings(&ncbi));
    (tests::engine::engine(Vec::new(), Settings::default(), 8).await, client, ncbi)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_memory_nothing_forged_is_served_or_adopted_and_a_repair_undoes_it() {
    let (engine, client, _ncbi) = world().await;
    let seeds = tests::variable("BIO_MCP_FORGED_SEEDS").and_then(|text| text.parse().ok()).unwrap_or(20_u64);
    for seed in 0..seeds {
        let engine = over(&engine, Arc::new(MemoryStore::new()));
        survives(&engine, &Interfaces::of(&engine, &client, None).await, seed, "memory").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_disk_nothing_forged_is_served_or_adopted_and_a_repair_undoes_it() {
    let (_, client, _ncbi) = world().await;
    let program = Archive::new().await;
    let engine = program.engine().await;
    for seed in 1000..1010 {
        let dir = program.data_dir().join("archive");
        let engine = over(&engine, Arc::new(DiskStore::new(&dir)));
        survives(&engine, &Interfaces::of(&engine, &client, Some(program.clone())).await, seed, "disk").await;
        std::fs::remove_dir_all(dir).expect("removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_bucket_nothing_forged_is_served_or_adopted_and_a_repair_undoes_it() {
    let Some(endpoint) = tests::variable("BIO_MCP_TEST_AWS_ENDPOINT") else {
        eprintln!("SKIPPED: BIO_MCP_TEST_AWS_ENDPOINT names no AWS emulator: run `make test`");
        return;
    };
    let (engine, client, _ncbi) = world().await;
    for seed in 2000..2004 {
        let bucket = tests::s3::new_bucket(&tests::s3::client(&endpoint), true).await;
        let settings_of = S3Settings { bucket, kms_key_id: None, path_style: true };
        let store = S3Store::open(settings_of, &tests::s3::config(&endpoint)).await.expect("opens");
        let engine = over(&engine, Arc::new(store));
        survives(&engine, &Interfaces::of(&engine, &client, None).await, seed, "bucket").await;
    }
}

/// An envelope with a future date and no row is not adopted, and does not block the next revision.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_without_an_intent_is_not_adopted_and_becomes_an_older_version() {
    let engine = tests::engine::engine(Vec::new(), Settings::default(), 4).await;
    for what in ["forged", "future", "highest rank", "tombstone"] {
        empty(&engine).await;
        let engine = over(&engine, Arc::new(MemoryStore::new()));
        let version = attack(&engine, what, 1).await.expect("planted");
        assert_eq!(arrive(&engine, 1, 1, 1, Some("genuine")).await, Outcome::Archived, "{what}");
        let held = held(&engine).await;
        assert_eq!(held[&pmid(1)].1.as_deref(), Some(record(1, 1, "2026-01-01", "genuine").as_str()), "{what}");
        let report = check(&engine).await;
        let problems = report.problems;
        assert_eq!((problems.len(), problems[0].kind), (1, "unknown_object"), "{what}: {problems:?}");
        assert!(problems[0].detail.contains(&version), "{what}: {problems:?}");
        // Nothing is lost: the planted object is an older version.
        assert_eq!(engine.archive.store().versions(&key(&engine, 1)).await.expect("listed").len(), 2, "{what}");
    }
}

/// A batch of one record, ready to be stored.
async fn prepared(engine: &Engine, n: u32, title: &str) -> PreparedRecords {
    let xml = record(n, 1, "2026-01-01", title);
    let (identity, _) = identity::of_record(xml.as_bytes()).expect("a record");
    let item = RawRecord { range: 0..xml.len(), n: 1, kind: SliceKind::Record(identity), newest_revision: None };
    let origin = Origin { source: source(1), as_of: as_of(1), file_number: 260_001, file_id: None };
    let raw = RawBatch { bytes: xml.into_bytes(), items: vec![item] };
    store_records::prepare(engine, origin, &raw).await.expect("prepared")
}

/// The next attempt adopts what a killed attempt stored: a committed intent names its bytes.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_an_intent_names_is_adopted_and_stored_once() {
    let engine = tests::engine::engine(Vec::new(), Settings::default(), 4).await;
    for _ in 0..2 {
        let prepared = prepared(&engine, 1, "once").await;
        store_records::store_without_unit(&engine, vec![prepared]).await.expect("stored");
    }
    assert_eq!(engine.archive.store().versions(&key(&engine, 1)).await.expect("listed").len(), 1);
    assert_eq!(arrive(&engine, 1, 1, 1, Some("once")).await, Outcome::Archived);
    assert_eq!(engine.archive.store().versions(&key(&engine, 1)).await.expect("listed").len(), 1);
    assert!(check(&engine).await.is_clean());
}

/// A batch's intents are written while the batch before is stored: once, and deleted if it will not be stored.
#[tokio::test(flavor = "multi_thread")]
async fn intents_are_written_ahead_once_and_deleted_if_their_batch_is_not_stored() {
    let engine = tests::engine::engine(Vec::new(), Settings::default(), 4).await;
    let named = async || -> Vec<i64> {
        let sql = "select id from archive_intents order by id";
        sqlx::query_scalar(sql).fetch_all(&engine.db).await.expect("read")
    };
    let ahead = Ahead::default();
    let (mut first, mut second) = (prepared(&engine, 1, "ahead").await, prepared(&engine, 2, "ahead").await);
    for batch in [&mut first, &mut second] {
        ahead.intend(&engine, None, batch).await.expect("named");
    }
    assert_eq!(named().await.len(), 2);
    ahead.will_store(&first);
    let stored = store_records::store_without_unit(&engine, vec![first]).await.expect("stored").pop().expect("a batch");
    assert_eq!(named().await.len(), 2, "what is named is not named again");
    ahead.take_back(&engine).await.expect("taken back");
    // A stored object can be adopted after a kill: its intent is deleted with the commit.
    assert_eq!(named().await, stored.rows.intents);

    // Batches that are committed together without earlier intents share one.
    let batches = vec![prepared(&engine, 3, "together").await, prepared(&engine, 4, "together").await];
    let stored = store_records::store_without_unit(&engine, batches).await.expect("stored");
    let intents: Vec<usize> = stored.iter().map(|batch| batch.rows.intents.len()).collect();
    assert_eq!((intents, named().await.len()), (vec![0, 1], 2));
}

/// The envelope of a newer program is not damage: it is neither read nor replaced, and other records are not affected.
#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_of_a_newer_program_is_never_replaced() {
    let engine = tests::engine::engine(Vec::new(), Settings::default(), 4).await;
    arrive(&engine, 1, 1, 1, Some("old")).await;
    let there = engine.archive.object(&key(&engine, 1), None).await.expect("there");
    let json = String::from_utf8(codec::decode(&there.bytes, 1 << 20).expect("decodes")).expect("UTF-8");
    let newer = json.replace("\"version\":1}", "\"version\":2,\"more\":true}");
    let newer = Encoder::new(Compression::Zstd).encode(newer.as_bytes());
    for n in [1, PLANTED] {
        write(&engine, &key(&engine, n), &newer).await;
        assert_eq!(arrive(&engine, 2, n, 1, Some("new")).await, Outcome::Failed, "{n}");
    }
    assert_eq!(arrive(&engine, 2, 2, 1, Some("another")).await, Outcome::Archived);
    for _ in 0..2 {
        let report = check(&engine).await;
        let said = report.problems.iter().find(|problem| problem.kind == "newer_object").expect("named");
        assert!(said.detail.contains("written by a newer program"), "{said:?}");
        for n in [1, PLANTED] {
            let plain = engine.archive.object(&key(&engine, n), None).await.expect("there");
            assert!(plain.bytes == newer, "{n}: nothing was written over it");
        }
        verify::repair(&engine.db, &engine.archive, &mut VerifyRun::default()).await.expect("repaired");
    }
    // The pointer names its version, which is still served.
    assert_eq!(held(&engine).await[&pmid(1)].1.as_deref(), Some(record(1, 1, "2026-01-01", "old").as_str()));
}

/// A pointer with a future as-of time, as earlier programs could adopt one, blocks no revision.
#[tokio::test(flavor = "multi_thread")]
async fn an_as_of_time_in_the_future_is_named_and_pulled_back() {
    let engine = tests::engine::engine(Vec::new(), Settings::default(), 4).await;
    for by_repair in [false, true] {
        empty(&engine).await;
        let engine = over(&engine, Arc::new(MemoryStore::new()));
        arrive(&engine, 1, 1, 1, Some("first")).await;
        sqlx::query("update pubmed_archive set as_of = '2999-01-01', file_number = 0, rank_file = 0, position = 0, rank_position = 0")
            .execute(&engine.db)
            .await
            .expect("ahead");
        let report = check(&engine).await;
        assert!(report.problems.iter().any(|problem| problem.kind == "future_as_of"), "{:?}", report.problems);
        if by_repair {
            verify::repair(&engine.db, &engine.archive, &mut VerifyRun::default()).await.expect("repaired");
            let report = check(&engine).await;
            assert!(report.is_clean(), "{:?}", report.problems);
        }
        // Its date equals that of the first: only the as-of time shows that it is newer.
        let fetched = Source { api: "efetch".to_owned(), ..source(0) };
        let origin = Origin { source: fetched, as_of: clock::now(), file_number: 0, file_id: None };
        let outcome = arrive_from(&engine, origin, "2026-01-01", 1, 1, Some("second")).await;
        assert_eq!(outcome, Outcome::Archived, "{by_repair}");
        let pointer = records::one(&engine.db, pmid(1)).await.expect("read").expect("there");
        assert!(!pointer.is_ahead, "{pointer:?}");
        let corrections = shared::db::clock::corrections(&engine.db, 10).await.expect("read");
        assert!(corrections.iter().any(|one| one.what == "pubmed_archive.as_of"), "{corrections:?}");
    }
}

/// With all rows lost, only the objects' consistency can be checked, and every record is marked so.
#[tokio::test(flavor = "multi_thread")]
async fn records_rebuilt_from_objects_alone_are_checked_and_marked() {
    let engine = tests::engine::engine(Vec::new(), Settings::default(), 4).await;
    genuine(&engine, &mut Random(5)).await;
    let before = held(&engine).await;
    for (what, n) in [("future", 1), ("of another record", 4), ("XML of another record", 5), ("truncated", 6)] {
        attack(&engine, what, n).await.expect("done");
    }
    empty(&engine).await;
    let repaired = verify::repair(&engine.db, &engine.archive, &mut VerifyRun::default()).await.expect("repaired");
    assert_eq!(repaired.from_objects, u64::from(RECORDS), "{repaired:?}");
    let xml = |held: &BTreeMap<Pmid, (Pointer, Option<String>)>| -> Vec<Option<String>> {
        held.values().map(|(_, xml)| xml.clone()).collect()
    };
    assert_eq!(xml(&held(&engine).await), xml(&before));
    let report = check(&engine).await;
    assert_eq!(report.from_objects_count, i64::from(RECORDS));
    assert_eq!(report.set_aside_count, 4, "{:?}", report.set_aside);
    // A new payload from upstream removes the mark.
    arrive(&engine, 8, 1, 1, Some("newer")).await;
    assert!(!check(&engine).await.from_objects.contains(&pmid(1)));
}

/// A database restored to an earlier state does not know what was stored since.
#[tokio::test(flavor = "multi_thread")]
async fn objects_without_rows_are_trusted_only_at_the_operators_request() {
    let engine = tests::engine::engine(Vec::new(), Settings::default(), 4).await;
    arrive(&engine, 1, 1, 1, Some("first")).await;
    arrive(&engine, 2, 1, 1, Some("second")).await;
    sqlx::raw_sql(
        "delete from archive_events where seq = (select max(seq) from archive_events);
         update pubmed_archive a set s3_uri = e.s3_uri, content_hash = e.content_hash, object_etag = 'v1',
             file_number = 260001, rank_file = 260001, date_revised = '2026-01-01' from archive_events e;
         delete from pubmed_archive_history h where content_hash <> (select content_hash from pubmed_archive)",
    )
    .execute(&engine.db)
    .await
    .expect("set back");
    let titled = |title: &str, day: u32| Some(record(1, 1, &format!("2026-01-{day:02}"), title));
    verify::repair(&engine.db, &engine.archive, &mut VerifyRun::default()).await.expect("repaired");
    assert_eq!(held(&engine).await[&pmid(1)].1, titled("first", 1));
    let mut run = VerifyRun { from_objects: true, ..VerifyRun::default() };
    let repaired = verify::repair(&engine.db, &engine.archive, &mut run).await.expect("repaired");
    assert_eq!((held(&engine).await[&pmid(1)].1.clone(), repaired.from_objects), (titled("second", 2), 1));
}

/// A write-once object has the intended content, whatever was stored under its key before.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_once_object_has_the_intended_content() {
    let engine = tests::engine::engine(Vec::new(), Settings::default(), 4).await;
    let key = Key::parse("pubmed/manifests/sync_run=x-1.json").expect("a key");
    write(&engine, &key, b"forged").await;
    let address = engine.archive.put_once(key.clone(), b"genuine".to_vec()).await.expect("written");
    let again = engine.archive.put_once(key.clone(), b"genuine".to_vec()).await.expect("written");
    assert_eq!(address, again, "the same bytes are there already");
    assert_eq!(engine.archive.object(&key, None).await.expect("there").bytes, b"genuine");
}

#[tokio::test]
async fn replaced_quarantine_bytes_are_refused() {
    let archive = Archive::new().await;
    let bad = "<PubmedArticle><MedlineCitation><PMID>9</PMID>&undefined;</MedlineCitation></PubmedArticle>".to_owned();
    let file = tests::record_files::file(archive.dir.path(), "bad.xml", &[bad], &[]);
    archive.run(&["ingest", program::text(&file)]).expect(5);
    let listed = archive.run(&["--output", "json", "quarantine", "list"]).expect(0).json();
    let entry = &listed["quarantine"][0];
    let path = tests::record_files::path_of(entry["uri"].as_str().expect("an address"));
    let forged = record(9, 1, "2026-01-01", "FORGED");
    std::fs::write(path, codec::encode_zstd(forged.as_bytes())).expect("replaced");
    let retried = archive.run(&["quarantine", "retry", &entry["id"].to_string()]);
    assert_ne!(retried.code, Some(0), "{retried:?}");
    archive.run(&["get", "9"]).expect(3);
}
