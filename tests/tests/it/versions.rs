//! Which payload is newer, and versions of records: the state of the archive after files and fetches in any order.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::Value;
use shared::archive::{ETag, Source};
use shared::core::{FileRank, Pmid, RecordOrder, Sha256};
use shared::ingest::{Engine, Settings};
use shared::pubmed::identity;
use shared::records::{self, PointerUpdate};
use shared::sources::store_records::{self, Origin, RawBatch, RawRecord, SliceKind};
use shared::verify::{self, VerifyRun};
use tests::program::Archive;
use tests::random::Random;
use tests::record_files::{file, ingest, record, title};

#[tokio::test]
async fn a_later_file_without_a_time_replaces_and_deletes_what_an_earlier_one_brought() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    let first = file(
        dir,
        "pubmed26n1335.xml",
        &[record(1, 1, "2026-02-01", "old"), record(2, 1, "2026-02-01", "goes"), record(3, 1, "2026-02-10", "first")],
        &[],
    );
    archive.ingest(&first);
    let second = file(
        dir,
        "pubmed26n1336.xml",
        &[record(1, 1, "2026-02-02", "new"), record(3, 1, "", "without a date")],
        &["<PMID Version=\"1\">2</PMID>"],
    );
    let result = archive.ingest(&second);
    assert_eq!((&result["archived"], &result["deleted"], &result["older"]), (&2.into(), &1.into(), &0.into()));
    assert_eq!(title(&archive, "1").as_deref(), Some("new"));
    assert_eq!(title(&archive, "3").as_deref(), Some("without a date"), "the number decides, not the date");
    archive.run(&["get", "2"]).expect(3);

    // The earlier file again: all of it is older, which is counted and reported.
    let again = archive.run(&["--output", "json", "ingest", &first.to_string_lossy()]).expect(0);
    let result = again.json();
    assert_eq!((&result["skipped"], &result["older"]), (&3.into(), &3.into()), "{result}");
    let again = archive.run(&["ingest", &first.to_string_lossy(), "--idempotency-key", "again"]).expect(0);
    assert!(again.err.contains("3 records skipped as older than the archive"), "{again:?}");
    assert_eq!(title(&archive, "1").as_deref(), Some("new"));
    archive.run(&["verify"]).expect(0);
}

#[tokio::test]
async fn an_equal_payload_of_a_later_file_supersedes_files_between() {
    let archive = Archive::new().await;
    ingest(&archive, "pubmed26n0001.xml", &[record(1, 1, "2026-01-01", "same")], &[]);
    let third = ingest(&archive, "pubmed26n0003.xml", &[record(1, 1, "2026-01-01", "same")], &[]);
    assert_eq!(third["unchanged"], 1);
    let second = ingest(&archive, "pubmed26n0002.xml", &[record(1, 1, "2026-01-01", "between")], &[]);
    assert_eq!((&second["archived"], &second["older"]), (&0.into(), &1.into()));
    assert_eq!(title(&archive, "1").as_deref(), Some("same"));
    archive.run(&["verify"]).expect(0);
}

#[tokio::test]
async fn of_two_files_that_nothing_tells_apart_the_later_one_wins_and_neither_is_stored_twice() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    let records = [record(1, 1, "2026-01-01", "first"), record(1, 1, "2026-01-01", "second")];
    let a = file(dir, "mine.xml", &records, &[]);
    assert_eq!(archive.ingest(&a)["archived"], 2);
    let again = archive.ingest(&a);
    assert_eq!((&again["archived"], &again["skipped"]), (&0.into(), &2.into()), "{again}");
    let b = file(dir, "other.xml", &[record(1, 1, "2026-01-01", "third")], &[]);
    assert_eq!(archive.ingest(&b)["archived"], 1);
    assert_eq!(title(&archive, "1").as_deref(), Some("third"));
}

