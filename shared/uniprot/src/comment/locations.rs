//! SUBCELLULAR LOCATION.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{Text, add_evidence, take_evidence, within, without_stop};

/// Where the protein is in the cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Locations<'a> {
    /// The locations.
    pub locations: Vec<Location<'a>>,
    /// The comment on them.
    pub note: Option<Text<'a>>,
}

/// A location.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Location<'a> {
    /// The location, such as `Cell membrane`.
    pub location: Text<'a>,
    /// How the protein is in the membrane, such as `Single-pass type I membrane protein`.
    pub topology: Option<Text<'a>>,
    /// The side of the membrane, such as `Cytoplasmic side`.
    pub orientation: Option<Text<'a>>,
    /// Evidence of all of these, each once.
    pub evidence: Vec<Text<'a>>,
}

/// Reads `Location {evidence}; topology; orientation. Location. Note=Text.`
pub(super) fn read<'a>(body: &Text<'a>) -> Locations<'a> {
    let (list, note) = match body.split_once("Note=") {
        Some((list, note)) => (list, Some(note)),
        None => (&**body, None),
    };
    let mut found = Locations::default();
    for one in split_sentences(list) {
        let mut location = Location::default();
        for (n, part) in one.splitn(3, "; ").enumerate() {
            let (text, evidence) = take_evidence(&within(body, part.trim_ascii()));
            add_evidence(&mut location.evidence, evidence);
            match n {
                0 => location.location = text,
                1 => location.topology = Some(text),
                _ => location.orientation = Some(text),
            }
        }
        found.locations.push(location);
    }
    found.note = note.map(|note| take_evidence(&within(body, note.trim_ascii().trim_end_matches(';'))).0);
    found
}

/// Splits at full stops outside of brackets.
fn split_sentences(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' | b'(' => depth += 1,
            b'}' | b')' => depth = depth.saturating_sub(1),
            b'.' if depth == 0 && text[at + 1..].starts_with(' ') => {
                all.push(text[start..at].trim_ascii());
                start = at + 1;
            }
            _ => {}
        }
    }
    all.push(without_stop(&text[start..]));
    all.retain(|one| !one.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn locations_are_read() {
        let text = "Mitochondrion inner membrane {ECO:1}; Multi-pass membrane protein {ECO:2}; Matrix side {ECO:1}. \
                    Golgi apparatus. Note=Rapidly internalized. {ECO:3}.";
        let found = read(&Cow::Borrowed(text));
        assert_eq!(found.locations.len(), 2);
        assert_eq!(found.locations[0].location, "Mitochondrion inner membrane");
        assert_eq!(found.locations[0].orientation.as_deref(), Some("Matrix side"));
        assert_eq!(found.locations[0].evidence, ["ECO:1", "ECO:2"]);
        assert_eq!(found.locations[1].location, "Golgi apparatus");
        assert_eq!(found.note.as_deref(), Some("Rapidly internalized."));
        assert_eq!(read(&Cow::Borrowed("Secreted.")).locations[0].location, "Secreted");
    }
}
