//! Addresses of payloads, and object keys.

use std::num::NonZeroU32;
use std::path::{Component, Path};

use shared::archive::{Address, ByteRange, Compression, Key, Layout, PackPart, Root, VersionId};
use shared::core::{JobId, Pmid};

/// Foreign text is refused or parsed without harm: no key leads out of its prefix. An address made of a folder, a key,
/// a version and a part parses to the same values.
pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let layout = Layout::new("pubmed", Compression::Zstd).expect("a valid prefix");
    let pmid = Pmid::new(12_345_678).expect("a PMID");
    match Address::parse(text) {
        Ok(address) => {
            assert_eq!(address.to_string(), text);
            assert_eq!(Address::parse(&address.to_string()).as_ref(), Ok(&address));
            assert_leads_inside(&layout, pmid, &address);
        }
        Err(invalid) => assert_eq!(invalid.text, text),
    }
    if let Some(key) = Key::parse(text) {
        assert_stays_below(&key);
        let id = VersionId::parse("3sL4kqtJlcpXroDTDmJ").expect("a version");
        assert_round_trip(&layout, &Root::Bucket("bucket".to_owned()), &key, &id);
        if let Some(pmid) = layout.pmid_of(&key) {
            let address = Root::Memory.address(&key, &id);
            assert_eq!(layout.payload(pmid, &address).as_ref(), Ok(&key), "a record has one key");
            assert_eq!(layout.record_again(pmid, Some(&address)), key);
        }
    }
    // Any folder with any key and version.
    let mut parts = text.split('\0');
    let (folder, key) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("pubmed/raw/1"));
    let version = parts.next().unwrap_or("1");
    if let (Some(key), Some(version)) = (Key::parse(key), VersionId::parse(version)) {
        assert_round_trip(&layout, &Root::Folder(format!("/{folder}")), &key, &version);
    }
}

fn assert_leads_inside(layout: &Layout, pmid: Pmid, address: &Address) {
    if let Some(key) = layout.key_at(address) {
        assert_stays_below(&key);
        assert!(key.as_str().starts_with("pubmed/"), "{key} is outside of the prefix");
    }
    let job = JobId(uuid::Uuid::from_u128(0x0192_3456_7890_7abc_8def_0123_4567_89ab));
    if let Some(manifest) = layout.manifest_at(job, address) {
        assert_stays_below(&manifest);
        let name = manifest.as_str().strip_prefix("pubmed/manifests/").expect("a manifest is among manifests");
        assert!(!name.contains('/') && name.ends_with(&format!("-{job}.json")), "{name}");
    }
    match layout.payload(pmid, address) {
        Ok(key) if address.part().is_some() => assert!(key.as_str().starts_with("pubmed/packs/"), "{key}"),
        Ok(key) => assert_eq!(layout.pmid_of(&key), Some(pmid)),
        Err(invalid) => assert_eq!(invalid.text, address.as_str()),
    }
    assert_eq!(layout.pmid_of(&layout.record_again(pmid, Some(address))), Some(pmid), "wherever it is said to be");
}

fn assert_round_trip(layout: &Layout, root: &Root, key: &Key, version: &VersionId) {
    let address = root.address(key, version);
    let part = PackPart { bytes: ByteRange::new(7, 9).expect("a range"), line: NonZeroU32::MIN };
    for address in [address.clone(), address.with_part(part)] {
        assert_eq!(Address::parse(address.as_str()).as_ref(), Ok(&address));
        assert_eq!(address.version(), version, "{address}");
        if let Root::Folder(folder) = root {
            let path = Path::new(folder).join(key.as_str());
            assert_eq!(address.file_path().map(Path::new), Some(&*path), "{address}");
        }
        assert_leads_inside(layout, Pmid::new(1).expect("a PMID"), &address);
    }
}

fn assert_stays_below(key: &Key) {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    assert!(Path::new(key.as_str()).components().all(plain), "{key} leads out of its folder");
}
