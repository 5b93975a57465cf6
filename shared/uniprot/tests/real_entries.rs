//! Real entries of all times: every byte is in a slice, every line is read, and evidence is complete.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use bio_mcp_uniprot::{Entry, Format, Identity, Splitter};

/// The directory of real UniProt files, if it exists.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration but their environment")]
fn real_files() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let dir = std::env::var_os("BIO_MCP_TEST_DATA").map_or(default, PathBuf::from).join("uniprot");
    if !dir.is_dir() {
        eprintln!("SKIPPED: no real files in {} (set BIO_MCP_TEST_DATA)", dir.display());
        return None;
    }
    Some(dir)
}

/// Names and inflated contents of the flat files.
fn flat_files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for folder in ["dat", "dat_legacy_pre2006"] {
        for file in std::fs::read_dir(dir.join(folder)).expect("a directory") {
            let path = file.expect("an entry of the directory").path();
            let mut content = std::fs::read(&path).expect("readable");
            if path.extension().is_some_and(|extension| extension == "gz") {
                let mut inflated = Vec::new();
                flate2::read::MultiGzDecoder::new(&content[..]).read_to_end(&mut inflated).expect("gzip");
                content = inflated;
            }
            all.push((path.display().to_string(), content));
        }
    }
    all.sort();
    all
}

/// The exact entries of a file.
fn entries(name: &str, content: &[u8]) -> Vec<Vec<u8>> {
    let mut splitter = Splitter::with_chunk(content, 64 << 20, 1000);
    let mut all = Vec::new();
    while let Some(entry) = splitter.next().unwrap_or_else(|error| panic!("{name}: {error}")) {
        all.push(entry.bytes.to_vec());
    }
    all
}

fn check_all(check: impl Fn(&str, &[u8], &Entry<'_>)) {
    let Some(dir) = real_files() else { return };
    for (name, content) in flat_files(&dir) {
        for raw in entries(&name, &content) {
            let entry = Entry::parse(&raw).unwrap_or_else(|error| panic!("{name}: {error}"));
            check(&format!("{name}: {}", entry.accession), &raw, &entry);
        }
    }
}

#[test]
fn slices_concatenate_to_the_file() {
    let Some(dir) = real_files() else { return };
    for (name, content) in flat_files(&dir) {
        let slices: Vec<u8> = entries(&name, &content).concat();
        let is_text = |b: &&u8| !b.is_ascii_whitespace();
        assert!(slices.iter().filter(is_text).eq(content.iter().filter(is_text)), "{name}");
    }
}

#[test]
fn no_line_of_a_real_entry_is_unknown() {
    check_all(|name, raw, entry| {
        assert!(entry.other_lines.is_empty(), "{name}: {:?}", entry.other_lines);
        assert_eq!(Identity::of(raw).map(|identity| identity.accession), Ok(entry.accession), "{name}");
        assert!(!entry.organism.scientific.is_empty(), "{name}");
        assert!(entry.protein.recommended.is_some() || !entry.protein.submitted.is_empty(), "{name}");
    });
}

/// Lines of a code that satisfy a condition.
fn count(raw: &[u8], code: &str, is_counted: impl Fn(&str) -> bool) -> usize {
    let text = std::str::from_utf8(raw).expect("UTF-8");
    text.lines().filter(|line| line.starts_with(code) && line.get(5..).is_some_and(&is_counted)).count()
}

#[test]
fn every_item_is_counted_once() {
    check_all(|name, raw, entry| {
        assert_eq!(entry.references.len(), count(raw, "RN", |line| line.starts_with('[')), "{name}");
        assert_eq!(entry.cross_references.len(), count(raw, "DR", |_| true), "{name}");
        assert_eq!(entry.comments.len(), count(raw, "CC", |line| line.starts_with("-!- ")), "{name}");
        assert_eq!(entry.features.len(), count(raw, "FT", |line| !line.starts_with("  ")), "{name}");
        assert_eq!(entry.organism.hosts.len(), count(raw, "OH", |_| true), "{name}");
    });
}

/// Evidence anywhere in a JSON value.
fn evidence_in(value: &serde_json::Value, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::String(text) if text.starts_with("ECO:") => {
            found.insert(text.clone());
        }
        serde_json::Value::Array(list) => list.iter().for_each(|one| evidence_in(one, found)),
        serde_json::Value::Object(map) => map.values().for_each(|one| evidence_in(one, found)),
        _ => {}
    }
}

/// Evidence in the bytes: what follows `ECO:`, with line breaks undone.
fn evidence_of_bytes(raw: &[u8]) -> BTreeSet<String> {
    let text = std::str::from_utf8(raw).expect("UTF-8");
    let joined: String = text.lines().filter_map(|line| line.get(5..)).flat_map(str::split_ascii_whitespace).collect();
    let ends = |c: char| matches!(c, ',' | '}' | '"');
    let parts = joined.match_indices("ECO:");
    parts.map(|(start, _)| joined[start..].split(ends).next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn no_evidence_is_lost_and_none_is_left_in_a_text() {
    check_all(|name, raw, entry| {
        let mut json = Vec::new();
        Format::Json.write(entry, raw, &mut json).expect("written to memory");
        let value: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        let mut found = BTreeSet::new();
        evidence_in(&value, &mut found);
        assert_eq!(found, evidence_of_bytes(raw), "{name}");
        assert!(!String::from_utf8_lossy(&json).contains("{ECO:"), "{name}");
        let again: Entry<'_> = serde_json::from_slice(&json).expect("an entry");
        assert_eq!(&again, entry, "{name}");
    });
}

#[test]
fn fasta_is_that_of_uniprot() {
    let Some(dir) = real_files() else { return };
    // Written before headers had OX.
    let theirs = std::fs::read_to_string(dir.join("fasta/multi_ex.fasta")).expect("readable");
    let is_source = |(name, _): &(String, Vec<u8>)| name.ends_with("multi_ex.txt.dat");
    let (name, content) = flat_files(&dir).into_iter().find(is_source).expect("the source of the FASTA file");
    for raw in entries(&name, &content) {
        let entry = Entry::parse(&raw).expect("an entry");
        let mut ours = Vec::new();
        Format::Fasta.write(&entry, &raw, &mut ours).expect("written to memory");
        let taxon = format!(" OX={}", entry.organism.taxon_id.expect("a taxon"));
        let ours = String::from_utf8(ours).expect("UTF-8").replace(&taxon, "");
        assert!(theirs.replace('\r', "").contains(ours.trim_ascii_end()), "{ours}");
    }
}
