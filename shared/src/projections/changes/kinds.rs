//! The kinds of a change: derived from the event, its payload, and the previous state of the record. No I/O.

use serde::Serialize;

use super::Event;
use crate::pubmed::{IntegrityNote, IntegrityStatus, Notice};

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The record did not exist before, or was deleted.
    New,
    /// The record has another payload, or the same one, which can be read now and could not be before.
    Revised,
    /// The record states that it was retracted, and did not before.
    Retracted,
    /// The record no longer states that it was retracted.
    RetractionWithdrawn,
    /// The record refers to a correction for the first time.
    Corrected,
    /// The record refers to an expression of concern for the first time.
    Concern,
    /// The record was deleted.
    Deleted,
}

impl ChangeKind {
    /// Every kind, in the order in which the kinds of one event are listed.
    pub const ALL: [Self; 7] = [
        Self::New,
        Self::Revised,
        Self::Retracted,
        Self::RetractionWithdrawn,
        Self::Corrected,
        Self::Concern,
        Self::Deleted,
    ];

    /// Name of the kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Revised => "revised",
            Self::Retracted => "retracted",
            Self::RetractionWithdrawn => "retraction_withdrawn",
            Self::Corrected => "corrected",
            Self::Concern => "concern",
            Self::Deleted => "deleted",
        }
    }

    /// Parses the name of a kind.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether most changes are of this kind.
    pub fn is_common(self) -> bool {
        matches!(self, Self::New | Self::Revised)
    }
}

/// The state of a record in the feed.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RecordState {
    /// The record never existed.
    #[default]
    Absent,
    /// The record was deleted.
    Deleted,
    /// The record exists.
    Live(LiveState),
}

/// An existing record.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveState {
    /// Hash of its payload.
    pub content_hash: Option<String>,
    /// Integrity that the payload states; none if records of its type state nothing.
    pub integrity: Option<IntegrityNote>,
    /// The last known integrity, if that of the payload is unknown.
    pub last_known: Option<IntegrityNote>,
}

impl LiveState {
    /// Whether an event repeats the payload, and its integrity is known.
    pub fn is_known(&self, event: &Event) -> bool {
        self.is_same(event) && self.integrity.as_ref().is_none_or(IntegrityNote::is_known)
    }

    fn is_same(&self, event: &Event) -> bool {
        self.content_hash.is_some() && self.content_hash == event.content_hash
    }
}

/// Returns the kinds of an event's change, and the state of the record after it; no state if there is no kind: the feed
/// then keeps the previous one. `integrity` is what the payload states, if records of its type state anything.
pub fn change(
    before: &RecordState,
    event: &Event,
    integrity: Option<IntegrityNote>,
) -> (Vec<ChangeKind>, Option<RecordState>) {
    if event.is_deletion {
        return match before {
            RecordState::Deleted => (Vec::new(), None),
            RecordState::Absent | RecordState::Live(_) => (vec![ChangeKind::Deleted], Some(RecordState::Deleted)),
        };
    }
    let live = match before {
        RecordState::Live(live) if live.is_known(event) => return (Vec::new(), None),
        RecordState::Live(live) => Some(live),
        RecordState::Absent | RecordState::Deleted => None,
    };
    let mut kinds = match live {
        None => vec![ChangeKind::New],
        Some(live) if live.is_same(event) => Vec::new(),
        Some(_) => vec![ChangeKind::Revised],
    };
    let known = live.and_then(|live| live.last_known.as_ref());
    if let Some(now) = &integrity {
        kinds.extend(said(known, now));
        // The feed stated that the integrity is unknown.
        if kinds.is_empty() && now.is_known() {
            kinds.push(ChangeKind::Revised);
        }
    }
    if kinds.is_empty() {
        return (kinds, None);
    }
    let last_known = integrity.clone().filter(IntegrityNote::is_known).or_else(|| known.cloned());
    let after = LiveState { content_hash: event.content_hash.clone(), integrity, last_known };
    (kinds, Some(RecordState::Live(after)))
}

