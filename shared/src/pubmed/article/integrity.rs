//! Whether a record may be relied on: corrections, concerns, retractions.

use memchr::memmem;
use serde::Serialize;

use super::Article;
use super::article_parts::Comment;
use super::subjects::PubType;

/// The integrity of a record as its own comments and publication types tell it.
#[derive(Clone, Debug, Serialize)]
pub struct Integrity<'a> {
    /// `ok`, `corrected`, `concern`, `retracted` or `retraction_notice`; the gravest counts.
    pub status: &'static str,
    /// The comments that say so.
    pub notices: Vec<Comment<'a>>,
}

/// The status of a retracted article.
const RETRACTED: &str = "retracted";

/// MeSH ids of the publication types; names changed over the years, ids did not.
const RETRACTED_PUBLICATION: &str = "D016441";
const RETRACTION_NOTICE: &str = "D016440";

/// Comments that are notices.
const NOTICES: [&str; 6] = [
    "RetractionIn",
    "RetractedandRepublishedIn",
    "RetractionOf",
    "ExpressionOfConcernIn",
    "ErratumIn",
    "CorrectedandRepublishedIn",
];

/// Whether a record says that its article was retracted. One that cannot be read does not say so.
pub fn is_retracted(xml: &str) -> bool {
    // Most records hold nothing that could say it, and need no reading.
    let may_say =
        ["Retract", RETRACTED_PUBLICATION].iter().any(|word| memmem::find(xml.as_bytes(), word.as_bytes()).is_some());
    may_say && Article::parse(xml).is_ok_and(|article| article.integrity.status == RETRACTED)
}

/// Judges a record.
pub fn judge<'a>(pub_types: &[PubType<'a>], comments: &[Comment<'a>]) -> Integrity<'a> {
    let is_type =
        |ui: &str, names: &[&str]| pub_types.iter().any(|t| t.ui.as_deref() == Some(ui) || names.contains(&&*t.name));
    let has = |types: &[&str]| comments.iter().any(|c| c.ref_type.as_deref().is_some_and(|t| types.contains(&t)));
    let status = if is_type(RETRACTED_PUBLICATION, &["Retracted Publication"])
        || has(&["RetractionIn", "RetractedandRepublishedIn"])
    {
        RETRACTED
    } else if is_type(RETRACTION_NOTICE, &["Retraction of Publication", "Retraction Notice"]) || has(&["RetractionOf"])
    {
        "retraction_notice"
    } else if has(&["ExpressionOfConcernIn"]) {
        "concern"
    } else if has(&["ErratumIn", "CorrectedandRepublishedIn"]) {
        "corrected"
    } else {
        "ok"
    };
    let is_notice = |c: &&Comment<'a>| c.ref_type.as_deref().is_some_and(|t| NOTICES.contains(&t));
    Integrity { status, notices: comments.iter().filter(is_notice).cloned().collect() }
}
