//! Literature references (RN, RP, RC, RX, RG, RA, RT, RL).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{
    Text, add_evidence, add_item, join, split_lines, split_statements, starts_with_key, take_evidence, within,
    without_stop,
};

/// A reference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reference<'a> {
    /// Its number in the entry, from 1.
    pub number: u32,
    /// What was taken from it, such as `NUCLEOTIDE SEQUENCE [MRNA] (ISOFORM 1)`.
    pub scope: Text<'a>,
    /// Strains, tissues, plasmids and transposons.
    pub comments: Vec<ReferenceComment<'a>>,
    /// Identifiers by database: `PubMed`, `DOI`, `AGRICOLA`.
    pub xrefs: BTreeMap<Text<'a>, Text<'a>>,
    /// The group or consortium.
    pub group: Option<Text<'a>>,
    /// Authors, as `Wan A.M.`.
    pub authors: Vec<Text<'a>>,
    /// The title, without quotes.
    pub title: Option<Text<'a>>,
    /// Where it was published or submitted.
    pub location: Text<'a>,
    /// Evidence that the entry is connected with it.
    pub evidence: Vec<Text<'a>>,
}

/// A statement about the sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReferenceComment<'a> {
    /// `TISSUE`, `STRAIN`, `PLASMID`, `TRANSPOSON`.
    pub kind: Text<'a>,
    /// What was used.
    pub text: Text<'a>,
    /// Its evidence.
    pub evidence: Vec<Text<'a>>,
}

impl Reference<'_> {
    /// The PubMed number, which joins the entry with PubMed.
    pub fn pubmed(&self) -> Option<&str> {
        self.xrefs.get("PubMed").map(|id| &**id)
    }

    /// The DOI.
    pub fn doi(&self) -> Option<&str> {
        self.xrefs.get("DOI").map(|id| &**id)
    }
}

/// Reads one block of lines of the code `code`, which starts with R; false if the code is unknown.
pub(crate) fn read<'a>(code: &str, lines: &[&'a str], all: &mut Vec<Reference<'a>>) -> bool {
    if code == "RN" {
        for line in lines {
            numbered(line, all);
        }
        return true;
    }
    if !matches!(code, "RP" | "RC" | "RX" | "RG" | "RA" | "RT" | "RL") {
        return false;
    }
    if all.is_empty() {
        all.push(Reference { number: 1, ..Reference::default() });
    }
    let last = all.len() - 1;
    let reference = &mut all[last];
    if code == "RA" {
        reference.authors.extend(split_lines(lines, ',', ';'));
        return true;
    }
    let text = join(lines);
    match code {
        "RP" => {
            let (text, evidence) = take_evidence(&text);
            add_evidence(&mut reference.evidence, evidence);
            reference.scope = within(&text, without_stop(&text));
        }
        "RC" => reference.comments.extend(split_statements(&text, starts_with_key).map(|one| comment(&text, one))),
        "RX" => {
            for statement in split_statements(&text, starts_with_key) {
                add_xref(reference, &text, statement);
            }
        }
        "RG" => {
            let group = within(&text, text.trim_end_matches(';'));
            match &mut reference.group {
                Some(before) => add_item(before, &group),
                None => reference.group = Some(group),
            }
        }
        "RT" => reference.title = title(&text),
        // RL, the last one.
        _ => reference.location = within(&text, without_stop(&text)),
    }
    true
}

/// A line RN: `[1]`, `[2] {ECO:...}`, or the rest of the evidence.
fn numbered<'a>(line: &'a str, all: &mut Vec<Reference<'a>>) {
    let line = join(&[line]);
    if let Some((number, rest)) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
        let next = u32::try_from(all.len()).unwrap_or(u32::MAX).saturating_add(1);
        let number = number.trim_ascii().parse().unwrap_or(next);
        all.push(Reference { number, evidence: evidence(&line, rest), ..Reference::default() });
    } else if let Some(last) = all.last_mut() {
        let more = evidence(&line, &line);
        add_evidence(&mut last.evidence, more);
    }
}

