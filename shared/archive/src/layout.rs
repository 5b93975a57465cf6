//! Keys of all objects.

use chrono::{DateTime, Utc};

use super::address::{Address, AddressFault, InvalidAddress};
use super::codec::Compression;
use super::store::Key;
use bio_mcp_core::{JobId, Pmid, UnitId};

/// The folders of a layout.
const FOLDERS: [&str; 4] = ["raw", "manifests", "quarantine", "packs"];

/// The keys of an archive under one prefix.
#[derive(Clone, Debug)]
pub struct Layout {
    prefix: String,
    compression: Compression,
}

/// The prefix is not a valid part of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an archive prefix must be letters, digits, '-', '_' and '.', parts separated by '/', no part starting with '.'"
)]
pub struct InvalidPrefix;

impl Layout {
    /// A layout under `prefix` (e.g. `pubmed`); `compression` applies to new objects.
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

    /// The key of a record: a hundred consecutive PMIDs share a folder.
    ///
    /// `{prefix}/raw/pmid=AAA/BBB/CCC/{pmid}.json.zst` with `AAABBBCCC` the first nine digits of
    /// the PMID zero-padded to eleven.
    pub fn record(&self, pmid: Pmid) -> Key {
        self.record_as(pmid, self.compression)
    }

    /// The key of a record that is already archived: it keeps the compression of its first object, regardless of the
    /// present setting. An address of another object is ignored.
    pub fn record_again(&self, pmid: Pmid, held: Option<&Address>) -> Key {
        let held = held.filter(|address| address.part().is_none()).and_then(|address| self.key_at(address));
        held.filter(|key| self.pmid_of(key) == Some(pmid)).unwrap_or_else(|| self.record(pmid))
    }

    /// The key of the object that contains a record's payload: its own, or a pack.
    pub fn payload(&self, pmid: Pmid, address: &Address) -> Result<Key, InvalidAddress> {
        let key = self.key_at(address).ok_or_else(|| address.invalid(AddressFault::Elsewhere))?;
        let is_right = match address.part() {
            None => self.pmid_of(&key) == Some(pmid),
            Some(_) => key.as_str().strip_prefix(&self.prefix).is_some_and(|rest| rest.starts_with("/packs/")),
        };
        is_right.then_some(key).ok_or_else(|| address.invalid(AddressFault::Other))
    }

