//! The typed record: all data of a PubMed record, in one shape.
//!
//! Text is that of all descendants in document order, references resolved, white space unchanged, in a form
//! ([`TextForm`]) that preserves the meaning of markup. Empty elements and attributes are absent; an absent value is
//! `null` or `[]`, never a missing key; only `book` is omitted for articles. Nothing is dropped: the tree records what
//! was read, and what no field shows is in `unmapped`.

mod article_parts;
mod book;
mod citation;
mod dates;
mod ids;
mod integrity;
mod integrity_note;
mod medline_date;
mod people;
mod references;
mod subjects;

use std::borrow::Cow;

use serde::Serialize;

pub use article_parts::{
    AbstractSection, Comment, Complete, DataBank, Elocation, Grant, Journal, Note, Object, OtherAbstract, OtherId,
    Pages,
};
pub use book::Book;
pub use dates::{ArticleDate, DateTexts, PubDate, Stamp};
pub use ids::{ArticleId, Ids};
pub use integrity::{Evidence, Integrity, is_retracted};
pub use integrity_note::{IntegrityNote, IntegrityStatus, NOTE_RULES, NotedEvidence, Notice};
pub use people::{Person, PersonName, SourcedId};
pub use references::Reference;
pub use subjects::{Chemical, Keyword, MeshHeading, PubType, Qualifier, SupplMesh};

use super::text_form::TextForm;
use super::xml_tree::{Element, Tree, TreeError};
use bio_mcp_core::Pmid;

/// A text of the record.
pub type Text<'a> = Cow<'a, str>;

/// A typed record. Field by field as in the contract of `bio-mcp parse`.
#[derive(Clone, Debug, Serialize)]
pub struct Article<'a> {
    pub pmid: String,
    pub version: i32,
    pub version_id: Option<Text<'a>>,
    /// As written.
    pub version_date: Option<Text<'a>>,
    /// `article` or `book`.
    pub kind: &'static str,
    pub complete: Complete,
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
    pub pages: Pages<'a>,
    pub languages: Vec<Text<'a>>,
    pub pub_types: Vec<PubType<'a>>,
    pub pub_model: Option<Text<'a>>,
    pub pub_date: PubDate<'a>,
    pub article_dates: Vec<ArticleDate<'a>>,
    pub date_completed: Option<String>,
    pub date_revised: Option<String>,
    /// Original texts of `date_completed` and `date_revised`, if these do not represent all of them.
    pub date_text: DateTexts<'a>,
    pub history: Vec<Stamp<'a>>,
    pub publication_status: Option<Text<'a>>,
    /// Identifiers of the work by type; `doi`, `pmc` and `pii` are always keys.
    pub ids: Ids<'a>,
    /// Further identifiers of types that `ids` has.
    pub other_article_ids: Vec<ArticleId<'a>>,
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
    /// Content of the record that no field shows.
    pub unmapped: Vec<Unmapped<'a>>,
}

/// A text or an attribute that no field shows.
#[derive(Clone, Debug, Serialize)]
pub struct Unmapped<'a> {
    /// For example `/PubmedArticle/MedlineCitation/DateCreated/Year`.
    pub path: String,
    pub value: Text<'a>,
}

/// The record cannot be read as an article or a book.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArticleError {
    /// The XML is not well-formed.
    #[error(transparent)]
    Xml(#[from] TreeError),
    /// The root element is of another kind.
    #[error("neither a PubmedArticle nor a PubmedBookArticle")]
    UnknownElement,
    /// The PMID is missing or invalid.
    #[error("the record has no valid PMID")]
    NoPmid,
}

impl ArticleError {
    /// Whether it may be a valid record of a shape that is not supported: failing to read such a record is not a bug.
    pub fn is_beyond_bounds(&self) -> bool {
        matches!(self, Self::Xml(error) if error.is_beyond_bounds())
    }
}

