//! Query parameters: unknown names are refused, all errors are reported together.

use std::collections::BTreeMap;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use percent_encoding::percent_decode_str;
use shared::tools::{FieldError, ToolError, whole_number};

use crate::error::ApiError;

/// Routes that read query parameters, or are probed with any. All other routes have none.
const ROUTES_WITH_QUERY: [&str; 11] = [
    "/healthz",
    "/livez",
    "/readyz",
    "/metrics",
    "/mcp",
    "/v1/jobs",
    "/v1/jobs/{id}",
    "/v1/jobs/{id}/failures",
    "/v1/jobs/{id}/logs",
    "/v1/pubmed/{pmid}",
    "/v1/events",
];

/// Refuses query parameters of routes that have none. Other routes read them by [`QueryParams`], which refuses unknown
/// ones; other methods of these routes have none either.
pub async fn refuse_unknown(request: Request, next: Next) -> Result<Response, ApiError> {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let takes_none = match *request.method() {
        Method::GET | Method::HEAD => !path.is_empty() && !ROUTES_WITH_QUERY.contains(&path),
        // For a method that the route does not have, that error is returned instead.
        Method::POST => ["/v1/jobs", "/v1/jobs/{id}/retry", "/v1/mcp/invoke"].contains(&path),
        Method::DELETE => path == "/v1/jobs/{id}",
        _ => false,
    };
    if takes_none {
        QueryParams::read(request.uri().query()).end()?;
    }
    Ok(next.run(request).await)
}

/// The parameters of a request; each read removes one.
pub struct QueryParams {
    given: BTreeMap<String, String>,
    faults: Vec<FieldError>,
}

impl QueryParams {
    /// Parses the part after the `?`.
    pub fn read(text: Option<&str>) -> Self {
        let mut query = Self { given: BTreeMap::new(), faults: Vec::new() };
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| {
                percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(std::borrow::Cow::into_owned)
            };
            let Some(name) = decode(name) else {
                query.fault("", "a name is not UTF-8");
                continue;
            };
            match decode(value) {
                None => query.fault(&name, "is not UTF-8"),
                Some(value) if value.contains('\0') => query.fault(&name, "contains a NUL character"),
                Some(_) if query.given.contains_key(&name) => query.fault(&name, "is given twice"),
                Some(value) => {
                    query.given.insert(name, value);
                }
            }
        }
        query
    }

    /// Takes a parameter unchanged; an empty one counts as absent.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.given.remove(name).filter(|text| !text.is_empty())
    }

    /// Takes and parses a parameter; `reason` is the error if it cannot be parsed.
    pub fn parsed<T>(&mut self, name: &str, reason: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.fault(name, reason);
        }
        parsed
    }

    /// Takes a number within bounds.
    pub fn number<T: TryFrom<i64> + PartialOrd + std::fmt::Display + Copy>(
        &mut self,
        name: &str,
        default: T,
        min: T,
        max: T,
    ) -> T {
        let reason = format!("must be {min} to {max}");
        let parse = |text: &str| T::try_from(whole_number(text)?).ok().filter(|n| (min..=max).contains(n));
        self.parsed(name, &reason, parse).unwrap_or(default)
    }

    /// Adds an error of a parameter.
    pub fn fault(&mut self, name: &str, reason: &str) {
        let pointer =
            if name.is_empty() { String::new() } else { format!("/{}", name.replace('~', "~0").replace('/', "~1")) };
        self.faults.push(FieldError { pointer, reason: reason.to_owned() });
    }

    /// Fails if there was an error, or a parameter that was not read.
    pub fn end(mut self) -> Result<(), ApiError> {
        for name in std::mem::take(&mut self.given).into_keys() {
            self.fault(&name, "is not a parameter of this route");
        }
        if self.faults.is_empty() { Ok(()) } else { Err(ToolError::invalid(self.faults).into()) }
    }
}
