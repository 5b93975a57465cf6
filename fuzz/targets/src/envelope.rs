//! Envelopes: the archived form of a record.

use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::archive::codec::{self, Encoder};
use shared::archive::{Compression, Envelope, Payload, Source, envelope as format};
use shared::core::{Pmid, RecordOrder, Sha256};

/// Larger than the decompressed size of any useful input.
const LIMIT: usize = 1 << 20;

/// A parsed envelope has the values that a plain JSON parser finds, and its payload has the hash it names. Any text
/// survives a round trip through an envelope, with both compressions, and within the limit on its size.
pub fn envelope(data: &[u8]) {
    let json = codec::decode(data, LIMIT);
    assert!(json.as_ref().map_or(0, Vec::len) <= LIMIT, "more than the limit");
    let json = json.unwrap_or_else(|_| data.to_vec());
    if let Ok(envelope) = Envelope::from_json(&json) {
        let value: Value = serde_json::from_slice(&json).expect("an envelope is JSON");
        assert_eq!(value["pmid"].as_str().map(Pmid::parse), Some(Ok(envelope.pmid)));
        let xml = (value["payload"]["format"] == "pubmed-xml").then(|| value["payload"]["xml"].as_str()).flatten();
        assert_eq!(envelope.payload.xml(), xml);
        let hash = xml.map(|xml| Sha256::of(xml.as_bytes()).to_hex());
        assert_eq!(value["hash"]["value"].as_str(), hash.as_deref(), "the hash is that of the payload");
        let again = Envelope::from_json(&envelope.to_json()).expect("what is written is read");
        assert_eq!(Envelope { fetched_at: again.fetched_at, ..envelope }, again);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        assert_comes_back(text);
    }
}

fn assert_comes_back(text: &str) {
    let at = |secs| DateTime::<Utc>::from_timestamp(secs, 0).expect("a time");
    let envelope = Envelope {
        pmid: Pmid::new(12_345_678).expect("a PMID"),
        fetched_at: at(1_769_731_200),
        source: Source {
            api: "bulk_file".to_owned(),
            endpoint: "pubmed26n0001.xml.gz".to_owned(),
            http_status: 0,
            http_etag: None,
        },
        order: RecordOrder {
            version: 1,
            date_revised: None,
            as_of: at(1_769_644_800),
            file_number: 260_001,
            position: 17,
            file_id: None,
            deleted: false,
        },
        payload: Payload::Xml(text.to_owned()),
    };
    let json = envelope.to_json();
    let value: Value = serde_json::from_slice(&json).expect("an envelope is JSON");
    assert_eq!(value["payload"]["xml"], text, "another reader finds the same text");
    assert_eq!(Envelope::from_json(&json).expect("what is written is read"), envelope);
    let legal = |c: char| c >= ' ' || "\t\n\r".contains(c);
    if text.chars().all(legal) {
        assert!(json.len() <= format::max_bytes(text.len()), "{} bytes of {}", json.len(), text.len());
    }
    for compression in [Compression::Zstd, Compression::Gzip] {
        let stored = Encoder::new(compression).encode(&json);
        assert_eq!(codec::decode(&stored, json.len()).expect("it decompresses"), json);
        assert!(codec::decode(&stored, json.len() - 1).is_err(), "a byte more than the limit");
    }
}
