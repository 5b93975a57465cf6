//! Comments (CC): a topic, its text and evidence, and the structured content of some topics.
//!
//! Topics are data: any name is kept. Every comment has its text, so nothing is lost where its structure is not known.

pub mod disease;
pub mod interactions;
pub mod isoforms;
pub mod locations;
pub mod properties;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{Text, join, take_evidence, within};

pub use disease::Disease;
pub use interactions::Interaction;
pub use isoforms::{AlternativeProducts, Isoform};
pub use locations::{Location, Locations};
pub use properties::{Property, PropertyGroup};

/// Starts a comment.
const START: &str = "-!- ";

/// A comment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Comment<'a> {
    /// The topic, such as `FUNCTION`.
    pub topic: Text<'a>,
    /// The isoform or chain to which it applies.
    pub molecule: Option<Text<'a>>,
    /// The text on one line, without evidence.
    pub text: Text<'a>,
    /// Evidence of all of its statements, each once.
    pub evidence: Vec<Text<'a>>,
    /// Its content, where the topic has a structure.
    pub content: Option<Content<'a>>,
}

/// Content of a structured comment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Content<'a> {
    /// ALTERNATIVE PRODUCTS.
    AlternativeProducts(AlternativeProducts<'a>),
    /// SUBCELLULAR LOCATION.
    Locations(Locations<'a>),
    /// INTERACTION.
    Interactions(Vec<Interaction<'a>>),
    /// DISEASE.
    Disease(Disease<'a>),
    /// COFACTOR, CATALYTIC ACTIVITY, BIOPHYSICOCHEMICAL PROPERTIES, MASS SPECTROMETRY, WEB RESOURCE, SEQUENCE CAUTION,
    /// RNA EDITING.
    Properties(Vec<PropertyGroup<'a>>),
}

/// Reads the CC lines.
pub(crate) fn comments<'a>(lines: &[&'a str], all: &mut Vec<Comment<'a>>) {
    let mut own: Vec<&'a str> = Vec::new();
    let mut in_licence = false;
    for line in lines {
        let is_rule = line.starts_with("---");
        let is_start = line.starts_with(START);
        if is_rule || is_start {
            all.extend(comment(&own));
            own.clear();
            // The licence is between two rules.
            in_licence = is_rule && !in_licence;
        }
        if !is_rule && !in_licence {
            own.push(line);
        }
    }
    all.extend(comment(&own));
}

fn comment<'a>(lines: &[&'a str]) -> Option<Comment<'a>> {
    let [first, rest @ ..] = lines else { return None };
    let first = first.trim_ascii_start();
    let (topic, start) = match first.strip_prefix(START).map(|text| text.split_once(':').unwrap_or((text, ""))) {
        Some((topic, start)) => (topic.trim_ascii(), start.trim_ascii()),
        // Comments of the first releases have no topic.
        None => ("", first),
    };
    let mut own = Vec::with_capacity(lines.len());
    own.push(start);
    own.extend_from_slice(rest);
    let (molecule, body) = split_molecule(join(&own));
    let content = content(topic, &body, rest);
    let (text, evidence) = take_evidence(&body);
    if topic.is_empty() && text.is_empty() && evidence.is_empty() {
        return None;
    }
    Some(Comment { topic: Cow::Borrowed(topic), molecule, text, evidence, content })
}

/// Splits off `[Isoform 2]: `.
fn split_molecule(text: Text<'_>) -> (Option<Text<'_>>, Text<'_>) {
    let split = text.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
    let parts = split.map(|(molecule, rest)| (within(&text, molecule), within(&text, rest)));
    match parts {
        Some((molecule, rest)) => (Some(molecule), rest),
        None => (None, text),
    }
}

fn content<'a>(topic: &str, body: &Text<'a>, lines: &[&'a str]) -> Option<Content<'a>> {
    match topic {
        "ALTERNATIVE PRODUCTS" => isoforms::read(body).map(Content::AlternativeProducts),
        "SUBCELLULAR LOCATION" => Some(Content::Locations(locations::read(body))),
        "INTERACTION" => Some(Content::Interactions(interactions::read(lines))),
        "DISEASE" => Some(Content::Disease(disease::read(body))),
        "COFACTOR"
        | "CATALYTIC ACTIVITY"
        | "BIOPHYSICOCHEMICAL PROPERTIES"
        | "MASS SPECTROMETRY"
        | "WEB RESOURCE"
        | "SEQUENCE CAUTION"
        | "RNA EDITING" => properties::read(body).map(Content::Properties),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(lines: &[&'a str]) -> Vec<Comment<'a>> {
        let mut all = Vec::new();
        comments(lines, &mut all);
        all
    }

    #[test]
    fn topics_molecules_and_evidence_over_lines_are_read() {
        let found = read(&[
            "-!- FUNCTION: Binds N-",
            "    acetylglucosamine. {ECO:0000269|PubMed:1,",
            "    ECO:0000255|HAMAP-",
            "    Rule:MF_01162}.",
            "-!- NEW TOPIC: [Isoform SV]: Unable to dimerize.",
            "---------------------------------------------------------------------------",
            "Copyrighted by the UniProt Consortium, see https://www.uniprot.org/terms",
            "---------------------------------------------------------------------------",
        ]);
        assert_eq!(found.len(), 2);
        assert_eq!((&*found[0].topic, &*found[0].text), ("FUNCTION", "Binds N-acetylglucosamine."));
        assert_eq!(found[0].evidence, ["ECO:0000269|PubMed:1", "ECO:0000255|HAMAP-Rule:MF_01162"]);
        assert_eq!((&*found[1].topic, found[1].molecule.as_deref()), ("NEW TOPIC", Some("Isoform SV")));
        assert_eq!((&*found[1].text, &found[1].content), ("Unable to dimerize.", &None));
    }

    #[test]
    fn a_comment_without_topic_is_kept() {
        assert!(read(&["", "-!- "]).is_empty());
        let found = read(&["free text", "more"]);
        assert_eq!((&*found[0].topic, &*found[0].text), ("", "free text more"));
    }
}
