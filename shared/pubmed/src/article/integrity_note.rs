//! What a record states about its own integrity, in the form that is stored with its event and compared with that of
//! its next revision.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::article_parts::Comment;
use super::integrity::{Evidence, Integrity, Signs, assess};
use crate::xml_tree::Tree;

/// Version of the rules for notes: notes made by older rules are not compared with those of this version.
pub const NOTE_RULES: i16 = 1;

/// Maximum number of notices, and of evidence, in a note; real records have a few.
const MAX_ITEMS: usize = 100;

/// Maximum length of a text in a note, in characters.
const MAX_TEXT: usize = 300;

/// Signs of notices and concerns, in addition to those of a retraction.
static SIGNS: LazyLock<Signs> =
    LazyLock::new(|| Signs::with(&["ErratumIn", "Concern", "CorrectedandRep", "D016440", "D000075742"]));

/// The integrity of a record, as the record itself states it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntegrityStatus {
    /// The record states no problem.
    #[default]
    Ok,
    /// A correction was published.
    Corrected,
    /// A concern was expressed, or the record is an expression of concern.
    Concern,
    /// The article was retracted.
    Retracted,
    /// The record is the notice of a retraction.
    RetractionNotice,
    /// The record could not be read.
    Unknown,
}

impl IntegrityStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Corrected, Self::Concern, Self::Retracted, Self::RetractionNotice, Self::Unknown];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Corrected => "corrected",
            Self::Concern => "concern",
            Self::Retracted => "retracted",
            Self::RetractionNotice => "retraction_notice",
            Self::Unknown => "unknown",
        }
    }

    /// Parses the name of a status.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A notice: a reference to the record that states the problem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Type of the reference, e.g. `RetractionIn`.
    pub ref_type: String,
    /// PMID of the notice, if known.
    pub pmid: Option<String>,
    /// Citation of the notice.
    pub source: Option<String>,
}

/// Evidence that a record is not `ok`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedEvidence {
    /// Status that the evidence supports.
    pub status: IntegrityStatus,
    /// Part of the record: `pub_type`, `comment`, `title`, `history` or `publication_status`.
    pub source: String,
    /// Text of the evidence.
    pub value: String,
}

/// What a record states about its own integrity.
///
/// ```
/// use bio_mcp_pubmed::{IntegrityNote, IntegrityStatus};
///
/// let xml = r#"<PubmedArticle><MedlineCitation><PMID>1</PMID><Article/><CommentsCorrectionsList>
///     <CommentsCorrections RefType="ErratumIn"><RefSource>J. 2020;1:2</RefSource></CommentsCorrections>
///     </CommentsCorrectionsList></MedlineCitation></PubmedArticle>"#;
/// let note = IntegrityNote::of(xml);
/// assert_eq!(note.status, IntegrityStatus::Corrected);
/// assert_eq!(note.notices[0].source.as_deref(), Some("J. 2020;1:2"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrityNote {
    /// The most serious status that the record states.
    pub status: IntegrityStatus,
    /// Notices that support it, at most a hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
    /// Evidence for it, at most a hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<NotedEvidence>,
}

impl IntegrityNote {
    /// The note of a record that could not be read.
    pub const UNKNOWN: Self = Self { status: IntegrityStatus::Unknown, notices: Vec::new(), evidence: Vec::new() };

    /// Reads the note of a record. Most records contain no sign, and are not parsed.
    pub fn of(xml: &str) -> Self {
        if !SIGNS.may_be_in(xml) {
            return Self::default();
        }
        Tree::parse(xml).map_or(Self::UNKNOWN, |tree| Self::from(&assess(tree.root())))
    }

    /// Whether the record could be read.
    pub fn is_known(&self) -> bool {
        self.status != IntegrityStatus::Unknown
    }

    /// Whether any evidence supports this status.
    pub fn says(&self, status: IntegrityStatus) -> bool {
        self.evidence.iter().any(|one| one.status == status)
    }

    /// Whether the article was retracted.
    pub fn is_retracted(&self) -> bool {
        self.status == IntegrityStatus::Retracted
    }
}

impl From<&Integrity<'_>> for IntegrityNote {
    fn from(integrity: &Integrity<'_>) -> Self {
        Self {
            status: IntegrityStatus::parse(integrity.status).unwrap_or(IntegrityStatus::Unknown),
            notices: integrity.notices.iter().take(MAX_ITEMS).map(Notice::from).collect(),
            evidence: integrity.evidence.iter().take(MAX_ITEMS).map(NotedEvidence::from).collect(),
        }
    }
}

