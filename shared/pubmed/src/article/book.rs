//! A `PubmedBookArticle`: a book, or a chapter of one. Only E-utilities return them.

use serde::Serialize;

use super::article_parts::{Complete, elocations, grants, is_complete, objects, pages, sections};
use super::dates::DateTexts;
use super::{
    Article, ArticleError, Elocation, Person, PubDate, Text, dates, ids, integrity, own_pmid, own_title, people,
    references, subjects, texts,
};
use crate::xml_tree::Element;

/// Data of the book in a book record.
#[derive(Clone, Debug, Serialize)]
pub struct Book<'a> {
    pub title: Option<Text<'a>>,
    /// Link target of the title.
    pub anchor: Anchor<'a>,
    /// Link target of the chapter title.
    pub chapter_anchor: Anchor<'a>,
    pub publisher: Option<Text<'a>>,
    pub publisher_location: Option<Text<'a>>,
    pub pub_date: PubDate<'a>,
    pub beginning_date: Option<String>,
    pub ending_date: Option<String>,
    pub contribution_date: Option<String>,
    /// Texts of dates that their fields do not represent completely.
    pub date_text: DateTexts<'a>,
    /// Authors and editors of the book; those of the chapter are in the record itself.
    pub authors: Vec<Person<'a>>,
    /// Whether the list of authors is complete.
    pub authors_complete: Option<bool>,
    pub investigators: Vec<Person<'a>>,
    pub volume: Option<Text<'a>>,
    pub volume_title: Option<Text<'a>>,
    pub edition: Option<Text<'a>>,
    pub collection_title: Option<Text<'a>>,
    pub isbns: Vec<Text<'a>>,
    pub elocation_ids: Vec<Elocation<'a>>,
    pub medium: Option<Text<'a>>,
    pub report_number: Option<Text<'a>>,
    pub location_labels: Vec<LocationLabel<'a>>,
    pub sections: Vec<Section<'a>>,
    pub item_lists: Vec<ItemList<'a>>,
}

/// A location in a book (attributes `book`, `part` and `sec`).
#[derive(Clone, Debug, Default, Serialize)]
pub struct Anchor<'a> {
    pub book: Option<Text<'a>>,
    pub part: Option<Text<'a>>,
    /// Section of the part.
    pub sec: Option<Text<'a>>,
}

impl<'a> Anchor<'a> {
    fn of(element: Option<Element<'_, 'a>>) -> Self {
        let attribute = |name| element.and_then(|element| element.attribute(name));
        Self { book: attribute("book"), part: attribute("part"), sec: attribute("sec") }
    }
}

/// The part of the book that a chapter is.
#[derive(Clone, Debug, Serialize)]
pub struct LocationLabel<'a> {
    /// `part`, `chapter`, `section`, …
    pub r#type: Option<Text<'a>>,
    pub text: Text<'a>,
}

/// An entry of the table of contents, flattened in document order.
#[derive(Clone, Debug, Serialize)]
pub struct Section<'a> {
    /// Depth, from 1.
    pub level: usize,
    pub label: Option<Text<'a>>,
    /// Unit of the label: `part`, `chapter`, `section`, …
    pub label_type: Option<Text<'a>>,
    pub title: Option<Text<'a>>,
    #[serde(flatten)]
    pub anchor: Anchor<'a>,
}

/// A list of items, e.g. synonyms of a disease.
#[derive(Clone, Debug, Serialize)]
pub struct ItemList<'a> {
    /// Type of the items.
    pub r#type: Option<Text<'a>>,
    pub items: Vec<Text<'a>>,
}

/// Recursion is bounded: a tree is never deeper than `split::MAX_DEPTH`.
fn read_sections<'a>(parent: Element<'_, 'a>, level: usize, all: &mut Vec<Section<'a>>) {
    for section in parent.all("Section") {
        let label = section.first("LocationLabel");
        let title = section.first("SectionTitle");
        if !section.is_blank() {
            all.push(Section {
                level,
                label: label.and_then(Element::text),
                label_type: label.and_then(|label| label.attribute("Type")),
                title: title.and_then(Element::text),
                anchor: Anchor::of(title),
            });
        }
        read_sections(section, level + 1, all);
    }
}

