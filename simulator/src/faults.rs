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
    /// The answer without its second half.
    Truncated,
    /// The connection breaks in the middle.
    Broken,
    /// A C++ exception's text with HTTP status 200.
    Backend,
    /// A relayed error with HTTP status 400.
    Relayed,
    /// The search backend failed, in invalid JSON.
    SearchBackend,
    /// Every session is forgotten, before this request is answered.
    Expired,
    /// Some results or records left out.
    Short,
    /// One more counted than there is.
    Drift,
    /// A redirect.
    Redirect,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 18] = [
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
        Self::Expired,
        Self::Short,
        Self::Drift,
        Self::Redirect,
    ];
}

/// The plan of failures.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The next requests fail so, in order; `None` is a good answer.
    pub script: VecDeque<Option<Fault>>,
    /// Beyond the script, so many of a thousand requests fail, by seed.
    pub per_thousand: u64,
    /// The seed.
    pub seed: u64,
    /// Which failures those are; all if empty.
    pub kinds: Vec<Fault>,
    /// Everything fails as when the service is down.
    pub is_down: bool,
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

    pub(crate) fn next(&mut self) -> Option<Fault> {
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
            None
        };
        if let Some(fault) = fault {
            *self.shown.entry(format!("{fault:?}")).or_default() += 1;
        }
        fault
    }
}
