//! Request bodies: only JSON of a limited size.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::core::ErrorCode;
use shared::tools::{FieldError, ToolError, parse, understood};

use crate::error::ApiError;

pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// Maximum size of a too large body that is still read, so that the client reads the response.
const MAX_DISCARDED_BYTES: u64 = 4 << 20;

/// Maximum time for discarding a too large body.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum time for receiving a body.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(20);

pub struct Body(pub Value);

impl Body {
    /// Deserializes the body by the schema of a route, with the conversions of tool parameters.
    pub fn read<T: DeserializeOwned>(self, schema: &Value) -> Result<T, ApiError> {
        // Treated as absent, an empty key would silently give no idempotency.
        if self.0.get("idempotency_key").is_some_and(|key| key == "") {
            return Err(ToolError::invalid_field("idempotency_key", "must not be empty").into());
        }
        Ok(parse(&understood(schema, &[], self.0)?)?)
    }
}

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let reason = format!("not valid JSON at line {}, column {}", error.line(), error.column());
            ToolError::invalid(vec![FieldError { pointer: String::new(), reason }]).into()
        })
    }
}

pub struct OptionalBody(pub Option<Body>);

impl<S: Sync> FromRequest<S> for OptionalBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = whole(&parts.headers, body).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        let request = Request::from_parts(parts, axum::body::Body::from(bytes));
        Ok(Self(Some(Body::from_request(request, state).await?)))
    }
}

/// The bytes of a body that is declared as JSON, is not too large and arrives in time.
pub async fn read(headers: &HeaderMap, body: axum::body::Body) -> Result<Vec<u8>, ApiError> {
    let text = |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.to_str().unwrap_or("?"));
    let media = text(header::CONTENT_TYPE).map(|text| text.split(';').next().unwrap_or_default().trim());
    if !media.is_some_and(|media| media.eq_ignore_ascii_case("application/json")) {
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType, "Content-Type must be application/json"));
    }
    if text(header::CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType, "the body must not be compressed"));
    }
    whole(headers, body).await
}

/// The same request with its body in memory, if the body is not too large and arrived in time.
pub async fn arrived(request: Request) -> Result<Request, ApiError> {
    let (parts, body) = request.into_parts();
    let bytes = whole(&parts.headers, body).await?;
    Ok(Request::from_parts(parts, axum::body::Body::from(bytes)))
}

/// Reads and discards the rest of a body. The connection is closed after the response, and a client that is still
/// sending then would lose the response.
async fn discard(body: axum::body::Body) {
    let mut pieces = body.into_data_stream();
    let all = async { while let Some(Ok(_)) = pieces.next().await {} };
    // A slow client gets its response nevertheless.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, all).await;
}

async fn whole(headers: &HeaderMap, body: axum::body::Body) -> Result<Vec<u8>, ApiError> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let too_large =
        || ApiError::new(ErrorCode::PayloadTooLarge, format!("the body is larger than {MAX_BODY_BYTES} bytes"));
    if let Some(length) = length.filter(|length| *length > MAX_BODY_BYTES as u64) {
        if length <= MAX_DISCARDED_BYTES && !headers.contains_key(header::EXPECT) {
            discard(body).await;
        }
        return Err(too_large());
    }
    let late = || ApiError::new(ErrorCode::ValidationError, "the body was not received in time");
    let read = async {
        let (mut pieces, mut whole) = (body.into_data_stream(), Vec::new());
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| ApiError::new(ErrorCode::ValidationError, "the body ended early"))?;
            if piece.len() > MAX_BODY_BYTES - whole.len() {
                return Err(too_large());
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    };
    tokio::time::timeout(BODY_READ_TIMEOUT, read).await.map_err(|_| late())?
}