/// Evidence in braces, either of which may be on another line.
fn evidence<'a>(whole: &Text<'a>, text: &str) -> Vec<Text<'a>> {
    crate::text::evidence_list(whole, text.trim_ascii().trim_start_matches('{').trim_end_matches('}'))
}

fn comment<'a>(whole: &Text<'a>, statement: &str) -> ReferenceComment<'a> {
    let (kind, text) = statement.split_once('=').unwrap_or(("", statement));
    let (text, evidence) = take_evidence(&within(whole, text.trim_end_matches(';')));
    ReferenceComment { kind: within(whole, kind), text, evidence }
}

/// Adds `PubMed=2431040`; a second one of the same database is kept in the same text.
fn add_xref<'a>(reference: &mut Reference<'a>, whole: &Text<'a>, statement: &str) {
    let (database, id) = statement.split_once('=').unwrap_or(("", statement));
    let id = within(whole, id.trim_end_matches(';').trim_ascii());
    match reference.xrefs.get_mut(database) {
        Some(before) => add_item(before, &id),
        None => {
            reference.xrefs.insert(within(whole, database), id);
        }
    }
}

fn title<'a>(text: &Text<'a>) -> Option<Text<'a>> {
    let title = text.trim_ascii_end().trim_end_matches(';');
    let title = title.strip_prefix('"').unwrap_or(title);
    let title = title.strip_suffix('"').unwrap_or(title);
    (!title.is_empty()).then(|| within(text, title))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference<'a>(lines: &[(&str, &[&'a str])]) -> Reference<'a> {
        let mut all = Vec::new();
        for (code, block) in lines {
            assert!(read(code, block, &mut all));
        }
        all.pop().expect("there")
    }

    #[test]
    fn a_reference_is_read() {
        let found = reference(&[
            ("RN", &["[12] {ECO:0000313|EMBL:BAJ87517.1,", "ECO:0000305}"]),
            ("RP", &["NUCLEOTIDE SEQUENCE [LARGE SCALE", "GENOMIC DNA]."]),
            ("RC", &["STRAIN=K12; TISSUE=Shoot {ECO:1}, and Root;"]),
            ("RX", &["PubMed=2431040;", "DOI=10.1002/(SICI)1098-1004(1996)8:4<386::AID-HUMU18>3.3.CO;2-A;"]),
            ("RG", &["The MGC Project Team;"]),
            ("RA", &["Wan A.M., O'Leary S.B.,", "Ennis P. III;"]),
            ("RT", &["\"N-linked", "\"glycans\".\";"]),
            ("RL", &["J. Immunol. 137:3671-3674(1986)."]),
        ]);
        assert_eq!((found.number, &*found.scope), (12, "NUCLEOTIDE SEQUENCE [LARGE SCALE GENOMIC DNA]"));
        assert_eq!(found.evidence, ["ECO:0000313|EMBL:BAJ87517.1", "ECO:0000305"]);
        assert_eq!(found.comments[1].kind, "TISSUE");
        assert_eq!((&*found.comments[1].text, found.comments[1].evidence.len()), ("Shoot, and Root", 1));
        assert_eq!(found.pubmed(), Some("2431040"));
        assert_eq!(found.doi(), Some("10.1002/(SICI)1098-1004(1996)8:4<386::AID-HUMU18>3.3.CO;2-A"));
        assert_eq!(found.authors, ["Wan A.M.", "O'Leary S.B.", "Ennis P. III"]);
        assert_eq!(found.title.as_deref(), Some("N-linked \"glycans\"."));
        assert_eq!(found.location, "J. Immunol. 137:3671-3674(1986)");
    }

    #[test]
    fn lines_without_content_are_no_error() {
        let found = reference(&[("RX", &[";"]), ("RA", &[";"]), ("RT", &[";"])]);
        assert_eq!(found, Reference { number: 1, ..Reference::default() });
        assert!(!read("RZ", &["x"], &mut Vec::new()));
    }
}
