//! Metadata of the protected resource (RFC 9728): a client without a token finds the issuer here. A 401 response names
//! it and MCP clients follow it to the issuer.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use serde_json::{Value, json};
use shared::core::ErrorCode;

use crate::error::ApiError;
use crate::{Api, Auth};

/// Paths of the metadata for all routes, and for MCP alone: readable without credentials.
pub const PATHS: [&str; 2] = ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"];

/// Maximum length of a host name that is repeated in a response.
const MAX_HOST_BYTES: usize = 255;

/// The origin of this server: as configured, or from the `Host` header.
fn origin(api: &Api, headers: &HeaderMap) -> Option<String> {
    if let Some(url) = &api.public_url {
        return Some(url.trim_end_matches('/').to_owned());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return None };
    let host = host.to_str().ok()?;
    let fine = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
    if !(1..=MAX_HOST_BYTES).contains(&host.len()) || !host.bytes().all(fine) {
        return None;
    }
    // Plain HTTP only on this machine.
    let here = format!("http://{host}");
    Some(if shared::config::is_safe_url(&here) { here } else { format!("https://{host}") })
}

/// `GET /.well-known/oauth-protected-resource`
pub async fn metadata(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Result<Json<Value>, ApiError> {
    let Auth::Oidc(oidc) = &*api.auth else {
        return Err(ApiError::new(ErrorCode::NotFound, "this server accepts no tokens of an issuer"));
    };
    let origin = origin(&api, &headers)
        .ok_or_else(|| ApiError::new(ErrorCode::ValidationError, "the Host header is invalid or repeated"))?;
    let below = uri.path().strip_prefix(PATHS[0]).unwrap_or_default();
    Ok(Json(json!({
        "resource": format!("{origin}{below}"),
        "authorization_servers": [oidc.issuer()],
        "bearer_methods_supported": ["header"],
        "resource_name": "bio-mcp",
    })))
}

/// The `WWW-Authenticate` header for a request to this path without a valid token.
pub fn challenge(api: &Api, path: &str, headers: &HeaderMap) -> HeaderValue {
    let plain = HeaderValue::from_static("Bearer");
    let (Auth::Oidc(_), Some(origin)) = (&*api.auth, origin(api, headers)) else { return plain };
    let of = PATHS[usize::from(path == "/mcp" || path.starts_with("/mcp/"))];
    HeaderValue::from_str(&format!("Bearer resource_metadata=\"{origin}{of}\"")).unwrap_or(plain)
}
