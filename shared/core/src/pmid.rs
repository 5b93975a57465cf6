//! PubMed identifiers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A PubMed identifier: 1 to 999999999 in canonical decimal (no sign, no leading zero).
///
/// User input reaches an archive key only through this type.
///
/// ```
/// use bio_mcp_core::Pmid;
///
/// let pmid = Pmid::parse("12345678")?;
/// assert_eq!(pmid.get(), 12_345_678);
/// assert!(Pmid::parse("012345678").is_err(), "not canonical");
/// # Ok::<(), bio_mcp_core::pmid::InvalidPmid>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pmid(u32);

/// The text is not a canonical PMID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a PMID is a number from 1 to 999999999 without sign or leading zeros")]
pub struct InvalidPmid;

impl Pmid {
    /// The largest PMID, 999999999.
    pub const MAX: u32 = 999_999_999;

    /// Checks the range of a number.
    pub fn new(number: u32) -> Result<Self, InvalidPmid> {
        if (1..=Self::MAX).contains(&number) { Ok(Self(number)) } else { Err(InvalidPmid) }
    }

    /// Parses canonical decimal; rejects everything else, including Unicode digits and white space.
    pub fn parse(text: &str) -> Result<Self, InvalidPmid> {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes.len() > 9 || bytes[0] == b'0' || !bytes.iter().all(u8::is_ascii_digit) {
            return Err(InvalidPmid);
        }
        text.parse().map_err(|_| InvalidPmid).and_then(Self::new)
    }

    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Pmid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Pmid {
    type Err = InvalidPmid;
    fn from_str(text: &str) -> Result<Self, InvalidPmid> {
        Self::parse(text)
    }
}

/// Serialised as a string: PMIDs are text in contracts.
impl Serialize for Pmid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pmid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Pmid {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pmid".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[1-9][0-9]{0,8}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_decimal_is_a_pmid() {
        for good in ["1", "12345678", "999999999"] {
            assert_eq!(Pmid::parse(good).map(|p| p.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "0",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1\n",
            "1.0",
            "1e3",
            "٣",
            "１２",
            "../1",
            "%31",
            "1000000000",
            "99999999999999999999",
        ] {
            assert_eq!(Pmid::parse(bad), Err(InvalidPmid), "{bad:?}");
        }
    }
}