impl From<&Comment<'_>> for Notice {
    fn from(comment: &Comment<'_>) -> Self {
        Self {
            ref_type: comment.ref_type.as_deref().map(|text| noted(text.trim())).unwrap_or_default(),
            pmid: comment.pmid.as_deref().map(noted),
            source: comment.source.as_deref().map(noted),
        }
    }
}

impl From<&Evidence<'_>> for NotedEvidence {
    fn from(evidence: &Evidence<'_>) -> Self {
        let status = IntegrityStatus::parse(evidence.status).unwrap_or(IntegrityStatus::Unknown);
        Self { status, source: evidence.source.to_owned(), value: noted(&evidence.value) }
    }
}

/// A text within the maximum length, with only characters that the database accepts.
fn noted(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(types: &str, comments: &str, title: &str) -> String {
        format!(
            "<PubmedArticle><MedlineCitation><PMID>1</PMID><Article><ArticleTitle>{title}</ArticleTitle>\
             <PublicationTypeList>{types}</PublicationTypeList></Article><CommentsCorrectionsList>{comments}\
             </CommentsCorrectionsList></MedlineCitation></PubmedArticle>"
        )
    }

    fn comment(kind: &str, pmid: u32) -> String {
        format!(
            "<CommentsCorrections RefType=\"{kind}\"><RefSource>J {pmid}</RefSource><PMID>{pmid}</PMID>\
             </CommentsCorrections>"
        )
    }

    /// Parses the record in every case.
    fn parsed(xml: &str) -> IntegrityNote {
        let tree = Tree::parse(xml).expect("well-formed");
        IntegrityNote::from(&assess(tree.root()))
    }

    #[test]
    fn no_sign_that_the_record_has_is_overlooked() {
        let types = |ui: &str, name: &str| format!("<PublicationType UI=\"{ui}\">{name}</PublicationType>");
        let mut records = vec![record("", "", "gene expression"), record("", &comment("ErratumFor", 2), "x")];
        for kind in [
            "RetractionIn",
            "RetractedandRepublishedIn",
            "RetractionOf",
            "ExpressionOfConcernIn",
            "ExpressionOfConcernFor",
            "ErratumIn",
            "CorrectedandRepublishedIn",
        ] {
            records.push(record("", &comment(kind, 2), "x"));
        }
        for (ui, name) in [
            ("D016441", "x"),
            ("", "Retracted Publication"),
            ("D016440", "x"),
            ("", "Retraction of Publication"),
            ("", "Retraction Notice"),
            ("D000075742", "x"),
            ("", "Expression of Concern"),
            ("", "Expression&#32;of&#x20;&#67;oncern"),
        ] {
            records.push(record(&types(ui, name), "", "x"));
        }
        for title in ["RETRACTED: x", "With&#100;rawn: x", "RET<!-- -->RACTED: x"] {
            records.push(record("", "", title));
        }
        for xml in &records {
            assert_eq!(IntegrityNote::of(xml), parsed(xml), "{xml}");
        }
        let said = records.iter().filter(|xml| parsed(xml).status != IntegrityStatus::Ok).count();
        assert_eq!(said, records.len() - 2, "all but the first two say something");
    }

    #[test]
    fn a_note_is_bounded_and_what_cannot_be_read_is_unknown() {
        let many: String = (1..500).map(|n| comment("ErratumIn", n)).collect();
        let note = IntegrityNote::of(&record("", &many, &"RETRACTED: x".repeat(100)));
        assert_eq!((note.notices.len(), note.evidence.len()), (MAX_ITEMS, MAX_ITEMS));
        assert_eq!(note.notices[1].pmid.as_deref(), Some("2"));
        let long = IntegrityNote::of(&record("", "", &format!("RETRACTED: {}", "x".repeat(1000))));
        assert_eq!((long.is_retracted(), long.evidence[0].value.chars().count()), (true, MAX_TEXT));
        let broken = "<PubmedArticle>RetractionIn";
        assert_eq!(IntegrityNote::of(broken), IntegrityNote::UNKNOWN);
        assert!(!IntegrityNote::of(broken).is_known());
    }

    #[test]
    fn a_note_is_written_without_what_it_does_not_have() {
        let json = |note: &IntegrityNote| serde_json::to_string(note).expect("JSON");
        assert_eq!(json(&IntegrityNote::default()), r#"{"status":"ok"}"#);
        let note = IntegrityNote::of(&record("", &comment("RetractionIn", 7), "x"));
        let text = json(&note);
        assert_eq!(serde_json::from_str::<IntegrityNote>(&text).expect("readable"), note, "{text}");
        for status in IntegrityStatus::ALL {
            assert_eq!(serde_json::to_value(status).expect("JSON"), status.as_str());
            assert_eq!(IntegrityStatus::parse(status.as_str()), Some(status));
        }
    }
}
