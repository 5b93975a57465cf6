//! One request after the other until there is a response: breaker, rate limiter, POST, classify, retry.
//!
//! Own code, because each attempt needs the shared rate limiter, and whether it is the last depends on what NCBI
//! returned to those before it.

use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::classify::{Expected, ResponseFault, classify};
use super::error::EutilsError;
use super::rate_limiter::{RateLimiter, RateLimiterError};
use crate::resolver::PublicResolver;
use bio_mcp_core::Secret;
use bio_mcp_core::breaker::{Breaker, BreakerPolicy, BreakerState};
use bio_mcp_core::{clock, metrics, trace};

/// How long no request starts after a 429 that does not say how long.
const DEFAULT_429_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause that a `Retry-After` is trusted with.
const MAX_429_PAUSE: Duration = Duration::from_secs(120);

/// A query that NCBI complains about is rejected when it did so this often.
const QUERY_COMPLAINTS: u32 = 2;

/// After so many failures of a search for no given reason, another search is made beside it.
const SEARCH_TRIES: u32 = 3;

/// A query is thought to be the reason when so many other searches, each made between two failures of its own, worked.
const SEARCH_CONTROLS: u32 = 2;

/// The program that searches.
pub(super) const ESEARCH: &str = "esearch.fcgi";

/// How E-utilities are asked.
#[derive(Clone, Debug)]
pub struct EutilsSettings {
    /// Where they are, with `/` at the end.
    pub base_url: String,
    /// Names this program to NCBI.
    pub tool: String,
    /// Whom NCBI may write to.
    pub email: Option<String>,
    /// With it, 10 requests a second instead of 3.
    pub api_key: Option<Secret>,
    /// Requests a second by arrangement with NCBI, or of a server of one's own.
    pub requests_per_second: Option<u32>,
    /// Results asked for in one page of a list.
    pub page: u32,
    /// The most results a search hands out.
    pub cap: u32,
    /// The longest wait for one response.
    pub request_timeout: Duration,
    /// The longest a call takes, waiting and all attempts included.
    pub deadline: Duration,
    /// Requests made before a call is given up.
    pub attempts: u32,
    /// The pause before the first retry is up to this, before later ones up to twice as much each.
    pub backoff: Duration,
    /// The largest response.
    pub max_body_bytes: usize,
}

impl EutilsSettings {
    /// The settings for a server.
    pub fn new(base_url: impl Into<String>) -> Self {
        let mut base_url = base_url.into();
        if !base_url.ends_with('/') {
            base_url.push('/');
        }
        Self {
            base_url,
            tool: "bio-mcp".to_owned(),
            email: None,
            api_key: None,
            requests_per_second: None,
            page: 9_999,
            cap: super::CAP,
            request_timeout: Duration::from_secs(60),
            deadline: Duration::from_secs(180),
            attempts: 7,
            backoff: Duration::from_secs(1),
            // A record of the largest size that is archived, and its neighbours.
            max_body_bytes: 96 << 20,
        }
    }

    /// Requests a second that are allowed: NCBI's are 10 with a key, 3 without.
    pub fn per_second(&self) -> u32 {
        self.requests_per_second.unwrap_or(if self.api_key.is_some() { 10 } else { 3 })
    }
}

/// The client. Cheap to clone; clones share connections, breaker and rate limiter.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use bio_mcp_pubmed::eutils::{Client, LocalRateLimiter, Query, SearchRequest, EutilsSettings};
///
/// let settings = EutilsSettings::new("https://eutils.ncbi.nlm.nih.gov/entrez/eutils/");
/// let rate_limiter = Arc::new(LocalRateLimiter::new(settings.per_second()));
/// let client = Client::new(settings, rate_limiter);
/// let query = Query::parse("asthma[mh] AND 2026[dp]")?;
/// let page = client.search(&SearchRequest { query: &query, slice: None, start: 0, limit: 20, sort: None }).await?;
/// let records = client.fetch(&page.pmids, None, 64 << 20).await?;
/// println!("{} of {} records, {} bytes", page.pmids.len(), page.count, records.bytes.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    /// Made when it is first used: it reads every root certificate of the system.
    http: Arc<OnceLock<reqwest::Client>>,
    pub(super) settings: Arc<EutilsSettings>,
    /// The key in use: the settings' own until it was refused and another one read.
    key: Arc<RwLock<Option<Secret>>>,
    renew_key: Option<RenewKey>,
    rate_limiter: Arc<dyn RateLimiter>,
    breaker: Arc<Breaker>,
    /// When all calls of this clone end.
    until: Option<Instant>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Reads the key anew; nothing when it cannot be read.
