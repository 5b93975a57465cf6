//! Integrity of records: corrections, concerns, retractions.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Serialize;

use super::article_parts::{Comment, comment};
use super::{Text, own_title};
use crate::xml_tree::{Element, Tree};

/// The integrity of a record, as the record itself states it.
#[derive(Clone, Debug, Serialize)]
pub struct Integrity<'a> {
    /// `ok`, `corrected`, `concern`, `retracted` or `retraction_notice`: the most serious one found.
    pub status: &'static str,
    /// Comments that support the status.
    pub notices: Vec<Comment<'a>>,
    /// All evidence of the status.
    pub evidence: Vec<Evidence<'a>>,
}

/// Evidence that a record is not `ok`.
#[derive(Clone, Debug, Serialize)]
pub struct Evidence<'a> {
    /// Status that it supports.
    pub status: &'static str,
    /// Part of the record: `pub_type`, `comment`, `title`, `history` or `publication_status`.
    pub source: &'static str,
    /// Its text: publication type, type of the comment, title or status.
    pub value: Text<'a>,
}

/// The status of a retracted article.
const RETRACTED: &str = "retracted";
const RETRACTION_NOTICE: &str = "retraction_notice";
const CONCERN: &str = "concern";
const CORRECTED: &str = "corrected";

/// Publication types by MeSH id and by name; names changed over the years, ids did not.
const TYPES: [(&str, &str, &str); 4] = [
    ("D016441", "Retracted Publication", RETRACTED),
    ("D016440", "Retraction of Publication", RETRACTION_NOTICE),
    ("D016440", "Retraction Notice", RETRACTION_NOTICE),
    ("D000075742", "Expression of Concern", CONCERN),
];

/// Comments that are notices.
const NOTICES: [(&str, &str); 7] = [
    ("RetractionIn", RETRACTED),
    ("RetractedandRepublishedIn", RETRACTED),
    ("RetractionOf", RETRACTION_NOTICE),
    ("ExpressionOfConcernIn", CONCERN),
    ("ExpressionOfConcernFor", CONCERN),
    ("ErratumIn", CORRECTED),
    ("CorrectedandRepublishedIn", CORRECTED),
];

/// Texts of which every statement of a retraction contains one: in comments, types, statuses and titles.
const SIGNS_OF_RETRACTION: [&str; 5] = ["etract", "ETRACT", "ithdraw", "ITHDRAW", "D016441"];

static OF_RETRACTION: LazyLock<Signs> = LazyLock::new(|| Signs::with(&[]));

/// Whether a record states that its article was retracted, as in its `integrity`; false for a record that cannot be
/// parsed.
pub fn is_retracted(xml: &str) -> bool {
    OF_RETRACTION.may_be_in(xml) && Tree::parse(xml).is_ok_and(|tree| assess(tree.root()).status == RETRACTED)
}

/// Texts of which every record with a statement about its integrity contains one. The searchers are built once:
/// building them for each record takes as long as searching it.
pub(super) struct Signs {
    texts: Vec<Finder<'static>>,
    references: Finder<'static>,
}

impl Signs {
    /// The signs of a retraction, and `others`.
    pub(super) fn with(others: &[&'static str]) -> Self {
        // Markup inside a text may split a sign.
        let texts = SIGNS_OF_RETRACTION.into_iter().chain(others.iter().copied()).chain(["<!", "<?"]);
        Self { texts: texts.map(Finder::new).collect(), references: Finder::new("&#") }
    }

    /// Whether a record may contain a sign; most contain none, and are not parsed. Letters written as references may
    /// hide a sign.
    pub(super) fn may_be_in(&self, xml: &str) -> bool {
        let is_letter = |at: usize| {
            // The maximum length of a reference in the scanner.
            let rest = &xml.as_bytes()[at + 2..];
            let name = rest[..rest.len().min(32)].split(|byte| *byte == b';').next().unwrap_or_default();
            let name = std::str::from_utf8(name).unwrap_or_default();
            let code = match name.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => name.parse(),
            };
            code.is_ok_and(|code| code < 128)
        };
        self.texts.iter().any(|sign| sign.find(xml.as_bytes()).is_some())
            || self.references.find_iter(xml.as_bytes()).any(is_letter)
    }
}

