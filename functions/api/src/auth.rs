//! Who asks.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use shared::words::ErrorCode;
use shared::words::config::{AuthSetting, HttpSettings};

use crate::Api;
use crate::error::Failure;
use crate::oidc::Oidc;
use crate::resource;
use crate::tokens::Tokens;

/// Routes that answer without credentials; what is not here needs them.
pub const OPEN: [&str; 5] = ["/healthz", "/livez", "/readyz", resource::PATHS[0], resource::PATHS[1]];

/// The longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 4096;

/// Who asks, as it is written to jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal(pub String);

/// Who is let in.
#[derive(Debug)]
pub enum Auth {
    /// Anybody who can reach it: it listens on loopback only.
    Anybody,
    /// Who has a token.
    Bearer(Tokens),
    /// Who has a token of an issuer.
    Oidc(Oidc),
}

impl Auth {
    /// As configured.
    pub fn new(settings: &HttpSettings) -> Self {
        match &settings.auth {
            AuthSetting::None => Self::Anybody,
            AuthSetting::Bearer(tokens) => Self::Bearer(Tokens::new(tokens.clone())),
            AuthSetting::Oidc(settings) => Self::Oidc(Oidc::new(settings)),
        }
    }

    /// Who asks with these headers; nothing for credentials that are missing or not valid.
    pub async fn principal(&self, headers: &HeaderMap) -> Option<Principal> {
        match self {
            Self::Anybody => Some(Principal("local".to_owned())),
            Self::Bearer(tokens) => tokens.holder(token(headers)?).await.map(Principal),
            Self::Oidc(oidc) => oidc.subject(token(headers)?).await.map(Principal),
        }
    }
}

/// The one token of the one header for it.
fn token(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let fine = scheme.eq_ignore_ascii_case("bearer") && (1..=MAX_TOKEN_BYTES).contains(&token.len());
    fine.then_some(token)
}

/// Lets a request in, with its principal, or answers 401.
pub async fn check(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    if let Some(principal) = api.auth.principal(request.headers()).await {
        request.extensions_mut().insert(principal);
    } else if !OPEN.contains(&request.uri().path()) {
        let message = "this needs a valid token in the header `Authorization: Bearer …`";
        let mut refused = Failure::new(ErrorCode::Unauthenticated, message).into_response();
        let challenge = resource::challenge(&api, request.uri().path(), request.headers());
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        return refused;
    }
    next.run(request).await
}
