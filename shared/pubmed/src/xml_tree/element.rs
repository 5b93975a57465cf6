//! Elements of a tree: their names, attributes, children and texts.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

use super::{Node, Tree};
use crate::text_form::{self, TextForm};

/// An element of a tree.
#[derive(Clone, Copy, Debug)]
pub struct Element<'t, 'a> {
    pub(super) tree: &'t Tree<'a>,
    pub(super) index: u32,
}

/// A child: an element or a text.
#[derive(Clone, Copy, Debug)]
pub enum Child<'t, 'a> {
    /// An element.
    Element(Element<'t, 'a>),
    /// A text, never empty, never next to another text.
    Text(&'t Cow<'a, str>),
}

impl<'t, 'a> Element<'t, 'a> {
    fn parts(self) -> (&'a str, Range<u32>, u32) {
        match &self.tree.nodes[self.index as usize] {
            Node::Element { name, attributes, end } => (name, attributes.clone(), *end),
            Node::Text(_) => unreachable!("an element's index is an element"),
        }
    }

    /// The name as written, with its prefix if it has one.
    pub fn name(self) -> &'a str {
        self.parts().0
    }

    /// Its index among all elements and texts of the tree.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// All attributes in document order.
    pub fn attributes(self) -> &'t [(&'a str, Cow<'a, str>)] {
        let range = self.parts().1;
        &self.tree.attributes[range.start as usize..range.end as usize]
    }

    /// The value of an attribute as written, without marking it as read.
    pub fn raw_attribute(self, name: &str) -> Option<&'t Cow<'a, str>> {
        self.attributes().iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn find_attribute(self, name: &str) -> Option<(&'t Cell<bool>, &'t Cow<'a, str>)> {
        let range = self.parts().1;
        let mut all = range.map(|at| at as usize);
        let at = all.find(|at| self.tree.attributes[*at].0 == name)?;
        Some((&self.tree.read_attributes[at], &self.tree.attributes[at].1))
    }

    /// The value of an attribute; a blank one is absent.
    pub fn attribute(self, name: &str) -> Option<Cow<'a, str>> {
        let (read, value) = self.find_attribute(name).filter(|(_, value)| !is_blank(value))?;
        read.set(true);
        Some(self.tree.form.escape(value.clone()))
    }

    /// The value of an attribute that is `Y` or `N`. Any other value is left unread.
    pub fn yes_no(self, name: &str) -> Option<bool> {
        let (read, value) = self.find_attribute(name)?;
        let is_yes = match value.trim() {
            "Y" => true,
            "N" => false,
            _ => return None,
        };
        read.set(true);
        Some(is_yes)
    }

    /// The value of a numeric attribute. Any other value is left unread.
    pub fn number(self, name: &str) -> Option<i32> {
        let (read, value) = self.find_attribute(name)?;
        let number = value.trim().parse().ok()?;
        read.set(true);
        Some(number)
    }

    /// Children in document order.
    pub fn children(self) -> impl Iterator<Item = Child<'t, 'a>> {
        let end = self.parts().2;
        let tree = self.tree;
        let mut at = self.index + 1;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let index = at;
            match &tree.nodes[index as usize] {
                Node::Element { end, .. } => {
                    at = *end;
                    Some(Child::Element(Element { tree, index }))
                }
                Node::Text(text) => {
                    at += 1;
                    Some(Child::Text(text))
                }
            }
        })
    }

    /// Child elements.
    pub fn elements(self) -> impl Iterator<Item = Element<'t, 'a>> {
        self.children().filter_map(|child| match child {
            Child::Element(element) => Some(element),
            Child::Text(_) => None,
        })
    }

    /// Child elements of one name.
    pub fn all(self, name: &'static str) -> impl Iterator<Item = Element<'t, 'a>> {
        self.elements().filter(move |element| element.name() == name)
    }

    /// The first child element of a name that has text, else the first of the name.
    pub fn first(self, name: &'static str) -> Option<Element<'t, 'a>> {
        let mut first = None;
        for element in self.all(name) {
            if !element.is_blank() {
                return Some(element);
            }
            first = first.or(Some(element));
        }
        first
    }

    /// The first text among the children of a name.
    pub fn first_text(self, name: &'static str) -> Option<Cow<'a, str>> {
        self.all(name).find_map(Element::text)
    }

    /// The first text among the children of a name as written, independent of the form of the tree.
    pub fn first_raw_text(self, name: &'static str) -> Option<Cow<'a, str>> {
        self.all(name).find(|element| !element.is_blank()).map(|element| {
            element.note_texts();
            element.raw_text()
        })
    }

    /// The texts of all descendants as written, without marking them as read.
    pub fn texts(self) -> impl Iterator<Item = &'t Cow<'a, str>> {
        let nodes = &self.tree.nodes[self.index as usize + 1..self.parts().2 as usize];
        nodes.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text),
            Node::Element { .. } => None,
        })
    }

    /// Whether it has no text but white space.
    pub fn is_blank(self) -> bool {
        self.texts().all(|text| is_blank(text))
    }

    /// The form of the texts of its tree.
    pub fn form(self) -> TextForm {
        self.tree.form
    }

    fn note_texts(self) {
        for read in &self.tree.read_texts[self.index as usize + 1..self.parts().2 as usize] {
            read.set(true);
        }
    }

    /// The text of all descendants in document order in the form of the tree, white space
    /// unchanged; a blank one is absent.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let end = self.parts().2;
        // Most elements have one text and nothing else.
        if end == self.index + 2
            && let Node::Text(text) = &self.tree.nodes[self.index as usize + 1]
        {
            self.tree.read_texts[self.index as usize + 1].set(true);
            return (!is_blank(text)).then(|| self.tree.form.escape(text.clone()));
        }
        if self.is_blank() {
            return None;
        }
        self.note_texts();
        Some(Cow::Owned(text_form::render(self, self.tree.form)))
    }

    /// The text of all descendants in document order as written, without marking it as read.
    pub fn raw_text(self) -> Cow<'a, str> {
        let mut texts = self.texts();
        let Some(first) = texts.next() else { return Cow::Borrowed("") };
        let mut all = first.clone();
        for text in texts {
            all.to_mut().push_str(text);
        }
        all
    }
}

/// Whether a text is only white space, including zero-width characters.
pub fn is_blank(text: &str) -> bool {
    // Most texts are either words or indentation.
    let Some(start) = text.bytes().position(|b| !b.is_ascii_whitespace()) else { return true };
    text[start..].chars().all(|c| c.is_whitespace() || matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}'))
}
