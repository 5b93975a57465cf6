//! Cursors of the job listing: a job's position in it, as text that a client sends back unchanged.

use chrono::{DateTime, Utc};
use shared::core::JobId;

/// The cursor of the page that follows a job: when it was created, in microseconds, and its id.
pub fn format(created_at: DateTime<Utc>, job: JobId) -> String {
    format!("{:x}.{}", created_at.timestamp_micros(), job.0.simple())
}

/// Reads a cursor; only one that [`format()`] returns is accepted, so that each position has one spelling.
pub fn parse(text: &str) -> Option<(DateTime<Utc>, JobId)> {
    let (created_at, job) = text.split_once('.')?;
    let created_at = DateTime::from_timestamp_micros(i64::from_str_radix(created_at, 16).ok()?)?;
    let job: JobId = job.parse().ok()?;
    (format(created_at, job) == text).then_some((created_at, job))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_given() {
        let (at, job) = (DateTime::from_timestamp_micros(1_700_000_000_123_456).expect("a time"), JobId::new());
        assert_eq!(parse(&format(at, job)), Some((at, job)));
        for bad in ["", ".", "x.y", "ffffffffffffffff.00", "1", &format(at, job).to_uppercase()] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
