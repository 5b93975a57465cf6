//! The caller of a request over MCP.

use std::ops::Deref;

use axum::http::request::Parts;
use rmcp::RoleServer;
use rmcp::service::RequestContext;
use serde_json::Value;
use shared::core::{self, trace};

use super::names::without_local_addresses;

/// The caller of a request, and whether it is remote.
#[derive(Clone, Debug)]
pub struct McpCaller {
    /// Principal, source address and trace.
    pub caller: core::Caller,
    /// Whether it may be on another machine: a client over stdio started this program itself.
    pub is_remote: bool,
}

impl Deref for McpCaller {
    type Target = core::Caller;

    fn deref(&self) -> &core::Caller {
        &self.caller
    }
}

impl McpCaller {
    /// From HTTP or the request's own metadata; over stdio the caller is the command line that started the program.
    pub fn of(context: &RequestContext<RoleServer>) -> Self {
        let http = context.extensions.get::<Parts>().map(|parts| &parts.extensions);
        let known = http.and_then(|http| http.get::<core::Caller>().cloned());
        let mut caller = known.unwrap_or_else(core::Caller::command_line);
        if let Some(said) = context.meta.get("traceparent").and_then(|text| trace::parse(text.as_str()?)) {
            caller.trace_id = said;
        }
        Self { caller, is_remote: http.is_some() }
    }

    /// Removes from a result what this caller cannot use.
    pub fn visible(&self, result: Value) -> Value {
        if self.is_remote { without_local_addresses(result) } else { result }
    }
}
