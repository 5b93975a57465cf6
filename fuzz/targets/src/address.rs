//! Addresses of stored versions, and keys of objects.

use std::path::{Component, Path};

use shared::archive::{Compression, Key, Layout, VersionId, uri};
use shared::words::{JobId, Pmid};

/// Text that is none of ours is refused or read without harm: no key leads out of its folder. What is written of a
/// path, a key and a version is read again.
pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let layout = Layout::new("pubmed", Compression::Zstd).expect("a valid prefix");
    let version = uri::version_of(text);
    if let Some(path) = uri::path_of(text) {
        let version = version.clone().unwrap_or(VersionId("1".to_owned()));
        assert_round_trip(&path, &version);
    }
    let key = Key::parse(text);
    if let Some(key) = &key {
        assert_stays_below(key);
        let id = VersionId("3sL4kqtJlcpXroDTDmJ".to_owned());
        let s3 = uri::s3("bucket", key, &id);
        assert_eq!(uri::version_of(&s3), Some(id));
        assert_eq!(s3.strip_prefix("s3://bucket/").and_then(|rest| rest.split('?').next()), Some(key.as_str()));
        if let Some(pmid) = layout.pmid_of(key) {
            assert_eq!(layout.record_at(pmid, text), *key, "a record has one key");
        }
    }
    let job = JobId(uuid::Uuid::from_u128(0x0192_3456_7890_7abc_8def_0123_4567_89ab));
    if let Some(manifest) = layout.manifest_at(job, text) {
        assert_stays_below(&manifest);
        let name = manifest.as_str().strip_prefix("pubmed/manifests/").expect("a manifest is among manifests");
        assert!(!name.contains('/') && name.ends_with(&format!("-{job}.json")), "{name}");
    }
    let pmid = Pmid::new(12_345_678).expect("a PMID");
    assert_eq!(layout.pmid_of(&layout.record_at(pmid, text)), Some(pmid), "wherever it is said to be");
    // Any path with any version.
    let (path, version) = text.split_once('\0').unwrap_or((text, "1"));
    if !version.is_empty() {
        assert_round_trip(path, &VersionId(version.to_owned()));
    }
}

fn assert_round_trip(path: &str, version: &VersionId) {
    let address = uri::file(path, version);
    assert_eq!(uri::path_of(&address).as_deref(), Some(path), "{address}");
    assert_eq!(uri::version_of(&address).as_ref(), Some(version), "{address}");
}

fn assert_stays_below(key: &Key) {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    assert!(Path::new(key.as_str()).components().all(plain), "{key} leads out of its folder");
}
