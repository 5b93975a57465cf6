//! Cross-references to other databases (DR).

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{Text, take_evidence, within};

/// A cross-reference. Databases are data: any name is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CrossReference<'a> {
    /// Name of the database, such as `EMBL`.
    pub database: Text<'a>,
    /// Primary identifier there.
    pub id: Text<'a>,
    /// Further fields as written; `-` stands for an empty one.
    pub fields: Vec<Text<'a>>,
    /// The isoform to which it applies, such as `P16235-1`.
    pub isoform: Option<Text<'a>>,
    /// Its evidence.
    pub evidence: Vec<Text<'a>>,
}

/// Reads the DR lines, one cross-reference each.
pub(crate) fn cross_references<'a>(lines: &[&'a str], all: &mut Vec<CrossReference<'a>>) {
    all.reserve(lines.len());
    all.extend(lines.iter().filter_map(|line| cross_reference(line)));
}

fn cross_reference(line: &str) -> Option<CrossReference<'_>> {
    let (text, evidence) = take_evidence(&Cow::Borrowed(line.trim_ascii()));
    let (rest, isoform) = match text.strip_suffix(']').and_then(|text| text.rsplit_once(". [")) {
        Some((rest, isoform)) => (rest, Some(within(&text, isoform))),
        None => (text.strip_suffix('.').unwrap_or(&text), None),
    };
    let mut parts = rest.split("; ").map(|part| within(&text, part.trim_ascii()));
    let database = parts.next().filter(|database| !database.is_empty() && database != ";")?;
    let id = parts.next().unwrap_or_default();
    Some(CrossReference { database, id, fields: parts.collect(), isoform, evidence })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let mut found = Vec::new();
        let lines = [
            "EMBL; U03862; AAA03603.1; -; mRNA.",
            "RefSeq; NP_037110.1; NM_012978.1. [P16235-1]",
            "Proteomes; UP000001358; Genome {ECO:0000313|Proteomes:UP000001358}.",
            "Pfam; PF00230; MIP; 1.",
            "NewDatabase; X.",
            ";",
        ];
        cross_references(&lines, &mut found);
        assert_eq!(found.len(), 5);
        assert_eq!(found[0].fields, ["AAA03603.1", "-", "mRNA"]);
        assert_eq!(found[1].fields, ["NM_012978.1"]);
        assert_eq!(found[1].isoform.as_deref(), Some("P16235-1"));
        assert_eq!((&*found[2].fields[0], found[2].evidence.len()), ("Genome", 1));
        assert_eq!((&*found[4].database, &*found[4].id), ("NewDatabase", "X"));
    }
}
