//! The keys an issuer publishes: fetched when a token names one that is not known, and kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::RwLock;

/// Not more often than this are keys fetched, whatever tokens name.
const PAUSE: Duration = Duration::from_secs(60);

/// After so long they are fetched again, so that a key that was withdrawn is forgotten.
const FRESH: Duration = Duration::from_secs(3600);

/// How long a fetch may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer.
const MAX_BYTES: usize = 256 * 1024;

/// Keys by their id.
#[derive(Debug)]
pub struct Keys {
    issuer: String,
    http: reqwest::Client,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    keys: HashMap<String, (Algorithm, Arc<DecodingKey>)>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

/// Keys could not be fetched.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the issuer does not answer")]
    Http(#[source] reqwest::Error),
    #[error("the issuer answered {0}")]
    Status(u16),
    #[error("the issuer's answer is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("the issuer's answer is not what OpenID Connect says")]
    Json(#[source] serde_json::Error),
    #[error("the issuer's configuration names another issuer")]
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
    /// Of an issuer.
    pub fn new(issuer: &str) -> Self {
        let http = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
        Self {
            issuer: issuer.to_owned(),
            http: http.build().unwrap_or_else(|error| {
                tracing::error!(%error, "an HTTP client without limits is used for the issuer's keys");
                reqwest::Client::new()
            }),
            known: RwLock::default(),
        }
    }

    /// The key of an id, if it is one for this algorithm.
    pub async fn find(&self, id: &str, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        {
            let known = self.known.read().await;
            let found = known.get(id, algorithm);
            if !known.wants_fetch(found.is_some(), Instant::now()) {
                return found;
            }
        }
        // One fetches, all others wait for what it found.
        let mut known = self.known.write().await;
        if known.wants_fetch(known.get(id, algorithm).is_some(), Instant::now()) {
            known.tried = Some(Instant::now());
            match self.fetch().await {
                Ok(keys) => (known.keys, known.fetched) = (keys, known.tried),
                // Keys that are known stay good while the issuer is away.
                Err(error) => {
                    let error = shared::words::telemetry::chain(&error);
                    tracing::warn!(error, "the keys of the issuer cannot be read");
                }
            }
        }
        known.get(id, algorithm)
    }

    async fn fetch(&self) -> Result<HashMap<String, (Algorithm, Arc<DecodingKey>)>, FetchError> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let configuration: Configuration = self.get(&url).await?;
        if configuration.issuer != self.issuer {
            return Err(FetchError::OtherIssuer);
        }
        if !shared::words::config::is_safe_url(&configuration.jwks_uri) {
            return Err(FetchError::Insecure);
        }
        let set: KeySet = self.get(&configuration.jwks_uri).await?;
        // A key of a kind that is not known here is none of ours.
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
            if bytes.len() + chunk.len() > MAX_BYTES {
                return Err(FetchError::TooLong);
            }
            bytes.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&bytes).map_err(FetchError::Json)
    }
}

impl Known {
    fn get(&self, id: &str, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        self.keys.get(id).filter(|(of, _)| *of == algorithm).map(|(_, key)| key.clone())
    }

    fn wants_fetch(&self, is_known: bool, now: Instant) -> bool {
        let is_past = |at: Option<Instant>, age: Duration| at.is_none_or(|at| now.duration_since(at) > age);
        (!is_known || is_past(self.fetched, FRESH)) && is_past(self.tried, PAUSE)
    }
}

/// A key for signatures of one of the two algorithms, with its id.
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
        let nothing = Known::default();
        assert!(nothing.wants_fetch(false, start), "the first token");
        let fetched = Known { fetched: Some(start), tried: Some(start), ..Known::default() };
        assert!(!fetched.wants_fetch(false, after(59)), "a flood of unknown ids");
        assert!(fetched.wants_fetch(false, after(61)), "a key that is new since");
        assert!(!fetched.wants_fetch(true, after(3599)));
        assert!(fetched.wants_fetch(true, after(3601)), "a key may have been withdrawn");
        let away = Known { fetched: Some(start), tried: Some(after(3601)), ..Known::default() };
        assert!(!away.wants_fetch(true, after(3650)), "the issuer did not answer: later");
    }
}