#[tokio::test]
async fn a_deletion_of_one_version_leaves_the_others() {
    for versions in [[2, 1], [1, 2]] {
        let archive = Archive::new().await;
        let dir = archive.dir.path();
        let records = versions.map(|version| record(7, version, "2024-01-02", &format!("version {version}")));
        assert_eq!(ingest(&archive, "pubmed26n1340.xml", &records, &[])["archived"], 2);
        assert_eq!(title(&archive, "7").as_deref(), Some("version 2"), "{versions:?}");
        archive.run(&["verify"]).expect(0);

        let first = file(dir, "pubmed26n1341.xml", &[], &["<PMID Version=\"1\">7</PMID>"]);
        assert_eq!(archive.ingest(&first)["deleted"], 1);
        assert_eq!(title(&archive, "7").as_deref(), Some("version 2"), "version 1 was deleted");
        archive.run(&["verify"]).expect(0);
        assert_eq!(archive.ingest(&first)["skipped"], 1, "the same deletion again");

        ingest(&archive, "pubmed26n1342.xml", &[record(7, 3, "2024-01-03", "version 3")], &[]);
        let third = file(dir, "pubmed26n1343.xml", &[], &["<PMID Version=\"3\">7</PMID>"]);
        assert_eq!(archive.ingest(&third)["deleted"], 1);
        assert_eq!(title(&archive, "7").as_deref(), Some("version 2"), "version 2 remains");
        let events = archive.run(&["--output", "json", "history", "7"]).expect(0).json();
        let last: Vec<(&Value, &Value)> = events["events"]
            .as_array()
            .expect("events")
            .iter()
            .rev()
            .take(2)
            .map(|event| (&event["outcome"], &event["record_version"]))
            .collect();
        assert_eq!(last, [(&"archived".into(), &2.into()), (&"deleted".into(), &3.into())]);
        archive.run(&["verify"]).expect(0);

        let second = file(dir, "pubmed26n1344.xml", &[], &["<PMID Version=\"2\">7</PMID>"]);
        assert_eq!(archive.ingest(&second)["deleted"], 1);
        archive.run(&["get", "7"]).expect(3);
        archive.run(&["verify"]).expect(0);
        // A late copy of a deleted version does not restore it.
        let late = ingest(&archive, "pubmed26n1339.xml", &[record(7, 1, "2024-01-01", "late")], &[]);
        assert_eq!(late["older"], 1);
        archive.run(&["get", "7"]).expect(3);
    }
}

#[tokio::test]
async fn a_deletion_without_a_version_deletes_all_of_them() {
    let archive = Archive::new().await;
    let records = [record(7, 1, "2024-01-02", "one"), record(7, 2, "2024-01-02", "two")];
    ingest(&archive, "pubmed26n0001.xml", &records, &[]);
    assert_eq!(ingest(&archive, "pubmed26n0003.xml", &[], &["<PMID>7</PMID>"])["deleted"], 1);
    archive.run(&["get", "7"]).expect(3);
    let late = ingest(&archive, "pubmed26n0002.xml", &[record(7, 3, "2024-01-05", "late")], &[]);
    assert_eq!(late["older"], 1, "{late}");
    archive.run(&["get", "7"]).expect(3);
    ingest(&archive, "pubmed26n0004.xml", &[record(7, 3, "2024-01-05", "back")], &[]);
    assert_eq!(title(&archive, "7").as_deref(), Some("back"));
    archive.run(&["verify"]).expect(0);
}

