//! CORS: the headers that a browser needs to let a page of another origin read a response. `names` decides which pages
//! may call; this module grants nothing to others. Credentials are tokens in a header, never cookies, so
//! `Access-Control-Allow-Credentials` is not sent.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::Api;
use crate::host_policy;

const METHODS: &str = "GET, POST, PUT, DELETE, OPTIONS";

/// Response headers that a page may read in addition to those that are always readable.
const EXPOSED: &str = "mcp-protocol-version, mcp-session-id, www-authenticate, x-trace-id, location, retry-after, \
     etag, idempotent-replayed, allow";

/// Request headers that clients of MCP and HTTP send.
const ALLOWED: &str = "authorization, content-type, accept, mcp-protocol-version, mcp-method, mcp-name, \
     mcp-session-id, last-event-id, idempotency-key, if-none-match, traceparent, tracestate";

/// How long a browser may cache a preflight response, in seconds.
const MAX_AGE_SECS: &str = "600";

/// Asks whether a page of the internet may call a server of a private network.
const PRIVATE_NETWORK_REQUESTED: &str = "access-control-request-private-network";
const PRIVATE_NETWORK_ALLOWED: &str = "access-control-allow-private-network";

/// Maximum length of a requested list of header names that is granted unchanged, in bytes.
const MAX_REQUESTED_HEADERS_BYTES: usize = 2048;

/// Whether a request is a CORS preflight.
pub fn is_preflight(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Adds the CORS headers to a response if the requesting page may call.
pub async fn around(State(api): State<Api>, request: Request, next: Next) -> Response {
    let origin = host_policy::origin(request.headers()).filter(|origin| api.host_policy.admits(Some(origin))).cloned();
    let granted = is_preflight(&request).then(|| granted(request.headers()));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // A cache must not return the response for one page to another.
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        headers.extend(granted.unwrap_or_default());
    }
    response
}

/// The headers that a preflight grants. A page that may call may send any header: its client may need more than
/// [`ALLOWED`].
fn granted(requested: &HeaderMap) -> HeaderMap {
    let is_name = |name: &str| HeaderName::try_from(name.trim()).is_ok();
    let names = requested
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .filter(|value| value.len() <= MAX_REQUESTED_HEADERS_BYTES);
    let names = names.filter(|value| value.to_str().is_ok_and(|names| names.split(',').all(is_name)));
    let mut granted = HeaderMap::from_iter([
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS)),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, names.cloned().unwrap_or(HeaderValue::from_static(ALLOWED))),
        (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_SECS)),
    ]);
    if requested.get(PRIVATE_NETWORK_REQUESTED).is_some_and(|value| value == "true") {
        granted.insert(PRIVATE_NETWORK_ALLOWED, HeaderValue::from_static("true"));
    }
    granted
}
