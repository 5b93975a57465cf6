//! The only place that asks what time it is.

use chrono::{DateTime, SecondsFormat, Utc};

/// The current time, UTC.
#[expect(clippy::disallowed_methods, reason = "this is the one caller")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// RFC 3339 in UTC with microseconds and `Z`, e.g. `2026-11-22T12:44:51.000000Z`.
pub fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}
