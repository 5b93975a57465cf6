//! Authors, investigators and persons written about.

use serde::Serialize;

use super::{Text, of_each, texts};
use crate::xml_tree::Element;

/// An identifier and its issuer.
#[derive(Clone, Debug, Serialize)]
pub struct SourcedId<'a> {
    /// E.g. `ORCID`, `ROR`.
    pub source: Option<Text<'a>>,
    /// As written.
    pub value: Text<'a>,
}

/// An author or investigator: a person or a group.
#[derive(Clone, Debug, Serialize)]
pub struct Person<'a> {
    pub last_name: Option<Text<'a>>,
    pub fore_name: Option<Text<'a>>,
    pub initials: Option<Text<'a>>,
    pub suffix: Option<Text<'a>>,
    pub collective_name: Option<Text<'a>>,
    /// As `0000-0002-1825-0097`, independent of the spelling in the record.
    pub orcid: Option<String>,
    pub identifiers: Vec<SourcedId<'a>>,
    pub affiliations: Vec<Text<'a>>,
    pub affiliation_identifiers: Vec<SourcedId<'a>>,
    pub equal_contrib: bool,
    /// False where a corrected entry replaces this one (`ValidYN="N"`).
    pub valid: bool,
    /// Links a collective author to its investigators (`Investigators`, `InvestigatorList@ID`).
    pub group: Option<Text<'a>>,
    /// `authors` or `editors`, as given by the list.
    pub role: Option<Text<'a>>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PersonName<'a> {
    pub last_name: Option<Text<'a>>,
    pub fore_name: Option<Text<'a>>,
    pub initials: Option<Text<'a>>,
    pub suffix: Option<Text<'a>>,
}

/// All authors of all author lists of an element.
pub fn authors<'a>(parent: Element<'_, 'a>) -> Vec<Person<'a>> {
    let mut all = Vec::new();
    for list in parent.all("AuthorList") {
        let mut kind = of_each(list.attribute("Type"));
        for author in list.all("Author").filter(|author| !author.is_blank()) {
            let group = author.first("CollectiveName").and_then(|name| name.attribute("Investigators"));
            all.push(person(author, group, kind()));
        }
    }
    all
}

/// All investigators of all investigator lists.
pub fn investigators<'a>(parent: Element<'_, 'a>) -> Vec<Person<'a>> {
    let mut all = Vec::new();
    for list in parent.all("InvestigatorList") {
        let mut id = of_each(list.attribute("ID"));
        let investigators = list.all("Investigator").filter(|one| !one.is_blank());
        all.extend(investigators.map(|one| person(one, id(), None)));
    }
    all
}

/// Persons as the subject of a record.
pub fn subjects<'a>(parent: Element<'_, 'a>) -> Vec<PersonName<'a>> {
    let lists = parent.all("PersonalNameSubjectList");
    lists.flat_map(|list| list.all("PersonalNameSubject")).filter(|one| !one.is_blank()).map(name).collect()
}

fn name<'a>(element: Element<'_, 'a>) -> PersonName<'a> {
    PersonName {
        last_name: element.first_text("LastName"),
        fore_name: element.first_text("ForeName"),
        initials: element.first_text("Initials"),
        suffix: element.first_text("Suffix"),
    }
}

fn person<'a>(element: Element<'_, 'a>, group: Option<Text<'a>>, role: Option<Text<'a>>) -> Person<'a> {
    let PersonName { last_name, fore_name, initials, suffix } = name(element);
    let mut affiliations = Vec::new();
    let mut affiliation_identifiers = Vec::new();
    for info in element.all("AffiliationInfo") {
        affiliations.extend(texts(info, "Affiliation"));
        affiliation_identifiers.extend(identifiers(info));
    }
    // Records before 2015 have the affiliation directly in the author.
    affiliations.extend(texts(element, "Affiliation"));
    Person {
        last_name,
        fore_name,
        initials,
        suffix,
        collective_name: element.first_text("CollectiveName"),
        orcid: element.all("Identifier").filter(|id| is_orcid(*id)).find_map(|id| orcid(&id.raw_text())),
        identifiers: identifiers(element),
        affiliations,
        affiliation_identifiers,
        equal_contrib: element.yes_no("EqualContrib") == Some(true),
        valid: element.yes_no("ValidYN") != Some(false),
        group,
        role,
    }
}

fn identifiers<'a>(element: Element<'_, 'a>) -> Vec<SourcedId<'a>> {
    let identifiers = element.all("Identifier");
    identifiers.filter_map(|id| Some(SourcedId { value: id.text()?, source: id.attribute("Source") })).collect()
}

fn is_orcid(id: Element<'_, '_>) -> bool {
    id.raw_attribute("Source").is_some_and(|source| source.trim().eq_ignore_ascii_case("ORCID"))
}

/// An ORCID iD from its spellings: plain, in a URL, with or without hyphens.
fn orcid(text: &str) -> Option<String> {
    let is_separator = |c: &char| c.is_whitespace() || matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}');
    let mut after_digit = false;
    for (start, first) in text.char_indices() {
        if first.is_ascii_digit() && !after_digit {
            let mut rest = text[start..].chars().filter(|c| !is_separator(c));
            let id: String = rest.by_ref().take(16).collect();
            let (body, check) = (id.get(..15).unwrap_or_default(), id.get(15..).unwrap_or_default());
            let is_body = body.len() == 15 && body.bytes().all(|b| b.is_ascii_digit());
            let is_check = matches!(check.as_bytes(), [b'0'..=b'9' | b'X' | b'x']);
            if is_body && is_check && !rest.next().is_some_and(|c| c.is_ascii_digit()) {
                let check = check.to_ascii_uppercase();
                return Some(format!("{}-{}-{}-{}{check}", &body[..4], &body[4..8], &body[8..12], &body[12..]));
            }
        }
        after_digit = first.is_ascii_digit();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::orcid;

    #[test]
    fn every_spelling_of_an_orcid_is_the_same_one() {
        for text in [
            "0000-0002-1825-009X",
            "https://orcid.org/0000-0002-1825-009X",
            "000000021825009x",
            " 0000 0002 1825 009X/",
            "http://orcid.org0000-0002-1825-009X",
            "ORCID: 0000-0002-1825-009X",
            "https://orcid.org/0000-0002-1825-009X?lang=en",
            "https://orcid.org/my-orcid?orcid=0000-0002-1825-009X",
            "http://orcid.org/http://orcid.org/0000-0002-1825-009X",
            "0000\u{2010}0002\u{2010}1825\u{2010}009X",
            "\u{200b}0000\u{2013}0002\u{2212}1825 - 009X\u{a0}",
        ] {
            assert_eq!(orcid(text).as_deref(), Some("0000-0002-1825-009X"), "{text}");
        }
        for text in [
            "",
            "0000-0002-1825-00",
            "abcd-0002-1825-009X",
            "0000-0002-1825-009é",
            "10000-0002-1825-0097",
            "0000-0002-1825-00971",
        ] {
            assert_eq!(orcid(text), None, "{text}");
        }
    }
}
