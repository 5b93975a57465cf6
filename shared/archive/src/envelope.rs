//! The envelope: the exact upstream payload, its source, the time it was fetched and its hash.
//!
//! Version 1 is fixed by golden files (`tests/golden/envelope`). An object can be checked with
//! `zstd -dc X.json.zst | jq -j .payload.xml | sha256sum`.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::address::InvalidAddress;
use super::{codec, json_text};
use bio_mcp_core::identity::IdentityError;
use bio_mcp_core::{Pmid, RecordOrder, Sha256, clock};

/// The envelope version written by this program.
pub const VERSION: u32 = 1;

/// Content of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The byte-exact record, from `<` of its opening tag to `>` of its closing tag.
    Xml(String),
    /// The record was deleted upstream.
    Tombstone,
}

impl Payload {
    /// The XML; a tombstone has none.
    pub fn xml(&self) -> Option<&str> {
        match self {
            Self::Xml(xml) => Some(xml),
            Self::Tombstone => None,
        }
    }

    /// SHA-256 of the XML; a tombstone has none.
    pub fn hash(&self) -> Option<Sha256> {
        match self {
            Self::Xml(xml) => Some(Sha256::of(xml.as_bytes())),
            Self::Tombstone => None,
        }
    }
}

/// Source of a payload. Contains no secret: `api_key` and `email` are not among its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `bulk_file` for a file of records.
    pub api: String,
    /// Name of the file, without its folder.
    pub endpoint: String,
    /// HTTP status, 0 when nothing was fetched over HTTP.
    pub http_status: u16,
    /// HTTP `ETag`, if there was one.
    pub http_etag: Option<String>,
}

/// One archived payload of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub pmid: Pmid,
    /// When it was fetched; never part of the hash.
    pub fetched_at: DateTime<Utc>,
    pub source: Source,
    /// The values that order it among the payloads of this PMID; stored in `source.params`.
    pub order: RecordOrder,
    pub payload: Payload,
}

