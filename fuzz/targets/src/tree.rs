//! The tree of one record.

use shared::pubmed::xml_tree::{self, Tree};
use shared::pubmed::{Article, TextForm, is_retracted, xml_diff};

use crate::oracle::{self, Child, Element, Refusal};

/// A text is parsed as a tree exactly if the oracle parses it, and both trees are equal. Whatever is derived from a
/// tree can be derived from any.
pub fn tree(data: &[u8]) {
    let Ok(xml) = std::str::from_utf8(data) else { return };
    match (Tree::parse(xml), oracle::element(xml)) {
        (Ok(tree), Ok(expected)) => {
            assert_same(tree.root(), &expected);
            assert_eq!(xml_diff::changes(xml, xml).map(|changes| changes.len()), Ok(0), "nothing differs from itself");
        }
        (Err(_), Err(_)) | (_, Err(Refusal::Undecided)) => {}
        (Ok(_), Err(why)) => panic!("it is read, the oracle says {why:?}"),
        (Err(error), Ok(_)) => panic!("it is refused although it is well-formed: {error}"),
    }
    for form in [TextForm::Plain, TextForm::Html] {
        if let Ok(article) = Article::parse_as(xml, form) {
            serde_json::to_vec(&article).expect("a typed record is JSON");
        }
    }
    let _ = is_retracted(xml);
}

/// Panics if two trees differ.
fn assert_same(found: xml_tree::Element<'_, '_>, expected: &Element) {
    assert_same_by(found, expected, &|_| {});
}

/// The same, ignoring the order of attributes.
pub fn assert_same_but_for_the_order_of_attributes(found: xml_tree::Element<'_, '_>, expected: &Element) {
    assert_same_by(found, expected, &|attributes| attributes.sort_unstable());
}

type Order<'a> = &'a dyn Fn(&mut Vec<(&str, &str)>);

fn assert_same_by(found: xml_tree::Element<'_, '_>, expected: &Element, order: Order<'_>) {
    assert_eq!(found.name(), expected.name);
    let mut attributes: Vec<_> = found.attributes().iter().map(|(name, value)| (*name, value.as_ref())).collect();
    let mut expected_attributes: Vec<_> =
        expected.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    order(&mut attributes);
    order(&mut expected_attributes);
    assert_eq!(attributes, expected_attributes, "attributes of {}", expected.name);
    let mut children = found.children();
    for child in &expected.children {
        match (children.next(), child) {
            (Some(xml_tree::Child::Text(found)), Child::Text(expected)) => assert_eq!(found, expected),
            (Some(xml_tree::Child::Element(found)), Child::Element(expected)) => assert_same_by(found, expected, order),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }
    assert!(children.next().is_none(), "more children than the oracle finds: {expected:?}");
}
