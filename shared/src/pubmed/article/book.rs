//! A `PubmedBookArticle`: a book, or a chapter of one. Only E-utilities have them.

use serde::Serialize;

use super::article_parts::{elocations, grants, history, objects, own_ids, pagination, sections};
use super::{
    Article, ArticleError, Elocation, Person, PubDate, Text, dates, integrity, own_pmid, people, references, subjects,
    texts,
};
use crate::pubmed::xml_tree::Element;

/// What a book record says of its book.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of PubMed's elements")]
pub struct Book<'a> {
    pub title: Option<Text<'a>>,
    pub publisher: Option<Text<'a>>,
    pub publisher_location: Option<Text<'a>>,
    pub pub_date: PubDate<'a>,
    pub beginning_date: Option<String>,
    pub ending_date: Option<String>,
    pub contribution_date: Option<String>,
    /// Authors and editors of the book; those of the chapter are the record's.
    pub authors: Vec<Person<'a>>,
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

/// Where in the book a chapter stands.
#[derive(Clone, Debug, Serialize)]
pub struct LocationLabel<'a> {
    /// `part`, `chapter`, `section`, …
    pub r#type: Option<Text<'a>>,
    /// Its label.
    pub text: Text<'a>,
}

/// An entry of the table of contents, flattened in document order.
#[derive(Clone, Debug, Serialize)]
pub struct Section<'a> {
    /// How deep it lies, from 1.
    pub level: usize,
    /// Its label.
    pub label: Option<Text<'a>>,
    /// Its title.
    pub title: Option<Text<'a>>,
}

/// A list of items, e.g. synonyms of a disease.
#[derive(Clone, Debug, Serialize)]
pub struct ItemList<'a> {
    /// What kind of items.
    pub r#type: Option<Text<'a>>,
    /// The items.
    pub items: Vec<Text<'a>>,
}

/// Recursion is bounded: a tree is never deeper than `split::MAX_DEPTH`.
fn read_sections<'a>(parent: Element<'_, 'a>, level: usize, all: &mut Vec<Section<'a>>) {
    for section in parent.all("Section") {
        all.push(Section {
            level,
            label: section.first_text("LocationLabel"),
            title: section.first_text("SectionTitle"),
        });
        read_sections(section, level + 1, all);
    }
}

fn read_book<'a>(document: Element<'_, 'a>) -> Book<'a> {
    let book = document.first("Book");
    let of_book = |name| book.and_then(|book| book.first_text(name));
    let publisher = book.and_then(|book| book.first("Publisher"));
    let mut sections = Vec::new();
    for list in document.all("Sections") {
        read_sections(list, 1, &mut sections);
    }
    Book {
        title: of_book("BookTitle"),
        publisher: publisher.and_then(|p| p.first_text("PublisherName")),
        publisher_location: publisher.and_then(|p| p.first_text("PublisherLocation")),
        pub_date: dates::pub_date(book.and_then(|book| book.first("PubDate"))),
        beginning_date: book.and_then(|book| book.first("BeginningDate")).and_then(dates::iso),
        ending_date: book.and_then(|book| book.first("EndingDate")).and_then(dates::iso),
        contribution_date: document.first("ContributionDate").and_then(dates::iso),
        authors: book.map_or_else(Vec::new, people::authors),
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
            .map(|one| LocationLabel { r#type: one.attribute("Type"), text: one.text() })
            .collect(),
        sections,
        item_lists: document
            .all("ItemList")
            .map(|list| ItemList { r#type: list.attribute("ListType"), items: texts(list, "Item") })
            .collect(),
    }
}

/// Reads a `PubmedBookArticle`; a record of a whole book has the book's title.
pub fn read<'a>(root: Element<'_, 'a>) -> Result<Article<'a>, ArticleError> {
    let document = root.first("BookDocument").ok_or(ArticleError::NoPmid)?;
    let (pmid, version) = own_pmid(document)?;
    let data = root.first("PubmedBookData");
    let r#abstract = document.first("Abstract");
    let book = read_book(document);
    let pub_types = subjects::pub_types(Some(document));
    let own_list = document.first("ArticleIdList").or_else(|| data.and_then(|data| data.first("ArticleIdList")));
    Ok(Article {
        pmid,
        version,
        kind: "book",
        status: None,
        owner: None,
        indexing_method: None,
        title: document.first_text("ArticleTitle").or_else(|| book.title.clone()),
        vernacular_title: document.first_text("VernacularTitle"),
        r#abstract: sections(r#abstract),
        other_abstracts: Vec::new(),
        copyright: r#abstract.and_then(|a| a.first_text("CopyrightInformation")),
        authors: people::authors(document),
        investigators: people::investigators(document),
        journal: None,
        pagination: pagination(document),
        languages: texts(document, "Language"),
        integrity: integrity::judge(&pub_types, &[]),
        pub_types,
        pub_model: None,
        pub_date: book.pub_date.clone(),
        article_dates: Vec::new(),
        date_completed: None,
        date_revised: document.first("DateRevised").and_then(dates::iso),
        history: history(data),
        publication_status: data.and_then(|data| data.first_text("PublicationStatus")),
        ids: own_ids(own_list, &book.elocation_ids),
        elocation_ids: elocations(document),
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
    })
}
