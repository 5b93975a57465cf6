//! Whether two payloads are two spellings of the same record.

use fastrand::Rng;
use shared::pubmed::same_xml::same;
use shared::pubmed::xml_tree::Tree;

use crate::oracle::{self, Child, Element};
use crate::spelling::{change, spell};
use crate::{seed_of, tree};

/// Two texts, separated by a zero byte, are the same if their trees are equal, and never if more than white space
/// differs. Each is the same as its tree in another spelling, and not the same as a changed tree.
pub fn same_xml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (left, right) = text.split_once('\0').unwrap_or((text, text));
    let is_same = same(left, right);
    assert_eq!(is_same, same(right, left), "it does not matter which is the first");
    let trees = (oracle::element(left), oracle::element(right));
    if let (Ok(left), Ok(right)) = &trees {
        let (exactly, nearly) = (are_equal(left, right, false), are_equal(left, right, true));
        assert!(is_same || !exactly, "trees that are equal are not the same");
        assert!(!is_same || nearly, "trees that differ are the same");
    }
    let mut random = Rng::with_seed(seed_of(data));
    for (xml, found) in [(left, trees.0), (right, trees.1)] {
        let Ok(mut found) = found else { continue };
        let spelled = spell(&found, &mut random);
        let parsed = Tree::parse(&spelled).unwrap_or_else(|error| panic!("{error}: {spelled}"));
        tree::assert_same_but_for_the_order_of_attributes(parsed.root(), &found);
        assert!(same(xml, &spelled) && same(&spelled, xml), "another spelling is not the same: {spelled}");
        change(&mut found, &mut random);
        let changed = spell(&found, &mut random);
        assert!(!same(xml, &changed), "a change is not seen: {changed}");
    }
}

/// Whether two trees are equal, ignoring the order of attributes; `roughly` also ignores white space between elements.
fn are_equal(left: &Element, right: &Element, roughly: bool) -> bool {
    let sorted = |element: &Element| {
        let mut attributes = element.attributes.clone();
        attributes.sort();
        attributes
    };
    let (children, others) = (compared(left, roughly), compared(right, roughly));
    left.name == right.name
        && sorted(left) == sorted(right)
        && children.len() == others.len()
        && children.iter().zip(others).all(|pair| match pair {
            (Child::Text(one), Child::Text(other)) => one == other,
            (Child::Element(one), Child::Element(other)) => are_equal(one, other, roughly),
            _ => false,
        })
}

/// The children to compare.
fn compared(element: &Element, roughly: bool) -> Vec<&Child> {
    let has_elements = element.children.iter().any(|child| matches!(child, Child::Element(_)));
    let counts = |child: &&Child| match child {
        Child::Element(_) => true,
        Child::Text(text) => !(roughly && has_elements && text.trim_ascii().is_empty()),
    };
    element.children.iter().filter(counts).collect()
}
