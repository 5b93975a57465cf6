//! Numbers in messages: `1,234,567`, `1 record`, `2 records`.

/// A number with separators: 1234567 is `1,234,567`.
pub fn grouped(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if n < 0 { format!("-{text}") } else { text }
}

/// A number with its noun, whose plural ends in `s`: `1 record`, `0 records`, `1,000 records`.
pub fn counted(n: impl TryInto<i64>, noun: &str) -> String {
    let n = n.try_into().unwrap_or(i64::MAX);
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_singular_and_large_numbers_have_separators() {
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(counted(0_usize, "record"), "0 records");
        assert_eq!(counted(2_u64, "history row"), "2 history rows");
        assert_eq!(counted(1_234_567, "record"), "1,234,567 records");
        assert_eq!(counted(u64::MAX, "byte"), "9,223,372,036,854,775,807 bytes");
        assert_eq!(grouped(-1000), "-1,000");
        assert_eq!(grouped(999), "999");
    }
}