#[tokio::test]
async fn repair_rebuilds_pointers_and_versions_by_the_same_rule() {
    let archive = Archive::new().await;
    let records =
        [record(7, 2, "2024-01-02", "two"), record(7, 1, "2024-01-02", "one"), record(8, 1, "2024-01-02", "first")];
    ingest(&archive, "pubmed26n0001.xml", &records, &[]);
    ingest(
        &archive,
        "pubmed26n0002.xml",
        &[record(8, 1, "2024-01-01", "later file, earlier date")],
        &["<PMID Version=\"2\">7</PMID>"],
    );
    let db = archive.database().await;
    let state = || async {
        let pointers: Vec<(String, i32, Option<String>, bool)> =
            sqlx::query_as("select pmid, record_version, content_hash, versioned from pubmed_archive order by pmid")
                .fetch_all(&db)
                .await
                .expect("read");
        let versions: Vec<(String, i32, Option<String>)> =
            sqlx::query_as("select pmid, version, content_hash from pubmed_archive_versions order by pmid, version")
                .fetch_all(&db)
                .await
                .expect("read");
        (pointers, versions)
    };
    let before = state().await;
    assert_eq!(before.1.len(), 2, "{before:?}");
    for broken in [
        "truncate pubmed_archive, pubmed_archive_history, pubmed_archive_versions, archive_events",
        "truncate pubmed_archive_versions",
        "update pubmed_archive set record_version = 9",
    ] {
        sqlx::query(sqlx::AssertSqlSafe(broken.to_owned())).execute(&db).await.expect("broken");
        archive.run(&["verify"]).expect(1);
        archive.run(&["verify", "--repair"]).expect(0);
        assert_eq!(state().await, before, "{broken}");
    }
}

#[tokio::test]
async fn an_archive_from_before_versions_had_rows_reads_them_from_its_objects() {
    let archive = Archive::new().await;
    let records = [record(7, 1, "2024-01-02", "one"), record(7, 2, "2024-01-02", "two")];
    ingest(&archive, "pubmed26n0001.xml", &records, &[]);
    let db = archive.database().await;
    sqlx::raw_sql("truncate pubmed_archive_versions; update pubmed_archive set versioned = false, rank_file = 0")
        .execute(&db)
        .await
        .expect("as before");
    ingest(&archive, "pubmed26n0002.xml", &[], &["<PMID Version=\"2\">7</PMID>"]);
    assert_eq!(title(&archive, "7").as_deref(), Some("one"));
    archive.run(&["verify"]).expect(0);
}

/// A state of one version of a record, as it was upstream from a time on.
#[derive(Clone, Debug)]
struct State {
    from: i64,
    revised: NaiveDate,
    /// `None`: deleted.
    title: Option<String>,
}

/// A file or a fetch that arrives, with the states at its time.
#[derive(Clone, Debug)]
struct Shipment {
    at: i64,
    /// 0: a fetch.
    file_number: i32,
    states: Vec<(u32, i32, State)>,
}

fn day(n: i64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2024, 1, 1).expect("a date") + TimeDelta::days(n)
}

/// A history whose dates agree with the file numbers: each version is revised, deleted and restored; files and fetches
/// contain the states at their time.
fn upstream(random: &mut Random) -> Vec<Shipment> {
    let mut histories: BTreeMap<(u32, i32), Vec<State>> = BTreeMap::new();
    for pmid in 1..=3 {
        for version in 1..=(if pmid == 1 { 1 } else { 1 + i32::try_from(random.below(2)).expect("small") }) {
            let mut states: Vec<State> = Vec::new();
            let mut at = i64::from(version) * 5;
            for n in 0..=random.below(5) {
                at += 1 + i64::try_from(random.below(20)).expect("small");
                let was_live = states.last().is_some_and(|state| state.title.is_some());
                let deleted = was_live && random.below(4) == 0;
                // A revision may keep its old date.
                let last = states.last().map_or(day(at), |state| state.revised);
                let revised = if random.below(3) == 0 && n > 0 { last } else { day(at) };
                let title = (!deleted).then(|| format!("{pmid}.{version} state {n}"));
                states.push(State { from: at * 100, revised, title });
            }
            histories.insert((pmid, version), states);
        }
    }
    let at = |history: &[State], time: i64| history.iter().rev().find(|state| state.from <= time).cloned();
    let mut shipments = Vec::new();
    let mut reported: BTreeMap<(u32, i32), i64> = BTreeMap::new();
    for (n, time) in (1..=8).zip((1_i64..).map(|n| n * 1700)) {
        let mut states = Vec::new();
        for ((pmid, version), history) in &histories {
            let Some(state) = at(history, time) else { continue };
            let is_news = reported.insert((*pmid, *version), state.from) != Some(state.from);
            // An update file contains what changed, and sometimes repeats a record.
            if is_news || (state.title.is_some() && random.below(4) == 0) {
                states.push((*pmid, *version, state));
            }
        }
        shipments.push(Shipment { at: time, file_number: 260_000 + n, states });
    }
    for _ in 0..6 {
        let time = i64::try_from(random.below(14_000)).expect("small");
        let mut states = Vec::new();
        for pmid in 1..=3 {
            // EFetch returns the newest version that is not deleted.
            let newest = histories.range((pmid, 1)..(pmid, 9)).rev().find_map(|((_, version), history)| {
                at(history, time).filter(|state| state.title.is_some()).map(|state| (pmid, *version, state))
            });
            states.extend(newest);
        }
        shipments.push(Shipment { at: time, file_number: 0, states });
    }
    shipments
}