    /// The key of an address, also after the archive was moved: the path from the last occurrence of the prefix that is
    /// followed by a folder of this layout. If the prefix has changed, the path from the last such folder is appended
    /// to the present one. It is never outside the prefix.
    pub fn key_at(&self, address: &Address) -> Option<Key> {
        let path = address.path();
        let last = |start: &str| {
            path.rmatch_indices(start).map(|(at, _)| at).find(|at| *at == 0 || path[..*at].ends_with('/'))
        };
        let below_prefix = FOLDERS.iter().filter_map(|folder| last(&format!("{}/{folder}/", self.prefix)));
        if let Some(at) = below_prefix.max() {
            return Key::parse(&path[at..]);
        }
        let below_another = FOLDERS.iter().filter_map(|folder| last(&format!("{folder}/")));
        Key::parse(&format!("{}/{}", self.prefix, &path[below_another.max()?..]))
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

    /// The PMID of a record key; none for other keys.
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

    /// The key of a manifest from its address; none unless it is that of this job.
    pub fn manifest_at(&self, job: JobId, address: &Address) -> Option<Key> {
        let key = self.key_at(address).filter(|_| address.part().is_none())?;
        let name = key.as_str().strip_prefix(&self.prefix)?.strip_prefix("/manifests/")?;
        (!name.contains('/') && name.ends_with(&format!("Z-{job}.json"))).then_some(key)
    }

    /// A part of a manifest: the records of one work unit.
    pub fn part(&self, job: JobId, unit: UnitId) -> Key {
        Key::new(format!("{}/manifests/{job}/{unit}.ndjson.zst", self.prefix))
    }

    /// The common start of the keys of all packs.
    pub fn packs(&self) -> String {
        format!("{}/packs/", self.prefix)
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
    fn an_address_leads_to_its_key_wherever_the_archive_was() {
        let pmid = Pmid::new(12_345_678).expect("a PMID");
        let key = "pubmed/raw/pmid=000/123/456/12345678.json.gz";
        for start in [
            "s3://bucket/",
            "s3://another/some/where/",
            "file:///srv/a/",
            "file:///pubmed/raw/pubmed/",
            "file:///",
            "file:///a%20b/.hidden/../",
            "memory:///",
        ] {
            let address = Address::parse(&format!("{start}{key}?versionId=1")).expect("an address");
            assert_eq!(layout().payload(pmid, &address).expect("its key").as_str(), key, "{address}");
            assert_eq!(layout().record_again(pmid, Some(&address)).as_str(), key, "{address}");
        }
    }

    #[test]
    fn an_address_from_before_the_prefix_was_renamed_leads_to_the_key_below_the_new_one() {
        let pmid = Pmid::new(12_345_678).expect("a PMID");
        let key = "pubmed/raw/pmid=000/123/456/12345678.json.gz";
        let pack = "pubmed/packs/pubmed26n0001-0123abcd.1.ndjson.zst";
        for start in ["s3://bucket/", "s3://bucket/literature/", "s3://bucket/notpubmed/", "file:///srv/raw/a/b/"] {
            let at = |rest: &str| Address::parse(&format!("{start}{rest}")).expect("an address");
            let address = at("raw/pmid=000/123/456/12345678.json.gz?versionId=1");
            assert_eq!(layout().payload(pmid, &address).expect("its key").as_str(), key, "{address}");
            assert_eq!(layout().record_again(pmid, Some(&address)).as_str(), key, "{address}");
            let part = at("packs/pubmed26n0001-0123abcd.1.ndjson.zst?versionId=1#bytes=0-1&line=1");
            assert_eq!(layout().payload(pmid, &part).expect("its key").as_str(), pack, "{part}");
            let job = JobId(uuid::Uuid::nil());
            let name = format!("manifests/sync_run=20260101T000000.000000Z-{job}.json");
            let manifest = layout().manifest_at(job, &at(&format!("{name}?versionId=1"))).expect("its key");
            assert_eq!(manifest.as_str(), format!("pubmed/{name}"), "{start}");
        }
    }

    #[test]
    fn an_address_of_anything_else_leads_nowhere() {
        let pmid = Pmid::new(12_345_678).expect("a PMID");
        let elsewhere = [
            "s3://bucket/pmid=000/123/456/12345678.json.zst?versionId=1",
            "s3://bucket/raw?versionId=1",
            "file:///srv/literature/raw/../../etc/passwd?versionId=1",
            "file:///srv/pubmed/raw/../../etc/passwd?versionId=1",
            "file:///srv/pubmed/raw/.versions/12345678.json.zst?versionId=1",
            "file:///srv/pubmed/raw/pmid=000/123/456/12345678.json.zst%3F?versionId=1",
            "file:///etc/passwd?versionId=1",
        ];
        let other = [
            "s3://bucket/pubmed/raw/pmid=000/123/456/12345679.json.zst?versionId=1",
            "s3://bucket/literature/raw/pmid=000/123/456/12345679.json.zst?versionId=1",
            "s3://bucket/pubmed/raw/12345678.json.zst?versionId=1",
            "s3://bucket/pubmed/manifests/sync_run=x.json?versionId=1",
            "s3://bucket/pubmed/packs/pubmed26n0001-0123abcd.1.ndjson.zst?versionId=1",
            "s3://bucket/pubmed/raw/pmid=000/123/456/12345678.json.zst?versionId=1#bytes=0-1&line=1",
        ];
        let all = elsewhere.map(|text| (text, AddressFault::Elsewhere)).into_iter();
        for (text, fault) in all.chain(other.map(|text| (text, AddressFault::Other))) {
            let address = Address::parse(text).expect("an address");
            assert_eq!(layout().payload(pmid, &address).expect_err(text).fault, fault, "{text}");
            assert_eq!(layout().record_again(pmid, Some(&address)), layout().record(pmid), "{text}");
        }
    }

    #[test]
    fn a_part_leads_to_a_pack() {
        let text = "file:///srv/pubmed/packs/pubmed26n0001-0123abcd.1.ndjson.zst?versionId=1#bytes=0-1&line=1";
        let (pmid, address) = (Pmid::new(1).expect("a PMID"), Address::parse(text).expect("an address"));
        let key = layout().payload(pmid, &address).expect("its key");
        assert_eq!(key.as_str(), "pubmed/packs/pubmed26n0001-0123abcd.1.ndjson.zst");
    }

    #[test]
    fn hostile_prefixes_are_refused() {
        for prefix in ["", "/", "a//b", "../a", "a/../b", ".hidden", "a b", "a?b", "a%2e"] {
            assert!(Layout::new(prefix, Compression::Zstd).is_err(), "{prefix:?}");
        }
    }
}