pub type RenewKey = Arc<dyn Fn() -> BoxFuture<'static, Option<Secret>> + Send + Sync>;

/// A whole response of the kind asked for.
pub(super) struct WholeResponse {
    pub(super) body: Vec<u8>,
    /// When its request was started.
    pub(super) requested_at: DateTime<Utc>,
    pub(super) etag: Option<String>,
}

/// One attempt's failure, with what the server said about when to come back.
struct Failed {
    fault: ResponseFault,
    retry_after: Option<Duration>,
}

impl From<ResponseFault> for Failed {
    fn from(fault: ResponseFault) -> Self {
        Self { fault, retry_after: None }
    }
}

enum AttemptError {
    Failed(Failed),
    TooLarge,
}

/// A request that the breaker let through and that has told nothing of the server yet.
struct Admitted<'a>(&'a Breaker);

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.abandoned();
    }
}

impl Client {
    /// A client.
    pub fn new(settings: EutilsSettings, rate_limiter: Arc<dyn RateLimiter>) -> Self {
        // Fails when it is installed already, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let breaker = Arc::new(Breaker::new(BreakerPolicy::NCBI));
        let key = Arc::new(RwLock::new(settings.api_key.clone()));
        Self {
            http: Arc::default(),
            settings: Arc::new(settings),
            key,
            renew_key: None,
            rate_limiter,
            breaker,
            until: None,
        }
    }

    /// The client that asks for another key when NCBI refuses the one it has.
    #[must_use]
    pub fn renewing_key(self, renew: RenewKey) -> Self {
        Self { renew_key: Some(renew), ..self }
    }

    /// The client for a caller who waits: all its calls together take at most `time`, and each makes at most
    /// `attempts`. Failures count for the breaker that it shares with this one.
    #[must_use]
    pub fn within(&self, time: Duration, attempts: u32) -> Self {
        let attempts = self.settings.attempts.min(attempts);
        let settings = Arc::new(EutilsSettings {
            attempts,
            deadline: self.settings.deadline.min(time),
            ..(*self.settings).clone()
        });
        Self { settings, until: Some(Instant::now() + time), ..self.clone() }
    }