async fn arrive(engine: &Engine, shipment: &Shipment) {
    let is_file = shipment.file_number > 0;
    // A record occurs once per batch.
    for (n, (pmid, version, state)) in (1..).zip(&shipment.states) {
        let pmid = Pmid::new(*pmid).expect("a PMID");
        let (bytes, kind) = match &state.title {
            Some(title) => {
                let xml = record(pmid.get(), *version, &state.revised.to_string(), title);
                let (identity, _) = identity::of_record(xml.as_bytes()).expect("a record");
                (xml.clone().into_bytes(), SliceKind::Record(identity))
            }
            None => (Vec::new(), SliceKind::Deletion(pmid, *version)),
        };
        let item = RawRecord { range: 0..bytes.len(), n, kind, newest_revision: None };
        let source = Source {
            api: if is_file { "bulk_file" } else { "efetch" }.to_owned(),
            endpoint: format!("pubmed{}n{:04}.xml.gz", 26, shipment.file_number % 10_000),
            http_status: 0,
            http_etag: None,
        };
        let as_of = DateTime::<Utc>::from_timestamp(1_700_000_000 + shipment.at, 0).expect("a time");
        let origin = Origin { source, as_of, file_number: shipment.file_number, file_id: None };
        let prepared =
            store_records::prepare(engine, origin, &RawBatch { bytes, items: vec![item] }).await.expect("prepared");
        let batch =
            store_records::store_without_unit(engine, vec![prepared]).await.expect("stored").pop().expect("a batch");
        let mut tx = shared::db::begin(&engine.db).await.expect("begun");
        records::advance(&mut tx, &batch.rows.advances).await.expect("advanced");
        let accepts = records::accept(&mut tx, &batch.rows.accepts).await.expect("accepted");
        assert!(accepts.undecided.is_empty());
        assert!(records::accept_versions(&mut tx, &batch.rows.versions).await.expect("accepted").is_empty());
        tx.commit().await.expect("committed");
    }
}

/// The expected archive: of each version the newest state that arrived, of each record the highest version that is not
/// deleted.
fn expected(shipments: &[Shipment]) -> BTreeMap<u32, Option<String>> {
    let mut newest: BTreeMap<(u32, i32), (i64, Option<String>)> = BTreeMap::new();
    for shipment in shipments {
        for (pmid, version, state) in &shipment.states {
            let one = newest.entry((*pmid, *version)).or_insert((i64::MIN, None));
            if shipment.at > one.0 {
                *one = (shipment.at, state.title.clone());
            }
        }
    }
    let mut records: BTreeMap<u32, Option<String>> = BTreeMap::new();
    for ((pmid, _), (_, title)) in newest {
        let record = records.entry(pmid).or_default();
        if title.is_some() {
            *record = title;
        }
    }
    records
}

async fn held(engine: &Engine) -> BTreeMap<u32, Option<String>> {
    let mut held = BTreeMap::new();
    for pointer in records::page(&engine.db, None, 1000).await.expect("read") {
        let envelope = engine.archive.envelope(pointer.pmid, &pointer.address()).await.expect("readable");
        let title = envelope.payload.xml().map(|xml| {
            let from = xml.find("<ArticleTitle>").expect("a title") + "<ArticleTitle>".len();
            xml[from..xml.find("</ArticleTitle>").expect("its end")].to_owned()
        });
        assert_eq!(pointer.content_hash, envelope.payload.xml().map(|xml| Sha256::of(xml.as_bytes())));
        held.insert(pointer.pmid.get(), title);
    }
    held
}

