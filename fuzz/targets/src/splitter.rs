//! The splitter: records of a document, byte for byte.

use shared::pubmed::{Defect, Item, Splitter, identity};

use crate::oracle::{self, Child, Element, Refusal};

/// Larger than any input.
const LIMIT: usize = 1 << 20;

/// Only few records are smaller.
const SMALL_LIMIT: usize = 64;

/// An item and its end position in the document.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Record(Vec<u8>, Option<Defect>, u64),
    Deletion(Vec<u8>, u64),
}

/// Result of splitting a document: the items, and the error that ended it.
type Split = (Vec<Found>, Option<String>);

fn split(document: &[u8], limit: usize, chunk: usize) -> Split {
    let mut splitter = Splitter::with_chunk(document, limit, chunk);
    let mut found: Vec<Found> = Vec::new();
    loop {
        assert!(found.len() <= document.len(), "every item takes at least a byte");
        let item = match splitter.next() {
            Ok(Some(Item::Record { bytes, defect })) => Found::Record(bytes.to_vec(), defect, 0),
            Ok(Some(Item::Deletion { bytes })) => Found::Deletion(bytes.to_vec(), 0),
            Ok(None) => return (found, None),
            Err(error) => return (found, Some(error.to_string())),
        };
        let position = splitter.position();
        found.push(match item {
            Found::Record(bytes, defect, _) => Found::Record(bytes, defect, position),
            Found::Deletion(bytes, _) => Found::Deletion(bytes, position),
        });
    }
}

/// The items do not depend on the chunks that a document arrives in; they are bytes of the document, in its order; a
/// record without a defect is well-formed; and in a document that the oracle accepts, every record and deletion is
/// found.
pub fn splitter(data: &[u8]) {
    let whole = split(data, LIMIT, 1 << 16);
    for chunk in [1, 5, 64] {
        assert_eq!(split(data, LIMIT, chunk), whole, "read {chunk} bytes at once");
        split(data, SMALL_LIMIT, chunk);
    }
    let mut before = 0;
    for item in &whole.0 {
        let (Found::Record(bytes, _, end) | Found::Deletion(bytes, end)) = item;
        let end = usize::try_from(*end).expect("a document in memory");
        assert!(bytes.len() <= end && end - bytes.len() >= before, "{item:?} begins before the end of the last");
        assert_eq!(data.get(end - bytes.len()..end), Some(&bytes[..]), "the exact bytes");
        before = end;
        match item {
            Found::Record(bytes, None, _) => assert_well_formed(bytes),
            Found::Record(..) => {}
            Found::Deletion(bytes, _) => {
                let _ = identity::of_deletion(bytes);
            }
        }
    }
    if let Some(expected) = std::str::from_utf8(data).ok().and_then(expected) {
        let found = whole.0.iter().map(|item| match item {
            Found::Record(bytes, None, _) => (&bytes[..], true),
            Found::Deletion(bytes, _) => (&bytes[..], false),
            Found::Record(_, Some(defect), _) => panic!("a well-formed record has a defect: {defect}"),
        });
        let expected = expected.iter().map(|(span, is_record)| (&data[span.clone()], *is_record));
        assert!(found.clone().eq(expected.clone()), "{:?} of {:?}", found.count(), expected.count());
        assert_eq!(whole.1, None, "a document that is well-formed is read to its end");
    }
}

fn assert_well_formed(record: &[u8]) {
    let _ = identity::of_record(record);
    // Invalid UTF-8 is detected when the record is identified.
    let Ok(xml) = std::str::from_utf8(record) else { return };
    if let Err(Refusal::Malformed(why)) = oracle::element(xml) {
        panic!("a record without a defect is not well-formed: {why}: {xml}");
    }
}

/// Positions of records (true) and deletions of a document, if it is one set of them and nothing else.
fn expected(document: &str) -> Option<Vec<(std::ops::Range<usize>, bool)>> {
    let mut read = oracle::read(document).ok()?;
    let set = read.elements.pop()?;
    let is_set = ["PubmedArticleSet", "PubmedBookArticleSet"].contains(&set.name.as_str());
    // A declaration after the set would begin another document; other encodings are refused.
    let is_utf8 = |text: &str| !text.contains("encoding") || text == "<?xml version=\"1.0\" encoding=\"utf-8\"?>";
    let is_first = |(at, declaration): &(usize, String)| *at == 0 && is_utf8(declaration);
    let begins_no_other =
        read.document_type.is_none_or(|at| at < set.span.start) && read.declarations.iter().all(is_first);
    if !(is_set && read.elements.is_empty() && begins_no_other) {
        return None;
    }
    let mut expected = Vec::new();
    for child in &set.children {
        match child {
            Child::Text(text) if text.trim_ascii().is_empty() => {}
            Child::Text(_) => return None,
            Child::Element(list) if list.name == "DeleteCitation" => {
                for deletion in &list.children {
                    match deletion {
                        Child::Text(text) if text.trim_ascii().is_empty() => {}
                        Child::Element(pmid) if is_plain_deletion(pmid, document) => {
                            expected.push((pmid.span.clone(), false));
                        }
                        _ => return None,
                    }
                }
            }
            Child::Element(record) if has_record_inside(record) => return None,
            Child::Element(record) => expected.push((record.span.clone(), true)),
        }
    }
    // Character data and references between records are invalid text, even if they are only white space.
    let outside = outside_of(&set, document);
    (!["<![CDATA[", "&"].iter().any(|what| outside.contains(what))).then_some(expected)
}

/// Whether a deletion's `PMID` contains only a number.
fn is_plain_deletion(pmid: &Element, document: &str) -> bool {
    let xml = &document[pmid.span.clone()];
    let has_text = matches!(pmid.children[..], [Child::Text(_)]);
    pmid.name == "PMID" && has_text && !xml.contains("<!") && !xml.contains("<?")
}

/// The content of a set between its records.
fn outside_of(set: &Element, document: &str) -> String {
    let (mut outside, mut at) = (String::new(), set.span.start);
    for child in &set.children {
        if let Child::Element(element) = child {
            if element.name == "DeleteCitation" {
                outside.push_str(&outside_of(element, document));
            }
            outside.push_str(&document[at..element.span.start]);
            at = element.span.end;
        }
    }
    outside + &document[at..set.span.end]
}

/// A record that begins inside another means that the first was not closed.
fn has_record_inside(element: &Element) -> bool {
    let names = ["PubmedArticle", "PubmedBookArticle", "DeleteCitation"];
    element.children.iter().any(|child| match child {
        Child::Element(inside) => names.contains(&inside.name.as_str()) || has_record_inside(inside),
        Child::Text(_) => false,
    })
}
