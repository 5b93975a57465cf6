//! Parts of a query's results: ranges of days by one of three dates, and ranges of PMIDs.

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};

use super::query::Query;
use bio_mcp_core::Pmid;

/// The date that a slice is selected by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateField {
    /// When the record was added to PubMed (EDAT).
    Entry,
    /// When the record was last changed in PubMed (MDAT).
    Modification,
    /// When its record was created (CRDT). A record added more than a year after publication has the date of
    /// publication as its entry date: only this date shows that it is new.
    Creation,
}

impl DateField {
    /// The `datetype` of E-utilities.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Entry => "edat",
            Self::Modification => "mdat",
            Self::Creation => "crdt",
        }
    }
}

/// Part of a query's results: a range of days and a range of PMIDs, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Slice {
    field: DateField,
    days: Option<(NaiveDate, NaiveDate)>,
    pmids: Option<(u32, u32)>,
}

/// Bounds of the dates of all records. The first is early, because late additions have the date of their publication,
/// which may be long before PubMed existed; empty halves cost one request each.
const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(1000, 1, 1).expect("a date");
const LAST_DAY: NaiveDate = NaiveDate::from_ymd_opt(3000, 12, 31).expect("a date");

impl Slice {
    /// All results.
    pub fn all() -> Self {
        Self { field: DateField::Entry, days: None, pmids: None }
    }

    /// Results of a range of days, both included.
    pub fn days(field: DateField, from: NaiveDate, to: NaiveDate) -> Self {
        Self { field, days: Some((from, to)), pmids: None }
    }

    /// Results with this PMID or a higher one.
    pub fn from_pmid(first: u32) -> Self {
        Self { pmids: Some((first, Pmid::MAX)), ..Self::all() }
    }

    /// This slice restricted to one PMID.
    #[must_use]
    pub fn only(self, pmid: Pmid) -> Self {
        Self { pmids: Some((pmid.get(), pmid.get())), ..self }
    }

    /// Its range of days, both included; none if it is not restricted by date.
    pub fn span(&self) -> Option<(NaiveDate, NaiveDate)> {
        self.days
    }

    pub fn field(&self) -> DateField {
        self.field
    }

    /// This slice up to a day, included.
    pub(super) fn until(self, last: NaiveDate) -> Self {
        Self { days: self.days.map(|(from, _)| (from, last)), ..self }
    }

    /// Whether it has more than one day, or is not restricted by date.
    pub(super) fn has_several_days(&self) -> bool {
        self.days.is_none_or(|(from, to)| from < to)
    }

    /// The query restricted to the PMIDs of the slice; its dates are separate parameters.
    pub(super) fn term(&self, query: &Query) -> String {
        match self.pmids {
            None => query.as_str().to_owned(),
            Some((from, to)) => format!("({query}) AND {from}:{to}[UID]"),
        }
    }

    /// `datetype`, `mindate`, `maxdate`.
    pub(super) fn dates(&self) -> Option<(&'static str, String, String)> {
        let show = |day: NaiveDate| day.format("%Y/%m/%d").to_string();
        self.days.map(|(from, to)| (self.field.as_str(), show(from), show(to)))
    }

    /// Two halves that cover the slice; none if it is one PMID of one day.
    pub fn halves(&self) -> Option<(Self, Self)> {
        let Some((from, to)) = self.days else {
            return Some(Self { days: Some((FIRST_DAY, LAST_DAY)), ..*self }).and_then(|whole| whole.halves());
        };
        if from < to {
            let middle = from + Days::new((to - from).num_days().unsigned_abs() / 2);
            let next = middle + Days::new(1);
            return Some((Self { days: Some((from, middle)), ..*self }, Self { days: Some((next, to)), ..*self }));
        }
        let (first, last) = self.pmids.unwrap_or((1, Pmid::MAX));
        let middle = first + (last - first) / 2;
        let half = |pmids| Self { pmids: Some(pmids), ..*self };
        (first < last).then(|| (half((first, middle)), half((middle + 1, last))))
    }
}

#[cfg(test)]
impl Slice {
    pub(super) fn holds(&self, on: NaiveDate, pmid: u32) -> bool {
        self.days.is_none_or(|(from, to)| (from..=to).contains(&on))
            && self.pmids.is_none_or(|(first, last)| (first..=last).contains(&pmid))
    }
}
