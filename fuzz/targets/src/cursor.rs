//! Cursors of the job listing.

use chrono::DateTime;
use shared::core::JobId;

/// A cursor that parses is spelled as the listing spells it; every position survives a round trip.
pub fn cursor(data: &[u8]) {
    if let Some((at, job)) = std::str::from_utf8(data).ok().and_then(api::cursor::parse) {
        let text = api::cursor::format(at, job);
        assert_eq!(text.as_bytes(), data, "one position, two spellings");
        let (micros, id) = text.split_once('.').expect("two parts");
        assert_eq!(i64::from_str_radix(micros, 16), Ok(at.timestamp_micros()));
        // The format in the OpenAPI document.
        let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        assert!((1..=16).contains(&micros.len()) && is_hex(micros) && id.len() == 32 && is_hex(id), "{text}");
    }
    if let Some((micros, rest)) = data.split_first_chunk::<8>()
        && let Some(id) = rest.first_chunk::<16>()
        // Jobs are created after 1970.
        && let Some(at) = DateTime::from_timestamp_micros(i64::from_le_bytes(*micros) & i64::MAX)
    {
        let job = JobId(uuid::Uuid::from_bytes(*id));
        let text = api::cursor::format(at, job);
        assert_eq!(api::cursor::parse(&text), Some((at, job)), "{text}");
    }
}
