//! Who asks.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use shared::words::config::{AuthSetting, HttpSettings, TokenHash};
use shared::words::{ErrorCode, Sha256};
use subtle::ConstantTimeEq;

use crate::Api;
use crate::error::Failure;

/// Routes that answer anybody; what is not here needs credentials.
pub const OPEN: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// The longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 4096;

/// Who asks, as it is written to jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal(pub String);

/// Who is let in.
#[derive(Debug)]
pub enum Auth {
    /// Anybody who calls this server by one of its own names. It listens on loopback only; a page in a
    /// browser that made its own name lead here says that name.
    Anybody(Vec<String>),
    /// Who has a token.
    Bearer(Vec<TokenHash>),
}

impl Auth {
    /// As configured.
    pub fn new(settings: &HttpSettings) -> Self {
        match &settings.auth {
            AuthSetting::None => Self::Anybody(settings.allowed_hosts.clone()),
            AuthSetting::Bearer(tokens) => Self::Bearer(tokens.clone()),
        }
    }

    /// Who asks with these headers; nothing for credentials that are missing or not valid.
    pub fn principal(&self, headers: &HeaderMap) -> Option<Principal> {
        let tokens = match self {
            Self::Anybody(_) => return Some(Principal("local".to_owned())),
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

/// Whether a `Host` (or what stands in its place) is a name of a server that lets anybody in.
fn is_own(host: &str, more: &[String]) -> bool {
    let name = host.strip_prefix('[').map_or_else(
        || host.rsplit_once(':').map_or(host, |(name, _)| name),
        |rest| rest.split(']').next().unwrap_or_default(),
    );
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        || more.iter().any(|one| one.eq_ignore_ascii_case(name) || one.eq_ignore_ascii_case(host))
}

/// Lets a request in, with its principal, or answers 401, or 403 for a name that is not this server's.
pub async fn check(State(api): State<Api>, mut request: Request, next: Next) -> Result<Response, Failure> {
    if let Auth::Anybody(hosts) = &*api.auth {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str));
        if !host.is_some_and(|host| is_own(host, hosts)) {
            let message =
                "this server, which needs no token, does not go by the name in Host: see BIO_MCP_ALLOWED_HOSTS";
            return Err(Failure::new(ErrorCode::Forbidden, message));
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_are_own() {
        let more = ["archive.lab".to_owned()];
        for own in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "archive.lab:8080"] {
            assert!(is_own(own, &more), "{own}");
        }
        for other in
            ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "[::2]", "0"]
        {
            assert!(!is_own(other, &more), "{other}");
        }
    }
}
