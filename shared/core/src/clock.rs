//! The only module that reads the system clock.

use chrono::{DateTime, SecondsFormat, Utc};

/// The current time in UTC, truncated to microseconds, the precision of the database.
#[expect(clippy::disallowed_methods, reason = "this is the one caller")]
pub fn now() -> DateTime<Utc> {
    let now = Utc::now();
    DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
}

/// Milliseconds since 1970, as Lambda counts them.
pub fn unix_ms() -> u64 {
    u64::try_from(now().timestamp_millis()).unwrap_or_default()
}

/// RFC 3339 in UTC with microseconds and `Z`, e.g. `2026-11-22T12:44:51.000000Z`.
///
/// ```
/// use bio_mcp_core::clock;
///
/// let at = clock::rfc3339(clock::now());
/// assert!(at.ends_with('Z') && at.len() == "2026-11-22T12:44:51.000000Z".len());
/// ```
pub fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}