/// Reads the integrity of a `PubmedArticle` or `PubmedBookArticle`.
pub fn assess<'a>(root: Element<'_, 'a>) -> Integrity<'a> {
    let mut found = Integrity { status: "ok", notices: Vec::new(), evidence: Vec::new() };
    let body = root.first("MedlineCitation").or_else(|| root.first("BookDocument"));
    let article = body.and_then(|body| body.first("Article"));
    let types = article.into_iter().flat_map(|article| article.all("PublicationTypeList")).chain(body);
    for one in types.flat_map(|list| list.all("PublicationType")) {
        found.pub_type(one);
    }
    for list in body.into_iter().flat_map(|body| body.all("CommentsCorrectionsList")) {
        for one in list.all("CommentsCorrections") {
            found.comment(one);
        }
    }
    // The title of a retraction notice has the same words, but the notice is not retracted.
    let has_sign =
        |title: &Element<'_, '_>| title.texts().any(|text| SIGNS_OF_RETRACTION.iter().any(|sign| text.contains(sign)));
    let title = body.and_then(own_title).filter(|title| has_sign(title) && says_retracted(&title.raw_text()));
    if let Some(title) = title.and_then(Element::text)
        && !found.says(RETRACTION_NOTICE)
    {
        found.add(RETRACTED, "title", title);
    }
    for data in root.elements().filter(|one| matches!(one.name(), "PubmedData" | "PubmedBookData")) {
        found.data(data);
    }
    let gravest = [RETRACTED, RETRACTION_NOTICE, CONCERN, CORRECTED].into_iter().find(|status| found.says(status));
    found.status = gravest.unwrap_or("ok");
    found
}

impl<'a> Integrity<'a> {
    fn says(&self, status: &str) -> bool {
        self.evidence.iter().any(|evidence| evidence.status == status)
    }

    fn add(&mut self, status: &'static str, source: &'static str, value: Text<'a>) {
        self.evidence.push(Evidence { status, source, value });
    }

    fn pub_type(&mut self, one: Element<'_, 'a>) {
        let name = one.raw_text();
        let ui = one.raw_attribute("UI").map_or("", |ui| ui.trim());
        let known = TYPES.iter().find(|(id, known, _)| ui == *id || name.trim() == *known);
        if let Some((id, known, status)) = known {
            let value = if name.trim().is_empty() { Text::Borrowed(*id) } else { Text::Borrowed(*known) };
            self.add(status, "pub_type", one.text().unwrap_or(value));
        }
    }

    fn comment(&mut self, one: Element<'_, 'a>) {
        let kind = one.raw_attribute("RefType").map_or("", |kind| kind.trim());
        if let Some((known, status)) = NOTICES.iter().find(|(known, _)| *known == kind) {
            self.add(status, "comment", Text::Borrowed(*known));
            self.notices.extend(comment(one));
        }
    }

    fn data(&mut self, data: Element<'_, 'a>) {
        let says = |text: &str| ["retracted", "Retracted", "RETRACTED"].contains(&text.trim());
        let dates = data.all("History").flat_map(|history| history.all("PubMedPubDate"));
        if dates.filter_map(|date| date.raw_attribute("PubStatus")).any(|status| says(status)) {
            self.add(RETRACTED, "history", Text::Borrowed(RETRACTED));
        }
        if data.all("PublicationStatus").any(|status| says(&status.raw_text())) {
            self.add(RETRACTED, "publication_status", Text::Borrowed(RETRACTED));
        }
    }
}

