//! Who asks over MCP.

use axum::http::request::Parts;
use rmcp::RoleServer;
use rmcp::service::RequestContext;
use serde_json::Value;

use shared::words::trace;

use super::names::without_local_addresses;
use crate::auth::Principal;
use crate::trace::TraceId;

/// Who asks, and in which trace.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// 32 hex digits.
    pub trace_id: String,
    /// Whether it may be on another machine: over stdio it has started this program itself.
    pub is_remote: bool,
}

impl Caller {
    /// What HTTP or the request's own metadata say; over stdio it is the user who started the program.
    pub fn of(context: &RequestContext<RoleServer>) -> Self {
        let http = context.extensions.get::<Parts>().map(|parts| &parts.extensions);
        let said = context.meta.get("traceparent").and_then(|text| trace::parse(text.as_str()?));
        let trace_id = said.or_else(|| Some(http?.get::<TraceId>()?.0.clone()));
        Self {
            principal: http.and_then(|http| http.get().cloned()).unwrap_or_else(|| Principal("local".to_owned())),
            trace_id: trace_id.unwrap_or_else(trace::new_id),
            is_remote: http.is_some(),
        }
    }

    /// A result as this caller can use it.
    pub fn told(&self, result: Value) -> Value {
        if self.is_remote { without_local_addresses(result) } else { result }
    }
}
