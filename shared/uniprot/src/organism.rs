//! The organism (OS, OC, OX), its hosts (OH) and the organelle (OG).

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{Text, add_evidence, join, split_lines, take_evidence, within, without_stop};

/// The label of an NCBI taxonomy number.
const TAXON_LABEL: &str = "NCBI_TaxID=";

/// Brackets that belong to the scientific name, by how they start.
const STRAIN_WORDS: [&str; 14] = [
    "strain",
    "isolate",
    "serotype",
    "serogroup",
    "serovar",
    "subtype",
    "biotype",
    "biovar",
    "bv.",
    "pv.",
    "clone",
    "ecotype",
    "type ",
    "variant",
];

/// The organism.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Organism<'a> {
    /// Scientific name, with the strain.
    pub scientific: Text<'a>,
    /// Common name.
    pub common: Option<Text<'a>>,
    /// Further names.
    pub synonyms: Vec<Text<'a>>,
    /// NCBI taxonomy number.
    pub taxon_id: Option<u32>,
    /// Numbers of further organisms, which entries before 2006 could have.
    pub more_taxon_ids: Vec<u32>,
    /// Lineage, from the root.
    pub lineage: Vec<Text<'a>>,
    /// Hosts of a virus.
    pub hosts: Vec<Host<'a>>,
    /// Evidence of the organism.
    pub evidence: Vec<Text<'a>>,
}

/// A host of a virus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Host<'a> {
    /// NCBI taxonomy number.
    pub taxon_id: Option<u32>,
    /// Its names as written.
    pub name: Text<'a>,
}

/// The organelle or plasmid whose genome codes for the protein.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Organelle<'a> {
    /// As written, such as `Plastid; Chloroplast`.
    pub name: Text<'a>,
    /// Its evidence.
    pub evidence: Vec<Text<'a>>,
}

/// Reads the OS lines.
pub(crate) fn names<'a>(lines: &[&'a str], organism: &mut Organism<'a>) {
    let (text, evidence) = take_evidence(&join(lines));
    add_evidence(&mut organism.evidence, evidence);
    let text = within(&text, without_stop(&text));
    let mut rest = &*text;
    let mut others = Vec::new();
    // From the end: `Name (strain X) (Common) (Synonym)`.
    while let Some((before, inner)) = last_bracket(rest) {
        if STRAIN_WORDS.iter().any(|word| inner.starts_with(word)) {
            break;
        }
        others.push(within(&text, inner));
        rest = before;
    }
    organism.scientific = within(&text, rest);
    others.reverse();
    let mut others = others.into_iter();
    organism.common = others.next();
    organism.synonyms.extend(others);
}

/// Splits off a bracket at the end: what is before and inside.
fn last_bracket(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_suffix(')')?;
    let mut depth = 1_usize;
    for (at, byte) in inner.bytes().enumerate().rev() {
        match byte {
            b')' => depth += 1,
            b'(' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let before = inner[..at].strip_suffix(' ')?;
            return (!before.is_empty()).then_some((before, &inner[at + 1..]));
        }
    }
    None
}

/// Reads the OX lines.
pub(crate) fn taxa<'a>(lines: &[&'a str], organism: &mut Organism<'a>) {
    let (text, evidence) = take_evidence(&join(lines));
    add_evidence(&mut organism.evidence, evidence);
    let numbers = text.strip_prefix(TAXON_LABEL).unwrap_or(&text);
    for number in numbers.split([',', ';']).filter_map(|number| number.trim_ascii().parse::<u32>().ok()) {
        match organism.taxon_id {
            None => organism.taxon_id = Some(number),
            Some(_) => organism.more_taxon_ids.push(number),
        }
    }
}

/// Reads the OC lines.
pub(crate) fn lineage<'a>(lines: &[&'a str], organism: &mut Organism<'a>) {
    organism.lineage.extend(split_lines(lines, ';', '.'));
}

/// Reads the OH lines, one host each.
pub(crate) fn hosts<'a>(lines: &[&'a str], organism: &mut Organism<'a>) {
    for line in lines {
        let line = line.trim_ascii();
        match line.strip_prefix(TAXON_LABEL).and_then(|rest| rest.split_once(';')) {
            Some((number, name)) => organism
                .hosts
                .push(Host { taxon_id: number.trim_ascii().parse().ok(), name: Cow::Borrowed(without_stop(name)) }),
            None => match organism.hosts.last_mut() {
                Some(last) => crate::text::append(last.name.to_mut(), without_stop(line)),
                None => organism.hosts.push(Host { taxon_id: None, name: Cow::Borrowed(without_stop(line)) }),
            },
        }
    }
}

/// Reads the OG lines.
pub(crate) fn organelle<'a>(lines: &[&'a str]) -> Option<Organelle<'a>> {
    let (text, evidence) = take_evidence(&join(lines));
    let name = within(&text, without_stop(&text));
    (!name.is_empty()).then_some(Organelle { name, evidence })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_strains() {
        let check = |text: &str, scientific: &str, common: Option<&str>, synonyms: &[&str]| {
            let mut found = Organism::default();
            names(&[text], &mut found);
            assert_eq!(found.scientific, scientific);
            assert_eq!(found.common.as_deref(), common);
            assert_eq!(found.synonyms, synonyms);
        };
        check("Homo sapiens (Human).", "Homo sapiens", Some("Human"), &[]);
        check("Frog virus 3 (isolate Goorha) (FV-3).", "Frog virus 3 (isolate Goorha)", Some("FV-3"), &[]);
        check("Escherichia coli (strain K12).", "Escherichia coli (strain K12)", None, &[]);
        check("A virus (AV) (Other (old) virus).", "A virus", Some("AV"), &["Other (old) virus"]);
        check("Sphingomonas sp. TDK1.", "Sphingomonas sp. TDK1", None, &[]);
        check("(Broken).", "(Broken)", None, &[]);
    }

    #[test]
    fn taxa_and_hosts_are_read() {
        let mut found = Organism::default();
        taxa(&["NCBI_TaxID=9606 {ECO:1};"], &mut found);
        lineage(&["Viruses; dsDNA viruses, no RNA", "stage; Iridoviridae."], &mut found);
        hosts(&["NCBI_TaxID=7163; Aedes vexans (Inland mosquito) (Culex vexans)."], &mut found);
        assert_eq!((found.taxon_id, found.evidence), (Some(9606), vec!["ECO:1".into()]));
        assert_eq!(found.lineage, ["Viruses", "dsDNA viruses, no RNA stage", "Iridoviridae"]);
        assert_eq!(found.hosts[0].taxon_id, Some(7163));
        assert_eq!(found.hosts[0].name, "Aedes vexans (Inland mosquito) (Culex vexans)");
    }
}
