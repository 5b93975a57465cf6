//! Which Host and Origin headers are accepted. A web page can make its own name resolve to this machine (DNS
//! rebinding): then the browser sends that name in `Host`, and the page's origin in `Origin`.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use shared::config::{AuthSetting, HttpSettings};
use shared::core::ErrorCode;

use crate::Api;
use crate::auth::UNAUTHENTICATED_PATHS;
use crate::cors;
use crate::error::ApiError;

/// Allowed hosts and origins.
#[derive(Clone, Debug)]
pub struct HostPolicy {
    /// No credentials are needed: then only loopback names are accepted.
    is_open: bool,
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl HostPolicy {
    pub fn new(settings: &HttpSettings) -> Self {
        Self {
            is_open: settings.auth == AuthSetting::None,
            hosts: settings.allowed_hosts.clone(),
            origins: settings.allowed_origins.clone(),
        }
    }

    /// Whether a Host name is accepted. With credentials and without a configured list, every name is.
    fn is_host(&self, host: &str) -> bool {
        let (name, _) = split(host);
        let is_listed = self.hosts.iter().any(|one| one.eq_ignore_ascii_case(name) || one.eq_ignore_ascii_case(host));
        is_listed || is_loopback(name) || (!self.is_open && self.hosts.is_empty())
    }

    /// Whether a page with this Origin header may call.
    pub fn admits(&self, origin: Option<&HeaderValue>) -> bool {
        origin.and_then(|origin| origin.to_str().ok()).is_some_and(|origin| self.is_origin(origin))
    }

    /// Whether pages of an origin may call: configured ones, and without credentials those of this machine.
    fn is_origin(&self, origin: &str) -> bool {
        if self.origins.iter().any(|one| matches(one, origin)) {
            return true;
        }
        let local = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        self.is_open && local.is_some_and(|authority| is_authority(authority) && is_loopback(split(authority).0))
    }
}

/// Splits `name:port`, `[::1]:port` or a name into name and port.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']').unwrap_or((rest, ""));
            (name, port.strip_prefix(':'))
        }
        None => authority.rsplit_once(':').map_or((authority, None), |(name, port)| (name, Some(port))),
    }
}

fn is_authority(text: &str) -> bool {
    !text.contains(['/', '@', '?', '#']) && text.parse::<axum::http::uri::Authority>().is_ok()
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether an origin matches an allowed one: scheme, name and port; `:*` allows any port, no port the scheme's default.
fn matches(allowed: &str, origin: &str) -> bool {
    if let Some(any_port) = allowed.strip_suffix(":*") {
        let rest = origin.get(..any_port.len()).filter(|start| start.eq_ignore_ascii_case(any_port));
        let port = rest.and_then(|_| origin.get(any_port.len()..));
        return port.is_some_and(|port| {
            port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
        });
    }
    let own_port = |origin: &str| {
        let lower = origin.to_ascii_lowercase();
        let default = if lower.starts_with("https://") { ":443" } else { ":80" };
        lower.strip_suffix(default).map_or(lower.clone(), str::to_owned)
    };
    own_port(allowed) == own_port(origin)
}

/// Every host name of a request: in the Host header, and in an absolute URI.
fn hosts<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> impl Iterator<Item = Option<&'a str>> {
    let said = headers.get_all(header::HOST).iter().map(|host| host.to_str().ok());
    said.chain(uri.authority().map(|authority| Some(authority.as_str())))
}

/// The origin, if the request has exactly one.
pub fn origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    origins.next().filter(|_| origins.next().is_none())
}

fn foreign_origin() -> ApiError {
    let message = "Origin header not allowed: see BIO_MCP_ALLOWED_ORIGINS";
    ApiError::new(ErrorCode::Forbidden, message)
}

/// Allows a request with an accepted Host and Origin; responds to preflight requests of allowed pages.
pub async fn check(State(api): State<Api>, request: Request, next: Next) -> Result<Response, ApiError> {
    // Probes of a supervisor use any Host name, and get only a status.
    let path = request.uri().path();
    if UNAUTHENTICATED_PATHS.contains(&path) && (path != "/readyz" || !api.host_policy.is_open) {
        if cors::is_preflight(&request) {
            let is_admitted = api.host_policy.admits(origin(request.headers()));
            return if is_admitted { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(foreign_origin()) };
        }
        return Ok(next.run(request).await);
    }
    let headers = request.headers();
    let refuse = |message: &str| Err(ApiError::new(ErrorCode::Forbidden, message));
    // A proxy may have checked the other header.
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Err(ApiError::new(ErrorCode::ValidationError, "exactly one Host header is required"));
    }
    let hosts: Vec<Option<&str>> = hosts(headers, request.uri()).collect();
    if hosts.is_empty() || !hosts.iter().all(|host| host.is_some_and(|host| api.host_policy.is_host(host))) {
        return refuse("Host header not allowed: see BIO_MCP_ALLOWED_HOSTS");
    }
    // A request without Origin is not from a browser's script: browsers send it with every cross-origin call.
    if headers.contains_key(header::ORIGIN) && !api.host_policy.admits(origin(headers)) {
        return Err(foreign_origin());
    }
    if cors::is_preflight(&request) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(is_open: bool, hosts: &[&str], origins: &[&str]) -> HostPolicy {
        let own = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        HostPolicy { is_open, hosts: own(hosts), origins: own(origins) }
    }

    #[test]
    fn only_own_names_are_own() {
        let open = policy(true, &["archive.lab"], &[]);
        for own in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "archive.lab:8080"] {
            assert!(open.is_host(own), "{own}");
        }
        for other in
            ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "[::2]", "0"]
        {
            assert!(!open.is_host(other), "{other}");
        }
        assert!(policy(false, &[], &[]).is_host("abc.execute-api.eu-west-1.amazonaws.com"));
        assert!(!policy(false, &["archive.lab"], &[]).is_host("evil.example"));
    }

    #[test]
    fn only_pages_that_may_are_accepted() {
        let open = policy(true, &[], &["https://app.lab", "http://tool.lab:*", "null"]);
        for fine in [
            "http://localhost:6274",
            "https://127.0.0.1",
            "http://[::1]:3000",
            "https://app.lab",
            "https://APP.lab:443",
            "http://tool.lab:8080",
            "http://tool.lab",
            "null",
        ] {
            assert!(open.is_origin(fine), "{fine}");
        }
        for bad in [
            "",
            "https://app.lab:444",
            "http://app.lab",
            "https://app.lab.evil.example",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "http://evil.example/localhost",
            "http://localhost/evil",
            "localhost",
            "file://localhost",
            "http://tool.lab:x",
            "http://tool.lab.evil.example:80",
        ] {
            assert!(!open.is_origin(bad), "{bad}");
        }
        assert!(!policy(false, &[], &[]).is_origin("http://localhost:6274"), "with tokens only what is listed");
        assert!(!policy(true, &[], &[]).is_origin("null"));
    }
}
