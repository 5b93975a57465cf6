//! Compares two trees: every difference with its path, and the old payload with some of the differences applied.

use std::collections::HashMap;

use super::XmlChange;
use super::children::{Children, Step, align, hashes};
use super::xml_text::{value, write, write_attribute};
use crate::same_xml::is_mixed;
use crate::work;
use crate::xml_tree::{Child, Element, Tree};

/// Maximum number of compared pairs of children, over all lists of two records.
const MAX_CELLS_OF_ALL: usize = 8 << 20;

/// With more changes than this, an element with changed parts is one change.
const MAX_CHANGES: usize = 20_000;

/// The old payload with some of the changes applied.
pub(super) struct Merge<'p> {
    picks: &'p dyn Fn(usize) -> bool,
    pub(super) changes: Vec<XmlChange>,
    pub(super) xml: String,
    /// Hashes of all elements of both trees.
    hashes: (Vec<u64>, Vec<u64>),
    cells: usize,
}

impl<'p> Merge<'p> {
    pub(super) fn of(old: &Tree<'_>, new: &Tree<'_>, picks: &'p dyn Fn(usize) -> bool) -> Self {
        let hashes = (hashes(old), hashes(new));
        let mut merge = Self { picks, changes: Vec::new(), xml: String::new(), hashes, cells: MAX_CELLS_OF_ALL };
        let (old, new) = (old.root(), new.root());
        let path = format!("/{}", old.name());
        if old.name() == new.name() {
            merge.element(old, new, &path);
        } else {
            merge.one(path, Some(Child::Element(old)), Some(Child::Element(new)));
        }
        merge
    }

    /// Records a change and returns whether it is applied.
    fn note(&mut self, path: String, old: Option<String>, new: Option<String>) -> bool {
        self.changes.push(XmlChange { path, old, new, is_markup: false });
        (self.picks)(self.changes.len() - 1)
    }

    /// Records a child that was added, removed or replaced, and writes the merged XML.
    fn one(&mut self, path: String, old: Option<Child<'_, '_>>, new: Option<Child<'_, '_>>) {
        let picked = self.note(path, old.as_ref().map(value), new.as_ref().map(value));
        if let Some(child) = if picked { new } else { old } {
            write(&child, &mut self.xml);
        }
    }

    /// Compares two elements of one name. Recursion is bounded: a tree is never deeper than
    /// `split::MAX_DEPTH`.
    fn element(&mut self, old: Element<'_, '_>, new: Element<'_, '_>, path: &str) {
        if is_mixed(old) && tags(old) != tags(new) {
            self.one(path.to_owned(), Some(Child::Element(old)), Some(Child::Element(new)));
            if let Some(change) = self.changes.last_mut() {
                change.is_markup = true;
            }
            return;
        }
        let children = (Children::of(old, &self.hashes.0), Children::of(new, &self.hashes.1));
        let steps = align(&children.0, &children.1, &mut self.cells);
        let changed = steps.iter().filter(|(a, b)| match (a, b) {
            (Some(a), Some(b)) => children.0.hashes[*a] != children.1.hashes[*b],
            _ => true,
        });
        if self.changes.len() + changed.count() > MAX_CHANGES {
            self.one(path.to_owned(), Some(Child::Element(old)), Some(Child::Element(new)));
            return;
        }
        self.xml.push('<');
        self.xml.push_str(old.name());
        for (key, value) in old.attributes() {
            let other = new.raw_attribute(key);
            let made = other != Some(value)
                && self.note(format!("{path}/@{key}"), Some(value.to_string()), other.map(ToString::to_string));
            if let Some(value) = if made { other } else { Some(value) } {
                write_attribute(key, value, &mut self.xml);
            }
        }
        for (key, value) in new.attributes() {
            if old.raw_attribute(key).is_none() && self.note(format!("{path}/@{key}"), None, Some(value.to_string())) {
                write_attribute(key, value, &mut self.xml);
            }
        }
        self.xml.push('>');
        self.children(&children.0, &children.1, steps, path);
        self.xml.push_str("</");
        self.xml.push_str(old.name());
        self.xml.push('>');
    }

    fn children(&mut self, old: &Children<'_, '_>, new: &Children<'_, '_>, steps: Vec<Step>, path: &str) {
        let old_path = |at: usize| old.path(at, new, path);
        let new_path = |at: usize| new.path(at, old, path);
        // A child removed at one position and added at another was moved: one change, not two.
        let mut moved: HashMap<u64, Vec<usize>> = HashMap::new();
        for step in &steps {
            if let (None, Some(b)) = step {
                moved.entry(new.hashes[*b]).or_default().push(*b);
            }
        }
        let mut moved_from = HashMap::new();
        let mut moved_to = HashMap::new();
        for step in &steps {
            if let (Some(a), None) = step
                && let Some(b) = moved.get_mut(&old.hashes[*a]).and_then(Vec::pop)
            {
                let text = value(&old.all[*a]);
                let made = self.note(format!("{} (order)", old_path(*a)), Some(text.clone()), Some(text));
                moved_from.insert(*a, made);
                moved_to.insert(b, made);
            }
        }
        for step in steps {
            match step {
                (Some(a), Some(b)) => match (old.all[a], new.all[b]) {
                    (one, _) if old.hashes[a] == new.hashes[b] => write(&one, &mut self.xml),
                    (Child::Element(one), Child::Element(other)) => self.element(one, other, &old_path(a)),
                    (one, other) => self.one(old_path(a), Some(one), Some(other)),
                },
                (Some(a), None) => match moved_from.get(&a) {
                    Some(true) => {}
                    Some(false) => write(&old.all[a], &mut self.xml),
                    None => self.one(old_path(a), Some(old.all[a]), None),
                },
                (None, Some(b)) => match moved_to.get(&b) {
                    Some(true) => write(&new.all[b], &mut self.xml),
                    Some(false) => {}
                    None => self.one(new_path(b), None, Some(new.all[b])),
                },
                (None, None) => {}
            }
        }
    }
}

/// The tags within an element, without texts.
fn tags<'a>(element: Element<'_, 'a>) -> Vec<&'a str> {
    let mut tags = Vec::new();
    for child in element.elements() {
        work::add(1);
        tags.push(child.name());
        tags.extend(self::tags(child));
        tags.push("/");
    }
    tags
}
