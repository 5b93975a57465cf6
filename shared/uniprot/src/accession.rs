//! Accession numbers: the stable names of entries.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Length of the longer of the two forms.
const MAX_BYTES: usize = 10;

/// An accession number in UniProt's two forms, `P12345` and `A0A022YWF9`; safe as a part of a key or a path.
///
/// ```
/// use bio_mcp_uniprot::Accession;
///
/// assert_eq!(Accession::parse("P04439")?.as_str(), "P04439");
/// assert!(Accession::parse("../P04439").is_err());
/// # Ok::<(), bio_mcp_uniprot::InvalidAccession>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Accession {
    bytes: [u8; MAX_BYTES],
    length: u8,
}

/// The text is not an accession number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an accession number has the form P12345 or A0A022YWF9")]
pub struct InvalidAccession;

impl Accession {
    /// Parses the upper-case form; [`InvalidAccession`] for everything else.
    pub fn parse(text: &str) -> Result<Self, InvalidAccession> {
        if !is_accession(text.as_bytes()) {
            return Err(InvalidAccession);
        }
        let mut bytes = [0; MAX_BYTES];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let length = u8::try_from(text.len()).map_err(|_| InvalidAccession)?;
        Ok(Self { bytes, length })
    }

    /// As written in the file.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("parsed as ASCII letters and digits")
    }
}

/// `[OPQ][0-9][A-Z0-9]{3}[0-9]` or `[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2}`.
fn is_accession(text: &[u8]) -> bool {
    fn is_alphanumeric(c: u8) -> bool {
        c.is_ascii_uppercase() || c.is_ascii_digit()
    }
    let [first, second, rest @ ..] = text else { return false };
    if !first.is_ascii_uppercase() || !second.is_ascii_digit() {
        return false;
    }
    let is_group = |group: &[u8]| match group {
        [a, b, c, last] => {
            let is_start = a.is_ascii_uppercase() || (matches!(first, b'O' | b'P' | b'Q') && a.is_ascii_digit());
            is_start && is_alphanumeric(*b) && is_alphanumeric(*c) && last.is_ascii_digit()
        }
        _ => false,
    };
    match rest.len() {
        4 => is_group(rest),
        8 => !matches!(first, b'O' | b'P' | b'Q') && rest.chunks(4).all(is_group),
        _ => false,
    }
}

impl fmt::Display for Accession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Accession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Accession {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Accession {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Accession {
    fn schema_name() -> Cow<'static, str> {
        "Accession".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^([OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2})$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Accession;

    #[test]
    fn both_forms_and_nothing_else_are_accessions() {
        for good in ["P04439", "Q197F5", "O95832", "P12345", "A0A022YWF9", "A2BC19", "Q1KHY5", "B3KY71"] {
            assert_eq!(Accession::parse(good).expect("there").as_str(), good);
        }
        for bad in
            ["", "P0443", "p04439", "P04439-2", "A12345", "P0A022YWF9", "P04439 ", "../../", "A0A022YWF", "P0443é"]
        {
            assert!(Accession::parse(bad).is_err(), "{bad}");
        }
    }
}
