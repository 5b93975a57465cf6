//! A `PubmedArticle`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::{Article, ArticleError, Text, dates, integrity, own_pmid, people, references, subjects, texts};
use crate::pubmed::xml_tree::Element;

/// A section of an abstract; an unstructured abstract is one section without label.
#[derive(Clone, Debug, Serialize)]
pub struct AbstractSection<'a> {
    /// The publisher's label.
    pub label: Option<Text<'a>>,
    /// NLM's category.
    pub category: Option<Text<'a>>,
    /// The text.
    pub text: Text<'a>,
}

/// An abstract from elsewhere or in another language.
#[derive(Clone, Debug, Serialize)]
pub struct OtherAbstract<'a> {
    /// E.g. `Publisher`, `plain-language-summary`.
    pub r#type: Option<Text<'a>>,
    /// Language code; `eng` where none is given.
    pub language: Text<'a>,
    /// Its sections.
    pub sections: Vec<AbstractSection<'a>>,
    /// Its copyright.
    pub copyright: Option<Text<'a>>,
}

/// The journal issue of an article.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of PubMed's elements")]
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
    /// The location.
    pub value: Text<'a>,
    /// False where it was found to be wrong.
    pub valid: bool,
}

/// A grant. Records repeat grants; so does this list.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of PubMed's elements")]
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
    /// Accession numbers.
    pub accessions: Vec<Text<'a>>,
}

/// A link to a comment, correction, retraction or the like.
#[derive(Clone, Debug, Serialize)]
pub struct Comment<'a> {
    /// E.g. `ErratumIn`, `RetractionOf`.
    pub ref_type: Option<Text<'a>>,
    /// The other record.
    pub pmid: Option<Text<'a>>,
    /// Its citation.
    pub source: Option<Text<'a>>,
    /// A note.
    pub note: Option<Text<'a>>,
}

/// A general note.
#[derive(Clone, Debug, Serialize)]
pub struct Note<'a> {
    /// Who wrote it.
    pub owner: Option<Text<'a>>,
    /// The note.
    pub text: Text<'a>,
}

/// An identifier in another system.
#[derive(Clone, Debug, Serialize)]
pub struct OtherId<'a> {
    /// The system.
    pub source: Option<Text<'a>>,
    /// The identifier.
    pub value: Text<'a>,
}

/// An object of a publisher, e.g. a linked data set.
#[derive(Clone, Debug, Serialize)]
pub struct Object<'a> {
    /// What it is.
    pub r#type: Option<Text<'a>>,
    /// Its parameters: name and value.
    pub params: Vec<(Option<Text<'a>>, Text<'a>)>,
}

/// Sections of an `Abstract` or `OtherAbstract`.
pub fn sections<'a>(parent: Option<Element<'_, 'a>>) -> Vec<AbstractSection<'a>> {
    let texts = parent.into_iter().flat_map(|parent| parent.all("AbstractText"));
    texts
        .map(|one| AbstractSection {
            label: one.attribute("Label"),
            category: one.attribute("NlmCategory"),
            text: one.text(),
        })
        .collect()
}

/// Grants of a `GrantList`.
pub fn grants<'a>(parent: Element<'_, 'a>) -> Vec<Grant<'a>> {
    let grants = parent.all("GrantList").flat_map(|list| list.all("Grant"));
    grants
        .map(|one| Grant {
            id: one.first_text("GrantID"),
            acronym: one.first_text("Acronym"),
            agency: one.first_text("Agency"),
            country: one.first_text("Country"),
        })
        .collect()
}

/// `MedlinePgn`, else start and end page.
pub fn pagination<'a>(parent: Element<'_, 'a>) -> Option<Text<'a>> {
    let pagination = parent.first("Pagination")?;
    if let Some(pages) = pagination.first_text("MedlinePgn") {
        return Some(pages);
    }
    let start = pagination.first_text("StartPage")?;
    match pagination.first_text("EndPage") {
        Some(end) => Some(Cow::Owned(format!("{start}-{end}"))),
        None => Some(start),
    }
}

