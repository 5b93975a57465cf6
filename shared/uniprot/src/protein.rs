//! Names of the protein (DE).

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{Attribution, Text, append, attributed, push_once, split_statements, within, without_stop};

/// Names of a protein and of what it is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Protein<'a> {
    /// The recommended name; mostly absent from unreviewed entries.
    pub recommended: Option<ProteinName<'a>>,
    /// Alternative names.
    pub alternatives: Vec<ProteinName<'a>>,
    /// Names given by submitters, in unreviewed entries.
    pub submitted: Vec<ProteinName<'a>>,
    /// Functional domains with names of their own.
    pub includes: Vec<ProteinPart<'a>>,
    /// Products of proteolytic cleavage with names of their own.
    pub contains: Vec<ProteinPart<'a>>,
    /// `Precursor`, `Fragment`, `Fragments`.
    pub flags: Vec<Text<'a>>,
    /// EC numbers of all names, each once.
    pub ec: Vec<Text<'a>>,
    /// Evidence of the flags.
    pub evidence: Vec<Attribution<'a>>,
}

/// A domain or a cleavage product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProteinPart<'a> {
    /// The recommended name.
    pub recommended: Option<ProteinName<'a>>,
    /// Alternative names.
    pub alternatives: Vec<ProteinName<'a>>,
    /// Names given by submitters.
    pub submitted: Vec<ProteinName<'a>>,
}

/// A name with its short forms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProteinName<'a> {
    /// The full name.
    pub full: Option<Text<'a>>,
    /// Short forms.
    pub short: Vec<Text<'a>>,
    /// EC numbers.
    pub ec: Vec<Text<'a>>,
    /// Names of other kinds: `Allergen`, `Biotech`, `CD_antigen`, `INN`.
    pub other: Vec<NameOfKind<'a>>,
    /// Evidence of the names and numbers that have any.
    pub evidence: Vec<Attribution<'a>>,
}

/// A name of a kind of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NameOfKind<'a> {
    /// The kind, such as `INN`.
    pub kind: Text<'a>,
    /// The name.
    pub name: Text<'a>,
}

/// To which list the next name belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Main,
    Includes,
    Contains,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Category {
    Recommended,
    Alternative,
    Submitted,
}

/// Reads the DE lines.
pub(crate) fn protein<'a>(lines: &[&'a str]) -> Protein<'a> {
    let mut protein = Protein::default();
    let mut section = Section::Main;
    let mut category = None;
    for (text, is_indented) in statements(lines) {
        match &*text {
            "Includes:" => {
                (section, category) = (Section::Includes, None);
                protein.includes.push(ProteinPart::default());
                continue;
            }
            "Contains:" => {
                (section, category) = (Section::Contains, None);
                protein.contains.push(ProteinPart::default());
                continue;
            }
            _ => {}
        }
        if let Some(flags) = text.strip_prefix("Flags:") {
            for flag in split_statements(flags, |_| true) {
                let flag = attributed(&within(&text, flag), &mut protein.evidence);
                protein.flags.push(flag);
            }
            continue;
        }
        let (found, rest) = category_of(&text);
        if found.is_some() {
            category = found;
            if !is_indented {
                section = Section::Main;
            }
        }
        let value = within(&text, rest.trim_ascii().trim_end_matches(';'));
        match category {
            Some(category) => {
                let starts_name = found.is_some();
                add(name_in(&mut protein, section, category, starts_name), &value);
            }
            None => add_old(&mut protein, &value),
        }
    }
    protein.ec = all_ec(&protein);
    protein
}