/// Whether a title starts with a publisher's mark of a retraction: `RETRACTED:`, `WITHDRAWN:`, `RETRACTED ARTICLE:`,
/// `[RETRACTED]`.
fn says_retracted(title: &str) -> bool {
    const MARKS: [&str; 2] = ["RETRACTED", "WITHDRAWN"];
    const WORKS: [&str; 4] = ["", "ARTICLE", "PAPER", "CHAPTER"];
    let start = title.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '[' | '(' | '"' | '\u{201c}'));
    let is_in_brackets = title.trim_start().starts_with(['[', '(']);
    let is_end = |c: char| matches!(c, ':' | '\u{ff1a}') || (is_in_brackets && matches!(c, ']' | ')'));
    let Some(end) = start.find(is_end) else { return false };
    let mut words = start[..end].split_whitespace();
    let is_one_of = |word: &str, known: &[&str]| known.iter().any(|one| word.eq_ignore_ascii_case(one));
    is_one_of(words.next().unwrap_or_default(), &MARKS)
        && is_one_of(words.next().unwrap_or_default(), &WORKS)
        && words.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(title: &str, in_citation: &str, in_data: &str) -> String {
        format!(
            "<PubmedArticle><MedlineCitation><PMID>1</PMID><Article><ArticleTitle>{title}</ArticleTitle>\
             <PublicationTypeList>{in_citation}</PublicationTypeList></Article><CommentsCorrectionsList>{in_citation}\
             </CommentsCorrectionsList></MedlineCitation><PubmedData>{in_data}</PubmedData></PubmedArticle>"
        )
    }

    fn check(xml: &str, status: &str, from: &[(&str, &str)]) {
        let tree = Tree::parse(xml).expect("well-formed");
        let found = assess(tree.root());
        let evidence: Vec<(&str, &str)> = found.evidence.iter().map(|one| (one.source, &*one.value)).collect();
        assert_eq!((found.status, evidence.as_slice()), (status, from), "{xml}");
        assert_eq!(is_retracted(xml), status == "retracted", "{xml}");
    }

    fn comment_of(kind: &str) -> String {
        format!("<CommentsCorrections RefType=\"{kind}\"><RefSource>J</RefSource></CommentsCorrections>")
    }

    #[test]
    fn titles_that_begin_with_a_mark_say_that_the_article_was_retracted() {
        for title in [
            "RETRACTED: A study",
            "WITHDRAWN: A study",
            "Retracted: a study",
            "\n\u{a0}RETRACTED\u{a0}: a study",
            "<b>RETRACTED</b>: a study",
            "RETR&#65;CTED: a study",
            "RETRACTED ARTICLE: a study",
            "RET<!-- -->RACTED: a study",
            "<![CDATA[WITH]]>DRAWN: a study",
            "&#x52;ETRACTED: a study",
            "[RETRACTED: a study].",
            "[Retracted] A study",
        ] {
            let xml = format!("<t>{title}</t>");
            let text = Tree::parse(&xml).expect("well-formed").root().raw_text().into_owned();
            check(&record(title, "", ""), "retracted", &[("title", &text)]);
        }
        for title in [
            "Retracted papers: a survey",
            "Why it was retracted: a study",
            "Withdrawn from care: a cohort",
            "RETRACTED",
            "Retraction: a study",
            "Withdrawing treatment: when",
        ] {
            check(&record(title, "", ""), "ok", &[]);
        }
    }

    #[test]
    fn the_gravest_of_all_evidence_is_the_status() {
        let history = |status: &str| format!("<History><PubMedPubDate PubStatus=\"{status}\"/></History>");
        let types = |ui: &str, name: &str| format!("<PublicationType UI=\"{ui}\">{name}</PublicationType>");
        check(&record("x", "", &history("received")), "ok", &[]);
        check(&record("x", "", &history("retracted")), "retracted", &[("history", "retracted")]);
        let status = "<PublicationStatus>retracted</PublicationStatus>";
        check(&record("x", "", status), "retracted", &[("publication_status", "retracted")]);
        check(&record("x", &types("D016441", ""), ""), "retracted", &[("pub_type", "D016441")]);
        check(
            &record("x", &types("", "Retraction Notice"), ""),
            "retraction_notice",
            &[("pub_type", "Retraction Notice")],
        );
        check(
            &record("x", &types("", "Expression of Concern"), ""),
            "concern",
            &[("pub_type", "Expression of Concern")],
        );
        for (kind, status) in NOTICES {
            check(&record("x", &comment_of(kind), ""), status, &[("comment", kind)]);
        }
        check(&record("x", &comment_of("ErratumFor"), ""), "ok", &[]);
        check(
            &record("WITHDRAWN: x", &(comment_of("ErratumIn") + &comment_of("ExpressionOfConcernIn")), ""),
            "retracted",
            &[("comment", "ErratumIn"), ("comment", "ExpressionOfConcernIn"), ("title", "WITHDRAWN: x")],
        );
    }

    #[test]
    fn a_notice_of_retraction_is_not_retracted_whatever_its_title() {
        check(
            &record("Retracted: a study", &comment_of("RetractionOf"), ""),
            "retraction_notice",
            &[("comment", "RetractionOf")],
        );
    }
}
