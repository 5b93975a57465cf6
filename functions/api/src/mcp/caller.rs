//! The caller of a request over MCP.

use std::ops::Deref;

use axum::http::request::Parts;
use rmcp::RoleServer;
use rmcp::service::RequestContext;
use serde_json::Value;
use shared::words::{self, trace};

use super::names::without_local_addresses;

/// The caller of a request, and where its answer goes.
#[derive(Clone, Debug)]
pub struct Caller {
    /// By whom, from where, as part of which trace.
    pub caller: words::Caller,
    /// Whether it may be on another machine: over stdio it has started this program itself.
    pub is_remote: bool,
}

impl Deref for Caller {
    type Target = words::Caller;

    fn deref(&self) -> &words::Caller {
        &self.caller
    }
}

impl Caller {
    /// What HTTP or the request's own metadata say; over stdio it is the command line, which started the program.
    pub fn of(context: &RequestContext<RoleServer>) -> Self {
        let http = context.extensions.get::<Parts>().map(|parts| &parts.extensions);
        let known = http.and_then(|http| http.get::<words::Caller>().cloned());
        let mut caller = known.unwrap_or_else(words::Caller::command_line);
        if let Some(said) = context.meta.get("traceparent").and_then(|text| trace::parse(text.as_str()?)) {
            caller.trace_id = said;
        }
        Self { caller, is_remote: http.is_some() }
    }

    /// A result as this caller can use it.
    pub fn told(&self, result: Value) -> Value {
        if self.is_remote { without_local_addresses(result) } else { result }
    }
}
