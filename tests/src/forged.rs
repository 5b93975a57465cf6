//! An archive whose store has other writers: genuine records, and objects that can be planted or overwritten.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use shared::archive::codec::{self, Encoder};
use shared::archive::{Compression, Condition, Envelope, Key, Payload, Put, Source, Store, StoreError};
use shared::core::{Outcome, Pmid, RecordOrder, clock};
use shared::ingest::Engine;
use shared::pubmed::identity;
use shared::records::{self, Pointer};
use shared::sources::store_records::{self, Origin, RawBatch, RawRecord, SliceKind};
use shared::verify::{self, Report, VerifyRun};

use crate::random::Random;
use crate::record_files::record;

/// Number of genuine records.
pub const RECORDS: u32 = 6;

/// A PMID that was never archived.
pub const PLANTED: u32 = 77;

pub fn pmid(n: u32) -> Pmid {
    Pmid::new(n).expect("a PMID")
}

/// Archives a payload or deletion of a file, like the pipelines; returns the outcome.
pub async fn arrive(engine: &Engine, file: i32, n: u32, version: i32, title: Option<&str>) -> Outcome {
    let origin = Origin { source: source(file), as_of: as_of(file), file_number: 260_000 + file, file_id: None };
    arrive_from(engine, origin, &format!("2026-01-{:02}", file % 100), n, version, title).await
}

/// The same from any origin, with a revision date.
pub async fn arrive_from(
    engine: &Engine,
    origin: Origin,
    revised: &str,
    n: u32,
    version: i32,
    title: Option<&str>,
) -> Outcome {
    arrive_record(engine, origin, n, version, title.map(|title| record(n, version, revised, title))).await
}

/// The same with any payload.
pub async fn arrive_record(engine: &Engine, origin: Origin, n: u32, version: i32, xml: Option<String>) -> Outcome {
    let (bytes, kind) = match xml {
        Some(xml) => {
            let (identity, _) = identity::of_record(xml.as_bytes()).expect("a record");
            (xml.into_bytes(), SliceKind::Record(identity))
        }
        None => (Vec::new(), SliceKind::Deletion(pmid(n), version)),
    };
    let item = RawRecord { range: 0..bytes.len(), n: i64::from(n), kind, newest_revision: None };
    let prepared =
        store_records::prepare(engine, origin, &RawBatch { bytes, items: vec![item] }).await.expect("prepared");
    let batch =
        store_records::store_without_unit(engine, vec![prepared]).await.expect("stored").pop().expect("a batch");
    let mut tx = shared::db::begin(&engine.db).await.expect("begun");
    records::forget_intents(&mut tx, &batch.rows.intents).await.expect("forgotten");
    records::put_aside_own(&mut tx, &batch.rows.superseded).await.expect("noted");
    records::advance(&mut tx, &batch.rows.advances).await.expect("advanced");
    assert!(records::accept(&mut tx, &batch.rows.accepts).await.expect("accepted").undecided.is_empty());
    assert!(records::accept_versions(&mut tx, &batch.rows.versions).await.expect("accepted").is_empty());
    tx.commit().await.expect("committed");
    batch.outcomes[0].outcome
}

/// A file as the source of records.
pub fn source(file: i32) -> Source {
    let endpoint = format!("pubmed26n{file:04}.xml.gz");
    Source { api: "bulk_file".to_owned(), endpoint, http_status: 0, http_etag: None }
}

/// The time that a file is as of.
pub fn as_of(file: i32) -> DateTime<Utc> {
    DateTime::from_timestamp(1_760_000_000 + i64::from(file) * 86_400, 0).expect("a time")
}

/// Archives the genuine records: some revised, one with two versions, one deleted.
pub async fn genuine(engine: &Engine, random: &mut Random) {
    for n in 1..=RECORDS {
        for file in 1..=1 + i32::try_from(random.below(3)).expect("small") {
            arrive(engine, file, n, 1, Some(&format!("{n}, revision {file}"))).await;
        }
    }
    arrive(engine, 4, 2, 2, Some("2, version 2")).await;
    arrive(engine, 5, 3, 1, None).await;
}

/// The pointer of every record, and the content of its envelope.
pub async fn held(engine: &Engine) -> BTreeMap<Pmid, (Pointer, Option<String>)> {
    let mut held = BTreeMap::new();
    for pointer in records::page(&engine.db, None, 1000).await.expect("read") {
        let envelope = engine.archive.envelope(pointer.pmid, &pointer.address()).await.expect("served");
        held.insert(pointer.pmid, (pointer, envelope.payload.xml().map(str::to_owned)));
    }
    held
}

