//! Where each object lies.

use chrono::{DateTime, Utc};

use super::codec::Compression;
use super::store::Key;
use bio_mcp_core::{JobId, Pmid, UnitId};

/// Key layout under one prefix.
#[derive(Clone, Debug)]
pub struct Layout {
    prefix: String,
    compression: Compression,
}

/// The prefix cannot be part of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an archive prefix is letters, digits, '-', '_' and '.', parts separated by '/', no part starting with '.'")]
pub struct InvalidPrefix;

impl Layout {
    /// A layout under `prefix` (e.g. `pubmed`), new objects compressed as `compression`.
    pub fn new(prefix: &str, compression: Compression) -> Result<Self, InvalidPrefix> {
        let fine = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if prefix.split('/').all(fine) {
            Ok(Self { prefix: prefix.to_owned(), compression })
        } else {
            Err(InvalidPrefix)
        }
    }

    /// How new objects are compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The key of a record: a hundred neighbouring PMIDs share a folder.
    ///
    /// `{prefix}/raw/pmid=AAA/BBB/CCC/{pmid}.json.zst` with `AAABBBCCC` the first nine digits of
    /// the PMID zero-padded to eleven.
    pub fn record(&self, pmid: Pmid) -> Key {
        self.record_as(pmid, self.compression)
    }

    /// The key of a record that is archived already: it keeps the compression it was first stored
    /// with, whatever is configured for new ones.
    pub fn record_at(&self, pmid: Pmid, uri: &str) -> Key {
        let path = uri.split('?').next().unwrap_or_default();
        self.record_as(pmid, Compression::of_name(path).unwrap_or(self.compression))
    }

    fn record_as(&self, pmid: Pmid, compression: Compression) -> Key {
        let padded = format!("{:011}", pmid.get());
        Key::new(format!(
            "{}/raw/pmid={}/{}/{}/{pmid}.json.{}",
            self.prefix,
            &padded[..3],
            &padded[3..6],
            &padded[6..9],
            compression.extension()
        ))
    }

    /// The common start of all record keys.
    pub fn records(&self) -> String {
        format!("{}/raw/", self.prefix)
    }

    /// The PMID of a record key, if it is one of this layout.
    pub fn pmid_of(&self, key: &Key) -> Option<Pmid> {
        let name = key.as_str().rsplit('/').next()?;
        let compression = Compression::of_name(name)?;
        let pmid = Pmid::parse(name.strip_suffix(compression.extension())?.strip_suffix(".json.")?).ok()?;
        (self.record_as(pmid, compression) == *key).then_some(pmid)
    }

    /// The manifest of a job.
    pub fn manifest(&self, started_at: DateTime<Utc>, job: JobId) -> Key {
        let run = started_at.format("%Y%m%dT%H%M%S%.6fZ");
        Key::new(format!("{}/manifests/sync_run={run}-{job}.json", self.prefix))
    }

    /// The key of a manifest from its address, if it is the one of this job.
    pub fn manifest_at(&self, job: JobId, address: &str) -> Option<Key> {
        let path = address.split('?').next()?;
        let name = path.rsplit('/').next().filter(|name| name.ends_with(&format!("Z-{job}.json")))?;
        Key::parse(&format!("{}/manifests/{name}", self.prefix))
    }

    /// One part of a manifest: the records of one work unit.
    pub fn part(&self, job: JobId, unit: UnitId) -> Key {
        Key::new(format!("{}/manifests/{job}/{unit}.ndjson.zst", self.prefix))
    }

    /// The bytes of a record that could not be archived.
    pub fn quarantine(&self, job: JobId, unit: UnitId, n: i64) -> Key {
        Key::new(format!("{}/quarantine/{job}/{unit}/{n}.bin.zst", self.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout::new("pubmed", Compression::Zstd).expect("a valid prefix")
    }

    #[test]
    fn record_keys_are_the_published_ones() {
        let check = |pmid: u32, key: &str| {
            let pmid = Pmid::new(pmid).expect("a PMID");
            assert_eq!(layout().record(pmid).as_str(), key);
            assert_eq!(layout().pmid_of(&layout().record(pmid)), Some(pmid));
        };
        check(12_345_678, "pubmed/raw/pmid=000/123/456/12345678.json.zst");
        check(1, "pubmed/raw/pmid=000/000/000/1.json.zst");
        check(999_999_999, "pubmed/raw/pmid=009/999/999/999999999.json.zst");
    }

    #[test]
    fn a_misplaced_record_key_is_not_a_record_key() {
        for text in [
            "pubmed/raw/pmid=000/123/457/12345678.json.zst",
            "pubmed/raw/pmid=000/123/456/012345678.json.zst",
            "pubmed/raw/12345678.json.zst",
        ] {
            assert_eq!(layout().pmid_of(&Key::parse(text).expect("a key")), None, "{text}");
        }
    }

    #[test]
    fn hostile_prefixes_are_refused() {
        for prefix in ["", "/", "a//b", "../a", "a/../b", ".hidden", "a b", "a?b", "a%2e"] {
            assert!(Layout::new(prefix, Compression::Zstd).is_err(), "{prefix:?}");
        }
    }
}