/// Electronic locations among the children of `parent`.
pub fn elocations<'a>(parent: Element<'_, 'a>) -> Vec<Elocation<'a>> {
    let ids = parent.all("ELocationID");
    ids.map(|one| Elocation {
        r#type: one.attribute("EIdType"),
        value: one.text(),
        valid: one.attribute("ValidYN").as_deref() != Some("N"),
    })
    .collect()
}

/// The history of a `PubmedData` or `PubmedBookData`.
pub fn history<'a>(data: Option<Element<'_, 'a>>) -> Vec<dates::Stamp<'a>> {
    let lists = data.into_iter().flat_map(|data| data.all("History"));
    lists.flat_map(|list| list.all("PubMedPubDate")).map(dates::stamp).collect()
}

/// Objects of a `PubmedData` or `PubmedBookData`.
pub fn objects<'a>(data: Option<Element<'_, 'a>>) -> Vec<Object<'a>> {
    let lists = data.into_iter().flat_map(|data| data.all("ObjectList"));
    lists
        .flat_map(|list| list.all("Object"))
        .map(|one| Object {
            r#type: one.attribute("Type"),
            params: one.all("Param").map(|param| (param.attribute("Name"), param.text())).collect(),
        })
        .collect()
}

/// Own identifiers: those of `PubmedData`, then valid electronic locations; never those of cited
/// works.
pub fn own_ids<'a>(
    list: Option<Element<'_, 'a>>,
    elocations: &[Elocation<'a>],
) -> BTreeMap<Text<'a>, Option<Text<'a>>> {
    let mut ids = references::ids(list);
    for location in elocations.iter().filter(|location| location.valid) {
        if let Some(kind) = &location.r#type {
            ids.entry(kind.clone()).or_insert_with(|| Some(location.value.clone()));
        }
    }
    for always in ["doi", "pmc", "pii"] {
        ids.entry(Cow::Borrowed(always)).or_insert(None);
    }
    ids
}

fn journal<'a>(citation: Element<'_, 'a>, article: Option<Element<'_, 'a>>) -> Journal<'a> {
    let journal = article.and_then(|article| article.first("Journal"));
    let issue = journal.and_then(|journal| journal.first("JournalIssue"));
    let info = citation.first("MedlineJournalInfo");
    let of_journal = |name| journal.and_then(|journal| journal.first_text(name));
    let of_issue = |name| issue.and_then(|issue| issue.first_text(name));
    let of_info = |name| info.and_then(|info| info.first_text(name));
    Journal {
        title: of_journal("Title"),
        iso_abbreviation: of_journal("ISOAbbreviation"),
        medline_ta: of_info("MedlineTA"),
        nlm_unique_id: of_info("NlmUniqueID"),
        issn: of_journal("ISSN"),
        issn_type: journal.and_then(|j| j.first("ISSN")).and_then(|issn| issn.attribute("IssnType")),
        issn_linking: of_info("ISSNLinking"),
        volume: of_issue("Volume"),
        issue: of_issue("Issue"),
        medium: issue.and_then(|issue| issue.attribute("CitedMedium")),
        country: of_info("Country"),
    }
}

fn comments<'a>(citation: Element<'_, 'a>) -> Vec<Comment<'a>> {
    let comments = citation.all("CommentsCorrectionsList").flat_map(|list| list.all("CommentsCorrections"));
    comments
        .map(|one| Comment {
            ref_type: one.attribute("RefType"),
            pmid: one.first_text("PMID"),
            source: one.first_text("RefSource"),
            note: one.first_text("Note"),
        })
        .collect()
}

fn other_abstracts<'a>(citation: Element<'_, 'a>) -> Vec<OtherAbstract<'a>> {
    let abstracts = citation.all("OtherAbstract");
    abstracts
        .map(|one| OtherAbstract {
            r#type: one.attribute("Type"),
            language: one.attribute("Language").unwrap_or(Cow::Borrowed("eng")),
            sections: sections(Some(one)),
            copyright: one.first_text("CopyrightInformation"),
        })
        .collect()
}

