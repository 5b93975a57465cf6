//! Selects the requested fields of the typed record, the most important first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The smallest bound on a result, in characters.
pub const MIN_CHARS: usize = 1_000;

/// The largest bound on a result, in characters.
pub const MAX_CHARS: usize = 400_000;

/// Parts of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Include {
    /// Abstracts and their copyright.
    Abstract,
    /// Authors and investigators.
    Authors,
    /// MeSH headings and supplementary concepts.
    Mesh,
    /// Keywords.
    Keywords,
    /// Where authors and investigators work.
    Affiliations,
    /// Cited works.
    References,
    /// Grants.
    Grants,
    /// Substances.
    Chemicals,
    /// Dates of its processing in PubMed.
    History,
    /// Links to comments, corrections and retractions.
    Comments,
    /// Gene symbols and accession numbers of data banks.
    Genes,
    /// Every field.
    All,
}

impl Include {
    /// Each part.
    pub const EACH: [Self; 12] = [
        Self::Abstract,
        Self::Authors,
        Self::Mesh,
        Self::Keywords,
        Self::Affiliations,
        Self::References,
        Self::Grants,
        Self::Chemicals,
        Self::History,
        Self::Comments,
        Self::Genes,
        Self::All,
    ];

    /// Parts that are included by default.
    pub const DEFAULT: [Self; 4] = [Self::Abstract, Self::Authors, Self::Mesh, Self::Keywords];
}

/// Fields that every result has, in the order of their importance.
const CORE: [&str; 20] = [
    "integrity",
    "title",
    "pub_date",
    "journal",
    "ids",
    "pub_types",
    "languages",
    "book",
    "pagination",
    "pages",
    "version",
    "kind",
    "status",
    "vernacular_title",
    "article_dates",
    "date_revised",
    "date_completed",
    "version_id",
    "version_date",
    "other_article_ids",
];

/// Fields of each part, in the order of their importance.
const PARTS: [(Include, &[&str]); 10] = [
    (Include::Abstract, &["abstract", "copyright"]),
    (Include::Authors, &["authors", "complete", "investigators"]),
    (Include::Mesh, &["mesh_headings", "suppl_mesh"]),
    (Include::Keywords, &["keywords"]),
    (Include::Abstract, &["other_abstracts"]),
    (Include::Comments, &["comments_corrections"]),
    (Include::Genes, &["gene_symbols", "data_banks"]),
    (Include::Chemicals, &["chemicals"]),
    (Include::Grants, &["grants"]),
    (Include::History, &["history", "publication_status"]),
];

/// The longest part, after everything that people read.
const LAST: [&str; 2] = ["number_of_references", "references"];

/// Fields that contain people, whose affiliations are separate.
const PEOPLE: [&str; 2] = ["authors", "investigators"];

/// The requested fields.
#[derive(Clone, Debug, Default)]
pub struct SelectedFields {
    /// Fields of every result.
    pub core: Vec<(String, Value)>,
    /// Included fields, the most important first. People are without affiliations.
    pub more: Vec<(String, Value)>,
    /// Affiliations of each person of a field, if they were included.
    pub affiliations: Vec<(String, Vec<Value>)>,
}

/// Selects the requested fields of a record; its PMID is not among them.
pub fn wanted(mut record: Map<String, Value>, include: &[Include]) -> SelectedFields {
    let all = include.contains(&Include::All);
    let is_included = |part: Include| all || include.contains(&part);
    let mut wanted = SelectedFields::default();
    record.remove("pmid");
    for field in PEOPLE {
        let apart = affiliations_apart(record.get_mut(field));
        if is_included(Include::Affiliations) && apart.iter().any(|one| one != &Value::Array(Vec::new())) {
            wanted.affiliations.push((field.to_owned(), apart));
        }
    }
    let mut take = |into: &mut Vec<(String, Value)>, names: &[&str]| {
        into.extend(names.iter().filter_map(|name| record.remove_entry(*name)));
    };
    take(&mut wanted.core, &CORE);
    for (part, names) in PARTS {
        // Affiliations are shown with their people.
        let people = part == Include::Authors && is_included(Include::Affiliations);
        if is_included(part) || people {
            take(&mut wanted.more, names);
        }
    }
    let mut references = Vec::new();
    if is_included(Include::References) {
        take(&mut references, &LAST);
    }
    if all {
        wanted.more.extend(record);
    }
    wanted.more.extend(references);
    wanted
}

/// Removes the affiliations from a list of people and returns them.
fn affiliations_apart(people: Option<&mut Value>) -> Vec<Value> {
    let people = people.and_then(Value::as_array_mut).into_iter().flatten();
    people
        .map(|one| one.as_object_mut().and_then(|one| one.remove("affiliations")).unwrap_or(Value::Array(Vec::new())))
        .collect()
}
