//! Tokens that are let in, known by their hashes.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use shared::config::{Secret, TokenHash};
use shared::core::{Principal, Sha256};
use shared::secrets::Renewal;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

/// A token that is not known makes the secret be read again, at most once in this time: strangers may ask as often as
/// they like.
const SECRET_MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// Whatever is asked, the secret is read again after this time: a token that was taken out of it goes.
const SECRET_MAX_AGE: Duration = Duration::from_secs(600);

/// Reads the secret; nothing when it cannot be read.
type Read = Box<dyn Fn() -> BoxFuture<'static, Option<Secret>> + Send + Sync>;

/// Hashes of tokens. Where they are a secret by ARN, tokens that were added to it work at once, and those that were
/// taken out end after ten minutes.
#[derive(Clone, Debug)]
pub struct Tokens(Arc<Shared>);

struct Shared {
    known: RwLock<Arc<[TokenHash]>>,
    read: Option<Read>,
    /// When the secret is to be read whatever is asked.
    next: Mutex<Instant>,
    /// When a token that was not known made the secret be read.
    asked_at: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Tokens {
    /// These, and what the environment's secret says later.
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

    /// In a task of its own: who asks may go away.
    async fn renew(&self) {
        let shared = self.0.clone();
        let _ = tokio::spawn(async move { shared.renew().await }).await;
    }
}

impl Shared {
    /// Whether this request is to read the secret again; the others go on with what is known meanwhile.
    fn is_due(&self) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = self.read.is_some() && Instant::now() >= *next;
        if is_due {
            // Should it fail.
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

    /// What cannot be read, or holds no hashes, changes nothing.
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
        // All are compared, whichever it is, and hashes tell nothing of the tokens.
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

    /// Tokens with a secret that says what is put into it; with how often it was read.
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