/// Statements, which end with a semicolon or a colon at the end of a line, and whether they are indented like the names
/// of a part.
fn statements<'a>(lines: &[&'a str]) -> Vec<(Text<'a>, bool)> {
    let mut all: Vec<(Text<'a>, bool)> = Vec::with_capacity(lines.len());
    let mut is_open = false;
    for line in lines {
        let text = line.trim_ascii();
        if text.is_empty() || text == ";" {
            continue;
        }
        match all.last_mut() {
            Some((open, _)) if is_open => append(open.to_mut(), text),
            _ => all.push((Cow::Borrowed(text), line.starts_with("  "))),
        }
        is_open = !text.ends_with([';', ':']);
    }
    all
}

fn category_of(text: &str) -> (Option<Category>, &str) {
    for (label, category) in
        [("RecName:", Category::Recommended), ("AltName:", Category::Alternative), ("SubName:", Category::Submitted)]
    {
        if let Some(rest) = text.strip_prefix(label) {
            return (Some(category), rest);
        }
    }
    (None, text)
}

/// The name to which a value belongs: a new one, or the last one of its category.
fn name_in<'p, 'a>(
    protein: &'p mut Protein<'a>,
    section: Section,
    category: Category,
    starts_name: bool,
) -> &'p mut ProteinName<'a> {
    let Protein { recommended, alternatives, submitted, includes, contains, .. } = protein;
    let part = match section {
        Section::Main => None,
        Section::Includes => includes.last_mut(),
        Section::Contains => contains.last_mut(),
    };
    let (recommended, alternatives, submitted) = match part {
        Some(part) => (&mut part.recommended, &mut part.alternatives, &mut part.submitted),
        None => (recommended, alternatives, submitted),
    };
    let list = match category {
        Category::Recommended if recommended.is_none() || !starts_name => {
            return recommended.get_or_insert_default();
        }
        // A second recommended name, which no entry should have, is kept beside the alternatives.
        Category::Recommended | Category::Alternative => alternatives,
        Category::Submitted => submitted,
    };
    if starts_name || list.is_empty() {
        list.push(ProteinName::default());
    }
    let last = list.len() - 1;
    &mut list[last]
}

fn add<'a>(name: &mut ProteinName<'a>, statement: &Text<'a>) {
    let Some((key, value)) = statement.split_once('=') else {
        let text = attributed(statement, &mut name.evidence);
        name.other.push(NameOfKind { kind: Cow::Borrowed(""), name: text });
        return;
    };
    let value = attributed(&within(statement, value.trim_ascii()), &mut name.evidence);
    match key {
        "Full" if name.full.is_none() => name.full = Some(value),
        "Short" => name.short.push(value),
        "EC" => name.ec.push(value),
        kind => name.other.push(NameOfKind { kind: within(statement, kind), name: value }),
    }
}

/// A description before 2008: `Name (Other name) (EC 1.2.3.4).`, kept as one name.
fn add_old<'a>(protein: &mut Protein<'a>, text: &Text<'a>) {
    let name = protein.recommended.get_or_insert_default();
    let text = attributed(text, &mut name.evidence);
    for (start, _) in text.match_indices("(EC ") {
        let number = &text[start + 4..];
        if let Some(end) = number.find(')') {
            name.ec.push(within(&text, number[..end].trim_ascii()));
        }
    }
    let full = within(&text, without_stop(&text));
    match &mut name.full {
        Some(before) => append(before.to_mut(), &full),
        None => name.full = Some(full),
    }
}

fn all_ec<'a>(protein: &Protein<'a>) -> Vec<Text<'a>> {
    let parts = protein.includes.iter().chain(&protein.contains);
    let part_names = parts.flat_map(|part| part.recommended.iter().chain(&part.alternatives).chain(&part.submitted));
    let names = protein.recommended.iter().chain(&protein.alternatives).chain(&protein.submitted);
    let mut all: Vec<Text<'a>> = Vec::new();
    for ec in names.chain(part_names).flat_map(|name| &name.ec) {
        push_once(&mut all, ec.clone());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parts_and_flags_are_read() {
        let found = protein(&[
            "RecName: Full=Bifunctional protein Aas {ECO:0000255|HAMAP-Rule:MF_01162};",
            "         Short=Aas;",
            "AltName: INN=Reteplase;",
            "Includes:",
            "  RecName: Full=Acyltransferase {ECO:1, ECO:2};",
            "           EC=2.3.1.40 {ECO:1};",
            "Contains:",
            "  RecName: Full=Granulin-1;",
            "  AltName: Full=Other;",
            "Flags: Precursor; Fragment {ECO:3};",
        ]);
        let name = found.recommended.as_ref().expect("there");
        assert_eq!(name.full.as_deref(), Some("Bifunctional protein Aas"));
        assert_eq!((name.short.len(), name.evidence.len()), (1, 1));
        assert_eq!(found.alternatives[0].other[0].kind, "INN");
        assert_eq!(found.includes[0].recommended.as_ref().expect("there").evidence[0].evidence, ["ECO:1", "ECO:2"]);
        assert_eq!(found.contains[0].alternatives[0].full.as_deref(), Some("Other"));
        assert_eq!((found.flags, found.ec), (vec!["Precursor".into(), "Fragment".into()], vec!["2.3.1.40".into()]));
        assert_eq!(found.evidence[0].evidence, ["ECO:3"]);
    }

    #[test]
    fn an_ec_number_belongs_to_the_submitted_name_before_it() {
        let found = protein(&["SubName: Full=ORF10 {ECO:1};", "         EC=1.1.1.1 {ECO:1};", "SubName: Full=Two;"]);
        assert_eq!(found.submitted.len(), 2);
        assert_eq!(found.submitted[0].ec, ["1.1.1.1"]);
    }

    #[test]
    fn an_old_description_is_one_name() {
        let found = protein(&["Probable aconitate hydratase (EC 4.2.1.3)", "(Aconitase)."]);
        let name = found.recommended.expect("there");
        assert_eq!(name.full.as_deref(), Some("Probable aconitate hydratase (EC 4.2.1.3) (Aconitase)"));
        assert_eq!(found.ec, ["4.2.1.3"]);
    }
}
