//! Parts of a `PubmedArticle`; some also occur in books.

use std::borrow::Cow;

use serde::Serialize;

use super::{Text, texts};
use crate::xml_tree::Element;

/// A section of an abstract; an unstructured abstract is one section without label.
#[derive(Clone, Debug, Serialize)]
pub struct AbstractSection<'a> {
    /// As given by the publisher.
    pub label: Option<Text<'a>>,
    /// As assigned by NLM.
    pub category: Option<Text<'a>>,
    pub text: Text<'a>,
}

/// An abstract from elsewhere or in another language.
#[derive(Clone, Debug, Serialize)]
pub struct OtherAbstract<'a> {
    /// E.g. `Publisher`, `plain-language-summary`.
    pub r#type: Option<Text<'a>>,
    /// Language code; `eng` if none is given.
    pub language: Text<'a>,
    pub sections: Vec<AbstractSection<'a>>,
    pub copyright: Option<Text<'a>>,
}

/// The journal issue of an article.
#[derive(Clone, Debug, Serialize)]
pub struct Journal<'a> {
    pub title: Option<Text<'a>>,
    pub iso_abbreviation: Option<Text<'a>>,
    pub medline_ta: Option<Text<'a>>,
    pub nlm_unique_id: Option<Text<'a>>,
    pub issn: Option<Text<'a>>,
    pub issn_type: Option<Text<'a>>,
    pub issn_linking: Option<Text<'a>>,
    pub volume: Option<Text<'a>>,
    pub issue: Option<Text<'a>>,
    pub medium: Option<Text<'a>>,
    pub country: Option<Text<'a>>,
}

/// An electronic location.
#[derive(Clone, Debug, Serialize)]
pub struct Elocation<'a> {
    /// `doi` or `pii`.
    pub r#type: Option<Text<'a>>,
    pub value: Text<'a>,
    /// False if the record marks it as wrong.
    pub valid: bool,
}

/// A grant. Records repeat grants; so does this list.
#[derive(Clone, Debug, Serialize)]
pub struct Grant<'a> {
    pub id: Option<Text<'a>>,
    pub acronym: Option<Text<'a>>,
    pub agency: Option<Text<'a>>,
    pub country: Option<Text<'a>>,
}

/// Accession numbers in a data bank.
#[derive(Clone, Debug, Serialize)]
pub struct DataBank<'a> {
    /// E.g. `ClinicalTrials.gov`.
    pub name: Option<Text<'a>>,
    pub accessions: Vec<Text<'a>>,
}

/// A link to a comment, correction, retraction or the like.
#[derive(Clone, Debug, Serialize)]
pub struct Comment<'a> {
    /// E.g. `ErratumIn`, `RetractionOf`.
    pub ref_type: Option<Text<'a>>,
    /// PMID of the linked record.
    pub pmid: Option<Text<'a>>,
    /// Version of the linked record.
    pub version: Option<i32>,
    /// Citation of the linked record.
    pub source: Option<Text<'a>>,
    pub note: Option<Text<'a>>,
}

/// A general note.
#[derive(Clone, Debug, Serialize)]
pub struct Note<'a> {
    /// Author of the note.
    pub owner: Option<Text<'a>>,
    pub text: Text<'a>,
}

/// An identifier in another system.
#[derive(Clone, Debug, Serialize)]
pub struct OtherId<'a> {
    pub source: Option<Text<'a>>,
    pub value: Text<'a>,
}

/// An object of a publisher, e.g. a linked data set.
#[derive(Clone, Debug, Serialize)]
pub struct Object<'a> {
    pub r#type: Option<Text<'a>>,
    /// Name and value of each parameter.
    pub params: Vec<(Option<Text<'a>>, Text<'a>)>,
}

/// Pages as the record has them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pages<'a> {
    /// `StartPage`.
    pub start: Option<Text<'a>>,
    /// `EndPage`.
    pub end: Option<Text<'a>>,
    /// `MedlinePgn`.
    pub medline: Option<Text<'a>>,
}

