//! A record as Markdown: the content of the JSON result, in the order in which people read it.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::tools::readable::{field, inline, plain};

/// Fields shown first; the rest follows by name.
const FIRST: [&str; 8] = ["found", "integrity", "citation", "links", "pub_date", "journal", "ids", "pub_types"];

/// Fields shown last.
const LAST: [&str; 4] = ["source", "fetched_at", "content_hash", "omitted"];

/// The Markdown of a record as `pubmed.get` returns it.
pub fn markdown(result: &Value) -> String {
    let none = Map::new();
    let fields = result.as_object().unwrap_or(&none);
    let mut text = match (&result["pmid"], &result["title"]) {
        (pmid, Value::String(title)) => format!("# PMID {}: {}\n", inline(pmid), plain(title)),
        (pmid, _) => format!("# PMID {}\n", inline(pmid)),
    };
    let is_placed = |name: &str| FIRST.contains(&name) || LAST.contains(&name) || ["pmid", "title"].contains(&name);
    let between = fields.keys().map(String::as_str).filter(|name| !is_placed(name));
    for name in FIRST.into_iter().chain(between).chain(LAST) {
        match (name, fields.get(name)) {
            (_, None | Some(Value::Null)) => {}
            ("omitted", Some(Value::Array(cut))) if cut.is_empty() => {}
            ("abstract", Some(Value::Array(sections))) if !sections.is_empty() => abstract_of(&mut text, sections),
            (_, Some(value)) => field(&mut text, name, value),
        }
    }
    text
}

/// Each section is a paragraph after its label.
fn abstract_of(text: &mut String, sections: &[Value]) {
    for section in sections {
        let part = |name: &str| section[name].as_str().filter(|part| !part.is_empty()).map(plain);
        let mut label = part("label").unwrap_or_else(|| "abstract".into()).into_owned();
        if let Some(category) = part("category").filter(|category| *category != label) {
            let _ = write!(label, " ({category})");
        }
        let _ = writeln!(text, "**{label}**: {}", part("text").unwrap_or_default());
    }
}