impl<'a> Article<'a> {
    /// Reads one record; its texts are plain.
    ///
    /// ```
    /// use bio_mcp_pubmed::Article;
    ///
    /// let xml = r#"<PubmedArticle><MedlineCitation Status="MEDLINE"><PMID Version="1">31452104</PMID>
    ///     <Article><Journal><Title>Example</Title></Journal><ArticleTitle>A <i>short</i> title</ArticleTitle></Article>
    ///     </MedlineCitation></PubmedArticle>"#;
    /// let article = Article::parse(xml)?;
    /// assert_eq!(article.pmid, "31452104");
    /// assert_eq!(article.title.as_deref(), Some("A short title"));
    /// # Ok::<(), bio_mcp_pubmed::article::ArticleError>(())
    /// ```
    pub fn parse(xml: &'a str) -> Result<Self, ArticleError> {
        Self::parse_as(xml, TextForm::Plain)
    }

    /// Reads one record with its texts in a form. In HTML every string from the record is escaped: texts, attributes
    /// and identifiers.
    ///
    /// ```
    /// use bio_mcp_pubmed::{Article, TextForm};
    ///
    /// let xml = r#"<PubmedArticle><MedlineCitation Status="MEDLINE"><PMID Version="1">31452104</PMID>
    ///     <Article><Journal><Title>Example</Title></Journal><ArticleTitle>A <i>short</i> title</ArticleTitle></Article>
    ///     </MedlineCitation></PubmedArticle>"#;
    /// let article = Article::parse_as(xml, TextForm::Html)?;
    /// assert_eq!(article.title.as_deref(), Some("A <i>short</i> title"));
    /// # Ok::<(), bio_mcp_pubmed::article::ArticleError>(())
    /// ```
    pub fn parse_as(xml: &'a str, form: TextForm) -> Result<Self, ArticleError> {
        let tree = Tree::parse_as(xml, form)?;
        let root = tree.root();
        let mut article = match root.name() {
            "PubmedArticle" => citation::read(root)?,
            "PubmedBookArticle" => book::read(root)?,
            _ => return Err(ArticleError::UnknownElement),
        };
        let unread = tree.unread().into_iter();
        article.unmapped = unread.map(|one| Unmapped { path: one.path, value: form.escape(one.value) }).collect();
        Ok(article)
    }

    /// Appends the article to a buffer as JSON, in one line. Compiled here, with this crate's optimisation; `serde_json`
    /// called elsewhere is compiled with that of the caller's crate.
    pub fn write_json(&self, buffer: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(buffer, self)
    }

    /// Removes all abstracts, also from `unmapped`.
    pub fn withhold_abstracts(&mut self) {
        self.r#abstract.clear();
        self.other_abstracts.clear();
        self.unmapped.retain(|one| !one.path.contains("Abstract"));
    }
}

/// PMID and Version of the `PMID` child.
fn own_pmid(parent: Element<'_, '_>) -> Result<(String, i32), ArticleError> {
    let element = parent.first("PMID").ok_or(ArticleError::NoPmid)?;
    let pmid = element.text().and_then(|text| Pmid::parse(text.trim()).ok()).ok_or(ArticleError::NoPmid)?;
    Ok((pmid.to_string(), element.number("Version").unwrap_or(1)))
}

/// The title element of a `MedlineCitation` or `BookDocument`; a record of a whole book has the
/// book's title.
fn own_title<'t, 'a>(body: Element<'t, 'a>) -> Option<Element<'t, 'a>> {
    let of = |parent: Option<Element<'t, 'a>>, name| parent?.all(name).find(|title| !title.is_blank());
    of(body.first("Article"), "ArticleTitle")
        .or_else(|| of(Some(body), "ArticleTitle"))
        .or_else(|| of(body.first("Book"), "BookTitle"))
}

/// The text of a list for each of its items in turn. A long text is returned only for the first item: repeated for
/// every item, it could make the typed form excessively large.
fn of_each<'a>(text: Option<Text<'a>>) -> impl FnMut() -> Option<Text<'a>> {
    const MAX_TITLE_BYTES: usize = 512;
    let mut text = text;
    move || if text.as_ref().is_some_and(|text| text.len() > MAX_TITLE_BYTES) { text.take() } else { text.clone() }
}

/// Texts of all children with a name.
fn texts<'a>(parent: Element<'_, 'a>, name: &'static str) -> Vec<Text<'a>> {
    parent.all(name).filter_map(Element::text).collect()
}
