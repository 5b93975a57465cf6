//! Splitter and parser on malformed input: they never panic, never loop, never lose the records around a bad one.

use std::io::Read;

use proptest::prelude::*;
use samples::{record::Record, shapes};
use shared::pubmed::identity;
use shared::pubmed::{Article, Defect, Item, SplitError, Splitter};

const LIMIT: usize = 1 << 20;

#[derive(Debug, PartialEq)]
enum Found {
    Good(String),
    Bad(Defect),
    Deleted(String),
}

/// Splits a document that arrives in pieces of `chunk` bytes.
fn split(document: &[u8], chunk: usize, limit: usize) -> Result<Vec<Found>, SplitError> {
    struct Pieces<'a>(&'a [u8], usize);
    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let n = buffer.len().min(self.1).min(self.0.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }
    let mut splitter = Splitter::new(Pieces(document, chunk), limit);
    let mut found = Vec::new();
    while let Some(item) = splitter.next()? {
        found.push(match item {
            Item::Record { bytes, defect: None } => Found::Good(String::from_utf8_lossy(bytes).into_owned()),
            Item::Record { defect: Some(defect), .. } => Found::Bad(defect),
            Item::Deletion { bytes } => Found::Deleted(String::from_utf8_lossy(bytes).into_owned()),
        });
    }
    Ok(found)
}

fn set(inside: &str) -> String {
    format!("<?xml version=\"1.0\"?><!DOCTYPE PubmedArticleSet><PubmedArticleSet>\n{inside}\n</PubmedArticleSet>")
}

fn good(pmid: u32) -> String {
    format!("<PubmedArticle><MedlineCitation><PMID>{pmid}</PMID></MedlineCitation></PubmedArticle>")
}

#[test]
fn records_around_a_bad_one_are_found_exactly() {
    let bad = [
        "<PubmedArticle><a></b></PubmedArticle>",
        "<PubmedArticle><a></PubmedArticle>",
        "<PubmedArticle></a></PubmedArticle>",
        "<PubmedArticle><a b='<'/></PubmedArticle>",
        "<PubmedArticle>&nope;</PubmedArticle>",
        "<PubmedArticle>& </PubmedArticle>",
        "<PubmedArticle>< a></PubmedArticle>",
        "<PubmedArticle><a b=c></PubmedArticle>",
        "<PubmedArticle><a 'x></a></PubmedArticle>",
        "<PubmedArticle><!DOCTYPE x></PubmedArticle>",
        "<PubmedArticle><a><b>",
        "<PubmedArticle><![CDATA[</PubmedArticle>]]></a></PubmedArticle>",
    ];
    for bad in bad {
        let document = set(&format!("{}{bad}{}", good(1), good(2)));
        for chunk in [1, 7, usize::MAX] {
            let found = split(document.as_bytes(), chunk, LIMIT).unwrap_or_else(|e| panic!("{bad}: {e}"));
            assert_eq!(found.len(), 3, "{bad}: {found:?}");
            assert_eq!(found[0], Found::Good(good(1)), "{bad}");
            assert!(matches!(found[1], Found::Bad(_)), "{bad}: {found:?}");
            assert_eq!(found[2], Found::Good(good(2)), "{bad}");
        }
    }
}

#[test]
fn a_bad_record_at_the_end_does_not_take_the_deletions_along() {
    let document =
        set(&format!("{}<PubmedArticle><a><DeleteCitation><PMID Version='2'>7</PMID></DeleteCitation>", good(1)));
    let found = split(document.as_bytes(), 3, LIMIT).expect("a complete document");
    assert_eq!(found.len(), 3);
    assert!(matches!(found[1], Found::Bad(_)));
    assert_eq!(found[2], Found::Deleted("<PMID Version='2'>7</PMID>".into()));
}

#[test]
fn garbage_between_records_is_reported_as_malformed() {
    for garbage in [
        "text",
        "</PubmedArticle>",
        "<PubmedArticle x>",
        "< >",
        "</a>",
        "<PubmedArticle><![CDATA[",
        "<PubmedArticle><!-- ",
    ] {
        let document = set(&format!("{}{garbage}{}", good(1), good(2)));
        let found = split(document.as_bytes(), 3, LIMIT).unwrap_or_else(|e| panic!("{garbage}: {e}"));
        assert_eq!(found.len(), 3, "{garbage}: {found:?}");
        assert!(matches!(found[1], Found::Bad(Defect::Malformed(_))), "{garbage}: {found:?}");
        assert_eq!((&found[0], &found[2]), (&Found::Good(good(1)), &Found::Good(good(2))), "{garbage}");
    }
}

