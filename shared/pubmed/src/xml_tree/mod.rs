//! A small tree over one record, borrowing its text.
//!
//! Nodes are in document order in one vector; an element contains the end index of its subtree. Text is as defined by
//! XML: references resolved, CDATA plain, line ends as `\n`, comments and processing instructions removed. The tree
//! records which texts and attributes were read, so that a reader can list what it left out ([`Tree::unread`]).
//!
//! Own code: it shares the scanner's bounds, and no parser records what was read of its tree (ADR 3).

mod element;
mod unread;

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

use super::markup::{self, Beyond, Markup, Scan};
use super::split::MAX_DEPTH;
use super::text_form::TextForm;
pub use element::{Child, Element, is_blank};
pub use unread::Unread;

/// A parsed record.
#[derive(Debug)]
pub struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    attributes: Vec<(&'a str, Cow<'a, str>)>,
    /// While parsing: only comments and CDATA sections since the last text.
    in_text: bool,
    /// The form of returned texts.
    form: TextForm,
    /// Which texts (by node) and attributes were read.
    read_texts: Vec<Cell<bool>>,
    read_attributes: Vec<Cell<bool>>,
}

#[derive(Debug)]
enum Node<'a> {
    Element { name: &'a str, attributes: Range<u32>, end: u32 },
    Text(Cow<'a, str>),
}

/// The text is not one well-formed element.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// What is wrong, and the position.
    #[error("not well-formed at byte {at}: {what}")]
    Malformed {
        /// Byte offset in the record.
        at: usize,
        what: &'static str,
    },
    /// Nested deeper than any real record.
    #[error("elements nest deeper than {MAX_DEPTH}")]
    TooDeep,
    /// It exceeds a bound that no real record does.
    #[error(transparent)]
    Beyond(#[from] Beyond),
}

impl TreeError {
    /// Whether it may be XML of a shape that is not supported.
    pub fn is_beyond_bounds(&self) -> bool {
        matches!(self, Self::TooDeep | Self::Beyond(_))
    }
}

impl<'a> Tree<'a> {
    /// Parses exactly one element; its texts are plain.
    pub fn parse(xml: &'a str) -> Result<Self, TreeError> {
        Self::parse_as(xml, TextForm::Plain)
    }

    /// Parses exactly one element whose texts are returned in a form.
    pub fn parse_as(xml: &'a str, form: TextForm) -> Result<Self, TreeError> {
        let bytes = xml.as_bytes();
        let mut tree = Self {
            nodes: Vec::with_capacity(xml.len() / 24),
            attributes: Vec::with_capacity(xml.len() / 64),
            in_text: false,
            form,
            read_texts: Vec::new(),
            read_attributes: Vec::new(),
        };
        let mut open: Vec<u32> = Vec::new();
        let mut at = 0;
        let bad = |at, what| Err(TreeError::Malformed { at, what });
        loop {
            let next = memchr::memchr(b'<', &bytes[at..]).map_or(bytes.len(), |n| at + n);
            if next > at {
                if !open.is_empty() {
                    let text = text(&xml[at..next]).map_err(|what| TreeError::Malformed { at, what })?;
                    tree.push_text(text);
                } else if !xml[at..next].trim().is_empty() {
                    return bad(at, "text outside of the element");
                }
            }
            if next == bytes.len() {
                return match (open.is_empty(), tree.nodes.is_empty()) {
                    (true, false) => {
                        tree.read_texts = vec![Cell::new(false); tree.nodes.len()];
                        tree.read_attributes = vec![Cell::new(false); tree.attributes.len()];
                        Ok(tree)
                    }
                    (true, true) => bad(next, "no element"),
                    (false, _) => bad(next, "the element is not closed"),
                };
            }
            let (markup, end) = match markup::scan(bytes, next) {
                Scan::Found(markup, end) => (markup, end),
                Scan::NeedMore => return bad(next, "markup is not closed"),
                Scan::Malformed(what) => return bad(next, what),
                Scan::Beyond(bound) => return Err(bound.into()),
            };
            tree.in_text &= !matches!(markup, Markup::Open(_) | Markup::Empty(_) | Markup::Close(_));
            match markup {
                Markup::Open(name) | Markup::Empty(name) => {
                    if open.is_empty() && !tree.nodes.is_empty() {
                        return bad(next, "a second element");
                    }
                    if open.len() == MAX_DEPTH {
                        return Err(TreeError::TooDeep);
                    }
                    let index =
                        tree.push_element(xml, &name, end).map_err(|what| TreeError::Malformed { at: next, what })?;
                    if bytes[end - 2] != b'/' {
                        open.push(index);
                    }
                }
                Markup::Close(name) => {
                    let Some(index) = open.pop() else { return bad(next, "a closing tag without its opening tag") };
                    let last = index_of(tree.nodes.len());
                    match &mut tree.nodes[index as usize] {
                        Node::Element { name: opened, end, .. } if *opened == &xml[name.clone()] => *end = last,
                        _ => return bad(next, "a closing tag of another element"),
                    }
                }
                Markup::Cdata(inner) if !open.is_empty() => tree.push_text(line_ends(&xml[inner])),
                Markup::Comment | Markup::Instruction => {}
                _ => return bad(next, "markup where none belongs"),
            }
            at = end;
        }
    }

    /// Number of its elements and texts.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// The root element.
    pub fn root(&self) -> Element<'_, 'a> {
        Element { tree: self, index: 0 }
    }

    fn push_text(&mut self, text: Cow<'a, str>) {
        // An empty CDATA section is not a text: `<Year><![CDATA[]]></Year>` is `<Year/>`.
        if text.is_empty() {
            return;
        }
        // Text around a comment or CDATA section is one text; text after a tag is another.
        match self.nodes.last_mut() {
            Some(Node::Text(before)) if self.in_text => before.to_mut().push_str(&text),
            _ => self.nodes.push(Node::Text(text)),
        }
        self.in_text = true;
    }

    fn push_element(&mut self, xml: &'a str, name: &Range<usize>, end: usize) -> Result<u32, &'static str> {
        let first = self.attributes.len();
        let mut at = name.end;
        // The scanner has checked that there are few, without duplicates.
        while let Some((key, value, next)) = markup::next_attribute(xml.as_bytes(), at) {
            self.attributes.push((&xml[key], attribute_text(&xml[value])?));
            at = next;
        }
        debug_assert!(at < end);
        let index = index_of(self.nodes.len());
        self.nodes.push(Node::Element {
            name: &xml[name.clone()],
            attributes: index_of(first)..index_of(self.attributes.len()),
            end: index + 1,
        });
        Ok(index)
    }
}

fn index_of(n: usize) -> u32 {
    u32::try_from(n).expect("records are smaller than 4 GiB")
}

/// Text with its references resolved and line ends normalised.
fn text(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    if memchr::memchr2(b'&', b'\r', raw.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        out.push_str(&line_ends(&rest[..at]));
        let end = markup::scan_reference(rest.as_bytes(), at)?.ok_or("an '&' that starts no reference")?;
        out.push(resolve(&rest[at + 1..end - 1]));
        rest = &rest[end..];
    }
    out.push_str(&line_ends(rest));
    Ok(Cow::Owned(out))
}

fn attribute_text(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    let spaced = match memchr::memchr3(b'\n', b'\t', b'\r', raw.as_bytes()) {
        None => Cow::Borrowed(raw),
        Some(_) => Cow::Owned(line_ends(raw).replace(['\n', '\t'], " ")),
    };
    match spaced {
        Cow::Borrowed(raw) => text(raw),
        Cow::Owned(spaced) => text(&spaced).map(|t| Cow::Owned(t.into_owned())),
    }
}

fn line_ends(raw: &str) -> Cow<'_, str> {
    if raw.contains('\r') { Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n")) } else { Cow::Borrowed(raw) }
}

/// The character of a reference, which was checked before.
fn resolve(name: &str) -> char {
    let code = |digits: &str, radix| {
        u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).expect("checked by the scanner")
    };
    match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        other => match (other.strip_prefix("#x"), other.strip_prefix('#')) {
            (Some(hex), _) => code(hex, 16),
            (None, Some(decimal)) => code(decimal, 10),
            (None, None) => unreachable!("the scanner knows no other references"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_that_of_all_descendants() {
        let check = |xml: &str, expect: &str| {
            let tree = Tree::parse(xml).expect("well-formed");
            assert_eq!(tree.root().raw_text(), expect, "{xml}");
            assert_eq!(tree.root().text().unwrap_or_default(), expect, "{xml}");
        };
        check("<a>x<b> y </b><c/>z</a>", "x y z");
        check("<a>P &lt; 0.05 &#x3bc;&#956; &amp;amp;</a>", "P < 0.05 μμ &amp;");
        check("<a>1<!-- no -->2<![CDATA[<3>&amp;]]>4<?no?></a>", "12<3>&amp;4");
        check("<a>1\r\n2\r3&#13;</a>", "1\n2\n3\r");
        check("<a/>", "");
    }

    #[test]
    fn what_is_blank_is_absent() {
        let tree =
            Tree::parse("<a x=''><b/><b>&#160;\u{2009}</b><b y=' '>z</b><c><d/></c><c>d</c></a>").expect("well-formed");
        let root = tree.root();
        assert_eq!(root.attribute("x"), None);
        assert_eq!(root.first_text("b").as_deref(), Some("z"));
        assert_eq!(root.first("c").and_then(Element::text).as_deref(), Some("d"));
        assert_eq!(root.first("b").expect("there").attribute("y"), None);
        assert_eq!(tree.unread(), []);
    }

    #[test]
    fn what_was_not_read_is_named_by_its_path() {
        let tree = Tree::parse("<a k='1' n='x'><b>read</b><b l='2'>2nd<i>&lt;</i></b>\n<c xmlns:m='u'>3</c></a>")
            .expect("well-formed");
        assert_eq!(tree.root().first_text("b").as_deref(), Some("read"));
        assert_eq!(tree.root().number("k"), Some(1));
        assert_eq!(tree.root().number("n"), None);
        let unread: Vec<(String, String)> =
            tree.unread().into_iter().map(|one| (one.path, one.value.into_owned())).collect();
        let expect = [("/a/@n", "x"), ("/a/b[2]/@l", "2"), ("/a/b[2]", "2nd"), ("/a/b[2]/i", "<"), ("/a/c", "3")];
        assert_eq!(unread, expect.map(|(path, value)| (path.to_owned(), value.to_owned())));
    }

    #[test]
    fn text_after_an_element_is_not_that_elements() {
        let tree = Tree::parse("<a><b>x</b>y<!-- -->z<c/>!</a>").expect("well-formed");
        assert_eq!(tree.root().first_text("b").as_deref(), Some("x"));
        let texts: Vec<&str> = tree
            .root()
            .children()
            .filter_map(|child| match child {
                Child::Text(text) => Some(text.as_ref()),
                Child::Element(_) => None,
            })
            .collect();
        assert_eq!(texts, ["yz", "!"]);
    }

    #[test]
    fn attributes_are_normalised_text() {
        let tree = Tree::parse("<a b='1\n2&#10;' c=\"&quot;\"/>").expect("well-formed");
        assert_eq!(tree.root().attribute("b").as_deref(), Some("1 2\n"));
        assert_eq!(tree.root().attribute("c").as_deref(), Some("\""));
        assert_eq!(tree.root().attribute("d"), None);
    }

    #[test]
    fn what_is_not_one_element_is_refused() {
        for xml in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "</a>",
            "<a/>x",
            "<a b='1' b='2'/>",
            "<a>&nbsp;</a>",
            "<a",
            "<!DOCTYPE a><a/>",
            "<![CDATA[x]]>",
        ] {
            assert!(Tree::parse(xml).is_err(), "{xml}");
        }
        let deep = "<a>".repeat(MAX_DEPTH + 1);
        assert_eq!(Tree::parse(&deep).map(|_| ()), Err(TreeError::TooDeep));
    }
}
