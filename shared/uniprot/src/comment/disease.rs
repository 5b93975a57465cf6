//! DISEASE.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{Text, take_evidence, within};

/// A disease with which the protein is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Disease<'a> {
    /// Its name; absent if the comment only has a note.
    pub name: Option<Text<'a>>,
    /// Its abbreviation.
    pub abbreviation: Option<Text<'a>>,
    /// Its identifier, such as `MIM:123500`.
    pub id: Option<Text<'a>>,
    /// What it is.
    pub description: Option<Text<'a>>,
    /// How the protein is connected with it.
    pub note: Option<Text<'a>>,
}

/// Reads `Name (ABBREVIATION) [MIM:123500]: Description. {evidence} Note=Text.`
pub(super) fn read<'a>(body: &Text<'a>) -> Disease<'a> {
    let plain = |text: &str| take_evidence(&within(body, text.trim_ascii())).0;
    let (definition, note) = match body.split_once("Note=") {
        Some((definition, note)) => (definition.trim_ascii(), Some(note)),
        None => (body.trim_ascii(), None),
    };
    let mut disease = Disease { note: note.map(plain), ..Disease::default() };
    let identified = definition.split_once("]: ").and_then(|(head, description)| {
        let (name, id) = head.rsplit_once(" [")?;
        Some((name, id, description))
    });
    match identified {
        Some((name, id, description)) => {
            let abbreviated = name.strip_suffix(')').and_then(|name| name.rsplit_once(" ("));
            let (name, abbreviation) = abbreviated.map_or((name, None), |(name, short)| (name, Some(short)));
            disease.name = Some(within(body, name));
            disease.abbreviation = abbreviation.map(|short| within(body, short));
            disease.id = Some(within(body, id));
            disease.description = Some(plain(description));
        }
        None if !definition.is_empty() => disease.description = Some(plain(definition)),
        None => {}
    }
    disease
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn a_disease_is_read() {
        let text = "Crouzon syndrome (CS) [MIM:123500]: An autosomal dominant syndrome. {ECO:1, ECO:2}. \
                    Note=The disease is caused by mutations.";
        let found = read(&Cow::Borrowed(text));
        assert_eq!((found.name.as_deref(), found.abbreviation.as_deref()), (Some("Crouzon syndrome"), Some("CS")));
        assert_eq!(found.id.as_deref(), Some("MIM:123500"));
        assert_eq!(found.description.as_deref(), Some("An autosomal dominant syndrome."));
        assert_eq!(found.note.as_deref(), Some("The disease is caused by mutations."));
        let found = read(&Cow::Borrowed("Note=May be involved."));
        assert_eq!((found.name, found.note.as_deref()), (None, Some("May be involved.")));
    }
}
