//! Tokens that are let in, known by their hashes.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use shared::secrets::Renewal;
use shared::words::Sha256;
use shared::words::config::TokenHash;
use subtle::ConstantTimeEq;

use crate::auth::Principal;

/// The secret is read again at most once in this time: strangers may ask as often as they like.
const PAUSE: Duration = Duration::from_secs(60);

/// Hashes of tokens. Where they are a secret by ARN, a token that is not among them makes it be read again: it may be
/// new. One that was taken out of the secret goes with that, or when the function starts anew.
#[derive(Debug)]
pub struct Tokens {
    known: RwLock<Arc<[TokenHash]>>,
    renewal: Option<Renewal>,
    last_read: Mutex<Option<Instant>>,
}

impl Tokens {
    /// These, and what the environment's secret says later.
    pub fn new(known: Vec<TokenHash>) -> Self {
        Self {
            known: RwLock::new(known.into()),
            renewal: Renewal::of("BIO_MCP_AUTH_TOKENS"),
            last_read: Mutex::new(None),
        }
    }

    /// Who has a token.
    pub async fn holder(&self, token: &str) -> Option<Principal> {
        let hash = Sha256::of(token.as_bytes());
        if let Some(principal) = self.find(&hash) {
            return Some(principal);
        }
        let renewal = self.renewal.as_ref().filter(|_| self.may_read())?;
        let secret = renewal.read().await?;
        let Some(known) = TokenHash::parse_all(secret.expose()) else {
            tracing::error!("the secret of BIO_MCP_AUTH_TOKENS holds no hashes: those known before count");
            return None;
        };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known.into();
        self.find(&hash)
    }

    fn may_read(&self) -> bool {
        let mut last = self.last_read.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| last.elapsed() >= PAUSE);
        if may {
            *last = Some(Instant::now());
        }
        may
    }

    fn find(&self, hash: &Sha256) -> Option<Principal> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        // All are compared, whichever it is, and hashes tell nothing of the tokens.
        let mut found = None;
        for one in known.iter() {
            if bool::from(one.hash.as_bytes().ct_eq(hash.as_bytes())) {
                found = Some(Principal(one.id.clone()));
            }
        }
        found
    }
}