fn data_banks<'a>(article: Option<Element<'_, 'a>>) -> Vec<DataBank<'a>> {
    let lists = article.into_iter().flat_map(|article| article.all("DataBankList"));
    lists
        .flat_map(|list| list.all("DataBank"))
        .map(|bank| DataBank {
            name: bank.first_text("DataBankName"),
            accessions: bank.first("AccessionNumberList").map_or_else(Vec::new, |list| texts(list, "AccessionNumber")),
        })
        .collect()
}

/// Reads a `PubmedArticle`.
pub fn read<'a>(root: Element<'_, 'a>) -> Result<Article<'a>, ArticleError> {
    let citation = root.first("MedlineCitation").ok_or(ArticleError::NoPmid)?;
    let (pmid, version) = own_pmid(citation)?;
    let article = citation.first("Article");
    let data = root.first("PubmedData");
    let of_article = |name| article.and_then(|article| article.first_text(name));
    let r#abstract = article.and_then(|article| article.first("Abstract"));
    let issue = article.and_then(|a| a.first("Journal")).and_then(|j| j.first("JournalIssue"));
    let pub_types = subjects::pub_types(article.and_then(|a| a.first("PublicationTypeList")));
    let comments_corrections = comments(citation);
    let elocation_ids = article.map_or_else(Vec::new, elocations);
    Ok(Article {
        pmid,
        version,
        kind: "article",
        status: citation.attribute("Status"),
        owner: citation.attribute("Owner"),
        indexing_method: citation.attribute("IndexingMethod"),
        title: of_article("ArticleTitle"),
        vernacular_title: of_article("VernacularTitle"),
        r#abstract: sections(r#abstract),
        other_abstracts: other_abstracts(citation),
        copyright: r#abstract.and_then(|a| a.first_text("CopyrightInformation")),
        authors: article.map_or_else(Vec::new, people::authors),
        investigators: people::investigators(citation),
        journal: Some(journal(citation, article)),
        pagination: article.and_then(pagination),
        languages: article.map_or_else(Vec::new, |a| texts(a, "Language")),
        pub_model: article.and_then(|a| a.attribute("PubModel")),
        pub_date: dates::pub_date(issue.and_then(|issue| issue.first("PubDate"))),
        article_dates: article.into_iter().flat_map(|a| a.all("ArticleDate")).filter_map(dates::iso).collect(),
        date_completed: citation.first("DateCompleted").and_then(dates::iso),
        date_revised: citation.first("DateRevised").and_then(dates::iso),
        history: history(data),
        publication_status: data.and_then(|data| data.first_text("PublicationStatus")),
        ids: own_ids(data.and_then(|data| data.first("ArticleIdList")), &elocation_ids),
        elocation_ids,
        mesh_headings: subjects::mesh_headings(citation),
        suppl_mesh: subjects::suppl_mesh(citation),
        chemicals: subjects::chemicals(citation),
        gene_symbols: citation.all("GeneSymbolList").flat_map(|list| texts(list, "GeneSymbol")).collect(),
        keywords: subjects::keywords(citation),
        grants: article.map_or_else(Vec::new, grants),
        data_banks: data_banks(article),
        citation_subsets: texts(citation, "CitationSubset"),
        integrity: integrity::judge(&pub_types, &comments_corrections),
        pub_types,
        comments_corrections,
        references: data.map_or_else(Vec::new, references::references),
        coi_statement: citation.first_text("CoiStatement"),
        general_notes: citation
            .all("GeneralNote")
            .map(|one| Note { owner: one.attribute("Owner"), text: one.text() })
            .collect(),
        other_ids: citation
            .all("OtherID")
            .map(|one| OtherId { source: one.attribute("Source"), value: one.text() })
            .collect(),
        space_flight_missions: texts(citation, "SpaceFlightMission"),
        personal_name_subjects: people::subjects(citation),
        number_of_references: citation.first_text("NumberOfReferences").and_then(|n| n.trim().parse().ok()),
        objects: objects(data),
        book: None,
    })
}
