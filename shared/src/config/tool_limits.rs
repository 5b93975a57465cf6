//! `BIO_MCP_TOOL_LIMIT_…`: concurrency limits per tool. The tool catalogue defines which tools have one.

use super::reader::Reader;

/// The limit of a tool, as its own file defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolLimit {
    /// The tool's dotted name.
    pub tool: &'static str,
    pub counted: LimitedUnit,
    /// The variable that overrides it.
    pub variable: &'static str,
    /// The limit if the variable is not set.
    pub default: u16,
}

/// What the limit of a tool counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitedUnit {
    /// Calls in flight in one process.
    Calls,
    /// Running jobs of all workers.
    Jobs,
}

/// The largest limit that can be set.
const MAX: u16 = 10_000;

/// The limits that count this unit, by tool.
pub(super) fn read<T: From<u16>, C: FromIterator<(String, T)>>(
    env: &mut Reader<impl Fn(&str) -> Option<String>>,
    limits: &[ToolLimit],
    counted: LimitedUnit,
) -> C {
    let limits = limits.iter().filter(|limit| limit.counted == counted);
    limits.map(|limit| (limit.tool.to_owned(), env.number(limit.variable, limit.default, 1, MAX).into())).collect()
}
