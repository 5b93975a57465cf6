//! Envelopes are pinned: stored ones remain readable, byte for byte.

use chrono::DateTime;
use shared::archive::{Compression, Envelope, EnvelopeError, Payload, Source, codec};
use shared::core::{Pmid, RecordOrder};

fn envelope(payload: Payload) -> Envelope {
    Envelope {
        pmid: Pmid::new(12_345_678).expect("a PMID"),
        fetched_at: DateTime::from_timestamp(1_769_731_200, 123_456_000).expect("in range"),
        source: Source {
            api: "bulk_file".into(),
            endpoint: "pubmed26n0001.xml.gz".into(),
            http_status: 0,
            http_etag: None,
        },
        order: RecordOrder {
            version: 1,
            date_revised: "2026-01-15".parse().ok(),
            as_of: DateTime::from_timestamp(1_769_644_800, 0).expect("in range"),
            file_number: 260_001,
            position: 17,
            file_id: None,
            deleted: payload == Payload::Tombstone,
        },
        payload,
    }
}

fn xml() -> Payload {
    Payload::Xml(
        "<PubmedArticle>\n\t<PMID Version=\"1\">12345678</PMID> \\ \u{3bc}\u{1f9ec}\r\n</PubmedArticle>".into(),
    )
}

fn check(name: &str, envelope: &Envelope) {
    let path = tests::root().join("tests/golden/envelope").join(name);
    let golden = std::fs::read(&path).expect("a golden file");
    assert_eq!(String::from_utf8_lossy(&envelope.to_json()), String::from_utf8_lossy(&golden).trim_end(), "{name}");
    assert_eq!(&Envelope::from_json(&golden).expect("readable"), envelope);
}

#[test]
fn envelopes_are_the_golden_ones() {
    check("record.v1.json", &envelope(xml()));
    check("tombstone.v1.json", &envelope(Payload::Tombstone));
}

#[test]
fn stored_objects_of_version_1_stay_readable() {
    for (name, payload) in
        [("record.v1.json.zst", xml()), ("record.v1.json.gz", xml()), ("tombstone.v1.json.zst", Payload::Tombstone)]
    {
        let stored = std::fs::read(tests::root().join("tests/golden/envelope").join(name)).expect("a golden file");
        let json = codec::decode(&stored, 1 << 20).expect("decompresses");
        assert_eq!(Envelope::from_json(&json).expect("readable"), envelope(payload), "{name}");
    }
}

#[test]
fn what_is_not_a_valid_envelope_says_why() {
    let good = String::from_utf8(envelope(xml()).to_json()).expect("UTF-8");
    let read = |text: &str| Envelope::from_json(text.as_bytes()).expect_err("not valid");
    assert!(matches!(read(&good.replace("\"version\":1}", "\"version\":2}")), EnvelopeError::Version(2)));
    assert!(matches!(read(&good.replace("</PMID>", "</PMIDx>")), EnvelopeError::Hash { .. }));
    assert!(matches!(read(&good.replace("12345678\",\"fetched", "012345678\",\"fetched")), EnvelopeError::Json(_)));
    assert!(matches!(read(&good[..good.len() / 2]), EnvelopeError::Json(_)));
    let tombstone = String::from_utf8(envelope(Payload::Tombstone).to_json()).expect("UTF-8");
    assert!(matches!(read(&tombstone.replace("\"value\":null", "\"value\":\"00\"")), EnvelopeError::Hash { .. }));
}

#[test]
fn no_secret_has_a_place_in_an_envelope() {
    let text = String::from_utf8(envelope(xml()).to_json()).expect("UTF-8");
    assert!(!text.contains("api_key") && !text.contains("email"));
}

#[test]
fn both_compressions_hold_the_same_envelope() {
    let json = envelope(xml()).to_json();
    for compression in [Compression::Zstd, Compression::Gzip] {
        let stored = codec::Encoder::new(compression).encode(&json);
        assert_eq!(codec::decode(&stored, 1 << 20).expect("decompresses"), json);
    }
}
