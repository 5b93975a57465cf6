//! Genes that code for the protein (GN).

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{Attribution, Text, attributed, join, split_list, split_statements, starts_with_key, within};

/// A gene.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gene<'a> {
    /// Its name.
    pub name: Option<Text<'a>>,
    /// Other names.
    pub synonyms: Vec<Text<'a>>,
    /// Ordered locus names.
    pub ordered_locus: Vec<Text<'a>>,
    /// Names of open reading frames.
    pub orf: Vec<Text<'a>>,
    /// Evidence of the names that have any.
    pub evidence: Vec<Attribution<'a>>,
}

/// Reads the GN lines; a line `and` separates genes.
pub(crate) fn genes<'a>(lines: &[&'a str]) -> Vec<Gene<'a>> {
    let genes = lines.split(|line| line.trim_ascii() == "and").map(join).filter(|text| !text.is_empty());
    genes.flat_map(|text| if starts_with_key(&text) { vec![gene(&text)] } else { old_genes(&text) }).collect()
}

fn gene<'a>(text: &Text<'a>) -> Gene<'a> {
    let mut gene = Gene::default();
    for statement in split_statements(text, starts_with_key) {
        let (key, values) = statement.split_once('=').unwrap_or(("", statement));
        // A name may contain ", ".
        if key == "Name" && gene.name.is_none() {
            gene.name = Some(attributed(&within(text, values.trim_ascii()), &mut gene.evidence));
            continue;
        }
        for value in split_list(values) {
            let value = attributed(&within(text, value), &mut gene.evidence);
            match key {
                "OrderedLocusNames" => gene.ordered_locus.push(value),
                "ORFNames" => gene.orf.push(value),
                _ => gene.synonyms.push(value),
            }
        }
    }
    gene
}

/// Genes before 2005: `(CALM1 OR CAM1) AND (CALM2 OR CAM2).`
fn old_genes<'a>(text: &Text<'a>) -> Vec<Gene<'a>> {
    let text = within(text, text.trim_end_matches(['.', ';']));
    let mut genes = Vec::new();
    for names in text.split(" AND ") {
        let names = names.trim_ascii();
        let names = names.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(names);
        let mut gene = Gene::default();
        for name in names.split(" OR ").filter(|name| !name.is_empty()) {
            let name = attributed(&within(&text, name.trim_ascii()), &mut gene.evidence);
            match gene.name {
                None => gene.name = Some(name),
                Some(_) => gene.synonyms.push(name),
            }
        }
        genes.push(gene);
    }
    genes
}

impl<'a> Gene<'a> {
    /// The name that stands for the gene: its own, else that of its locus or reading frame.
    pub fn main_name(&self) -> Option<&Cow<'a, str>> {
        let others = self.ordered_locus.iter().chain(&self.orf).chain(&self.synonyms);
        self.name.iter().chain(others).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_genes_with_evidence_over_lines_are_read() {
        let found = genes(&[
            "Name=HvPIP2;8 {ECO:0000313|EMBL:BAN04711.1}; Synonyms=A {ECO:1,",
            "ECO:2}, B; OrderedLocusNames=At1g01360;",
            "and",
            "ORFNames=UNQ9393/",
            "PRO34307;",
        ]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].name.as_deref(), Some("HvPIP2;8"));
        assert_eq!(found[0].synonyms, ["A", "B"]);
        assert_eq!(found[0].evidence[1].evidence, ["ECO:1", "ECO:2"]);
        assert_eq!(found[0].ordered_locus, ["At1g01360"]);
        assert_eq!(found[1].main_name().map(|name| &**name), Some("UNQ9393/PRO34307"));
    }

    #[test]
    fn old_genes_are_read() {
        let found = genes(&["(CALM1 OR CAM1) AND (CALM2", "OR CAM2)."]);
        assert_eq!(found[0].name.as_deref(), Some("CALM1"));
        assert_eq!(found[1].synonyms, ["CAM2"]);
        assert_eq!(genes(&["HNRPA1."])[0].name.as_deref(), Some("HNRPA1"));
    }
}
