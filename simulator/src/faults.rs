//! Simulated failures, and when they occur.

use std::collections::VecDeque;

use crate::mix;

/// A failure that the real servers produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429 with the caller's key or address, and a `Retry-After`.
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
    /// The error text of the routing layer.
    Outage,
    /// An empty response.
    Empty,
    /// XML prolog and DOCTYPE without a document.
    PrologOnly,
    /// The first half of the response.
    Truncated,
    /// The connection is closed in the middle of the response.
    Broken,
    /// The response stops in the middle, and the connection stays open. Only a timeout of the client ends it, so it is
    /// not among those of [`Fault::ALL`].
    Stalled,
    /// The text of a C++ exception, with HTTP status 200.
    Backend,
    /// A relayed error, with HTTP status 400.
    Relayed,
    /// A failure of the search backend, in invalid JSON.
    SearchBackend,
    /// The search backend's own error status, in a response with HTTP status 200.
    SearchStatus,
    /// The search backend does not know its database.
    SearchDatabase,
    /// The search backend cannot be reached.
    SearchConnection,
    /// The search backend has lost the query.
    SearchLost,
    /// The connection to the search backend failed, reported with a count of 0.
    SearchMessage,
    /// Some results or records are missing.
    Short,
    /// The count is one higher than the number of results.
    Drift,
    /// One result is listed twice, instead of another.
    Duplicate,
    Redirect,
    /// Nothing found, in a complete response.
    Nothing,
    /// Half of the results counted and listed, in a complete response.
    Half,
    /// A set without records, in a complete response.
    NoRecords,
}

impl Fault {
    /// The failures that a single response reveals.
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

    /// The failures that no single response reveals: it is complete and consistent, but wrong.
    pub const LIES: [Self; 3] = [Self::Nothing, Self::Half, Self::NoRecords];

    /// The error text of the search backend, with HTTP status 200.
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

/// The planned failures.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Failures of the next requests, in order; `None` is a good response.
    pub script: VecDeque<Option<Fault>>,
    /// After the script, this many of a thousand requests fail, selected by the seed.
    pub per_thousand: u64,
    pub seed: u64,
    /// The kinds of these failures; all if empty.
    pub kinds: Vec<Fault>,
    /// All requests fail as during an outage.
    pub is_down: bool,
    /// One complete but wrong response: to the search or fetch with this number, from 0.
    pub lie: Option<(u64, Fault)>,
    /// Number of requests so far.
    pub requests: u64,
    /// How often each failure occurred.
    pub shown: std::collections::BTreeMap<String, u64>,
}

impl Faults {
    /// Random failures by seed, `per_thousand` of a thousand requests.
    pub fn seeded(seed: u64, per_thousand: u64) -> Self {
        Self { per_thousand, seed, ..Self::default() }
    }

    /// Failures of the next requests, in order.
    pub fn scripted(faults: impl IntoIterator<Item = Option<Fault>>) -> Self {
        Self { script: faults.into_iter().collect(), ..Self::default() }
    }

    /// The wrong response to this request, if its number is reached. It is not used for a request that fails otherwise.
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
