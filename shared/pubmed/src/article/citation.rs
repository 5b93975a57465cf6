//! A `PubmedArticle`.

use super::article_parts::{
    Complete, comments, data_banks, elocations, general_notes, grants, journal, objects, other_abstracts, other_ids,
    pages, sections,
};
use super::{Article, ArticleError, dates, ids, integrity, own_pmid, own_title, people, references, subjects, texts};
use crate::xml_tree::Element;

/// Reads a `PubmedArticle`.
pub fn read<'a>(root: Element<'_, 'a>) -> Result<Article<'a>, ArticleError> {
    let citation = root.first("MedlineCitation").ok_or(ArticleError::NoPmid)?;
    let (pmid, version) = own_pmid(citation)?;
    let article = citation.first("Article");
    let data = root.first("PubmedData");
    let abstracts = || article.into_iter().flat_map(|article| article.all("Abstract"));
    let issue = article.and_then(|a| a.first("Journal")).and_then(|j| j.first("JournalIssue"));
    let type_lists = article.into_iter().flat_map(|article| article.all("PublicationTypeList"));
    let elocation_ids = article.map_or_else(Vec::new, elocations);
    let id_lists = data.into_iter().flat_map(|data| data.all("ArticleIdList"));
    let (ids, other_article_ids) = ids::own_ids(id_lists, &elocation_ids);
    let pages = pages(article);
    let mut date_text = dates::DateTexts::new();
    Ok(Article {
        pmid,
        version,
        version_id: citation.attribute("VersionID"),
        version_date: citation.attribute("VersionDate"),
        kind: "article",
        complete: Complete::read(article),
        status: citation.attribute("Status"),
        owner: citation.attribute("Owner"),
        indexing_method: citation.attribute("IndexingMethod"),
        title: own_title(citation).and_then(Element::text),
        vernacular_title: article.and_then(|article| article.first_text("VernacularTitle")),
        r#abstract: sections(abstracts()),
        other_abstracts: other_abstracts(citation),
        copyright: abstracts().find_map(|one| one.first_text("CopyrightInformation")),
        authors: article.map_or_else(Vec::new, people::authors),
        investigators: people::investigators(citation),
        journal: Some(journal(citation, article)),
        pagination: pages.pagination(),
        pages,
        languages: article.map_or_else(Vec::new, |a| texts(a, "Language")),
        pub_types: subjects::pub_types(type_lists),
        pub_model: article.and_then(|a| a.attribute("PubModel")),
        pub_date: dates::pub_date(issue.and_then(|issue| issue.first("PubDate"))),
        article_dates: dates::article_dates(article),
        date_completed: dates::iso(Some(citation), "DateCompleted", "date_completed", &mut date_text),
        date_revised: dates::iso(Some(citation), "DateRevised", "date_revised", &mut date_text),
        date_text,
        history: dates::history(data),
        publication_status: data.and_then(|data| data.first_text("PublicationStatus")),
        ids,
        other_article_ids,
        elocation_ids,
        mesh_headings: subjects::mesh_headings(citation),
        suppl_mesh: subjects::suppl_mesh(citation),
        chemicals: subjects::chemicals(citation),
        gene_symbols: citation.all("GeneSymbolList").flat_map(|list| texts(list, "GeneSymbol")).collect(),
        keywords: subjects::keywords(citation),
        grants: article.map_or_else(Vec::new, grants),
        data_banks: data_banks(article),
        citation_subsets: texts(citation, "CitationSubset"),
        integrity: integrity::assess(root),
        comments_corrections: comments(citation),
        references: data.map_or_else(Vec::new, references::references),
        coi_statement: citation.first_text("CoiStatement"),
        general_notes: general_notes(citation),
        other_ids: other_ids(citation),
        space_flight_missions: texts(citation, "SpaceFlightMission"),
        personal_name_subjects: people::subjects(citation),
        number_of_references: subjects::number_of_references(citation),
        objects: objects(data),
        book: None,
        unmapped: Vec::new(),
    })
}
