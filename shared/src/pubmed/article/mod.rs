//! The typed record: everything a PubMed record says, in one shape.
//!
//! Text is that of all descendants in document order, references resolved, white space unchanged.
//! Absent is `null` or `[]`, never a missing key; only `book` is there for books alone.

mod article_parts;
mod book;
mod dates;
mod integrity;
mod people;
mod references;
mod subjects;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

pub use article_parts::{
    AbstractSection, Comment, DataBank, Elocation, Grant, Journal, Note, Object, OtherAbstract, OtherId,
};
pub use book::Book;
pub use dates::{PubDate, Stamp};
pub use integrity::{Integrity, is_retracted};
pub use people::{Person, PersonName, SourcedId};
pub use references::Reference;
pub use subjects::{Chemical, Keyword, MeshHeading, PubType, Qualifier, SupplMesh};

use super::xml_tree::{Element, Tree, TreeError};
use crate::words::Pmid;

/// A text of the record.
pub type Text<'a> = Cow<'a, str>;

/// A typed record. Field by field as in the contract of `bio-mcp parse`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of PubMed's elements and of the published contract")]
pub struct Article<'a> {
    pub pmid: String,
    pub version: i32,
    /// `article` or `book`.
    pub kind: &'static str,
    pub status: Option<Text<'a>>,
    pub owner: Option<Text<'a>>,
    pub indexing_method: Option<Text<'a>>,
    pub title: Option<Text<'a>>,
    pub vernacular_title: Option<Text<'a>>,
    pub r#abstract: Vec<AbstractSection<'a>>,
    pub other_abstracts: Vec<OtherAbstract<'a>>,
    pub copyright: Option<Text<'a>>,
    pub authors: Vec<Person<'a>>,
    pub investigators: Vec<Person<'a>>,
    pub journal: Option<Journal<'a>>,
    pub pagination: Option<Text<'a>>,
    pub languages: Vec<Text<'a>>,
    pub pub_types: Vec<PubType<'a>>,
    pub pub_model: Option<Text<'a>>,
    pub pub_date: PubDate<'a>,
    pub article_dates: Vec<String>,
    pub date_completed: Option<String>,
    pub date_revised: Option<String>,
    pub history: Vec<Stamp<'a>>,
    pub publication_status: Option<Text<'a>>,
    /// Own identifiers by type; `doi`, `pmc` and `pii` are always keys.
    pub ids: BTreeMap<Text<'a>, Option<Text<'a>>>,
    pub elocation_ids: Vec<Elocation<'a>>,
    pub mesh_headings: Vec<MeshHeading<'a>>,
    pub suppl_mesh: Vec<SupplMesh<'a>>,
    pub chemicals: Vec<Chemical<'a>>,
    pub gene_symbols: Vec<Text<'a>>,
    pub keywords: Vec<Keyword<'a>>,
    pub grants: Vec<Grant<'a>>,
    pub data_banks: Vec<DataBank<'a>>,
    pub citation_subsets: Vec<Text<'a>>,
    pub comments_corrections: Vec<Comment<'a>>,
    pub integrity: Integrity<'a>,
    pub references: Vec<Reference<'a>>,
    pub coi_statement: Option<Text<'a>>,
    pub general_notes: Vec<Note<'a>>,
    pub other_ids: Vec<OtherId<'a>>,
    pub space_flight_missions: Vec<Text<'a>>,
    pub personal_name_subjects: Vec<PersonName<'a>>,
    pub number_of_references: Option<i64>,
    pub objects: Vec<Object<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub book: Option<Book<'a>>,
}

/// The record cannot be read as an article or a book.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArticleError {
    /// It is not well-formed.
    #[error(transparent)]
    Xml(#[from] TreeError),
    /// It is another element.
    #[error("neither a PubmedArticle nor a PubmedBookArticle")]
    UnknownElement,
    /// It has no PMID, or one that is none.
    #[error("the record has no valid PMID")]
    NoPmid,
}

impl<'a> Article<'a> {
    /// Reads one record.
    pub fn parse(xml: &'a str) -> Result<Self, ArticleError> {
        let tree = Tree::parse(xml)?;
        let root = tree.root();
        match root.name() {
            "PubmedArticle" => article_parts::read(root),
            "PubmedBookArticle" => book::read(root),
            _ => Err(ArticleError::UnknownElement),
        }
    }
}

/// PMID and Version of the `PMID` child.
fn own_pmid(parent: Element<'_, '_>) -> Result<(String, i32), ArticleError> {
    let element = parent.first("PMID").ok_or(ArticleError::NoPmid)?;
    let pmid = Pmid::parse(element.text().trim()).map_err(|_| ArticleError::NoPmid)?;
    let version = element.attribute("Version").and_then(|v| v.trim().parse().ok()).unwrap_or(1);
    Ok((pmid.to_string(), version))
}

/// Texts of all children of a name.
fn texts<'a>(parent: Element<'_, 'a>, name: &'static str) -> Vec<Text<'a>> {
    parent.all(name).map(Element::text).collect()
}
