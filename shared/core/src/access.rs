//! Callers and their permissions: the one definition for HTTP, MCP, the command line and the OpenAPI document.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::trace;

/// The principal of the command line, and of HTTP requests where no token is needed.
pub const LOCAL: &str = "local";

/// The principal of jobs that topics submit.
pub const TOPICS: &str = "topics";

/// The principal of jobs that update projections of the event log.
pub const PROJECTIONS: &str = "projections";

/// The highest priority of a job that needs no role above [`Role::Submit`].
pub const MAX_SUBMIT_PRIORITY: i16 = 5;

/// What a caller may do. Each role includes the previous ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May call fast tools that change nothing, and see every job.
    Read,
    /// May also submit jobs within its quotas, cancel and retry its own, and create and delete its own checkpoints.
    Submit,
    /// May also ingest bulk files, change the jobs and checkpoints of others, set priorities above 5; has no quotas.
    Admin,
}

impl Role {
    /// All, lowest first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Submit, Self::Admin];

    /// Name in settings, responses and log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Admin => "admin",
        }
    }

    /// Parses the name of a role.
    ///
    /// ```
    /// use bio_mcp_core::Role;
    ///
    /// assert_eq!(Role::parse("submit"), Some(Role::Submit));
    /// assert!(Role::Admin > Role::Read, "a higher role may do what a lower one may");
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The holder of a credential, by name, and its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The id of a token, the `sub` of an OIDC token, or [`LOCAL`].
    pub name: String,
    pub role: Role,
}

impl Principal {
    /// The local user of this machine.
    pub fn local(role: Role) -> Self {
        Self { name: LOCAL.to_owned(), role }
    }

    /// Whether this principal may change objects of `owner`.
    pub fn may_change_what_is_of(&self, owner: &str) -> bool {
        self.role >= Role::Admin || self.name == owner
    }
}

/// The caller of a request: its principal, source address and trace.
#[derive(Clone, Debug)]
pub struct Caller {
    pub principal: Principal,
    /// 32 hex digits.
    pub trace_id: String,
    /// Source address of the request; none for a local call.
    pub source_address: Option<IpAddr>,
}

impl Caller {
    /// The command line of this machine: an admin, with a new trace.
    pub fn command_line() -> Self {
        Self { principal: Principal::local(Role::Admin), trace_id: trace::new_id(), source_address: None }
    }

    /// Writes the audit line of a completed change: `action` is a verb such as `job.cancel`, `object` the changed
    /// object. The line is written at every log level.
    pub fn audit(&self, action: &str, object: &str) {
        let source_address = self.source_address.map(tracing::field::display);
        tracing::info!(
            target: AUDIT,
            principal = self.principal.name,
            role = self.principal.role.as_str(),
            action,
            object,
            trace_id = self.trace_id,
            source_address,
            "audit"
        );
    }
}

/// Log target of audit lines.
pub const AUDIT: &str = "bio_mcp_audit";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_read_by_their_names() {
        assert!(Role::Read < Role::Submit && Role::Submit < Role::Admin);
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        for bad in ["", "Read", "root", "admin "] {
            assert_eq!(Role::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_its_maker_or_an_admin_changes_a_thing() {
        let by = |name: &str, role| Principal { name: name.to_owned(), role };
        assert!(by("a", Role::Submit).may_change_what_is_of("a"));
        assert!(!by("a", Role::Submit).may_change_what_is_of("b"));
        assert!(by("a", Role::Admin).may_change_what_is_of("b"));
    }
}