/// The kinds of what a payload states for the first time. An unreadable payload states nothing.
pub fn said(before: Option<&IntegrityNote>, now: &IntegrityNote) -> Vec<ChangeKind> {
    if !now.is_known() {
        return Vec::new();
    }
    let was_retracted = before.is_some_and(IntegrityNote::is_retracted);
    let mut kinds = Vec::new();
    match (was_retracted, now.is_retracted()) {
        (false, true) => kinds.push(ChangeKind::Retracted),
        (true, false) => kinds.push(ChangeKind::RetractionWithdrawn),
        (true, true) | (false, false) => {}
    }
    for (status, kind) in
        [(IntegrityStatus::Corrected, ChangeKind::Corrected), (IntegrityStatus::Concern, ChangeKind::Concern)]
    {
        let is_first = now.says(status) && !before.is_some_and(|before| before.says(status));
        if is_first || has_new_notice(before, now, status) {
            kinds.push(kind);
        }
    }
    kinds
}

/// Whether a record refers to a notice of this status for the first time. The same notice may gain a PMID, and its
/// citation may be spelt in another way once it has one.
fn has_new_notice(before: Option<&IntegrityNote>, now: &IntegrityNote, status: IntegrityStatus) -> bool {
    let of_status = |notice: &&Notice| status_of(notice) == Some(status);
    let is_known = |notice: &Notice| {
        let mut earlier = before.into_iter().flat_map(|before| &before.notices);
        earlier.any(|known| is_same_notice(known, notice))
    };
    now.notices.iter().filter(of_status).any(|notice| !is_known(notice))
}

/// The status of a record that refers to this notice.
fn status_of(notice: &Notice) -> Option<IntegrityStatus> {
    match notice.ref_type.as_str() {
        "ErratumIn" | "CorrectedandRepublishedIn" => Some(IntegrityStatus::Corrected),
        "ExpressionOfConcernIn" | "ExpressionOfConcernFor" => Some(IntegrityStatus::Concern),
        _ => None,
    }
}

fn is_same_notice(one: &Notice, other: &Notice) -> bool {
    if one.ref_type != other.ref_type {
        return false;
    }
    match (&one.pmid, &other.pmid) {
        (Some(one), Some(other)) => one == other,
        _ => spelling(one.source.as_deref()) == spelling(other.source.as_deref()),
    }
}

