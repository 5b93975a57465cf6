//! Parsers of times, days, intervals and roles on the command line.

use shared::core::Role;
use shared::projections::changes::ChangeKind;

pub(super) fn parse_time(text: &str) -> Result<chrono::DateTime<chrono::Utc>, String> {
    let date = || {
        let date = text.parse::<chrono::NaiveDate>().ok()?;
        date.and_hms_opt(0, 0, 0).map(|time| time.and_utc())
    };
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .ok()
        // Microseconds, as the database keeps it.
        .and_then(|time| chrono::DateTime::from_timestamp_micros(time.timestamp_micros()))
        .or_else(date)
        .ok_or_else(|| "must be a time such as 2026-11-22T12:00:00Z or a date such as 2026-11-22".to_owned())
}

pub(super) fn parse_day(text: &str) -> Result<chrono::NaiveDate, String> {
    text.parse().map_err(|_| "must be a date such as 2026-11-22".to_owned())
}

/// Parses `6h`, `30m`, `7d` or `90s` to seconds; at least a minute.
pub(super) fn parse_interval(text: &str) -> Result<i32, String> {
    let bad = || "must be an interval such as 30m, 6h or 7d, at least 1m".to_owned();
    let (digits, unit) = text.split_at(text.len().saturating_sub(1));
    let number: i32 = digits.parse().map_err(|_| bad())?;
    let secs = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    number.checked_mul(secs).filter(|secs| *secs >= 60).ok_or_else(bad)
}

/// Parses the name of a kind of change.
pub(super) fn parse_kind(text: &str) -> Result<ChangeKind, String> {
    ChangeKind::parse(text.trim())
        .ok_or_else(|| format!("must be one of {}", ChangeKind::ALL.map(ChangeKind::as_str).join(", ")))
}

/// A role by its name.
pub(super) fn parse_role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| "must be read, submit or admin".to_owned())
}
