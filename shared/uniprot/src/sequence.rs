//! The sequence (SQ and the lines below it).

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::Text;

/// The canonical sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sequence<'a> {
    /// Amino acids in one-letter code, without spaces.
    pub value: String,
    /// Number of amino acids.
    pub length: u32,
    /// Molecular weight in daltons, as stated.
    pub mol_weight: Option<u32>,
    /// CRC-64 in hexadecimal, as stated; absent before 2000.
    pub crc64: Option<Text<'a>>,
}

/// Reads the line SQ: `SEQUENCE   365 AA;  40841 MW;  DEDFCEC4450E0580 CRC64;`; the stated length.
pub(crate) fn summary<'a>(lines: &[&'a str], sequence: &mut Sequence<'a>) -> Option<u32> {
    let text = lines.first().copied().unwrap_or_default();
    let mut length = None;
    for part in text.trim_ascii().trim_start_matches("SEQUENCE").split(';') {
        let mut words = part.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some(value), Some("AA")) => length = value.parse().ok(),
            (Some(value), Some("MW")) => sequence.mol_weight = value.parse().ok(),
            (Some(value), Some("CRC64")) => sequence.crc64 = Some(Cow::Borrowed(value)),
            _ => {}
        }
    }
    length
}

/// Reads the lines of the sequence.
pub(crate) fn residues(lines: &[&str], sequence: &mut Sequence<'_>) {
    sequence.value.reserve(lines.iter().map(|line| line.len()).sum());
    for line in lines {
        for block in line.split_ascii_whitespace() {
            sequence.value.push_str(block);
        }
    }
    sequence.length = u32::try_from(sequence.value.len()).unwrap_or(u32::MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_read() {
        let mut found = Sequence::default();
        let stated = summary(&["SEQUENCE   13 AA;  1841 MW;  DEDFCEC4450E0580 CRC64;"], &mut found);
        residues(&["MRYTVLIALQ G", "AL"], &mut found);
        assert_eq!((stated, found.length, found.mol_weight), (Some(13), 13, Some(1841)));
        assert_eq!((&*found.value, found.crc64.as_deref()), ("MRYTVLIALQGAL", Some("DEDFCEC4450E0580")));
    }
}
