//! How a record is named on the command line: `31452104`, or `31452104.2` for one of its versions.

use std::fmt;
use std::str::FromStr;

use shared::core::Pmid;

/// A record, or one version of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordName {
    pub pmid: Pmid,
    /// Only this version.
    pub version: Option<i32>,
}

impl FromStr for RecordName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pmid, version) = match text.split_once('.') {
            None => (text, None),
            Some((pmid, version)) => (pmid, Some(version)),
        };
        let pmid = Pmid::parse(pmid).map_err(|error| error.to_string())?;
        let number = |text: &str| {
            let canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
            text.parse().ok().filter(|_| canonical).ok_or("a version is a number from 1, as in 31452104.2")
        };
        Ok(Self { pmid, version: version.map(number).transpose()? })
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            None => write!(f, "{}", self.pmid),
            Some(version) => write!(f, "{}.{version}", self.pmid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_pmid_and_perhaps_a_version() {
        for good in ["1", "31452104", "31452104.2", "7.10"] {
            assert_eq!(good.parse::<RecordName>().map(|name| name.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", "0", "01", "1.", "1.0", "1.02", ".1", "1.2.3", "1.x", "1.-2", "1.99999999999"] {
            assert!(bad.parse::<RecordName>().is_err(), "{bad}");
        }
    }
}
