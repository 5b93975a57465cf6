//! Features of the sequence (FT), in the layout of today and in the columns used before 2019_11.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{Text, add_evidence, add_item, append, evidence_list, take_evidence, within, without_stop};

/// A continuation line starts with at least this many spaces; the type of a feature is before them.
const TYPE_BYTES: usize = 8;

/// A feature. Types and qualifiers are data: any name is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Feature<'a> {
    /// The type, such as `BINDING`.
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    /// The location in today's spelling: `25..365`, `<1..>56`, `?`, `P12345-2:44`.
    pub location: Text<'a>,
    /// First position, from 1; absent if unknown.
    pub start: Option<u32>,
    /// Last position; absent if unknown.
    pub end: Option<u32>,
    /// The description.
    pub note: Option<Text<'a>>,
    /// Evidence.
    pub evidence: Vec<Text<'a>>,
    /// Identifier, such as `PRO_0000018815`.
    pub id: Option<Text<'a>>,
    /// Other qualifiers, such as `ligand`; null for one without a value.
    pub qualifiers: BTreeMap<Text<'a>, Option<Text<'a>>>,
}

/// Reads the FT lines.
pub(crate) fn features<'a>(lines: &[&'a str], all: &mut Vec<Feature<'a>>) {
    let mut rest = lines;
    while let [first, further @ ..] = rest {
        let length = further.iter().take_while(|line| is_continuation(line)).count();
        let (own, next) = further.split_at(length);
        all.extend(feature(first, own));
        rest = next;
    }
}

fn is_continuation(line: &str) -> bool {
    line.bytes().take(TYPE_BYTES).all(|b| b == b' ')
}

fn feature<'a>(first: &'a str, lines: &[&'a str]) -> Option<Feature<'a>> {
    let (kind, rest) = split_word(first);
    if kind.is_empty() {
        return None;
    }
    let mut feature = Feature { kind: Cow::Borrowed(kind), ..Feature::default() };
    let (from, rest) = split_word(rest);
    let (to, description) = split_word(rest);
    if to.is_empty() {
        locate(&mut feature, from);
        qualifiers(&mut feature, lines);
    } else {
        locate_columns(&mut feature, from, to);
        old_description(&mut feature, description, lines);
    }
    if matches!(kind, "VAR_SEQ" | "VARSPLIC" | "VARIANT" | "MUTAGEN" | "CONFLICT") {
        feature.note = feature.note.map(close_sequences);
    }
    Some(feature)
}

fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_ascii();
    match text.split_once(' ') {
        Some((word, rest)) => (word, rest.trim_ascii_start()),
        None => (text, ""),
    }
}

/// Reads `25..365`, `25`, or either after an isoform (`P12345-2:`).
fn locate<'a>(feature: &mut Feature<'a>, location: &'a str) {
    feature.location = Cow::Borrowed(location);
    let range = location.rsplit_once(':').map_or(location, |(_, range)| range);
    let (from, to) = range.split_once("..").unwrap_or((range, range));
    (feature.start, feature.end) = (position(from), position(to));
}

/// Reads the two columns of the old layout.
fn locate_columns<'a>(feature: &mut Feature<'a>, from: &'a str, to: &'a str) {
    (feature.start, feature.end) = (position(from), position(to));
    feature.location = if from == to { Cow::Borrowed(from) } else { Cow::Owned(format!("{from}..{to}")) };
}

/// A position; `<`, `>` and `?` say that it is not exact.
fn position(text: &str) -> Option<u32> {
    text.trim_start_matches(['<', '>', '?']).parse().ok()
}

/// Reads qualifiers: `/note="text over lines"`, `/pseudo`.
fn qualifiers<'a>(feature: &mut Feature<'a>, lines: &[&'a str]) {
    let mut open: Option<(&'a str, Text<'a>)> = None;
    // Whether the open value has an odd number of quotes so far.
    let mut is_odd = false;
    for line in lines.iter().map(|line| line.trim_ascii()).filter(|line| !line.is_empty()) {
        let continues = is_odd && open.as_ref().is_some_and(|(_, value)| is_unclosed(value, line));
        let starts = line.strip_prefix('/').filter(|_| !continues);
        match (starts, &mut open) {
            (Some(qualifier), _) => {
                close(feature, open.take());
                is_odd = false;
                match qualifier.split_once('=') {
                    Some((key, value)) => open = Some((key, Cow::Borrowed(value))),
                    None => {
                        feature.qualifiers.insert(Cow::Borrowed(qualifier), None);
                    }
                }
            }
            (None, Some((_, value))) => append(value.to_mut(), line),
            (None, None) => open = Some(("note", Cow::Borrowed(line))),
        }
        is_odd ^= memchr::memchr_iter(b'"', line.as_bytes()).count() % 2 == 1;
    }
    close(feature, open);
}

/// Whether a value with an odd number of quotes continues in the next line. Quotes inside of it are doubled; where one
/// is not, the start of a qualifier after a closing quote decides.
fn is_unclosed(value: &str, next: &str) -> bool {
    let may_be_closed = value.len() > 1 && value.ends_with('"') && next.starts_with('/') && next.contains("=\"");
    value.starts_with('"') && !may_be_closed
}

fn close<'a>(feature: &mut Feature<'a>, qualifier: Option<(&'a str, Text<'a>)>) {
    let Some((key, quoted)) = qualifier else { return };
    let inner = quoted.strip_prefix('"').unwrap_or(&quoted);
    let mut value = within(&quoted, inner.strip_suffix('"').unwrap_or(inner));
    if value.contains("\"\"") {
        value = Cow::Owned(value.replace("\"\"", "\""));
    }
    match key {
        "evidence" => {
            let found = evidence_list(&value, &value);
            add_evidence(&mut feature.evidence, found);
        }
        "id" if feature.id.is_none() => feature.id = Some(value),
        "note" => match &mut feature.note {
            Some(before) => add_item(before, &value),
            None => feature.note = Some(value),
        },
        _ => match feature.qualifiers.get_mut(key) {
            Some(Some(before)) => add_item(before, &value),
            Some(none) => *none = Some(value),
            None => {
                feature.qualifiers.insert(Cow::Borrowed(key), Some(value));
            }
        },
    }
}

