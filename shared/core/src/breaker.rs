//! A circuit breaker: after many consecutive failures, calls fail immediately for a while, without a request.
//!
//! Own code: crates wrap the call, but here only the classified response shows whether it failed.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerPolicy {
    /// Consecutive failures that open it.
    pub threshold: u32,
    /// Duration of the first opening; each further one doubles it.
    pub min_open: Duration,
    /// Maximum duration of an opening.
    pub max_open: Duration,
}

impl BreakerPolicy {
    /// For NCBI, whose outages have no predictable length.
    pub const NCBI: Self = Self { threshold: 8, min_open: Duration::from_secs(15), max_open: Duration::from_secs(300) };
    /// For the deployment's own database, which recovers in seconds: a probe costs little, and a longer pause would add
    /// to the time until a silent connection is closed.
    pub const DATABASE: Self =
        Self { threshold: 3, min_open: Duration::from_secs(1), max_open: Duration::from_secs(1) };
}

/// Shared by all users of one server in this process.
///
/// ```
/// use std::time::Instant;
///
/// use bio_mcp_core::breaker::{Breaker, BreakerState, BreakerPolicy};
///
/// let breaker = Breaker::new(BreakerPolicy::NCBI);
/// let now = Instant::now();
/// for _ in 0..BreakerPolicy::NCBI.threshold {
///     assert_eq!(breaker.admit(now), BreakerState::Closed);
///     breaker.failed(now);
/// }
/// assert!(matches!(breaker.admit(now), BreakerState::Open(_)), "no request is made for a while");
/// ```
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Times it has opened since the last success.
    opened: u32,
    open_until: Option<Instant>,
    /// A caller is probing whether the server has recovered.
    probing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests are made.
    Closed,
    /// Requests fail immediately; the time until the next probe.
    Open(Duration),
}

impl Breaker {
    /// A closed breaker.
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request may be made now. When the pause is over, one caller is admitted as a probe.
    pub fn admit(&self, now: Instant) -> BreakerState {
        let mut state = self.state();
        match state.open_until {
            None => BreakerState::Closed,
            Some(until) if now < until => BreakerState::Open(until - now),
            Some(_) if state.probing => BreakerState::Open(Duration::from_secs(1)),
            Some(_) => {
                state.probing = true;
                BreakerState::Closed
            }
        }
    }

    /// Whether it has opened and nothing has succeeded since.
    pub fn is_open(&self) -> bool {
        self.state().open_until.is_some()
    }

    /// Remaining time without requests, if it is open; changes nothing.
    pub fn open_for(&self, now: Instant) -> Option<Duration> {
        self.state().open_until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Records a response of the server, even a refusal.
    pub fn succeeded(&self) {
        *self.state() = State::default();
    }

    /// Records that the server did not respond.
    pub fn failed(&self, now: Instant) {
        let mut state = self.state();
        state.failures += 1;
        let probed = std::mem::take(&mut state.probing);
        if probed || (state.open_until.is_none() && state.failures >= self.policy.threshold) {
            let pause = self.policy.min_open.saturating_mul(1 << state.opened.min(8)).min(self.policy.max_open);
            state.open_until = Some(now + pause);
            state.opened += 1;
        }
    }

    /// Records an attempt that showed nothing about the server: another caller may probe.
    pub fn abandoned(&self) {
        self.state().probing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_try() {
        let breaker = Breaker::new(BreakerPolicy::NCBI);
        let start = Instant::now();
        for _ in 0..BreakerPolicy::NCBI.threshold - 1 {
            breaker.failed(start);
        }
        assert_eq!(breaker.admit(start), BreakerState::Closed);
        breaker.succeeded();
        for _ in 0..BreakerPolicy::NCBI.threshold {
            assert_eq!(breaker.admit(start), BreakerState::Closed, "a success forgets what was before");
            breaker.failed(start);
        }
        assert_eq!(breaker.admit(start), BreakerState::Open(BreakerPolicy::NCBI.min_open));
        let later = start + BreakerPolicy::NCBI.min_open;
        assert_eq!(breaker.admit(later), BreakerState::Closed, "one may try");
        assert!(matches!(breaker.admit(later), BreakerState::Open(_)), "only one");
        breaker.failed(later);
        assert_eq!(breaker.admit(later), BreakerState::Open(BreakerPolicy::NCBI.min_open * 2), "longer than before");
        let much_later = later + BreakerPolicy::NCBI.min_open * 2;
        assert_eq!(breaker.admit(much_later), BreakerState::Closed);
        breaker.succeeded();
        assert_eq!(breaker.admit(much_later), BreakerState::Closed);
    }
}
