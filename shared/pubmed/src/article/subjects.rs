//! Subjects of a record: MeSH, chemicals, keywords, publication types.

use serde::Serialize;

use super::{Text, of_each};
use crate::xml_tree::Element;

/// A publication type.
#[derive(Clone, Debug, Serialize)]
pub struct PubType<'a> {
    /// MeSH unique id, e.g. `D016428`.
    pub ui: Option<Text<'a>>,
    /// E.g. `Journal Article`.
    pub name: Text<'a>,
}

/// A MeSH heading with its qualifiers.
#[derive(Clone, Debug, Serialize)]
pub struct MeshHeading<'a> {
    /// MeSH unique id of the descriptor.
    pub ui: Option<Text<'a>>,
    /// Name of the descriptor.
    pub name: Text<'a>,
    /// Whether it is a major topic.
    pub major: bool,
    /// `Geographic`, or none.
    pub r#type: Option<Text<'a>>,
    /// Whether it was assigned automatically (`AutoHM`).
    pub auto: bool,
    pub qualifiers: Vec<Qualifier<'a>>,
}

/// A MeSH qualifier.
#[derive(Clone, Debug, Serialize)]
pub struct Qualifier<'a> {
    /// MeSH unique id.
    pub ui: Option<Text<'a>>,
    pub name: Text<'a>,
    /// Whether it is a major topic.
    pub major: bool,
    /// Whether it was assigned automatically.
    pub auto: bool,
}

/// A supplementary concept.
#[derive(Clone, Debug, Serialize)]
pub struct SupplMesh<'a> {
    /// MeSH unique id.
    pub ui: Option<Text<'a>>,
    pub name: Text<'a>,
    /// `Disease`, `Protocol`, `Organism`, `Anatomy` or `Population`.
    pub r#type: Option<Text<'a>>,
}

/// A substance.
#[derive(Clone, Debug, Serialize)]
pub struct Chemical<'a> {
    /// MeSH unique id.
    pub ui: Option<Text<'a>>,
    pub name: Option<Text<'a>>,
    /// CAS, EC or UNII number; `0` if it has none.
    pub registry_number: Option<Text<'a>>,
}

/// A keyword.
#[derive(Clone, Debug, Serialize)]
pub struct Keyword<'a> {
    /// Source of the keyword; `NOTNLM` means the authors.
    pub owner: Option<Text<'a>>,
    pub text: Text<'a>,
    /// Whether it is a major topic.
    pub major: bool,
}

/// Publication types among the children of elements.
pub fn pub_types<'t, 'a: 't>(parents: impl Iterator<Item = Element<'t, 'a>>) -> Vec<PubType<'a>> {
    let types = parents.flat_map(|parent| parent.all("PublicationType"));
    types.filter_map(|one| Some(PubType { name: one.text()?, ui: one.attribute("UI") })).collect()
}

/// MeSH headings of a citation.
pub fn mesh_headings<'a>(citation: Element<'_, 'a>) -> Vec<MeshHeading<'a>> {
    let headings = citation.all("MeshHeadingList").flat_map(|list| list.all("MeshHeading"));
    headings
        .filter_map(|heading| {
            let descriptor = heading.first("DescriptorName")?;
            let name = descriptor.text()?;
            let qualifiers = heading.all("QualifierName").filter_map(|qualifier| {
                Some(Qualifier {
                    name: qualifier.text()?,
                    ui: qualifier.attribute("UI"),
                    major: is_major(qualifier),
                    auto: is_auto(qualifier),
                })
            });
            Some(MeshHeading {
                ui: descriptor.attribute("UI"),
                name,
                major: is_major(descriptor),
                r#type: descriptor.attribute("Type"),
                auto: is_auto(descriptor),
                qualifiers: qualifiers.collect(),
            })
        })
        .collect()
}

fn is_major(element: Element<'_, '_>) -> bool {
    element.yes_no("MajorTopicYN") == Some(true)
}

fn is_auto(element: Element<'_, '_>) -> bool {
    element.yes_no("AutoHM") == Some(true)
}

/// Supplementary concepts of a citation.
pub fn suppl_mesh<'a>(citation: Element<'_, 'a>) -> Vec<SupplMesh<'a>> {
    let names = citation.all("SupplMeshList").flat_map(|list| list.all("SupplMeshName"));
    names
        .filter_map(|one| Some(SupplMesh { name: one.text()?, ui: one.attribute("UI"), r#type: one.attribute("Type") }))
        .collect()
}

/// Substances of a citation.
pub fn chemicals<'a>(citation: Element<'_, 'a>) -> Vec<Chemical<'a>> {
    let chemicals = citation.all("ChemicalList").flat_map(|list| list.all("Chemical"));
    chemicals
        .filter(|one| !one.is_blank())
        .map(|one| Chemical {
            ui: one.first("NameOfSubstance").and_then(|name| name.attribute("UI")),
            name: one.first_text("NameOfSubstance"),
            registry_number: one.first_text("RegistryNumber"),
        })
        .collect()
}

/// Keywords among the children of `parent`.
pub fn keywords<'a>(parent: Element<'_, 'a>) -> Vec<Keyword<'a>> {
    let mut all = Vec::new();
    for list in parent.all("KeywordList") {
        let mut owner = of_each(list.attribute("Owner"));
        all.extend(
            list.all("Keyword").filter_map(|keyword| {
                Some(Keyword { text: keyword.text()?, owner: owner(), major: is_major(keyword) })
            }),
        );
    }
    all
}

/// The number of references of a citation; a value that is not a number is left unread.
pub fn number_of_references(citation: Element<'_, '_>) -> Option<i64> {
    let is_number = |text: &str| text.trim().parse::<i64>().ok();
    let element = citation.all("NumberOfReferences").find(|one| is_number(&one.raw_text()).is_some())?;
    is_number(&element.text()?)
}