/// Reads the description of the old layout and `/FTId=`.
fn old_description<'a>(feature: &mut Feature<'a>, description: &'a str, lines: &[&'a str]) {
    let mut text = Cow::Borrowed(description);
    for line in lines {
        let line = line.trim_ascii();
        if let Some(id) = line.strip_prefix("/FTId=") {
            feature.id = Some(Cow::Borrowed(without_stop(id)));
        } else if text.is_empty() {
            text = Cow::Borrowed(line);
        } else {
            append(text.to_mut(), line);
        }
    }
    let (text, evidence) = take_evidence(&text);
    let note = without_stop(&text);
    if !note.is_empty() {
        feature.note = Some(within(&text, note));
    }
    feature.evidence = evidence;
}

/// Removes what line breaks put into the sequences of `ABC DEF -> GHI JKL (in isoform 2)`.
fn close_sequences(note: Text<'_>) -> Text<'_> {
    match closed_sequences(&note) {
        Some(closed) => Cow::Owned(closed),
        None => note,
    }
}

/// The note without those line breaks; none if it has none.
fn closed_sequences(note: &str) -> Option<String> {
    let (before, after) = note.split_once("->")?;
    let end = after.find(['(', ':', ';', '.', '{']).unwrap_or(after.len());
    let (sequence, rest) = after.split_at(end);
    let is_sequence = |text: &str| text.bytes().all(|b| b.is_ascii_uppercase() || b == b' ');
    let is_broken = |text: &str| text.trim_ascii().contains(' ');
    if !is_sequence(before) || !is_sequence(sequence) || !(is_broken(before) || is_broken(sequence)) {
        return None;
    }
    let close = |text: &str| text.split_ascii_whitespace().collect::<String>();
    let mut closed = close(before);
    closed.push_str(if before.ends_with(' ') { " ->" } else { "->" });
    if sequence.starts_with(' ') {
        closed.push(' ');
    }
    closed.push_str(&close(sequence));
    if sequence.ends_with(' ') {
        closed.push(' ');
    }
    closed.push_str(rest);
    Some(closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(lines: &[&'a str]) -> Vec<Feature<'a>> {
        let mut all = Vec::new();
        features(lines, &mut all);
        all
    }

    #[test]
    fn both_layouts_are_read_in_one_entry() {
        let found = read(&[
            "CHAIN         1    388       5-hydroxytryptamine receptor 4 (By",
            "                             similarity).",
            "                             /FTId=PRO_0000068965.",
            "INIT_MET      0      0",
            "CHAIN           22..821",
            "                /note=\"Fibroblast growth factor receptor 2\"",
            "                /evidence=\"ECO:0000255|PROSITE-ProRule:PRU00159,",
            "                ECO:0000269|PubMed:19060208\"",
            "                /id=\"PRO_0000016783\"",
            "TRANSIT       1      ?       Mitochondrion (Potential).",
        ]);
        assert_eq!(found.len(), 4);
        assert_eq!(found[0].note.as_deref(), Some("5-hydroxytryptamine receptor 4 (By similarity)"));
        assert_eq!((&*found[0].location, found[0].id.as_deref()), ("1..388", Some("PRO_0000068965")));
        assert_eq!((&*found[1].location, found[1].start, &found[1].note), ("0", Some(0), &None));
        assert_eq!(found[2].evidence, ["ECO:0000255|PROSITE-ProRule:PRU00159", "ECO:0000269|PubMed:19060208"]);
        assert_eq!((found[2].start, found[2].end), (Some(22), Some(821)));
        assert_eq!((found[3].start, found[3].end), (Some(1), None));
    }

    #[test]
    fn qualifiers_of_any_kind_are_kept() {
        let found = read(&[
            "BINDING         P12345-2:<1..>56",
            "                /ligand=\"a \"\"quoted\"\"",
            "                /ligand\"",
            "                /ligand_id=\"ChEBI:CHEBI:30616\"",
            "                /new",
            "NEW_TYPE        ?",
        ]);
        assert_eq!((found[0].start, found[0].end), (Some(1), Some(56)));
        assert_eq!(found[0].qualifiers["ligand"].as_deref(), Some("a \"quoted\" /ligand"));
        assert_eq!(found[0].qualifiers["ligand_id"].as_deref(), Some("ChEBI:CHEBI:30616"));
        assert_eq!(found[0].qualifiers["new"], None);
        assert_eq!((&*found[1].kind, found[1].start, &*found[1].location), ("NEW_TYPE", None, "?"));
    }

    #[test]
    fn a_line_break_inside_a_sequence_is_undone() {
        let check = |note: &str, expect: &str| assert_eq!(close_sequences(Cow::Borrowed(note)), expect);
        check("ABC DEF -> GH IJ (in isoform 2)", "ABCDEF -> GHIJ (in isoform 2)");
        check("ABC -> D (in isoform 2)", "ABC -> D (in isoform 2)");
        check("C->S: Abnormal homogeneity", "C->S: Abnormal homogeneity");
        check("AB CD->EF GH: Loss", "ABCD->EFGH: Loss");
        check("R -> C or S (in X)", "R -> C or S (in X)");
        check("Missing (in isoform 2)", "Missing (in isoform 2)");
    }
}
