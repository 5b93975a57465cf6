//! The signing keys of an issuer: fetched when a token names an unknown key, and cached.
//!
//! Own code, because jsonwebtoken checks signatures but fetches nothing, and clients must not control how often the
//! issuer is called.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Mutex, RwLock};

/// Minimum interval between fetches, whatever keys the tokens name.
const JWKS_MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// The same until the first successful fetch: without keys every token is refused.
const JWKS_FIRST_RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// After this time keys are fetched again, so that withdrawn keys are dropped.
const JWKS_MAX_AGE: Duration = Duration::from_secs(3600);

/// Timeout of a fetch.
const JWKS_FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum size of the issuer's response.
const MAX_JWKS_BYTES: usize = 256 * 1024;

/// Cached keys by their id.
#[derive(Debug)]
pub struct Keys {
    issuer: String,
    http: reqwest::Client,
    known: RwLock<CachedKeys>,
    fetching: Mutex<()>,
}

#[derive(Debug, Default)]
struct CachedKeys {
    keys: HashMap<String, (Algorithm, Arc<DecodingKey>)>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

/// Why the keys could not be fetched.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the issuer is unreachable")]
    Http(#[source] reqwest::Error),
    #[error("the issuer responded with {0}")]
    Status(u16),
    #[error("the issuer's response is larger than {MAX_JWKS_BYTES} bytes")]
    TooLong,
    #[error("the issuer's response does not conform to OpenID Connect")]
    Json(#[source] serde_json::Error),
    #[error("the issuer's configuration is that of another issuer")]
    OtherIssuer,
    #[error("the issuer's jwks_uri is neither https nor on loopback")]
    Insecure,
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Keys {
    /// The keys of an issuer; nothing is fetched yet.
    pub fn new(issuer: &str) -> Self {
        let http = reqwest::Client::builder().timeout(JWKS_FETCH_TIMEOUT).redirect(reqwest::redirect::Policy::none());
        Self {
            issuer: issuer.to_owned(),
            http: http.build().unwrap_or_else(|error| {
                tracing::error!(%error, "an HTTP client without limits is used for the issuer's keys");
                reqwest::Client::new()
            }),
            known: RwLock::default(),
            fetching: Mutex::default(),
        }
    }

    /// Finds the key of an id, if it is for this algorithm. A known key is returned at once, however old.
    pub async fn find(self: &Arc<Self>, id: &str, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        let (found, wants_fetch) = {
            let known = self.known.read().await;
            (known.get(id, algorithm), known.wants_fetch(known.has(id), Instant::now()))
        };
        if !wants_fetch {
            return found;
        }
        // In a separate task: if the caller disconnects, all other callers still wait for the same response.
        let (keys, wanted) = (self.clone(), id.to_owned());
        let refreshed = tokio::spawn(async move { keys.refresh(&wanted).await });
        if found.is_some() {
            return found;
        }
        // After a panic in the task the cached keys are unchanged.
        let _ = refreshed.await;
        self.known.read().await.get(id, algorithm)
    }

    /// Fetches all keys, unless another request has just done so.
    async fn refresh(&self, wanted: &str) {
        let _one = self.fetching.lock().await;
        let wants_fetch = {
            let known = self.known.read().await;
            known.wants_fetch(known.has(wanted), Instant::now())
        };
        if !wants_fetch {
            return;
        }
        let fetched = self.fetch().await;
        let now = Instant::now();
        let mut known = self.known.write().await;
        known.tried = Some(now);
        match fetched {
            Ok(keys) => (known.keys, known.fetched) = (keys, Some(now)),
            // Cached keys remain valid while the issuer is unavailable.
            Err(error) => {
                let error = shared::observability::chain(&error);
                tracing::warn!(error, "the keys of the issuer cannot be read");
            }
        }
    }

    async fn fetch(&self) -> Result<HashMap<String, (Algorithm, Arc<DecodingKey>)>, FetchError> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let configuration: Configuration = self.get(&url).await?;
        if configuration.issuer != self.issuer {
            return Err(FetchError::OtherIssuer);
        }
        if !shared::config::is_safe_url(&configuration.jwks_uri) {
            return Err(FetchError::Insecure);
        }
        let set: KeySet = self.get(&configuration.jwks_uri).await?;
        // A key of an unknown type cannot be used here.
        Ok(set.keys.into_iter().filter_map(|key| usable(&serde_json::from_value(key).ok()?)).collect())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, FetchError> {
        let http = |error: reqwest::Error| FetchError::Http(error.without_url());
        let mut response = self.http.get(url).send().await.map_err(http)?;
        if !response.status().is_success() {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(http)? {
            if bytes.len() + chunk.len() > MAX_JWKS_BYTES {
                return Err(FetchError::TooLong);
            }
            bytes.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&bytes).map_err(FetchError::Json)
    }
}

impl CachedKeys {
    fn get(&self, id: &str, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        self.keys.get(id).filter(|(of, _)| *of == algorithm).map(|(_, key)| key.clone())
    }

    fn has(&self, id: &str) -> bool {
        self.keys.contains_key(id)
    }

    fn wants_fetch(&self, is_known: bool, now: Instant) -> bool {
        let is_past = |at: Option<Instant>, age: Duration| at.is_none_or(|at| now.duration_since(at) > age);
        let pause = if self.fetched.is_some() { JWKS_MIN_REFRESH_INTERVAL } else { JWKS_FIRST_RETRY_INTERVAL };
        (!is_known || is_past(self.fetched, JWKS_MAX_AGE)) && is_past(self.tried, pause)
    }
}

/// The key and its id, if it is for signatures with one of the two algorithms.
fn usable(key: &Jwk) -> Option<(String, (Algorithm, Arc<DecodingKey>))> {
    let (algorithm, name) = match &key.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(parameters) if parameters.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        _ => return None,
    };
    let fits = key.common.key_algorithm.is_none_or(|said| said == name)
        && key.common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
    let id = key.common.key_id.clone().filter(|_| fits)?;
    Some((id, (algorithm, Arc::new(DecodingKey::from_jwk(key).ok()?))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fetched_for_new_ids_and_when_they_are_old_but_never_often() {
        let start = Instant::now();
        let after = |secs: u64| start + Duration::from_secs(secs);
        let nothing = CachedKeys::default();
        assert!(nothing.wants_fetch(false, start), "the first token");
        let fetched = CachedKeys { fetched: Some(start), tried: Some(start), ..CachedKeys::default() };
        assert!(!fetched.wants_fetch(false, after(59)), "a flood of unknown ids");
        assert!(fetched.wants_fetch(false, after(61)), "a key that is new since");
        assert!(!fetched.wants_fetch(true, after(3599)));
        assert!(fetched.wants_fetch(true, after(3601)), "a key may have been withdrawn");
        let never = CachedKeys { tried: Some(start), ..CachedKeys::default() };
        assert!(!never.wants_fetch(false, after(4)) && never.wants_fetch(false, after(6)), "no token can be let in");
        let unreachable = CachedKeys { fetched: Some(start), tried: Some(after(3601)), ..CachedKeys::default() };
        assert!(!unreachable.wants_fetch(true, after(3650)), "the issuer did not respond: later");
    }
}
