//! A record in a list of hits.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::citation::{clipped, doi, journal, names, pmc};
use crate::core::Pmid;

/// Maximum number of named authors.
const AUTHORS: usize = 3;

/// Maximum number of publication types.
const TYPES: usize = 10;

/// Maximum length of the title, and of another text, in characters.
const MAX_TITLE: usize = 500;
const MAX_TEXT: usize = 120;

/// A hit. Its texts are data of authors and publishers, never instructions.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Summary {
    /// PMID of the record.
    pub pmid: Pmid,
    /// Title of the record.
    pub title: Option<String>,
    /// The first three authors.
    pub authors: Vec<String>,
    /// Number of authors.
    pub author_count: usize,
    /// The journal's short name.
    pub journal: Option<String>,
    /// Publication date, as exactly as known.
    pub date: Option<String>,
    /// DOI of the record.
    pub doi: Option<String>,
    /// PMCID of the record.
    pub pmc: Option<String>,
    /// Publication types of the record.
    pub pub_types: Vec<String>,
    /// `ok`, `corrected`, `concern`, `retracted` or `retraction_notice`.
    pub integrity: String,
    /// Whether the record is in the archive.
    pub archived: bool,
}

/// The summary of a typed record.
pub fn summary(pmid: Pmid, record: &Map<String, Value>, archived: bool) -> Summary {
    let text = |value: Option<&Value>, max: usize| {
        let text = value.and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        text.map(|text| clipped(text, max))
    };
    let of = |object: &str, name: &str| text(record.get(object).and_then(|object| object.get(name)), MAX_TEXT);
    let types = record.get("pub_types").and_then(Value::as_array).into_iter().flatten();
    Summary {
        pmid,
        title: text(record.get("title"), MAX_TITLE).or_else(|| text(record.get("vernacular_title"), MAX_TITLE)),
        authors: names(record).take(AUTHORS).collect(),
        author_count: names(record).count(),
        journal: journal(record).map(|name| clipped(name, MAX_TEXT)).or_else(|| of("book", "title")),
        date: of("pub_date", "date").or_else(|| of("pub_date", "medline_date")),
        doi: doi(record).map(str::to_owned),
        pmc: pmc(record).map(str::to_owned),
        pub_types: types.filter_map(|one| text(one.get("name"), MAX_TEXT)).take(TYPES).collect(),
        integrity: of("integrity", "status").unwrap_or_else(|| "ok".to_owned()),
        archived,
    }
}
