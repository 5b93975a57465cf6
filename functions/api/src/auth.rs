//! Who asks.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use shared::words::config::{AuthSetting, TokenHash};
use shared::words::{ErrorCode, Sha256};
use subtle::ConstantTimeEq;

use crate::Api;
use crate::error::Failure;

/// Routes that answer anybody; what is not here needs credentials.
const OPEN: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// The longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 4096;

/// Who asks, as it is written to jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal(pub String);

/// Who is let in.
#[derive(Debug)]
pub enum Auth {
    /// Anybody; the server listens on loopback only.
    Anybody,
    /// Who has a token.
    Bearer(Vec<TokenHash>),
}

impl Auth {
    /// As configured.
    pub fn new(setting: &AuthSetting) -> Self {
        match setting {
            AuthSetting::None => Self::Anybody,
            AuthSetting::Bearer(tokens) => Self::Bearer(tokens.clone()),
        }
    }

    /// Who asks with these headers; nothing for credentials that are missing or not valid.
    pub fn principal(&self, headers: &HeaderMap) -> Option<Principal> {
        let tokens = match self {
            Self::Anybody => return Some(Principal("local".to_owned())),
            Self::Bearer(tokens) => tokens,
        };
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return None };
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let hash = Sha256::of(token.as_bytes());
        // All are compared, whichever it is, and hashes tell nothing of the tokens.
        let mut found = None;
        for one in tokens {
            if bool::from(one.hash.as_bytes().ct_eq(hash.as_bytes())) {
                found = Some(Principal(one.id.clone()));
            }
        }
        found
    }
}

/// Lets a request in, with its principal, or answers 401.
pub async fn check(State(api): State<Api>, mut request: Request, next: Next) -> Result<Response, Failure> {
    if let Some(principal) = api.auth.principal(request.headers()) {
        request.extensions_mut().insert(principal);
    } else if !OPEN.contains(&request.uri().path()) {
        return Err(Failure::new(
            ErrorCode::Unauthenticated,
            "this needs a valid token in the header `Authorization: Bearer …`",
        ));
    }
    Ok(next.run(request).await)
}