/// Bytes are not a valid envelope.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// They do not decompress.
    #[error(transparent)]
    Codec(#[from] codec::CodecError),
    /// They are not the JSON of an envelope.
    #[error("the envelope is not valid JSON of its version")]
    Json(#[from] serde_json::Error),
    /// The store returned other bytes for the version than were stored.
    #[error("its bytes do not match its version")]
    OtherBytes,
    /// It is larger than the envelope of any accepted record.
    #[error("it is larger than {max_bytes} bytes, the maximum size of a record's object, and was not read")]
    TooLarge {
        /// Maximum size of such an object.
        max_bytes: usize,
    },
    /// It is stored under the key of another record.
    #[error("it is the envelope of PMID {found}, under the key of PMID {expected}")]
    OtherRecord {
        /// PMID of the key.
        expected: Pmid,
        /// PMID of the envelope.
        found: Pmid,
    },
    /// Its XML is that of another record.
    #[error("its XML is that of PMID {found}, in the envelope of PMID {expected}")]
    OtherXml {
        /// PMID of the envelope.
        expected: Pmid,
        /// PMID of the XML.
        found: Pmid,
    },
    /// Its XML is not a record.
    #[error("its XML is not that of a record")]
    NoRecord(#[from] IdentityError),
    /// Its payload is not the one of the row that refers to it.
    #[error("its payload is not the one that its row records")]
    OtherPayload,
    /// The row that refers to it has an invalid address.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// Written by a newer program.
    #[error("envelope version {0} is newer than this program, which reads version {VERSION}: update this program")]
    Version(u32),
    /// The payload does not match its hash.
    #[error("the payload has the hash {found}, but its envelope records {recorded}")]
    Hash {
        /// Hash in the envelope.
        recorded: String,
        /// Hash of the payload.
        found: String,
    },
}

/// Maximum size of an envelope with a record of `max_record_bytes`: valid XML at most doubles as JSON (quotes, tabs,
/// line ends), and the rest is small.
pub fn max_bytes(max_record_bytes: usize) -> usize {
    max_record_bytes.saturating_mul(2).saturating_add(64 * 1024)
}

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    pmid: Pmid,
    #[serde(borrow)]
    fetched_at: std::borrow::Cow<'a, str>,
    source: WireSource,
    http: WireHttp,
}

#[derive(Serialize, Deserialize)]
struct WireSource {
    api: String,
    endpoint: String,
    params: Params,
}

#[derive(Serialize, Deserialize)]
struct Params {
    version: i32,
    date_revised: Option<NaiveDate>,
    as_of: DateTime<Utc>,
    file_number: i32,
    position: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file_id: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct WireHttp {
    status: u16,
    etag: Option<String>,
}

#[derive(Deserialize)]
struct Wire {
    pmid: Pmid,
    fetched_at: DateTime<Utc>,
    source: WireSource,
    http: WireHttp,
    payload: WirePayload,
    hash: WireHash,
    version: u32,
}

#[derive(Deserialize)]
#[serde(tag = "format")]
enum WirePayload {
    #[serde(rename = "pubmed-xml")]
    Xml { xml: String },
    #[serde(rename = "tombstone")]
    Tombstone,
}

#[derive(Deserialize)]
struct WireHash {
    value: Option<String>,
}

/// Writes the JSON of an envelope around borrowed XML; `None` is a tombstone.
pub fn write_json(
    out: &mut Vec<u8>,
    pmid: Pmid,
    fetched_at: DateTime<Utc>,
    source: &Source,
    order: &RecordOrder,
    xml: Option<(&str, Sha256)>,
) {
    let head = Head {
        pmid,
        fetched_at: clock::rfc3339(fetched_at).into(),
        source: WireSource {
            api: source.api.clone(),
            endpoint: source.endpoint.clone(),
            params: Params {
                version: order.version,
                date_revised: order.date_revised,
                as_of: order.as_of,
                file_number: order.file_number,
                position: order.position,
                file_id: order.file_id.clone(),
            },
        },
        http: WireHttp { status: source.http_status, etag: source.http_etag.clone() },
    };
    serde_json::to_writer(&mut *out, &head).expect("plain fields are JSON");
    out.pop(); // the closing brace; the payload is added to the same object
    match xml {
        Some((xml, hash)) => {
            out.extend_from_slice(b",\"payload\":{\"format\":\"pubmed-xml\",\"xml\":");
            json_text::push(out, xml);
            out.extend_from_slice(b"},\"hash\":{\"algo\":\"sha256\",\"value\":\"");
            out.extend_from_slice(hash.to_hex().as_bytes());
            out.extend_from_slice(b"\"},\"version\":1}");
        }
        None => out.extend_from_slice(
            b",\"payload\":{\"format\":\"tombstone\"},\"hash\":{\"algo\":\"sha256\",\"value\":null},\"version\":1}",
        ),
    }
}

impl Envelope {
    /// The envelope as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let xml = match &self.payload {
            Payload::Xml(xml) => Some((xml.as_str(), Sha256::of(xml.as_bytes()))),
            Payload::Tombstone => None,
        };
        write_json(&mut out, self.pmid, self.fetched_at, &self.source, &self.order, xml);
        out
    }

    /// Reads an envelope and checks the payload against its hash.
    pub fn from_json(json: &[u8]) -> Result<Self, EnvelopeError> {
        Self::read(json).map(|(envelope, _)| envelope)
    }

    /// Like [`Self::from_json`], also returning the hash of the payload, which is expensive to compute again.
    pub(crate) fn read(json: &[u8]) -> Result<(Self, Option<Sha256>), EnvelopeError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let wire = match serde_json::from_slice::<Wire>(json) {
            Ok(wire) if wire.version == VERSION => wire,
            // An envelope of a newer program is reported as such, whatever its other content.
            read => {
                let Version { version } = serde_json::from_slice(json)?;
                if version != VERSION {
                    return Err(EnvelopeError::Version(version));
                }
                read?
            }
        };
        let payload = match wire.payload {
            WirePayload::Xml { xml } => Payload::Xml(xml),
            WirePayload::Tombstone => Payload::Tombstone,
        };
        let hash = payload.hash();
        let found = hash.map(Sha256::to_hex);
        if found != wire.hash.value {
            let show = |hash: Option<String>| hash.unwrap_or_else(|| "none".to_owned());
            return Err(EnvelopeError::Hash { recorded: show(wire.hash.value), found: show(found) });
        }
        let params = wire.source.params;
        let envelope = Self {
            pmid: wire.pmid,
            fetched_at: wire.fetched_at,
            order: RecordOrder {
                version: params.version,
                date_revised: params.date_revised,
                as_of: params.as_of,
                file_number: params.file_number,
                position: params.position,
                file_id: params.file_id,
                deleted: payload == Payload::Tombstone,
            },
            source: Source {
                api: wire.source.api,
                endpoint: wire.source.endpoint,
                http_status: wire.http.status,
                http_etag: wire.http.etag,
            },
            payload,
        };
        Ok((envelope, hash))
    }

    /// SHA-256 of the payload's XML; none for a tombstone. Checked when it was read.
    pub fn content_hash(&self) -> Option<Sha256> {
        self.payload.hash()
    }
}