    fn key(&self) -> Option<Secret> {
        self.key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there is another key than this one, which was refused.
    async fn has_another_key(&self, refused: Option<&Secret>) -> bool {
        if self.key().as_ref() != refused {
            return true;
        }
        let Some(renew) = &self.renew_key else { return false };
        let Some(key) = renew().await.filter(|key| Some(key) != refused) else { return false };
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = Some(key);
        true
    }

    fn http(&self) -> &reqwest::Client {
        self.http.get_or_init(|| {
            let client = reqwest::Client::builder();
            // What is said to this machine without TLS would be read by a proxy, the key too.
            let is_plain = !self.settings.base_url.starts_with("https://");
            let client = if is_plain { client.no_proxy() } else { client };
            client
                .user_agent(concat!("bio-mcp/", env!("CARGO_PKG_VERSION")))
                // A redirect would carry the key to wherever it leads.
                .redirect(reqwest::redirect::Policy::none())
                .dns_resolver(PublicResolver)
                .connect_timeout(Duration::from_secs(10))
                .timeout(self.settings.request_timeout)
                .build()
                .expect("the settings of the HTTP client are constants")
        })
    }

    /// How it asks.
    pub fn settings(&self) -> &EutilsSettings {
        &self.settings
    }

    /// What its circuit breaker does.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Sends requests until there is a response that `accept` takes, at most for the deadline. A fault that
    /// `accept` finds is retried like any other.
    pub(super) async fn call<T>(
        &self,
        endpoint: &'static str,
        params: &[(&str, &str)],
        expected: Expected,
        accept: impl Fn(WholeResponse) -> Result<T, ResponseFault>,
    ) -> Result<T, EutilsError> {
        let mut key = self.key();
        let mut body = self.form(params, key.as_ref());
        let deadline = Instant::now() + self.settings.deadline;
        let deadline = self.until.map_or(deadline, |until| until.min(deadline));
        let mut last = ResponseFault::Timeout;
        let (mut attempts, mut search_failures, mut complaints, mut controls) = (0, 0, 0, 0);
        loop {
            if let BreakerState::Open(retry_after) = self.breaker.admit(Instant::now()) {
                return Err(EutilsError::BreakerOpen { retry_after });
            }
            // Also when this future is dropped: the caller may have gone.
            let admitted = Admitted(&self.breaker);
            match self.rate_limiter.acquire(deadline).await {
                Ok(()) => {}
                Err(RateLimiterError::TooLong) => return Err(self.out_of_time(last)),
                Err(error) => return Err(EutilsError::RateLimiter(error)),
            }
            attempts += 1;
            let attempted = self.attempt(endpoint, &body, expected, deadline).await;
            let failed = match attempted.map(&accept) {
                Ok(Ok(accepted)) => {
                    self.breaker.succeeded();
                    return Ok(accepted);
                }
                Ok(Err(fault)) => fault.into(),
                Err(AttemptError::Failed(failed)) => failed,
                Err(AttemptError::TooLarge) => {
                    self.breaker.succeeded();
                    return Err(EutilsError::TooLarge { limit_bytes: self.settings.max_body_bytes });
                }
            };
            drop(admitted);
            last = failed.fault;
            if last.is_outage() {
                self.breaker.failed(Instant::now());
            } else {
                self.breaker.succeeded();
            }
            tracing::debug!(endpoint, attempt = attempts, fault = %last, "no usable response from NCBI");
            search_failures += u32::from(last == ResponseFault::Search);
            complaints += u32::from(last == ResponseFault::Query);
            if last == ResponseFault::Search && search_failures >= SEARCH_TRIES && self.can_search(deadline).await? {
                controls += 1;
            }
            if complaints >= QUERY_COMPLAINTS || controls >= SEARCH_CONTROLS {
                return Err(EutilsError::QueryRejected);
            }
            if last == ResponseFault::BadKey
                && attempts < self.settings.attempts
                && self.has_another_key(key.as_ref()).await
            {
                key = self.key();
                body = self.form(params, key.as_ref());
                continue;
            }
            if let Some(error) = permanent(last) {
                return Err(error);
            }
            let retry_after = failed.retry_after.map(|after| after.min(MAX_429_PAUSE));
            if last == ResponseFault::Throttled {
                let pause = retry_after.unwrap_or(DEFAULT_429_PAUSE);
                self.rate_limiter.pause_for(pause).await.map_err(EutilsError::RateLimiter)?;
                if attempts >= self.settings.attempts {
                    return Err(EutilsError::RateLimited { retry_after: pause.max(Duration::from_secs(5)) });
                }
            } else if attempts >= self.settings.attempts {
                return Err(match last {
                    ResponseFault::ShortPage => EutilsError::Incomplete,
                    fault => EutilsError::Unavailable { attempts, fault },
                });
            }
            let pause = self.full_jitter(attempts).max(retry_after.unwrap_or_default());
            if Instant::now() + pause >= deadline {
                return Err(self.out_of_time(last));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether NCBI finds anything at the moment: a search for one record by its number, which needs nothing but a
    /// search backend.
    async fn can_search(&self, deadline: Instant) -> Result<bool, EutilsError> {
        match self.rate_limiter.acquire(deadline).await {
            Ok(()) => {}
            Err(RateLimiterError::TooLong) => return Ok(false),
            Err(error) => return Err(EutilsError::RateLimiter(error)),
        }
        let params = [("retmode", "json"), ("term", "1[UID]"), ("retmax", "0")];
        let form = self.form(&params, self.key().as_ref());
        let can = self.attempt(ESEARCH, &form, Expected::Search, deadline).await.is_ok();
        if can {
            self.breaker.succeeded();
        }
        Ok(can)
    }

    fn out_of_time(&self, fault: ResponseFault) -> EutilsError {
        EutilsError::Deadline { after: self.settings.deadline, fault }
    }

    /// A pause between nothing and the back-off of this attempt: clients that failed together do not
    /// come back together.
    pub(super) fn full_jitter(&self, attempt: u32) -> Duration {
        let longest = self.settings.backoff.saturating_mul(1 << attempt.saturating_sub(1).min(5));
        longest.mul_f64(fastrand::f64())
    }

    /// The parameters with who is asking, as a form. The key travels in the body only, never in an
    /// address that a log could show.
    fn form(&self, params: &[(&str, &str)], key: Option<&Secret>) -> String {
        let mut form = String::new();
        let mut put = |name: &str, value: &str| {
            if !form.is_empty() {
                form.push('&');
            }
            form.push_str(name);
            form.push('=');
            form.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
        };
        put("db", "pubmed");
        put("tool", &self.settings.tool);
        if let Some(email) = &self.settings.email {
            put("email", email);
        }
        if let Some(key) = key {
            put("api_key", key.expose());
        }
        for (name, value) in params {
            put(name, value);
        }
        form
    }

    async fn attempt(
        &self,
        endpoint: &str,
        form: &str,
        expected: Expected,
        deadline: Instant,
    ) -> Result<WholeResponse, AttemptError> {
        let requested_at = clock::now();
        let left = deadline.saturating_duration_since(Instant::now()).min(self.settings.request_timeout);
        let mut request = self
            .http()
            .post(format!("{}{endpoint}", self.settings.base_url))
            .header("content-type", "application/x-www-form-urlencoded")
            .timeout(left)
            .body(form.to_owned());
        if let Some(traceparent) = trace::current().and_then(|trace_id| trace::traceparent(&trace_id)) {
            request = request.header("traceparent", traceparent);
        }
        let response = request.send().await.map_err(|error| {
            metrics::upstream("eutils", "none");
            AttemptError::Failed(fault_of(&error).into())
        })?;
        let status = response.status().as_u16();
        metrics::upstream("eutils", status_class(status));
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = header("retry-after").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let etag = header("etag").map(str::to_owned);
        let body = self.body(response).await?;
        classify(expected, status, &body)
            .map_err(|fault| AttemptError::Failed(Failed { fault, retry_after }))
            .map(|()| WholeResponse { body, requested_at, etag })
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, AttemptError> {
        let announced = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
        let mut body = Vec::with_capacity(announced.min(4 << 20));
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > self.settings.max_body_bytes => {
                    return Err(AttemptError::TooLarge);
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(error) => return Err(AttemptError::Failed(fault_of(&error).into())),
            }
        }
    }
}

fn fault_of(error: &reqwest::Error) -> ResponseFault {
    if error.is_timeout() { ResponseFault::Timeout } else { ResponseFault::Network }
}

fn status_class(status: u16) -> &'static str {
    match status {
        200 => "200",
        429 => "429",
        300..400 => "3xx",
        400..500 => "4xx",
        500..600 => "5xx",
        _ => "other",
    }
}

/// The error of a fault that asking again cannot mend.
fn permanent(fault: ResponseFault) -> Option<EutilsError> {
    match fault {
        ResponseFault::OverCap => Some(EutilsError::OverCap),
        ResponseFault::BadKey => Some(EutilsError::BadKey),
        ResponseFault::UriTooLong | ResponseFault::NoProgram => Some(EutilsError::Refused { fault }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_goes_away_while_trying_lets_another_try() {
        let breaker = Breaker::new(BreakerPolicy::NCBI);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).expect("the machine is up for longer");
        for _ in 0..20 {
            breaker.failed(long_ago);
        }
        assert_eq!(breaker.admit(Instant::now()), BreakerState::Closed, "one may try");
        assert_ne!(breaker.admit(Instant::now()), BreakerState::Closed, "and no other meanwhile");
        drop(Admitted(&breaker));
        assert_eq!(breaker.admit(Instant::now()), BreakerState::Closed);
    }
}
