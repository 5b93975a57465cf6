//! Whether two payloads are the same record in different spelling.

use super::xml_tree::{Child, Element, Tree};

/// Elements with mixed content, in which white space is text: PubMed's DTD of 2025.
const MIXED: [&str; 21] = [
    "Affiliation",
    "CoiStatement",
    "CollectiveName",
    "Param",
    "PublisherName",
    "Suffix",
    "SectionTitle",
    "ArticleTitle",
    "VernacularTitle",
    "BookTitle",
    "CollectionTitle",
    "Keyword",
    "Citation",
    "AbstractText",
    "DispFormula",
    "b",
    "i",
    "sup",
    "sub",
    "u",
    "VolumeTitle",
];

/// Whether two records have the same tree: elements, attributes and text. Only the order of attributes, the spelling of
/// characters (entities, CDATA, line ends), the form of empty tags, comments and white space between elements may
/// differ. White space inside mixed content, such as a title, is text. XML that is not well-formed is equal to nothing.
///
/// ```
/// use bio_mcp_pubmed::same_xml::same;
///
/// assert!(same("<Year A='1' B='2'/>", "<Year B=\"2\" A=\"1\"></Year>"), "another spelling");
/// assert!(!same("<Year>2025</Year>", "<Year>2026</Year>"));
/// ```
pub fn same(left: &str, right: &str) -> bool {
    match (Tree::parse(left), Tree::parse(right)) {
        (Ok(left), Ok(right)) => same_element(left.root(), right.root()),
        _ => false,
    }
}

fn same_element(left: Element<'_, '_>, right: Element<'_, '_>) -> bool {
    if left.name() != right.name() || !same_attributes(left, right) {
        return false;
    }
    let mut left_children = left.children().filter(|child| counts(left, child));
    let mut right_children = right.children().filter(|child| counts(right, child));
    loop {
        match (left_children.next(), right_children.next()) {
            (None, None) => return true,
            (Some(Child::Text(a)), Some(Child::Text(b))) if a == b => {}
            (Some(Child::Element(a)), Some(Child::Element(b))) if same_element(a, b) => {}
            _ => return false,
        }
    }
}

fn same_attributes(left: Element<'_, '_>, right: Element<'_, '_>) -> bool {
    left.attributes().len() == right.attributes().len()
        && left.attributes().iter().all(|pair| right.attributes().contains(pair))
}

/// Whether an element has mixed content: text with markup.
pub(super) fn is_mixed(element: Element<'_, '_>) -> bool {
    MIXED.contains(&element.name()) || element.name().contains(':')
}

/// Whether a child is content: white space is ignored where only elements are allowed.
pub(super) fn counts(parent: Element<'_, '_>, child: &Child<'_, '_>) -> bool {
    match child {
        Child::Element(_) => true,
        Child::Text(text) => {
            !text.bytes().all(|b| b.is_ascii_whitespace()) || is_mixed(parent) || parent.elements().next().is_none()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_spelling_is_the_same() {
        for (left, right) in [
            ("<a x='1' y='2'><b/></a>", "<a y=\"2\" x=\"1\">\n  <b></b>\n</a>"),
            ("<a>&#956;&lt;</a>", "<a>μ<![CDATA[<]]></a>"),
            ("<a>1\r\n2</a>", "<a>1\n2<!-- c --></a>"),
        ] {
            assert!(same(left, right), "{left} {right}");
        }
    }

    #[test]
    fn a_real_change_is_not() {
        for (left, right) in [
            ("<a>x</a>", "<a>y</a>"),
            ("<a x='1'/>", "<a x='2'/>"),
            ("<a x='1'/>", "<a/>"),
            ("<a><b/><c/></a>", "<a><c/><b/></a>"),
            ("<ArticleTitle><i>a</i> <b>b</b></ArticleTitle>", "<ArticleTitle><i>a</i><b>b</b></ArticleTitle>"),
            ("<Title> </Title>", "<Title/>"),
            ("<a>x </a>", "<a>x</a>"),
            ("<a><b/></a>", "<a><b/><b/></a>"),
            ("<a>", "<a>"),
        ] {
            assert!(!same(left, right), "{left} {right}");
        }
    }
}
