//! Files of small records, with versions and dates that a test selects.

use std::path::{Path, PathBuf};

use samples::files::{HEAD, TAIL};
use serde_json::Value;
use shared::archive::Address;

use crate::program::Archive;

/// A record with a version, a revision date (none if empty) and a title.
pub fn record(pmid: u32, version: i32, revised: &str, title: &str) -> String {
    let date = revised.split('-').collect::<Vec<_>>();
    let date = match date[..] {
        [y, m, d] => format!("<DateRevised><Year>{y}</Year><Month>{m}</Month><Day>{d}</Day></DateRevised>"),
        _ => String::new(),
    };
    format!(
        "<PubmedArticle><MedlineCitation><PMID Version=\"{version}\">{pmid}</PMID>{date}<Article>\
         <ArticleTitle>{title}</ArticleTitle></Article></MedlineCitation></PubmedArticle>"
    )
}

/// A file of records and deletions.
pub fn file(dir: &Path, name: &str, records: &[String], deletions: &[&str]) -> PathBuf {
    let deletions = match deletions {
        [] => String::new(),
        some => format!("<DeleteCitation>{}</DeleteCitation>", some.concat()),
    };
    let path = dir.join(name);
    std::fs::write(&path, format!("{HEAD}{}{deletions}{TAIL}", records.join("\n"))).expect("written");
    path
}

/// Writes such a file to the archive's directory and ingests it; returns the result.
#[track_caller]
pub fn ingest(archive: &Archive, name: &str, records: &[String], deletions: &[&str]) -> Value {
    archive.ingest(&file(archive.dir.path(), name, records, deletions))
}

/// The title that `get` prints of a record, if it exists.
pub fn title(archive: &Archive, pmid: &str) -> Option<String> {
    let run = archive.run(&["--output", "json", "get", pmid]);
    let got = run.json();
    (got["found"] != false).then(|| got["title"].as_str().or(got["record"]["title"].as_str()).map(str::to_owned))?
}

/// Path of the file at an address.
pub fn path_of(address: &str) -> PathBuf {
    let address = Address::parse(address).expect("an address");
    address.file_path().expect("a file").into()
}
