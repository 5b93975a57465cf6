//! Identifiers of works, by type.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::Serialize;

use super::{Elocation, Text};
use crate::xml_tree::{Element, is_blank};

/// Identifiers by type: the first one of each.
pub type Ids<'a> = BTreeMap<Text<'a>, Option<Text<'a>>>;

/// A further identifier of a type that the record has already.
#[derive(Clone, Debug, Serialize)]
pub struct ArticleId<'a> {
    /// `doi`, `pii`, `pmc`, …
    pub r#type: Text<'a>,
    /// The identifier as written.
    pub value: Text<'a>,
}

/// Identifiers of `ArticleIdList` elements by type, and further ones of these types. Empty ones are ignored.
pub fn ids<'t, 'a: 't>(lists: impl Iterator<Item = Element<'t, 'a>>) -> (Ids<'a>, Vec<ArticleId<'a>>) {
    let mut ids = Ids::new();
    let mut rest = Vec::new();
    for id in lists.flat_map(|list| list.all("ArticleId")) {
        let Some(value) = id.text() else { continue };
        // According to the DTD, an identifier without a type is a PMID.
        let kind = id.attribute("IdType").unwrap_or(Cow::Borrowed("pubmed"));
        match ids.entry(kind) {
            Entry::Vacant(first) => _ = first.insert(Some(value)),
            Entry::Occupied(taken) => rest.push(ArticleId { r#type: taken.key().clone(), value }),
        }
    }
    (ids, rest)
}

/// The first identifier of each type; further ones are left unread.
pub fn first_ids<'t, 'a: 't>(lists: impl Iterator<Item = Element<'t, 'a>>) -> Ids<'a> {
    let mut ids = Ids::new();
    for id in lists.flat_map(|list| list.all("ArticleId")).filter(|id| !id.is_blank()) {
        let kind = id.raw_attribute("IdType").map_or(Cow::Borrowed("pubmed"), Clone::clone);
        let kind = id.form().escape(if is_blank(&kind) { Cow::Borrowed("pubmed") } else { kind });
        if let Entry::Vacant(first) = ids.entry(kind) {
            first.insert(id.text());
            // The type is read only for an identifier that is shown.
            id.attribute("IdType");
        }
    }
    ids
}

/// Identifiers of the work itself: those of the lists, then valid electronic locations; never those of cited works.
pub fn own_ids<'t, 'a: 't>(
    lists: impl Iterator<Item = Element<'t, 'a>>,
    elocations: &[Elocation<'a>],
) -> (Ids<'a>, Vec<ArticleId<'a>>) {
    let (mut ids, rest) = self::ids(lists);
    for location in elocations.iter().filter(|location| location.valid) {
        if let Some(kind) = &location.r#type {
            ids.entry(kind.clone()).or_insert_with(|| Some(location.value.clone()));
        }
    }
    for always in ["doi", "pmc", "pii"] {
        ids.entry(Cow::Borrowed(always)).or_insert(None);
    }
    (ids, rest)
}
