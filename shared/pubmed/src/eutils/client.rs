//! The loop around each request: breaker, rate limiter, POST, classification, retry.
//!
//! Own code: each attempt needs the shared rate limiter, and whether to retry depends on earlier responses of NCBI.

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

/// Pause of all requests after a 429 without `Retry-After`.
const DEFAULT_429_PAUSE: Duration = Duration::from_secs(1);

/// Maximum pause accepted from a `Retry-After`.
const MAX_429_PAUSE: Duration = Duration::from_secs(120);

/// A query is rejected after this many complaints of NCBI about it.
const QUERY_COMPLAINTS: u32 = 2;

/// After this many unexplained failures of a search, a control search is made.
const SEARCH_TRIES: u32 = 3;

/// A query is considered the cause after this many control searches, each made between two of its failures, succeeded.
const SEARCH_CONTROLS: u32 = 2;

/// The search utility.
pub(super) const ESEARCH: &str = "esearch.fcgi";

/// How E-utilities are called.
#[derive(Clone, Debug)]
pub struct EutilsSettings {
    /// Base URL, with a trailing `/`.
    pub base_url: String,
    /// Identifies this program to NCBI.
    pub tool: String,
    /// Contact address for NCBI.
    pub email: Option<String>,
    /// Raises the limit from 3 to 10 requests per second.
    pub api_key: Option<Secret>,
    /// Requests per second, if agreed with NCBI or for your own server.
    pub requests_per_second: Option<u32>,
    /// Results per page of a list.
    pub page: u32,
    /// Maximum number of results that a search returns.
    pub cap: u32,
    /// Maximum time for one response.
    pub request_timeout: Duration,
    /// Maximum time of a call, including waiting and all attempts.
    pub deadline: Duration,
    /// Maximum number of requests of a call.
    pub attempts: u32,
    /// Upper bound of the pause before the first retry; it doubles with each further retry.
    pub backoff: Duration,
    /// Maximum size of a response.
    pub max_body_bytes: usize,
}

impl EutilsSettings {
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
            // The largest record that is archived, plus others in the same response.
            max_body_bytes: 96 << 20,
        }
    }

    /// Allowed requests per second: for NCBI 10 with a key, 3 without.
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
    /// Created at first use: it reads every root certificate of the system.
    http: Arc<OnceLock<reqwest::Client>>,
    pub(super) settings: Arc<EutilsSettings>,
    /// The key in use: that of the settings until NCBI refused it and another one was read.
    key: Arc<RwLock<Option<Secret>>>,
    renew_key: Option<RenewKey>,
    rate_limiter: Arc<dyn RateLimiter>,
    breaker: Arc<Breaker>,
    /// Deadline of all calls of this clone.
    until: Option<Instant>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Reads the key again; none if it cannot be read.
pub type RenewKey = Arc<dyn Fn() -> BoxFuture<'static, Option<Secret>> + Send + Sync>;

/// A complete response of the expected kind.
pub(super) struct WholeResponse {
    pub(super) body: Vec<u8>,
    /// When its request was started.
    pub(super) requested_at: DateTime<Utc>,
    pub(super) etag: Option<String>,
}

/// A failed attempt, with the `Retry-After` of the server.
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

/// A request that the breaker admitted and that has not yet shown the state of the server.
struct Admitted<'a>(&'a Breaker);

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.abandoned();
    }
}

impl Client {
    pub fn new(settings: EutilsSettings, rate_limiter: Arc<dyn RateLimiter>) -> Self {
        // Fails harmlessly if a provider is installed already.
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

    /// The client that reads the key again when NCBI refuses the present one.
    #[must_use]
    pub fn renewing_key(self, renew: RenewKey) -> Self {
        Self { renew_key: Some(renew), ..self }
    }

    /// The client for a caller that waits: all its calls together take at most `time`, and each makes at most
    /// `attempts`. It shares the breaker with this client.
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

    /// Whether a key other than the `refused` one is available.
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
            // A proxy could read what is sent without TLS, including the key.
            let is_plain = !self.settings.base_url.starts_with("https://");
            let client = if is_plain { client.no_proxy() } else { client };
            client
                .user_agent(concat!("bio-mcp/", env!("CARGO_PKG_VERSION")))
                // A redirect would send the key to another server.
                .redirect(reqwest::redirect::Policy::none())
                .dns_resolver(PublicResolver)
                .connect_timeout(Duration::from_secs(10))
                .timeout(self.settings.request_timeout)
                .build()
                .expect("the settings of the HTTP client are constants")
        })
    }

    pub fn settings(&self) -> &EutilsSettings {
        &self.settings
    }

    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Sends requests until `accept` returns `Ok` for a response, at most until the deadline. A fault returned by
    /// `accept` is retried like any other.
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
            // Also when this future is dropped, because its caller was cancelled.
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

    /// Whether NCBI can search at the moment: a search for one record by its PMID, which only needs a search backend.
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

    /// A random pause between zero and the back-off of this attempt, so that clients that failed together do not retry
    /// together.
    pub(super) fn full_jitter(&self, attempt: u32) -> Duration {
        let longest = self.settings.backoff.saturating_mul(1 << attempt.saturating_sub(1).min(5));
        longest.mul_f64(fastrand::f64())
    }

    /// The parameters and the identification of the caller, as a form. The key is sent in the body only, never in a URL
    /// that could be logged.
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

/// The error of a fault that a retry cannot fix.
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
