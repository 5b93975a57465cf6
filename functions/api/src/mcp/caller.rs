//! The caller of a request over MCP.

use std::ops::Deref;

use axum::http::request::Parts;
use rmcp::RoleServer;
use rmcp::service::RequestContext;
use serde_json::Value;
use shared::core::{self, trace};

use super::names::without_local_addresses;

/// The caller of a request, and where its response goes.
#[derive(Clone, Debug)]
pub struct McpCaller {
    /// By whom, from where, as part of which trace.
    pub caller: core::Caller,
    /// Whether it may be on another machine: over stdio it has started this program itself.
    pub is_remote: bool,
}

impl Deref for McpCaller {
    type Target = core::Caller;

    fn deref(&self) -> &core::Caller {
        &self.caller
    }
}

impl McpCaller {
    /// What HTTP or the request's own metadata say; over stdio it is the command line, which started the program.
    pub fn of(context: &RequestContext<RoleServer>) -> Self {
        let http = context.extensions.get::<Parts>().map(|parts| &parts.extensions);
        let known = http.and_then(|http| http.get::<core::Caller>().cloned());
        let mut caller = known.unwrap_or_else(core::Caller::command_line);
        if let Some(said) = context.meta.get("traceparent").and_then(|text| trace::parse(text.as_str()?)) {
            caller.trace_id = said;
        }
        Self { caller, is_remote: http.is_some() }
    }

    /// A result as this caller can use it.
    pub fn visible(&self, result: Value) -> Value {
        if self.is_remote { without_local_addresses(result) } else { result }
    }
}
