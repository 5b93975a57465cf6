//! The parts of a tree that its reader left out.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Node, Tree, is_blank};

/// A text or an attribute that was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread<'a> {
    /// For example `/PubmedArticle/…/Author[2]/@ValidYN`; a text has the path of its element.
    pub path: String,
    pub value: Cow<'a, str>,
}

impl<'a> Tree<'a> {
    /// What was not read: non-blank texts and non-empty attributes, in document order; without MathML attributes and
    /// declarations of name spaces.
    pub fn unread(&self) -> Vec<Unread<'a>> {
        let mut unread: Vec<(u32, Option<&str>, Cow<'a, str>)> = Vec::new();
        for (index, node) in (0..).zip(&self.nodes) {
            match node {
                Node::Text(text) => {
                    if !self.read_texts[index as usize].get() && !is_blank(text) {
                        unread.push((index, None, text.clone()));
                    }
                }
                Node::Element { name, attributes, .. } => {
                    for at in attributes.clone().filter(|at| !self.read_attributes[*at as usize].get()) {
                        let (key, value) = &self.attributes[at as usize];
                        if !is_blank(value) && !key.starts_with("xmlns") && !name.contains(':') {
                            unread.push((index, Some(key), value.clone()));
                        }
                    }
                }
            }
        }
        if unread.is_empty() { Vec::new() } else { self.with_paths(unread) }
    }

    /// Adds the paths of nodes, which are in document order.
    fn with_paths(&self, places: Vec<(u32, Option<&str>, Cow<'a, str>)>) -> Vec<Unread<'a>> {
        /// Beyond this total length, paths are omitted; no real record comes near.
        const MAX_PATH_BYTES: usize = 1 << 20;
        let mut counts: HashMap<(u32, &str), u32> = HashMap::new();
        let mut parents = vec![0; self.nodes.len()];
        let mut numbers = vec![0; self.nodes.len()];
        let mut open: Vec<(u32, u32)> = Vec::new();
        for (index, node) in (0..).zip(&self.nodes) {
            while open.pop_if(|(_, end)| *end <= index).is_some() {}
            let parent = open.last().map_or(0, |(parent, _)| *parent);
            parents[index as usize] = parent;
            if let Node::Element { name, end, .. } = node {
                let count = counts.entry((parent, name)).or_default();
                *count += 1;
                numbers[index as usize] = *count;
                open.push((index, *end));
            }
        }
        let mut bytes = 0;
        let mut named = Vec::with_capacity(places.len());
        for (index, attribute, value) in places {
            let mut steps = Vec::new();
            let mut next = (bytes < MAX_PATH_BYTES).then_some(index);
            while let Some(at) = next {
                if let Node::Element { name, .. } = &self.nodes[at as usize] {
                    let is_one = at == 0 || counts[&(parents[at as usize], *name)] == 1;
                    let number = if is_one { String::new() } else { format!("[{}]", numbers[at as usize]) };
                    steps.push(format!("/{name}{number}"));
                }
                next = (at > 0).then(|| parents[at as usize]);
            }
            let mut path: String = steps.into_iter().rev().collect();
            path.extend(attribute.iter().flat_map(|key| ["/@", key]));
            bytes += path.len();
            named.push(Unread { path, value });
        }
        named
    }
}
