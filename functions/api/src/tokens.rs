//! Accepted tokens, by their hashes.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use shared::config::{Secret, TokenHash};
use shared::core::{Principal, Sha256};
use shared::secrets::Renewal;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

/// An unknown token causes the secret to be read again, at most once in this interval: unauthenticated clients may send
/// any number of tokens.
const SECRET_MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// The secret is read again after this time in any case, so that removed tokens stop working.
const SECRET_MAX_AGE: Duration = Duration::from_secs(600);

/// Reads the secret; none if it cannot be read.
type Read = Box<dyn Fn() -> BoxFuture<'static, Option<Secret>> + Send + Sync>;

/// Hashes of tokens. If they are a secret given by ARN, added tokens work at once, and removed ones stop working after
/// ten minutes.
#[derive(Clone, Debug)]
pub struct Tokens(Arc<Shared>);

struct Shared {
    known: RwLock<Arc<[TokenHash]>>,
    read: Option<Read>,
    /// When the secret must be read again in any case.
    next: Mutex<Instant>,
    /// When an unknown token last caused the secret to be read.
    asked_at: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Tokens {
    /// These hashes, replaced by those of the environment's secret when it is read.
    pub fn new(known: Vec<TokenHash>) -> Self {
        let renewal = Renewal::of("BIO_MCP_AUTH_TOKENS").map(Arc::new);
        Self::renewed(
            known,
            renewal.map(|renewal| -> Read {
                Box::new(move || {
                    let renewal = renewal.clone();
                    async move { renewal.read().await }.boxed()
                })
            }),
        )
    }

    fn renewed(known: Vec<TokenHash>, read: Option<Read>) -> Self {
        Self(Arc::new(Shared {
            known: RwLock::new(known.into()),
            read,
            next: Mutex::new(Instant::now() + SECRET_MAX_AGE),
            asked_at: Mutex::new(None),
        }))
    }

    /// The principal of a token.
    pub async fn holder(&self, token: &str) -> Option<Principal> {
        let hash = Sha256::of(token.as_bytes());
        if self.0.is_due() {
            self.renew().await;
        }
        if let Some(holder) = self.0.find(&hash) {
            return Some(holder);
        }
        if self.0.read.is_none() || !self.0.may_ask() {
            return None;
        }
        self.renew().await;
        self.0.find(&hash)
    }

    /// In a separate task: it continues if the caller disconnects.
    async fn renew(&self) {
        let shared = self.0.clone();
        let _ = tokio::spawn(async move { shared.renew().await }).await;
    }
}

impl Shared {
    /// Whether this request must read the secret again; others continue with the known hashes meanwhile.
    fn is_due(&self) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = self.read.is_some() && Instant::now() >= *next;
        if is_due {
            // Next attempt if the read fails.
            *next = Instant::now() + SECRET_MIN_REFRESH_INTERVAL;
        }
        is_due
    }

    fn may_ask(&self) -> bool {
        let mut asked_at = self.asked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let may = asked_at.is_none_or(|at| at.elapsed() >= SECRET_MIN_REFRESH_INTERVAL);
        if may {
            *asked_at = Some(Instant::now());
        }
        may
    }

    /// Reads the secret. If it cannot be read, or has no hashes, the known ones remain.
    async fn renew(&self) {
        let Some(read) = &self.read else { return };
        let Some(secret) = read().await else { return };
        let Some(known) = TokenHash::parse_all(secret.expose()) else {
            tracing::error!("the secret of BIO_MCP_AUTH_TOKENS contains no hashes: the previous ones remain valid");
            return;
        };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known.into();
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + SECRET_MAX_AGE;
    }

    fn find(&self, hash: &Sha256) -> Option<Principal> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        // Compares all hashes in constant time: the duration reveals nothing about the tokens.
        let mut found = None;
        for one in known.iter() {
            if bool::from(one.hash.as_bytes().ct_eq(hash.as_bytes())) {
                found = Some(Principal { name: one.id.clone(), role: one.role });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::core::Role;

    fn named(name: &str, token: &str) -> String {
        format!("{name}={}", Sha256::of(token.as_bytes()).to_hex())
    }

    /// Tokens with a secret that a test can change, and a count of its reads.
    fn tokens(secret: &Arc<Mutex<(Option<String>, u32)>>) -> Tokens {
        let secret = secret.clone();
        let known = TokenHash::parse_all(&named("old", "a")).expect("hashes");
        Tokens::renewed(
            known,
            Some(Box::new(move || {
                let mut secret = secret.lock().expect("no panic");
                secret.1 += 1;
                let text = secret.0.clone();
                async move { text.map(Secret::new) }.boxed()
            })),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_taken_out_ends_and_strangers_do_not_make_it_read() {
        let secret = Arc::new(Mutex::new((Some(named("new", "b")), 0)));
        let tokens = tokens(&secret);
        let is = |name: &str| Some(Principal { name: name.to_owned(), role: Role::Submit });
        let old = is("old");
        assert_eq!(tokens.holder("a").await, old);
        tokio::time::advance(Duration::from_secs(599)).await;
        assert_eq!(tokens.holder("a").await, old);
        assert_eq!(secret.lock().expect("no panic").1, 0, "not read while all is well");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(tokens.holder("a").await, None, "taken out ten minutes ago");
        for _ in 0..100 {
            assert_eq!(tokens.holder("stranger").await, None);
        }
        assert_eq!(secret.lock().expect("no panic").1, 2);
        assert_eq!(tokens.holder("b").await, is("new"));
        for broken in [None, Some("no hash".to_owned())] {
            secret.lock().expect("no panic").0 = broken;
            tokio::time::advance(SECRET_MAX_AGE).await;
            assert_eq!(tokens.holder("b").await, is("new"), "what is known counts");
        }
    }
}
