//! Records requests, and enforces the limit of requests per second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub struct Arrival {
    /// Time of arrival.
    pub at: Instant,
    /// Whether it exceeded the limit.
    pub refused: bool,
    /// The called program: `esearch`, `efetch` …
    pub endpoint: &'static str,
    /// Value of the header `traceparent`.
    pub traceparent: Option<String>,
}

/// All requests so far.
#[derive(Debug, Default)]
pub struct Traffic {
    arrivals: Vec<Arrival>,
    window: VecDeque<Instant>,
}

impl Traffic {
    /// Records a request; returns the number of requests within the last second if it exceeds the limit. A refused
    /// request counts too: an immediate retry keeps the window full.
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