fn read_book<'a>(document: Element<'_, 'a>) -> Book<'a> {
    let book = document.first("Book");
    let of_book = |name| book.and_then(|book| book.first_text(name));
    let publisher = book.and_then(|book| book.first("Publisher"));
    let mut date_text = DateTexts::new();
    let mut sections = Vec::new();
    for list in document.all("Sections") {
        read_sections(list, 1, &mut sections);
    }
    Book {
        title: of_book("BookTitle"),
        anchor: Anchor::of(book.and_then(|book| book.first("BookTitle"))),
        chapter_anchor: Anchor::of(document.first("ArticleTitle")),
        publisher: publisher.and_then(|p| p.first_text("PublisherName")),
        publisher_location: publisher.and_then(|p| p.first_text("PublisherLocation")),
        pub_date: dates::pub_date(book.and_then(|book| book.first("PubDate"))),
        beginning_date: dates::iso(book, "BeginningDate", "beginning_date", &mut date_text),
        ending_date: dates::iso(book, "EndingDate", "ending_date", &mut date_text),
        contribution_date: dates::iso(Some(document), "ContributionDate", "contribution_date", &mut date_text),
        date_text,
        authors: book.map_or_else(Vec::new, people::authors),
        authors_complete: book.and_then(|book| is_complete(book, "AuthorList")),
        investigators: book.map_or_else(Vec::new, people::investigators),
        volume: of_book("Volume"),
        volume_title: of_book("VolumeTitle"),
        edition: of_book("Edition"),
        collection_title: of_book("CollectionTitle"),
        isbns: book.map_or_else(Vec::new, |book| texts(book, "Isbn")),
        elocation_ids: book.map_or_else(Vec::new, elocations),
        medium: of_book("Medium"),
        report_number: of_book("ReportNumber"),
        location_labels: document
            .all("LocationLabel")
            .filter_map(|one| Some(LocationLabel { text: one.text()?, r#type: one.attribute("Type") }))
            .collect(),
        sections,
        item_lists: document
            .all("ItemList")
            .filter(|list| !list.is_blank())
            .map(|list| ItemList { r#type: list.attribute("ListType"), items: texts(list, "Item") })
            .collect(),
    }
}

/// Reads a `PubmedBookArticle`; a record of a whole book has the book's title.
pub fn read<'a>(root: Element<'_, 'a>) -> Result<Article<'a>, ArticleError> {
    let document = root.first("BookDocument").ok_or(ArticleError::NoPmid)?;
    let (pmid, version) = own_pmid(document)?;
    let data = root.first("PubmedBookData");
    let abstracts = || document.all("Abstract");
    let book = read_book(document);
    let id_lists = document.all("ArticleIdList").chain(data.into_iter().flat_map(|data| data.all("ArticleIdList")));
    let elocation_ids = elocations(document);
    let all_locations: Vec<Elocation<'a>> = book.elocation_ids.iter().chain(&elocation_ids).cloned().collect();
    let (ids, other_article_ids) = ids::own_ids(id_lists, &all_locations);
    let pages = pages(Some(document));
    let mut date_text = DateTexts::new();
    Ok(Article {
        pmid,
        version,
        version_id: None,
        version_date: None,
        kind: "book",
        complete: Complete::read(Some(document)),
        status: None,
        owner: None,
        indexing_method: None,
        title: own_title(document).and_then(Element::text),
        vernacular_title: document.first_text("VernacularTitle"),
        r#abstract: sections(abstracts()),
        other_abstracts: Vec::new(),
        copyright: abstracts().find_map(|one| one.first_text("CopyrightInformation")),
        authors: people::authors(document),
        investigators: people::investigators(document),
        journal: None,
        pagination: pages.pagination(),
        pages,
        languages: texts(document, "Language"),
        integrity: integrity::assess(root),
        pub_types: subjects::pub_types(std::iter::once(document)),
        pub_model: None,
        pub_date: book.pub_date.clone(),
        article_dates: Vec::new(),
        date_completed: None,
        date_revised: dates::iso(Some(document), "DateRevised", "date_revised", &mut date_text),
        date_text,
        history: dates::history(data),
        publication_status: data.and_then(|data| data.first_text("PublicationStatus")),
        ids,
        other_article_ids,
        elocation_ids,
        mesh_headings: Vec::new(),
        suppl_mesh: Vec::new(),
        chemicals: Vec::new(),
        gene_symbols: Vec::new(),
        keywords: subjects::keywords(document),
        grants: grants(document),
        data_banks: Vec::new(),
        citation_subsets: Vec::new(),
        comments_corrections: Vec::new(),
        references: references::references(document),
        coi_statement: None,
        general_notes: Vec::new(),
        other_ids: Vec::new(),
        space_flight_missions: Vec::new(),
        personal_name_subjects: Vec::new(),
        number_of_references: None,
        objects: objects(data),
        book: Some(book),
        unmapped: Vec::new(),
    })
}