#[test]
fn an_oversized_record_is_passed_over_in_constant_memory() {
    let long = "x".repeat(3 << 20);
    for giant in [
        format!("<PubmedArticle>{long}</PubmedArticle>"),
        format!("<PubmedArticle><!--{long}--></PubmedArticle>"),
        format!("<PubmedArticle><![CDATA[{long}]]></PubmedArticle>"),
        format!("<PubmedArticle><a b='{long}'/></PubmedArticle>"),
        format!("<PubmedArticle>{}</PubmedArticle>", "<a>y</a>".repeat(300_000)),
    ] {
        let document = set(&format!("{}{giant}{}", good(1), good(2)));
        for limit in [1000, LIMIT] {
            let found = split(document.as_bytes(), 65_536, limit).expect("a complete document");
            assert_eq!(found.len(), 3);
            let bytes = giant.len() as u64;
            assert_eq!(found[1], Found::Bad(Defect::Oversized { bytes, limit_bytes: limit }));
            assert_eq!((&found[0], &found[2]), (&Found::Good(good(1)), &Found::Good(good(2))));
        }
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("<PubmedArticle>{}{}</PubmedArticle>", "<a>".repeat(5000), "</a>".repeat(5000));
    let found = split(set(&format!("{deep}{}", good(2))).as_bytes(), 100, LIMIT).expect("a complete document");
    assert_eq!(found, [Found::Bad(Defect::TooDeep), Found::Good(good(2))]);
}

#[test]
fn a_document_cut_anywhere_is_truncated_never_complete() {
    let mut inside: String = shapes::all().iter().filter(|s| s.xml.len() < 20_000).map(|s| s.xml.as_str()).collect();
    inside.push_str("<DeleteCitation><PMID Version=\"1\">5</PMID></DeleteCitation>");
    let document = set(&inside);
    let whole = split(document.as_bytes(), usize::MAX, LIMIT).expect("complete").len();
    for cut in (1..document.len()).step_by(37) {
        match split(&document.as_bytes()[..cut], 4096, LIMIT) {
            Err(SplitError::Truncated { .. } | SplitError::Malformed { .. }) => {}
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
    assert_eq!(whole, shapes::all().iter().filter(|s| s.xml.len() < 20_000).count() + 1);
}

#[test]
fn documents_that_are_not_sets_of_records_say_so() {
    let check = |document: &str, expect: fn(&SplitError) -> bool| {
        let error = split(document.as_bytes(), 5, LIMIT).expect_err(document);
        assert!(expect(&error), "{document}: {error:?}");
    };
    check("", |e| matches!(e, SplitError::Empty));
    check("   ", |e| matches!(e, SplitError::Truncated { .. }));
    check("<a/>", |e| matches!(e, SplitError::NotPubmed(_)));
    check("hello", |e| matches!(e, SplitError::Malformed { .. }));
    check("<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><PubmedArticleSet/>", |e| {
        matches!(e, SplitError::InternalSubset)
    });
    check("<PubmedArticleSet></PubmedArticleSet>text", |e| matches!(e, SplitError::Malformed { .. }));
    check("<PubmedArticleSet></PubmedArticleSet></PubmedArticleSet>", |e| matches!(e, SplitError::Malformed { .. }));
    check("<PubmedArticleSet/><html/>", |e| matches!(e, SplitError::NotPubmed(_)));
    check("<PubmedArticleSet/><?xml version='1.0'?>", |e| matches!(e, SplitError::Truncated { .. }));
    check("<PubmedArticleSet/><!DOCTYPE PubmedArticleSet>", |e| matches!(e, SplitError::Truncated { .. }));
    check("<PubmedArticleSet/><?xml version='1.0' encoding='latin1'?><PubmedArticleSet/>", |e| {
        matches!(e, SplitError::Encoding(_))
    });
    check("<PubmedArticleSet/><!DOCTYPE a [<!ENTITY x 'y'>]><PubmedArticleSet/>", |e| {
        matches!(e, SplitError::InternalSubset)
    });
    check("<PubmedArticleSet></Other>", |e| matches!(e, SplitError::Truncated { .. }));
    assert_eq!(split(b"\xef\xbb\xbf<PubmedArticleSet/>", 1, LIMIT).expect("empty").len(), 0);
    assert_eq!(split(good(3).as_bytes(), 1, LIMIT).expect("one"), [Found::Good(good(3))], "a record alone");
}

#[test]
fn documents_and_bare_records_one_after_the_other_are_read_to_the_end() {
    let deletion = "<PMID Version='2'>7</PMID>";
    let deletions = format!("<DeleteCitation>{deletion}</DeleteCitation>");
    let (one, two, three) = (Found::Good(good(1)), Found::Good(good(2)), Found::Good(good(3)));
    let check = |document: &str, expected: &[&Found]| {
        for chunk in [1, 5, usize::MAX] {
            let found = split(document.as_bytes(), chunk, LIMIT).unwrap_or_else(|e| panic!("{document}: {e}"));
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{document}");
        }
    };
    check(&format!("{}\n{}", set(&good(1)), set(&good(2))), &[&one, &two]);
    check(&format!("\u{feff}{}\u{feff}{}<!-- end -->", set(&good(1)), set(&good(2))), &[&one, &two]);
    check(&format!("{}<PubmedArticleSet/>{}", set(&good(1)), set(&good(2))), &[&one, &two]);
    check(&[good(1), good(2), good(3)].join("\n\n"), &[&one, &two, &three]);
    check(&format!("{}{}{}", good(1), set(&good(2)), good(3)), &[&one, &two, &three]);
    let deleted = Found::Deleted(deletion.to_owned());
    check(&format!("{}{deletions}{}", good(1), good(2)), &[&one, &deleted, &two]);
    check(&format!("{}{}", set(&format!("{}{deletions}", good(1))), set(&good(2))), &[&one, &deleted, &two]);
    // A bad one among them, and a truncated first document, do not affect the others.
    let bad = Found::Bad(Defect::Malformed("a closing tag without its opening tag"));
    check(&format!("{}<PubmedArticle><a></b></PubmedArticle>{}", good(1), good(2)), &[&one, &bad, &two]);
    let cut = format!("<PubmedArticleSet>{}<PubmedArticle><MedlineCitation>{}", good(1), set(&good(2)));
    let found = split(cut.as_bytes(), 3, LIMIT).expect("read to its end");
    assert!(found.len() == 3 && found[0] == one && matches!(found[1], Found::Bad(_)) && found[2] == two, "{found:?}");
}

#[test]
fn a_second_document_cut_anywhere_is_truncated() {
    let first = set(&good(1));
    let whole = format!("{first}\n{}", set(&good(2)));
    for cut in first.len() + 2..whole.len() {
        let cut = &whole.as_bytes()[..cut];
        assert!(split(cut, 11, LIMIT).is_err(), "{}", String::from_utf8_lossy(cut));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), chunk in 1usize..64) {
        let _ = split(&bytes, chunk, 200);
        let _ = identity::of_record(&bytes);
        let _ = identity::of_deletion(&bytes);
        let _ = Article::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn xml_like_text_never_panics(text in "(<[/!?]?(PubmedArticle(Set)?|PMID|a|DeleteCitation|--|\\[CDATA\\[)?[ =\"'&;#x0-9é]{0,4}[/?\\]-]{0,3}>?){0,40}") {
        for document in [text.clone(), set(&text), set(&format!("<PubmedArticle>{text}</PubmedArticle>"))] {
            let one = split(document.as_bytes(), 1, 300).map_err(|e| e.to_string());
            let all = split(document.as_bytes(), usize::MAX, 300).map_err(|e| e.to_string());
            prop_assert_eq!(one.is_ok(), all.is_ok(), "the seams change nothing");
            if let (Ok(one), Ok(all)) = (one, all) {
                prop_assert_eq!(one, all);
            }
            let _ = Article::parse(&document);
        }
    }

    #[test]
    fn a_mutilated_record_never_panics(pmid in 1u32..1000, at in 0usize..4000, byte in any::<u8>(), cut in 0usize..4000) {
        let mut bytes = Record::new(pmid, 0).xml().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let cut = cut % bytes.len();
        let _ = Article::parse(&String::from_utf8_lossy(&bytes));
        let _ = Article::parse(&String::from_utf8_lossy(&bytes[cut..]));
        let document = [b"<PubmedArticleSet>", &bytes[..], good(2).as_bytes(), b"</PubmedArticleSet>"].concat();
        let _ = split(&document, 100, LIMIT);
    }
}