/// The parts that do not change if the same payload is stored again.
pub fn essence(held: &BTreeMap<Pmid, (Pointer, Option<String>)>) -> Vec<Value> {
    let one = |(pointer, xml): &(Pointer, Option<String>)| {
        json!([
            pointer.pmid,
            pointer.content_hash,
            pointer.fetched_at,
            pointer.order,
            pointer.seen,
            pointer.versioned,
            pointer.deleted_at,
            xml
        ])
    };
    held.values().map(one).collect()
}

pub fn key(engine: &Engine, n: u32) -> Key {
    engine.archive.layout().record(pmid(n))
}

/// Overwrites the object at a key, as any writer with the bucket's credentials can.
pub async fn write(engine: &Engine, key: &Key, bytes: &[u8]) -> String {
    let store = engine.archive.store();
    let condition = match store.head(key).await {
        Ok(head) => Condition::Matches(head.etag),
        Err(StoreError::NotFound(_)) => Condition::Absent,
        Err(error) => panic!("{error}"),
    };
    let put = Put { key: key.clone(), bytes, condition, payload_hash: None };
    store.put_batch(&[put]).await.pop().expect("a response").expect("written").version.to_string()
}

fn envelope(n: u32, version: i32, payload: Payload, change: impl FnOnce(&mut Envelope)) -> Vec<u8> {
    let order = RecordOrder {
        version,
        date_revised: "2026-02-28".parse().ok(),
        as_of: as_of(90),
        file_number: 260_090,
        position: i64::from(n),
        file_id: None,
        deleted: payload == Payload::Tombstone,
    };
    let mut envelope =
        Envelope { pmid: pmid(n), fetched_at: clock::now() - TimeDelta::hours(1), source: source(90), order, payload };
    change(&mut envelope);
    Encoder::new(Compression::Zstd).encode(&envelope.to_json())
}

fn forged_xml(n: u32) -> Payload {
    Payload::Xml(record(n, 1, "2026-02-28", "FORGED"))
}

/// Kinds of attacks on an object.
pub const ATTACKS: [&str; 12] = [
    "forged",
    "future",
    "highest rank",
    "genuine payload, other times",
    "tombstone",
    "of another record",
    "XML of another record",
    "truncated",
    "replayed",
    "too large",
    "a bomb",
    "garbage",
];

/// Performs one of [`ATTACKS`] on a record; none if it would change nothing.
pub async fn attack(engine: &Engine, kind: &str, n: u32) -> Option<String> {
    let store = engine.archive.store();
    let key = key(engine, n);
    let newest = engine.archive.object(&key, None).await.ok();
    let bytes = match kind {
        "forged" => envelope(n, 1, forged_xml(n), |_| {}),
        "future" => envelope(n, 1, forged_xml(n), |e| e.order.as_of = "2999-01-01T00:00:00Z".parse().expect("a time")),
        "highest rank" => envelope(n, 1, forged_xml(n), |e| e.order.file_number = 999_999),
        "genuine payload, other times" => {
            let mut there = engine.archive.decode(&key, &newest?.bytes).ok()?;
            there.fetched_at += TimeDelta::days(3650);
            there.order.as_of += TimeDelta::days(3650);
            Encoder::new(Compression::Zstd).encode(&there.to_json())
        }
        "tombstone" => envelope(n, 0, Payload::Tombstone, |e| e.order.date_revised = None),
        "of another record" => engine.archive.object(&self::key(engine, n % RECORDS + 1), None).await.ok()?.bytes,
        "XML of another record" => envelope(n, 1, forged_xml(n + 1), |_| {}),
        "truncated" => {
            let bytes = newest?.bytes;
            bytes[..bytes.len() / 2].to_vec()
        }
        "replayed" => {
            let oldest = store.versions(&key).await.expect("listed").pop()?;
            let oldest = engine.archive.object(&key, Some(&oldest)).await.ok()?;
            if oldest.bytes == newest?.bytes {
                return None;
            }
            oldest.bytes
        }
        "too large" => vec![0; 4 * engine.archive.max_record_bytes()],
        "a bomb" => codec::encode_zstd(&vec![b' '; 4 * engine.archive.max_record_bytes()]),
        _ => b"garbage".to_vec(),
    };
    Some(write(engine, &key, &bytes).await)
}

/// The report of `verify`.
pub async fn check(engine: &Engine) -> Report {
    verify::check(&engine.db, &engine.archive, &VerifyRun::default()).await.expect("checked")
}

/// Deletes all rows of the archive.
pub async fn empty(engine: &Engine) {
    sqlx::raw_sql(
        "truncate pubmed_archive, pubmed_archive_history, pubmed_archive_versions, archive_events, archive_set_aside, \
         archive_intents",
    )
    .execute(&engine.db)
    .await
    .expect("empty");
}

/// The engine with another store, and a small maximum record size.
pub fn over(engine: &Engine, store: Arc<dyn Store>) -> Engine {
    Engine { archive: crate::engine::archive(store, 64 << 10), ..engine.clone() }
}
