//! Authors, investigators and persons written about.

use serde::Serialize;

use super::{Text, texts};
use crate::pubmed::xml_tree::Element;

/// An identifier with who gave it.
#[derive(Clone, Debug, Serialize)]
pub struct SourcedId<'a> {
    /// E.g. `ORCID`, `ROR`.
    pub source: Option<Text<'a>>,
    /// As written.
    pub value: Text<'a>,
}

/// An author or investigator: a person or a group.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of PubMed's elements")]
pub struct Person<'a> {
    pub last_name: Option<Text<'a>>,
    pub fore_name: Option<Text<'a>>,
    pub initials: Option<Text<'a>>,
    pub suffix: Option<Text<'a>>,
    pub collective_name: Option<Text<'a>>,
    /// `0000-0002-1825-0097`, whatever the spelling in the record.
    pub orcid: Option<String>,
    pub identifiers: Vec<SourcedId<'a>>,
    pub affiliations: Vec<Text<'a>>,
    pub affiliation_identifiers: Vec<SourcedId<'a>>,
    pub equal_contrib: bool,
    /// False where a corrected entry stands for this one (`ValidYN="N"`).
    pub valid: bool,
    /// Links a collective author to its investigators (`Investigators`, `InvestigatorList@ID`).
    pub group: Option<Text<'a>>,
    /// `authors` or `editors`, as the list says.
    pub role: Option<Text<'a>>,
}

/// A name alone.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of PubMed's elements")]
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
        for author in list.all("Author") {
            let group = author.first("CollectiveName").and_then(|name| name.attribute("Investigators"));
            all.push(person(author, group, list.attribute("Type")));
        }
    }
    all
}

/// All investigators of all investigator lists.
pub fn investigators<'a>(parent: Element<'_, 'a>) -> Vec<Person<'a>> {
    let mut all = Vec::new();
    for list in parent.all("InvestigatorList") {
        all.extend(list.all("Investigator").map(|one| person(one, list.attribute("ID"), None)));
    }
    all
}

/// The persons a record is about.
pub fn subjects<'a>(parent: Element<'_, 'a>) -> Vec<PersonName<'a>> {
    let lists = parent.all("PersonalNameSubjectList");
    lists.flat_map(|list| list.all("PersonalNameSubject")).map(name).collect()
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
    let identifiers = identifiers(element);
    let orcid = identifiers.iter().find(|id| id.source.as_deref() == Some("ORCID")).and_then(|id| orcid(&id.value));
    let mut affiliations = Vec::new();
    let mut affiliation_identifiers = Vec::new();
    for info in element.all("AffiliationInfo") {
        affiliations.extend(texts(info, "Affiliation"));
        affiliation_identifiers.extend(self::identifiers(info));
    }
    // Records before 2015 have the affiliation directly in the author.
    affiliations.extend(texts(element, "Affiliation"));
    Person {
        last_name,
        fore_name,
        initials,
        suffix,
        collective_name: element.first_text("CollectiveName"),
        orcid,
        identifiers,
        affiliations,
        affiliation_identifiers,
        equal_contrib: element.says_yes("EqualContrib"),
        valid: element.attribute("ValidYN").as_deref() != Some("N"),
        group,
        role,
    }
}

fn identifiers<'a>(element: Element<'_, 'a>) -> Vec<SourcedId<'a>> {
    element.all("Identifier").map(|id| SourcedId { source: id.attribute("Source"), value: id.text() }).collect()
}

/// An ORCID iD from its spellings: bare, with `https://orcid.org/`, without hyphens.
fn orcid(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('/');
    let last = text.rsplit('/').next()?;
    let digits: String = last.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    let (body, check) = digits.split_at_checked(15)?;
    let fine = body.bytes().all(|b| b.is_ascii_digit()) && matches!(check.as_bytes(), [b'0'..=b'9' | b'X' | b'x']);
    let check = check.to_ascii_uppercase();
    fine.then(|| format!("{}-{}-{}-{}{check}", &body[..4], &body[4..8], &body[8..12], &body[12..]))
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
        ] {
            assert_eq!(orcid(text).as_deref(), Some("0000-0002-1825-009X"), "{text}");
        }
        for text in ["", "0000-0002-1825-00", "abcd-0002-1825-009X", "0000-0002-1825-009é"] {
            assert_eq!(orcid(text), None, "{text}");
        }
    }
}
