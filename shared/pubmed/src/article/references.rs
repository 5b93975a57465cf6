//! Cited works.

use serde::Serialize;

use super::ids::{Ids, first_ids};
use super::{Text, of_each};
use crate::xml_tree::Element;

/// A cited work.
#[derive(Clone, Debug, Serialize)]
pub struct Reference<'a> {
    pub citation: Option<Text<'a>>,
    /// Identifiers by type.
    pub ids: Ids<'a>,
    /// Title of the list it is in.
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
    // The title is read with the first reference that shows it.
    let mut section = None;
    for child in list.elements() {
        match child.name() {
            "Reference" => {
                let ids = first_ids(child.all("ArticleIdList"));
                let citation = child.first_text("Citation");
                if citation.is_some() || !ids.is_empty() {
                    let section = section.get_or_insert_with(|| of_each(list.first_text("Title")));
                    all.push(Reference { citation, ids, section: section() });
                }
            }
            "ReferenceList" => read_list(child, all),
            _ => {}
        }
    }
}
