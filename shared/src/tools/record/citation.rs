//! Cites a record in one line in NLM's style, and links to pages about it.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::core::Pmid;

/// Authors named before `et al`.
const AUTHORS: usize = 3;

/// Maximum length of a title or source, and of a name, in a citation, in characters.
const MAX_PART: usize = 300;
const MAX_NAME: usize = 60;

/// Maximum length of an identifier in a link.
const MAX_ID: usize = 200;

/// Characters to escape in the path of a link.
const IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Pages about a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Links {
    /// Page at PubMed.
    pub pubmed: String,
    /// Page of the DOI.
    pub doi: Option<String>,
    /// Full text at PubMed Central.
    pub pmc: Option<String>,
}

/// The pages of a record.
pub fn links(pmid: Pmid, record: &Map<String, Value>) -> Links {
    let doi = doi(record).map(|doi| format!("https://doi.org/{}", utf8_percent_encode(doi, IN_PATH)));
    let pmc = pmc(record).map(|pmc| format!("https://pmc.ncbi.nlm.nih.gov/articles/{pmc}/"));
    Links { pubmed: format!("https://pubmed.ncbi.nlm.nih.gov/{pmid}/"), doi, pmc }
}

/// The DOI of a record, if it is a possible one.
pub fn doi(record: &Map<String, Value>) -> Option<&str> {
    let doi = text(record.get("ids")?.get("doi"))?.trim();
    (doi.starts_with("10.") && doi.chars().count() <= MAX_ID).then_some(doi)
}

/// The PMCID of a record, if it is a possible one.
pub fn pmc(record: &Map<String, Value>) -> Option<&str> {
    let pmc = text(record.get("ids")?.get("pmc"))?.trim();
    let digits = pmc.strip_prefix("PMC")?;
    (!digits.is_empty() && digits.len() <= 12 && digits.bytes().all(|b| b.is_ascii_digit())).then_some(pmc)
}

/// `Smith J, Doe A. Title. J Abbrev. 2024 May 11;12(3):45-50. doi: 10.1/x. PMID: 1.`
pub fn citation(pmid: Pmid, record: &Map<String, Value>) -> String {
    let mut parts = Vec::new();
    let names: Vec<String> = names(record).take(AUTHORS + 1).collect();
    if !names.is_empty() {
        let et_al = if names.len() > AUTHORS { ", et al" } else { "" };
        parts.push(format!("{}{et_al}.", names[..names.len().min(AUTHORS)].join(", ")));
    }
    let title = text(record.get("title")).or_else(|| text(record.get("vernacular_title")));
    parts.extend(title.map(|title| sentence(&clipped(title, MAX_PART))));
    parts.extend(source(record));
    parts.extend(doi(record).map(|doi| format!("doi: {doi}.")));
    parts.push(format!("PMID: {pmid}."));
    let line = parts.join(" ");
    match record.get("integrity").and_then(|integrity| integrity["status"].as_str()) {
        Some("retracted") => format!("RETRACTED: {line}"),
        _ => line,
    }
}

/// Names of authors as they are cited: `Smith JA Jr`, or a group.
pub fn names(record: &Map<String, Value>) -> impl Iterator<Item = String> {
    let authors = record.get("authors").and_then(Value::as_array).into_iter().flatten();
    authors.filter(|author| author["valid"] != false).filter_map(|author| {
        let part = |name: &str| text(author.get(name)).map(|text| clipped(text, MAX_NAME));
        if let Some(group) = part("collective_name") {
            return Some(group);
        }
        let name = [part("last_name"), part("initials").or_else(|| part("fore_name")), part("suffix")];
        let name = name.into_iter().flatten().collect::<Vec<_>>().join(" ");
        (!name.is_empty()).then_some(name)
    })
}

/// Journal, date, volume, issue and pages.
fn source(record: &Map<String, Value>) -> Option<String> {
    let of = |object: &str, name: &str| text(record.get(object)?.get(name)).map(|text| clipped(text, MAX_PART));
    let place = journal(record).map(|name| clipped(name, MAX_PART));
    let place = place.or_else(|| of("book", "publisher")).map(|name| sentence(&name));
    let date = of("pub_date", "date").map(|date| spelled(&date)).or_else(|| of("pub_date", "medline_date"));
    let volume = of("journal", "volume").unwrap_or_default();
    let issue = of("journal", "issue").map(|issue| format!("({issue})")).unwrap_or_default();
    let pages =
        text(record.get("pagination")).map(|pages| format!(":{}", clipped(pages, MAX_NAME))).unwrap_or_default();
    let mut when = date.unwrap_or_default();
    if !(volume.is_empty() && issue.is_empty()) {
        when = format!("{when};{volume}{issue}");
    }
    let when = format!("{when}{pages}");
    let when = (!when.is_empty()).then(|| sentence(&when));
    let both = [place, when].into_iter().flatten().collect::<Vec<_>>().join(" ");
    (!both.is_empty()).then_some(both)
}

/// The journal's short name, else its title.
pub fn journal(record: &Map<String, Value>) -> Option<&str> {
    let journal = record.get("journal")?;
    ["medline_ta", "iso_abbreviation", "title"].iter().find_map(|name| text(journal.get(*name)))
}

/// `2024-05-11` as `2024 May 11`.
fn spelled(date: &str) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = date.splitn(3, '-');
    let year = parts.next().unwrap_or_default().to_owned();
    let month = parts.next().and_then(|month| MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?));
    let day = parts.next().map(|day| day.trim_start_matches('0'));
    [Some(year.as_str()), month.copied(), day].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.ends_with(['.', '?', '!', '…']) { text.to_owned() } else { format!("{text}.") }
}

/// A text of at most `max` characters.
pub fn clipped(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn text(value: Option<&Value>) -> Option<&str> {
    value?.as_str().filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(value: &Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn a_record_is_cited_in_one_line_with_what_it_has() {
        let pmid = Pmid::new(7).expect("a PMID");
        let author = |last: &str| json!({ "last_name": last, "initials": "AB", "suffix": null, "valid": true });
        let full = json!({
            "title": "Of mice?", "pagination": "1-9", "pub_date": { "date": "2024-05-01" }, "ids": { "doi": "10.1/a b", "pmc": "PMC3" },
            "authors": [author("One"), { "collective_name": "The Group" }, { "last_name": "No", "valid": false }, author("Two"), author("Three")],
            "journal": { "title": "The Journal", "medline_ta": "J Test", "volume": "3", "issue": "4" }, "integrity": { "status": "ok" },
        });
        assert_eq!(
            citation(pmid, &record(&full)),
            "One AB, The Group, Two AB, et al. Of mice? J Test. 2024 May 1;3(4):1-9. doi: 10.1/a b. PMID: 7."
        );
        let links = links(pmid, &record(&full));
        assert_eq!(links.doi.as_deref(), Some("https://doi.org/10.1/a%20b"));
        assert_eq!(links.pmc.as_deref(), Some("https://pmc.ncbi.nlm.nih.gov/articles/PMC3/"));
        assert_eq!(citation(pmid, &Map::new()), "PMID: 7.");
        let retracted = json!({ "title": "Gone", "integrity": { "status": "retracted" }, "ids": { "doi": "javascript:x", "pmc": "PMC../" } });
        assert_eq!(citation(pmid, &record(&retracted)), "RETRACTED: Gone. PMID: 7.");
        assert_eq!((doi(&record(&retracted)), pmc(&record(&retracted))), (None, None));
    }
}