/// A citation without case, spaces and punctuation.
fn spelling(source: Option<&str>) -> String {
    source.unwrap_or_default().chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::ChangeKind::{Concern, Corrected, Deleted, New, Retracted, RetractionWithdrawn, Revised};
    use super::*;

    fn event(hash: Option<&str>) -> Event {
        Event {
            seq: 1,
            record_type: "pubmed".to_owned(),
            record_id: "1".to_owned(),
            is_deletion: hash.is_none(),
            content_hash: hash.map(str::to_owned),
            s3_uri: String::new(),
            accepted_at: DateTime::default(),
            integrity: None,
            integrity_rules: None,
            is_passed_over: false,
        }
    }

    fn note(comments: &[(&str, Option<u32>, &str)]) -> IntegrityNote {
        let comments = comments
            .iter()
            .map(|(kind, pmid, source)| {
                let pmid = pmid.map(|pmid| format!("<PMID>{pmid}</PMID>")).unwrap_or_default();
                format!("<CommentsCorrections RefType=\"{kind}\"><RefSource>{source}</RefSource>{pmid}</CommentsCorrections>")
            })
            .collect::<Vec<_>>()
            .concat();
        IntegrityNote::of(&format!(
            "<PubmedArticle><MedlineCitation><PMID>1</PMID><Article/><CommentsCorrectionsList>{comments}\
             </CommentsCorrectionsList></MedlineCitation></PubmedArticle>"
        ))
    }

    /// Applies payloads (hash and integrity; none: deleted) in order and returns the kinds of each.
    fn history(steps: &[(Option<&str>, IntegrityNote)]) -> Vec<Vec<ChangeKind>> {
        let mut state = RecordState::default();
        let mut all = Vec::new();
        for (hash, note) in steps {
            let (kinds, after) = change(&state, &event(*hash), hash.is_some().then(|| note.clone()));
            state = after.unwrap_or(state);
            all.push(kinds);
        }
        all
    }

    fn ok() -> IntegrityNote {
        IntegrityNote::default()
    }

    #[test]
    fn a_payload_that_returns_is_a_revision_and_a_deleted_record_that_returns_is_new() {
        let steps = [
            (Some("a"), ok()),
            (Some("b"), ok()),
            (Some("a"), ok()),
            (Some("a"), ok()),
            (None, ok()),
            (None, ok()),
            (Some("a"), ok()),
        ];
        let none = Vec::new();
        let expected = [vec![New], vec![Revised], vec![Revised], none.clone(), vec![Deleted], none, vec![New]];
        assert_eq!(history(&steps), expected);
        assert_eq!(history(&[(None, ok())]), [[Deleted]], "a deletion of what was never there is told too");
    }

    #[test]
    fn a_retraction_is_told_once_and_so_is_its_withdrawal() {
        let retracted = || note(&[("RetractionIn", Some(2), "J")]);
        let steps = [
            (Some("a"), ok()),
            (Some("b"), retracted()),
            (Some("c"), retracted()),
            (Some("d"), ok()),
            (None, ok()),
            (Some("b"), retracted()),
        ];
        let expected = [
            vec![New],
            vec![Revised, Retracted],
            vec![Revised],
            vec![Revised, RetractionWithdrawn],
            vec![Deleted],
            vec![New, Retracted],
        ];
        assert_eq!(history(&steps), expected);
    }

    #[test]
    fn each_correction_and_concern_is_told_once() {
        let (first, second) = (("ErratumIn", None, "J Med. 2020;1:2"), ("ErratumIn", Some(3), "J Med. 2021"));
        let steps = [
            (Some("a"), note(&[first])),
            (Some("b"), note(&[("ErratumIn", Some(2), "J  Med 2020; 1:2.")])),
            (Some("c"), note(&[("ErratumIn", Some(2), "J Med (2020)"), second])),
            (Some("d"), note(&[second, ("ExpressionOfConcernIn", None, "x"), ("RetractionIn", None, "y")])),
            (Some("e"), note(&[second])),
            (Some("f"), note(&[("ErratumFor", None, "z")])),
        ];
        let expected = [
            vec![New, Corrected],
            vec![Revised],
            vec![Revised, Corrected],
            vec![Revised, Retracted, Concern],
            vec![Revised, RetractionWithdrawn],
            vec![Revised],
        ];
        assert_eq!(history(&steps), expected);
    }

    #[test]
    fn what_could_not_be_read_hides_no_retraction_for_ever() {
        let retracted = || note(&[("RetractionIn", Some(2), "J")]);
        let steps = [
            (Some("a"), IntegrityNote::UNKNOWN),
            (Some("b"), IntegrityNote::UNKNOWN),
            (Some("b"), retracted()),
            (Some("c"), IntegrityNote::UNKNOWN),
            (Some("d"), retracted()),
            (Some("e"), IntegrityNote::UNKNOWN),
            (Some("f"), ok()),
            (Some("g"), IntegrityNote::UNKNOWN),
            (Some("g"), IntegrityNote::UNKNOWN),
            (Some("g"), ok()),
            (Some("g"), ok()),
        ];
        let expected = [
            vec![New],
            vec![Revised],
            vec![Retracted],
            vec![Revised],
            vec![Revised],
            vec![Revised],
            vec![Revised, RetractionWithdrawn],
            vec![Revised],
            vec![],
            vec![Revised],
            vec![],
        ];
        assert_eq!(history(&steps), expected);
    }

    #[test]
    fn records_of_a_type_that_says_nothing_are_new_revised_and_deleted() {
        let mut state = RecordState::default();
        let kinds: Vec<_> = [Some("a"), Some("a"), Some("b"), None]
            .into_iter()
            .map(|hash| {
                let (kinds, after) = change(&state, &event(hash), None);
                state = after.unwrap_or_else(|| state.clone());
                kinds
            })
            .collect();
        assert_eq!(kinds, [vec![New], vec![], vec![Revised], vec![Deleted]]);
    }

    #[test]
    fn kinds_are_read_by_their_names() {
        for kind in ChangeKind::ALL {
            assert_eq!(ChangeKind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.as_str());
        }
        assert_eq!(ChangeKind::parse("missing"), None);
    }
}
