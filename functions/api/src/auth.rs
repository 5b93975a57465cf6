//! Authentication: the principal of a request, and its role.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use shared::config::{AuthSetting, HttpSettings};
use shared::core::{Caller, ErrorCode, Principal, Role, trace};
use tracing::Span;

use crate::Api;
use crate::error::ApiError;
use crate::oidc::Oidc;
use crate::resource;
use crate::server::SourceAddress;
use crate::tokens::Tokens;
use crate::trace::TraceId;

/// Routes that need no credentials; every other route does.
pub const UNAUTHENTICATED_PATHS: [&str; 5] = ["/healthz", "/livez", "/readyz", resource::PATHS[0], resource::PATHS[1]];

/// Maximum length of a token that is checked.
const MAX_TOKEN_BYTES: usize = 4096;

/// Why a request is not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its credentials are missing or invalid.
    Unauthenticated,
    /// Its token is valid, but none of its claims grants a role.
    NoRole,
}

/// How requests are authenticated.
#[derive(Debug)]
pub enum Auth {
    /// No credentials: the server listens on loopback only. Its clients cannot be distinguished, so all have the role
    /// [`Role::Submit`].
    WithoutTokens,
    /// Configured tokens.
    Bearer(Tokens),
    /// Tokens of an OpenID Connect issuer.
    Oidc(Oidc),
}

impl Auth {
    pub fn new(settings: &HttpSettings) -> Self {
        match &settings.auth {
            AuthSetting::None => Self::WithoutTokens,
            AuthSetting::Bearer(tokens) => Self::Bearer(Tokens::new(tokens.clone())),
            AuthSetting::Oidc(settings) => Self::Oidc(Oidc::new(settings)),
        }
    }

    /// Authenticates a request with these headers.
    pub async fn principal(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        let given = || token(headers).ok_or(Refusal::Unauthenticated);
        match self {
            Self::WithoutTokens => Ok(Principal::local(Role::Submit)),
            Self::Bearer(tokens) => tokens.holder(given()?).await.ok_or(Refusal::Unauthenticated),
            Self::Oidc(oidc) => oidc.principal(given()?).await,
        }
    }
}

/// The token, if there is exactly one header with one token.
fn token(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let fine = scheme.eq_ignore_ascii_case("bearer") && (1..=MAX_TOKEN_BYTES).contains(&token.len());
    fine.then_some(token)
}

/// Accepts a request, with its [`Caller`], or responds with 401 or 403.
pub async fn check(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    match api.auth.principal(request.headers()).await {
        Ok(principal) => {
            Span::current().record("principal", &principal.name);
            let trace_id = request.extensions().get().map_or_else(trace::new_id, |TraceId(id)| id.clone());
            let caller = Caller { principal, trace_id, source_address: source_address(&request) };
            request.extensions_mut().insert(caller);
        }
        Err(_) if UNAUTHENTICATED_PATHS.contains(&request.uri().path()) => {}
        Err(Refusal::Unauthenticated) => {
            let message = "a valid token is required in the header `Authorization: Bearer …`";
            let mut refused = ApiError::new(ErrorCode::Unauthenticated, message).into_response();
            let challenge = resource::challenge(&api, request.uri().path(), request.headers());
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            return refused;
        }
        Err(Refusal::NoRole) => {
            let message = "the token is valid, but none of its claims grants a role: see BIO_MCP_OIDC_ROLES";
            return ApiError::new(ErrorCode::Forbidden, message).into_response();
        }
    }
    next.run(request).await
}

/// The address that a request came from, if the server knows it.
fn source_address(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<SourceAddress>()?.0
}
