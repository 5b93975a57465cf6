//! The lines ID, AC and DT: name, status, accessions, dates.

use std::borrow::Cow;

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::Text;

/// Dates and versions (DT).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dates {
    /// When the entry first was in the database.
    pub integrated: Option<NaiveDate>,
    /// When the sequence last changed.
    pub sequence: Option<NaiveDate>,
    /// Version of the sequence; absent before 2006.
    pub sequence_version: Option<u32>,
    /// When the entry last changed.
    pub entry: Option<NaiveDate>,
    /// Version of the entry; absent before 2006.
    pub entry_version: Option<u32>,
}

/// Name and status of an entry (ID).
pub(crate) fn id<'a>(lines: &[&'a str]) -> (Text<'a>, bool) {
    let mut words = lines.first().copied().unwrap_or_default().split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    let status = words.next().unwrap_or_default().trim_end_matches(';');
    // STANDARD was the word before 2006.
    (Cow::Borrowed(name), matches!(status, "Reviewed" | "STANDARD"))
}

/// The accessions of one block of AC lines.
pub(crate) fn accessions<'a>(lines: &[&'a str]) -> impl Iterator<Item = &'a str> {
    lines.iter().flat_map(|line| line.split(';')).map(str::trim_ascii).filter(|one| !one.is_empty())
}

/// Reads the DT lines, in both of their forms.
pub(crate) fn dates(lines: &[&str], dates: &mut Dates) {
    for line in lines {
        let date = date(line);
        if line.contains("integrated into") || line.contains("Created)") {
            dates.integrated = dates.integrated.or(date);
        } else if line.contains("sequence version") || line.contains("Last sequence update") {
            dates.sequence = dates.sequence.or(date);
            dates.sequence_version = dates.sequence_version.or(version_after(line, "sequence version "));
        } else if line.contains("entry version") || line.contains("Last annotation update") {
            dates.entry = dates.entry.or(date);
            dates.entry_version = dates.entry_version.or(version_after(line, "entry version "));
        }
    }
}

/// The date at the start of a line, such as `13-AUG-1987`.
fn date(line: &str) -> Option<NaiveDate> {
    const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    let word = line.trim_ascii_start().split([',', ' ']).next()?;
    let mut parts = word.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().zip(1..).find(|(name, _)| name.eq_ignore_ascii_case(month))?.1;
    NaiveDate::from_ymd_opt(year.parse().ok()?, month, day.parse().ok()?)
}

/// The number after a label.
pub(crate) fn version_after(line: &str, label: &str) -> Option<u32> {
    let rest = &line[line.find(label)? + label.len()..];
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_dates_are_read() {
        let mut found = Dates::default();
        let lines = [
            "13-AUG-1987, integrated into UniProtKB/Swiss-Prot.",
            "22-AUG-2003, sequence version 2.",
            "12-OCT-2022, entry version 208.",
        ];
        dates(&lines, &mut found);
        assert_eq!(found.integrated, NaiveDate::from_ymd_opt(1987, 8, 13));
        assert_eq!((found.sequence_version, found.entry_version), (Some(2), Some(208)));
        let mut found = Dates::default();
        dates(&["13-SEP-2005 (Rel. 48, Last annotation update)"], &mut found);
        assert_eq!((found.entry, found.entry_version), (NaiveDate::from_ymd_opt(2005, 9, 13), None));
    }

    #[test]
    fn the_status_has_an_old_and_a_new_word() {
        assert_eq!(id(&["P53_HUMAN      STANDARD;      PRT;   393 AA."]), (Cow::Borrowed("P53_HUMAN"), true));
        assert!(id(&["A_HUMAN   Reviewed;   3 AA."]).1);
        assert!(!id(&["A_HUMAN   Unreviewed;   3 AA."]).1);
        assert_eq!(id(&[]), (Cow::Borrowed(""), false));
    }
}