/// Whether lists are complete (`CompleteYN`); for several lists of one kind, whether all are.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Complete {
    pub authors: Option<bool>,
    pub grants: Option<bool>,
    pub data_banks: Option<bool>,
}

impl Complete {
    /// Reads the lists of an `Article` or `BookDocument`.
    pub fn read(parent: Option<Element<'_, '_>>) -> Self {
        let of = |name| parent.and_then(|parent| is_complete(parent, name));
        Self { authors: of("AuthorList"), grants: of("GrantList"), data_banks: of("DataBankList") }
    }
}

/// Whether all lists of a name are complete, if any states it.
pub fn is_complete(parent: Element<'_, '_>, name: &'static str) -> Option<bool> {
    parent.all(name).filter_map(|list| list.yes_no("CompleteYN")).reduce(|all, one| all && one)
}

/// Sections of `Abstract` and `OtherAbstract` elements.
pub fn sections<'t, 'a: 't>(parents: impl Iterator<Item = Element<'t, 'a>>) -> Vec<AbstractSection<'a>> {
    let texts = parents.flat_map(|parent| parent.all("AbstractText"));
    texts
        .filter_map(|one| {
            let text = one.text()?;
            Some(AbstractSection { label: one.attribute("Label"), category: one.attribute("NlmCategory"), text })
        })
        .collect()
}

/// Grants of a `GrantList`.
pub fn grants<'a>(parent: Element<'_, 'a>) -> Vec<Grant<'a>> {
    let grants = parent.all("GrantList").flat_map(|list| list.all("Grant"));
    grants
        .filter(|one| !one.is_blank())
        .map(|one| Grant {
            id: one.first_text("GrantID"),
            acronym: one.first_text("Acronym"),
            agency: one.first_text("Agency"),
            country: one.first_text("Country"),
        })
        .collect()
}

/// Start, end and `MedlinePgn` of the pages.
pub fn pages<'a>(parent: Option<Element<'_, 'a>>) -> Pages<'a> {
    let Some(pagination) = parent.and_then(|parent| parent.first("Pagination")) else { return Pages::default() };
    Pages {
        start: pagination.first_text("StartPage"),
        end: pagination.first_text("EndPage"),
        medline: pagination.first_text("MedlinePgn"),
    }
}

impl<'a> Pages<'a> {
    /// `MedlinePgn`, else start and end page.
    pub fn pagination(&self) -> Option<Text<'a>> {
        match (&self.medline, &self.start, &self.end) {
            (Some(pages), ..) => Some(pages.clone()),
            (None, Some(start), Some(end)) => Some(Cow::Owned(format!("{start}-{end}"))),
            (None, Some(page), None) | (None, None, Some(page)) => Some(page.clone()),
            (None, None, None) => None,
        }
    }
}