fn pointer(pmid: Pmid, as_of: i64, title: &str) -> PointerUpdate {
    let deleted = title.is_empty();
    PointerUpdate {
        pmid,
        s3_uri: format!("memory:///{pmid}?versionId={as_of}"),
        object_etag: ETag::parse("1"),
        content_hash: (!deleted).then(|| Sha256::of(title.as_bytes())),
        retracted: false,
        integrity: None,
        fetched_at: DateTime::default(),
        api_etag: None,
        order: RecordOrder {
            version: 1,
            date_revised: None,
            as_of: DateTime::from_timestamp(as_of, 0).expect("a time"),
            file_number: 0,
            position: 0,
            file_id: None,
            deleted,
        },
        seen: FileRank::NONE,
        expected: None,
    }
}

#[tokio::test]
async fn a_pointer_that_moved_since_it_was_compared_is_compared_again() {
    let engine = tests::engine::engine(Vec::new(), Settings::default(), 2).await;
    let accept = async |row: PointerUpdate| {
        let mut tx = shared::db::begin(&engine.db).await.expect("begun");
        let accepts = records::accept(&mut tx, &[row]).await.expect("accepted");
        tx.commit().await.expect("committed");
        accepts
    };
    // Live and deleted, on either side.
    for (n, (newer, older)) in (1..).zip([("new", "old"), ("new", ""), ("", "old")]) {
        let pmid = Pmid::new(n).expect("a PMID");
        assert!(accept(pointer(pmid, 1, "first")).await.accepted.contains(&pmid));
        let stamp = records::one(&engine.db, pmid).await.expect("read").expect("there").stamp();
        // Both were compared with the first one; the newer one is committed first.
        let newer = PointerUpdate { expected: Some(stamp.clone()), ..pointer(pmid, 9, newer) };
        assert!(accept(newer.clone()).await.accepted.contains(&pmid));
        let late = accept(PointerUpdate { expected: Some(stamp), ..pointer(pmid, 5, older) }).await;
        assert!(late.older.contains(&pmid), "{late:?}");
        // One that found no pointer when it was compared.
        assert!(accept(pointer(pmid, 4, older)).await.older.contains(&pmid));
        let held = records::one(&engine.db, pmid).await.expect("read").expect("there");
        assert_eq!(held.s3_uri, newer.s3_uri);
        assert!(accept(pointer(pmid, 10, "newest")).await.accepted.contains(&pmid));
    }
    assert_eq!(tests::invariants::broken(&engine.db).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_final_state_does_not_depend_on_the_order_of_arrival() {
    let engine = tests::engine::engine(Vec::new(), Settings::default(), 4).await;
    let seeds = tests::variable("BIO_MCP_ORDER_SEEDS").and_then(|text| text.parse().ok()).unwrap_or(20_u64);
    for seed in 0..seeds {
        let mut random = Random(seed);
        let shipments = upstream(&mut random);
        let expected = expected(&shipments);
        for order in 0..4 {
            sqlx::raw_sql("truncate pubmed_archive, pubmed_archive_history, pubmed_archive_versions, archive_events")
                .execute(&engine.db)
                .await
                .expect("empty");
            let engine = Engine {
                archive: shared::archive::Archive::new(
                    Arc::new(shared::archive::MemoryStore::new()),
                    engine.archive.layout().clone(),
                    64 << 20,
                ),
                ..engine.clone()
            };
            let mut arriving: Vec<&Shipment> = shipments.iter().collect();
            for n in (1..arriving.len()).rev() {
                arriving.swap(n, usize::try_from(random.below(n as u64 + 1)).expect("small"));
            }
            // Some arrive twice.
            let twice = arriving[usize::try_from(random.below(arriving.len() as u64)).expect("small")];
            arriving.push(twice);
            for shipment in &arriving {
                arrive(&engine, shipment).await;
            }
            let sequence: Vec<(i32, i64)> = arriving.iter().map(|one| (one.file_number, one.at)).collect();
            assert_eq!(held(&engine).await, expected, "seed {seed}, order {order}: {sequence:?}");
            let report = verify::check(&engine.db, &engine.archive, &VerifyRun::default()).await.expect("checked");
            assert!(report.is_clean(), "seed {seed}, order {order}: {:?}", report.problems);
            // A rebuild from the objects alone gives the same state.
            sqlx::raw_sql("truncate pubmed_archive, pubmed_archive_history, pubmed_archive_versions, archive_events")
                .execute(&engine.db)
                .await
                .expect("empty");
            verify::repair(&engine.db, &engine.archive, &mut VerifyRun::default()).await.expect("repaired");
            assert_eq!(held(&engine).await, expected, "repaired: seed {seed}, order {order}: {sequence:?}");
        }
    }
}

/// A version stored by an attempt that was killed before its commit is not archived yet.
#[tokio::test]
async fn a_version_whose_commit_was_killed_is_archived_by_the_next_attempt() {
    for point in ["after_put", "in_transaction"] {
        let archive = Archive::new().await;
        let dir = archive.dir.path();
        ingest(&archive, "pubmed26n8000.xml", &[record(800, 1, "2026-01-01", "one")], &[]);
        let second = file(dir, "pubmed26n8001.xml", &[record(800, 2, "2026-01-02", "two")], &[]);
        let mut killed = archive.start(&["ingest", &second.to_string_lossy()], &[("BIO_MCP_CRASH_AT", point)]);
        assert!(!killed.wait().expect("ends").success(), "{point}");
        let result = archive.ingest(&second);
        assert_eq!(result["archived"], 1, "{point}: {result}");
        assert_eq!(title(&archive, "800").as_deref(), Some("two"), "{point}");
        assert_eq!(title(&archive, "800.1").as_deref(), Some("one"), "{point}");
        assert_eq!(title(&archive, "800.2").as_deref(), Some("two"), "{point}");
        archive.run(&["verify"]).expect(0);
    }
}

#[tokio::test]
async fn a_repair_keeps_the_last_issue_of_a_file() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    for title in ["first issued", "issued again"] {
        ingest(&archive, "pubmed26n4000.xml", &[record(1, 1, "2026-01-01", title)], &[]);
        // Removed, so that the reissued file is a new file and not a modified one.
        std::fs::remove_file(dir.join("pubmed26n4000.xml")).expect("removed");
    }
    assert_eq!(title(&archive, "1").as_deref(), Some("issued again"));
    let repaired = archive.run(&["verify", "--repair"]).expect(0).out;
    assert!(repaired.contains("0 pointers, 0 versions, 0 history rows and 0 events"), "{repaired}");
    assert_eq!(title(&archive, "1").as_deref(), Some("issued again"));
}

#[tokio::test]
async fn each_version_is_there_or_deleted_for_itself() {
    let archive = Archive::new().await;
    let both = [record(7, 1, "2026-01-01", "one"), record(7, 2, "2026-01-02", "two")];
    ingest(&archive, "pubmed26n0001.xml", &both, &[]);
    ingest(&archive, "pubmed26n0002.xml", &[], &["<PMID>7</PMID>"]);
    ingest(&archive, "pubmed26n0003.xml", &[record(7, 1, "2026-01-03", "one again")], &[]);
    assert_eq!(title(&archive, "7.1").as_deref(), Some("one again"));
    let gone = archive.run(&["--output", "json", "get", "7.2"]).expect(3).json();
    assert_eq!(gone["found"], false);
    assert_eq!(gone["last_hash"], Sha256::of(both[1].as_bytes()).to_hex(), "{gone}");
    assert!(gone["deleted_at"].is_string(), "{gone}");
}
