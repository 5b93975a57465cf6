//! Writes a text as a JSON string, eight bytes at a time if nothing needs escaping.
//!
//! The XML of a record is nearly all of its envelope, so that this loop determines how fast envelopes are written; the
//! output equals that of `serde_json` (checked by the property test).
//!
//! Own code: with `serde_json`, which processes single bytes, splitting, hashing, writing and compressing together take
//! 6 to 10 % longer, and crates with SIMD (sonic-rs, json-escape-simd) read beyond the end of the text (ADR 15).

/// Appends `text` as a JSON string, quotes included.
pub fn push(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + text.len() / 16 + 2);
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut done = 0;
    let mut at = 0;
    while at < bytes.len() {
        if let Some(word) = bytes.get(at..at + 8) {
            let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
            let escapes = first_escape(word);
            if escapes == 0 {
                at += 8;
                continue;
            }
            at += (escapes.trailing_zeros() / 8) as usize;
        }
        if let Some(escape) = escape(bytes[at]) {
            out.extend_from_slice(&bytes[done..at]);
            out.extend_from_slice(escape.as_bytes());
            done = at + 1;
        }
        at += 1;
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}

/// Sets the high bit of the first byte that is below 0x20, a quote or a backslash; higher bits may be wrong.
fn first_escape(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    let zero = |x: u64| x.wrapping_sub(ONES) & !x & HIGH;
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    control | zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\')))
}

fn escape(byte: u8) -> Option<&'static str> {
    const CONTROL: [&str; 32] = [
        "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007", "\\b", "\\t", "\\n",
        "\\u000b", "\\f", "\\r", "\\u000e", "\\u000f", "\\u0010", "\\u0011", "\\u0012", "\\u0013", "\\u0014",
        "\\u0015", "\\u0016", "\\u0017", "\\u0018", "\\u0019", "\\u001a", "\\u001b", "\\u001c", "\\u001d", "\\u001e",
        "\\u001f",
    ];
    match byte {
        b'"' => Some("\\\""),
        b'\\' => Some("\\\\"),
        0..0x20 => Some(CONTROL[usize::from(byte)]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn writes_what_serde_json_writes(text in "([a-z<>/=\"\\\\\\x00-\\x1f\\x7f]|\\PC){0,64}") {
            let mut ours = Vec::new();
            super::push(&mut ours, &text);
            prop_assert_eq!(ours, serde_json::to_vec(&text).expect("a string is JSON"));
        }
    }
}
