//! Cited works.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::Text;
use crate::pubmed::xml_tree::Element;

/// A cited work.
#[derive(Clone, Debug, Serialize)]
pub struct Reference<'a> {
    /// The citation as text.
    pub citation: Option<Text<'a>>,
    /// Its identifiers by type.
    pub ids: BTreeMap<Text<'a>, Option<Text<'a>>>,
    /// Title of the list it stands in.
    pub section: Option<Text<'a>>,
}

/// All references of `parent`, in document order; lists may nest.
pub fn references<'a>(parent: Element<'_, 'a>) -> Vec<Reference<'a>> {
    let mut all = Vec::new();
    for list in parent.all("ReferenceList") {
        read_list(list, &mut all);
    }
    all
}

/// Recursion is bounded: a tree is never deeper than `split::MAX_DEPTH`.
fn read_list<'a>(list: Element<'_, 'a>, all: &mut Vec<Reference<'a>>) {
    let section = list.first_text("Title");
    for child in list.elements() {
        match child.name() {
            "Reference" => all.push(Reference {
                citation: child.first_text("Citation"),
                ids: ids(child.first("ArticleIdList")),
                section: section.clone(),
            }),
            "ReferenceList" => read_list(child, all),
            _ => {}
        }
    }
}

/// Identifiers of an `ArticleIdList` by type; of several of one type the first counts.
pub fn ids<'a>(list: Option<Element<'_, 'a>>) -> BTreeMap<Text<'a>, Option<Text<'a>>> {
    let mut ids = BTreeMap::new();
    for id in list.into_iter().flat_map(|list| list.all("ArticleId")) {
        let kind = id.attribute("IdType").unwrap_or(Cow::Borrowed("pubmed"));
        ids.entry(kind).or_insert_with(|| Some(id.text()));
    }
    ids
}
