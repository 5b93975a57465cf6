//! Who came when, and the limit of requests a second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One request.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When it came.
    pub at: Instant,
    /// Whether it was over the limit.
    pub refused: bool,
    /// Which program was called: `esearch`, `efetch` …
    pub endpoint: &'static str,
    /// The header `traceparent`.
    pub traceparent: Option<String>,
}

/// All requests so far.
#[derive(Debug, Default)]
pub struct Traffic {
    arrivals: Vec<Arrival>,
    window: VecDeque<Instant>,
}

impl Traffic {
    /// Counts a request; returns how many came within the last second when that is over the limit.
    /// A refused one counts too: coming back at once keeps the window full.
    pub fn arrive(&mut self, endpoint: &'static str, traceparent: Option<String>, limit: Option<u32>) -> Option<usize> {
        let at = Instant::now();
        while self.window.front().is_some_and(|first| at - *first >= Duration::from_secs(1)) {
            self.window.pop_front();
        }
        self.window.push_back(at);
        let over = limit.filter(|limit| self.window.len() > *limit as usize).map(|_| self.window.len());
        self.arrivals.push(Arrival { at, refused: over.is_some(), endpoint, traceparent });
        over
    }

    /// All requests, in order.
    pub fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }
}
