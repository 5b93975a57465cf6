//! Comments of the form `Key=value; Key=value;`.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{Text, add_evidence, evidence_list, split_statements, starts_with_key, take_evidence, within};

/// Headings of BIOPHYSICOCHEMICAL PROPERTIES.
const HEADINGS: [&str; 5] =
    ["Absorption:", "Kinetic parameters:", "Redox potential:", "Temperature dependence:", "pH dependence:"];

/// Properties that belong together: a reaction, a cofactor, a sequence, or what is below a heading.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PropertyGroup<'a> {
    /// The heading, such as `Kinetic parameters`.
    pub heading: Option<Text<'a>>,
    /// The properties, in their order.
    pub properties: Vec<Property<'a>>,
    /// Evidence of the group as a whole (`Evidence=`).
    pub evidence: Vec<Text<'a>>,
}

/// A property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Property<'a> {
    /// The key, such as `Reaction`; empty for free text below a heading.
    pub name: Text<'a>,
    /// The value without evidence; quotes around it are removed.
    pub value: Text<'a>,
    /// Its evidence.
    pub evidence: Vec<Text<'a>>,
}

/// Groups of properties; none if the comment is free text, as before 2014.
///
/// A group starts at a heading, and where the key with which the group before it started comes again.
pub(super) fn read<'a>(body: &Text<'a>) -> Option<Vec<PropertyGroup<'a>>> {
    if !starts_property(body) {
        return None;
    }
    let mut groups: Vec<PropertyGroup<'a>> = Vec::new();
    for statement in split_statements(body, starts_property) {
        let statement = match heading(statement) {
            Some((heading, rest)) => {
                let heading = Some(within(body, heading));
                groups.push(PropertyGroup { heading, ..PropertyGroup::default() });
                rest
            }
            None => statement,
        };
        if statement.is_empty() {
            continue;
        }
        let (name, value) = match statement.split_once('=') {
            Some((name, value)) if starts_with_key(statement) => (name, value.trim_end_matches(';').trim_ascii()),
            _ => ("", statement),
        };
        let starts_group = groups.last().is_none_or(|group| {
            group.heading.is_none() && group.properties.first().is_some_and(|first| first.name == name)
        });
        if starts_group {
            groups.push(PropertyGroup::default());
        }
        if let Some(group) = groups.last_mut() {
            add(group, body, name, value);
        }
    }
    Some(groups)
}

fn starts_property(text: &str) -> bool {
    starts_with_key(text) || heading(text).is_some()
}

fn heading(text: &str) -> Option<(&str, &str)> {
    let heading = HEADINGS.iter().find(|heading| text.starts_with(**heading))?;
    Some((&text[..heading.len() - 1], text[heading.len()..].trim_ascii_start()))
}

fn add<'a>(group: &mut PropertyGroup<'a>, body: &Text<'a>, name: &str, value: &str) {
    if name == "Evidence" {
        let list = value.trim_start_matches('{').trim_end_matches(['}', '.']);
        add_evidence(&mut group.evidence, evidence_list(body, list));
        return;
    }
    let (value, evidence) = take_evidence(&within(body, value));
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let value = unquoted.map_or_else(|| value.clone(), |unquoted| within(&value, unquoted));
    let name = if name.is_empty() { Cow::Borrowed("") } else { within(body, name) };
    group.properties.push(Property { name, value, evidence });
}

impl<'a> PropertyGroup<'a> {
    /// The value of the first property of this name.
    pub fn get(&self, name: &str) -> Option<&Text<'a>> {
        self.properties.iter().find(|property| property.name == name).map(|property| &property.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(text: &str) -> Vec<PropertyGroup<'_>> {
        read(&Cow::Borrowed(text)).expect("there")
    }

    #[test]
    fn a_reaction_and_its_evidence_are_read() {
        let found = groups(
            "Reaction=a + ATP = b + ADP; Xref=Rhea:RHEA:10596, ChEBI:CHEBI:15378; EC=2.7.10.1; \
             Evidence={ECO:1, ECO:2}; PhysiologicalDirection=left-to-right; Xref=Rhea:RHEA:10597; Evidence={ECO:3};",
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].get("Reaction").map(|text| &**text), Some("a + ATP = b + ADP"));
        assert_eq!(found[0].get("EC").map(|text| &**text), Some("2.7.10.1"));
        assert_eq!(found[0].evidence, ["ECO:1", "ECO:2", "ECO:3"]);
    }

    #[test]
    fn a_repeated_first_key_starts_a_group() {
        let found = groups(
            "Sequence=A.1; Type=Frameshift; Evidence={ECO:1}; Sequence=B.1; Type=Miscellaneous; Note=One; two.; \
             Evidence={ECO:2};",
        );
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].get("Note").map(|text| &**text), Some("One; two."));
        assert_eq!(found[1].evidence, ["ECO:2"]);
    }

    #[test]
    fn headings_start_groups() {
        let found = groups(
            "Kinetic parameters: KM=98 uM for ATP {ECO:1}; KM=4 mM for GTP; Note=In vitro.; \
             pH dependence: Optimum pH is 8.0. {ECO:2};",
        );
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].heading.as_deref(), Some("Kinetic parameters"));
        assert_eq!((found[0].properties.len(), &*found[0].properties[0].evidence[0]), (3, "ECO:1"));
        assert_eq!((&*found[1].properties[0].value, found[1].properties[0].evidence.len()), ("Optimum pH is 8.0.", 1));
    }

    #[test]
    fn an_address_is_unquoted_and_free_text_has_no_groups() {
        let found = groups("Name=A spur - 127; URL=\"http://x.org/?a=1;b=2\";");
        assert_eq!(found[0].get("URL").map(|text| &**text), Some("http://x.org/?a=1;b=2"));
        assert_eq!(read(&Cow::Borrowed("FAD (By similarity).")), None);
    }
}