/// Electronic locations among the children of `parent`.
pub fn elocations<'a>(parent: Element<'_, 'a>) -> Vec<Elocation<'a>> {
    let ids = parent.all("ELocationID");
    ids.filter_map(|one| {
        let value = one.text()?;
        Some(Elocation { r#type: one.attribute("EIdType"), value, valid: one.yes_no("ValidYN") != Some(false) })
    })
    .collect()
}

/// Objects of a `PubmedData` or `PubmedBookData`.
pub fn objects<'a>(data: Option<Element<'_, 'a>>) -> Vec<Object<'a>> {
    let lists = data.into_iter().flat_map(|data| data.all("ObjectList"));
    lists
        .flat_map(|list| list.all("Object"))
        .filter(|one| !one.is_blank())
        .map(|one| {
            let params = one.all("Param").filter_map(|param| param.text().map(|text| (param.attribute("Name"), text)));
            Object { r#type: one.attribute("Type"), params: params.collect() }
        })
        .collect()
}

/// The journal of a citation.
pub fn journal<'a>(citation: Element<'_, 'a>, article: Option<Element<'_, 'a>>) -> Journal<'a> {
    let journal = article.and_then(|article| article.first("Journal"));
    let issue = journal.and_then(|journal| journal.first("JournalIssue"));
    let issn = journal.and_then(|journal| journal.first("ISSN"));
    let info = citation.first("MedlineJournalInfo");
    let of_journal = |name| journal.and_then(|journal| journal.first_text(name));
    let of_issue = |name| issue.and_then(|issue| issue.first_text(name));
    let of_info = |name| info.and_then(|info| info.first_text(name));
    Journal {
        title: of_journal("Title"),
        iso_abbreviation: of_journal("ISOAbbreviation"),
        medline_ta: of_info("MedlineTA"),
        nlm_unique_id: of_info("NlmUniqueID"),
        issn: issn.and_then(Element::text),
        issn_type: issn.and_then(|issn| issn.attribute("IssnType")),
        issn_linking: of_info("ISSNLinking"),
        volume: of_issue("Volume"),
        issue: of_issue("Issue"),
        medium: issue.and_then(|issue| issue.attribute("CitedMedium")),
        country: of_info("Country"),
    }
}

/// Comments of a citation.
pub fn comments<'a>(citation: Element<'_, 'a>) -> Vec<Comment<'a>> {
    let lists = citation.all("CommentsCorrectionsList");
    lists.flat_map(|list| list.all("CommentsCorrections")).filter_map(comment).collect()
}

/// A `CommentsCorrections`, unless it is empty.
pub fn comment<'a>(one: Element<'_, 'a>) -> Option<Comment<'a>> {
    let pmid = one.first("PMID");
    let comment = Comment {
        ref_type: one.attribute("RefType"),
        pmid: pmid.and_then(Element::text),
        version: pmid.and_then(|pmid| pmid.number("Version")),
        source: one.first_text("RefSource"),
        note: one.first_text("Note"),
    };
    (comment.ref_type.is_some() || !one.is_blank()).then_some(comment)
}

/// Abstracts from elsewhere or in other languages.
pub fn other_abstracts<'a>(citation: Element<'_, 'a>) -> Vec<OtherAbstract<'a>> {
    let abstracts = citation.all("OtherAbstract").filter(|one| !one.is_blank());
    abstracts
        .map(|one| OtherAbstract {
            r#type: one.attribute("Type"),
            language: one.attribute("Language").unwrap_or(Cow::Borrowed("eng")),
            sections: sections(std::iter::once(one)),
            copyright: one.first_text("CopyrightInformation"),
        })
        .collect()
}

/// Accession numbers by data bank.
pub fn data_banks<'a>(article: Option<Element<'_, 'a>>) -> Vec<DataBank<'a>> {
    let lists = article.into_iter().flat_map(|article| article.all("DataBankList"));
    lists
        .flat_map(|list| list.all("DataBank"))
        .filter(|bank| !bank.is_blank())
        .map(|bank| {
            let lists = bank.all("AccessionNumberList");
            let accessions = lists.flat_map(|list| texts(list, "AccessionNumber")).collect();
            DataBank { name: bank.first_text("DataBankName"), accessions }
        })
        .collect()
}

/// General notes.
pub fn general_notes<'a>(citation: Element<'_, 'a>) -> Vec<Note<'a>> {
    let notes = citation.all("GeneralNote");
    notes.filter_map(|one| Some(Note { text: one.text()?, owner: one.attribute("Owner") })).collect()
}

/// Identifiers in other systems.
pub fn other_ids<'a>(citation: Element<'_, 'a>) -> Vec<OtherId<'a>> {
    let ids = citation.all("OtherID");
    ids.filter_map(|one| Some(OtherId { value: one.text()?, source: one.attribute("Source") })).collect()
}
