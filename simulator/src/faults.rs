//! What goes wrong, and when.

use std::collections::VecDeque;

use crate::mix;

/// A failure as the real servers have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429 with the caller's key or address in it, and when to come back.
    Throttled,
    /// The same without `Retry-After`.
    ThrottledSilent,
    /// The same with HTTP status 200.
    ThrottledOk,
    /// 502 with an HTML page.
    BadGateway,
    /// 500 with text.
    ServerError,
    /// An HTML page with HTTP status 200.
    Html,
    /// The routing layer's text.
    Outage,
    /// Nothing.
    Empty,
    /// XML prolog and DOCTYPE, no document.
    PrologOnly,
    /// The response without its second half.
    Truncated,
    /// The connection breaks in the middle.
    Broken,
    /// The response stops in the middle, and the connection stays open. Only a limit of the caller ends it, so it is
    /// not among those of [`Fault::ALL`].
    Stalled,
    /// A C++ exception's text with HTTP status 200.
    Backend,
    /// A relayed error with HTTP status 400.
    Relayed,
    /// The search backend failed, in invalid JSON.
    SearchBackend,
    /// The search backend's own status, in a response with HTTP status 200.
    SearchStatus,
    /// It does not know its database.
    SearchDatabase,
    /// It cannot be reached.
    SearchConnection,
    /// It has lost the query.
    SearchLost,
    /// The connection to it failed, said beside a count of 0.
    SearchMessage,
    /// Some results or records left out.
    Short,
    /// One more counted than there is.
    Drift,
    /// One result listed twice, in the place of another.
    Duplicate,
    /// A redirect.
    Redirect,
    /// Nothing found, in a whole response.
    Nothing,
    /// Half of the results counted and listed, in a whole response.
    Half,
    /// A set without any record, in a whole response.
    NoRecords,
}

impl Fault {
    /// All that a single response shows.
    pub const ALL: [Self; 23] = [
        Self::Throttled,
        Self::ThrottledSilent,
        Self::ThrottledOk,
        Self::BadGateway,
        Self::ServerError,
        Self::Html,
        Self::Outage,
        Self::Empty,
        Self::PrologOnly,
        Self::Truncated,
        Self::Broken,
        Self::Backend,
        Self::Relayed,
        Self::SearchBackend,
        Self::SearchStatus,
        Self::SearchDatabase,
        Self::SearchConnection,
        Self::SearchLost,
        Self::SearchMessage,
        Self::Short,
        Self::Drift,
        Self::Duplicate,
        Self::Redirect,
    ];

    /// Those that no response shows by itself: it is whole and adds up, and is wrong.
    pub const LIES: [Self; 3] = [Self::Nothing, Self::Half, Self::NoRecords];

    /// What the search backend says of itself with HTTP status 200.
    pub(crate) fn search_text(self) -> Option<&'static str> {
        Some(match self {
            Self::SearchBackend => "Search Backend failed: Exception:\n'Connection reset by peer'",
            Self::SearchStatus => "Status: 500",
            Self::SearchDatabase => "Database is not supported: pubmed",
            Self::SearchConnection => "Unable to open connection to #1PubSrv",
            Self::SearchLost => "Unable to obtain query #1",
            _ => return None,
        })
    }
}

/// The plan of failures.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The next requests fail so, in order; `None` is a good response.
    pub script: VecDeque<Option<Fault>>,
    /// Beyond the script, so many of a thousand requests fail, by seed.
    pub per_thousand: u64,
    pub seed: u64,
    /// Which failures those are; all if empty.
    pub kinds: Vec<Fault>,
    /// Everything fails as when the service is down.
    pub is_down: bool,
    /// A whole response that is wrong, once: to the search or fetch with this number, from 0.
    pub lie: Option<(u64, Fault)>,
    /// Requests so far.
    pub requests: u64,
    /// How often each failure was shown.
    pub shown: std::collections::BTreeMap<String, u64>,
}

impl Faults {
    /// Failures by seed, so many of a thousand requests.
    pub fn seeded(seed: u64, per_thousand: u64) -> Self {
        Self { per_thousand, seed, ..Self::default() }
    }

    /// The next requests fail so.
    pub fn scripted(faults: impl IntoIterator<Item = Option<Fault>>) -> Self {
        Self { script: faults.into_iter().collect(), ..Self::default() }
    }

    /// The lie to this request, if it is its turn. A request that fails otherwise is not lied to.
    fn lie_to(&mut self, endpoint: &str) -> Option<Fault> {
        let (left, fault) = self.lie?;
        let is_fetch = fault == Fault::NoRecords;
        if endpoint != if is_fetch { "efetch" } else { "esearch" } {
            return None;
        }
        self.lie = left.checked_sub(1).map(|left| (left, fault));
        (left == 0).then_some(fault)
    }

    pub(crate) fn next(&mut self, endpoint: &str) -> Option<Fault> {
        self.requests += 1;
        let random = mix(self.seed ^ mix(self.requests));
        let kinds: &[Fault] = if self.kinds.is_empty() { &Fault::ALL } else { &self.kinds };
        let fault = if self.is_down {
            Some(if random & 1 == 0 { Fault::BadGateway } else { Fault::Broken })
        } else if let Some(scripted) = self.script.pop_front() {
            scripted
        } else if random % 1000 < self.per_thousand {
            let at = usize::try_from((random >> 16) % kinds.len() as u64).unwrap_or(0);
            Some(kinds[at])
        } else {
            self.lie_to(endpoint)
        };
        if let Some(fault) = fault {
            *self.shown.entry(format!("{fault:?}")).or_default() += 1;
        }
        fault
    }
}
