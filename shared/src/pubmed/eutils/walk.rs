//! Past the cap: a query is halved by dates until each part is small enough, a single day by PMIDs.
//!
//! Exact, because the parts tile the whole and each is listed completely or halved again; counts
//! only save requests. Resumable, because what is left is plain data.

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};

use super::query::Query;
use crate::words::Pmid;

/// The date that slices are made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateField {
    /// When the record was added to PubMed (EDAT).
    Entry,
    /// When it was last changed there (MDAT).
    Modification,
}

impl DateField {
    /// The `datetype` of E-utilities.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Entry => "edat",
            Self::Modification => "mdat",
        }
    }
}

/// Part of a query's results: by date, both days included, and by PMID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Slice {
    field: DateField,
    days: Option<(NaiveDate, NaiveDate)>,
    pmids: Option<(u32, u32)>,
}

/// Every record was added to PubMed between these. Wide, because late additions bear the date of their
/// publication, which may be long before PubMed was; empty halves cost one request each.
const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(1000, 1, 1).expect("a date");
const LAST_DAY: NaiveDate = NaiveDate::from_ymd_opt(3000, 12, 31).expect("a date");

impl Slice {
    /// All results.
    pub fn all() -> Self {
        Self { field: DateField::Entry, days: None, pmids: None }
    }

    /// Those of a span of days, both included.
    pub fn days(field: DateField, from: NaiveDate, to: NaiveDate) -> Self {
        Self { field, days: Some((from, to)), pmids: None }
    }

    /// Those with a PMID from this on.
    pub fn from_pmid(first: u32) -> Self {
        Self { pmids: Some((first, Pmid::MAX)), ..Self::all() }
    }

    /// The query within the slice, apart from its dates.
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

    /// Two halves that tile the slice; nothing when it is one PMID of one day.
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

/// What is left of a walk over a query, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    pending: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    slice: Slice,
    /// Results of the slice it is the newer half of, while the older half is not counted.
    parent: Option<u64>,
    /// Results it should have, once the older half is counted. Only a hint: they may have changed.
    expected: Option<u64>,
}

impl Part {
    fn new(slice: Slice) -> Self {
        Self { slice, parent: None, expected: None }
    }
}

impl Walk {
    /// A walk over slices in this order.
    pub fn over(slices: impl IntoIterator<Item = Slice>) -> Self {
        let mut pending: Vec<Part> = slices.into_iter().map(Part::new).collect();
        pending.reverse();
        Self { pending }
    }

    /// The slice to list next, if any is left. One that should be over the cap is halved unseen.
    pub fn next(&mut self, cap: u32) -> Option<Slice> {
        loop {
            let part = *self.pending.last()?;
            match (part.expected, part.slice.halves()) {
                (Some(count), Some(halves)) if count > u64::from(cap) => {
                    self.pending.pop();
                    self.push(halves, count);
                }
                _ => return Some(part.slice),
            }
        }
    }

    /// The slice that [`Walk::next`] gave was listed, with so many results.
    pub fn listed(&mut self, count: u64) {
        self.pending.pop();
        self.tell_newer_half(count);
    }

    /// The slice that [`Walk::next`] gave has more results than the cap; false when it cannot be
    /// halved any more.
    pub fn too_many(&mut self, count: u64) -> bool {
        let Some(part) = self.pending.pop() else { return false };
        self.tell_newer_half(count);
        let Some(halves) = part.slice.halves() else { return false };
        self.push(halves, count);
        true
    }

    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.pending.is_empty()
    }

    fn push(&mut self, (older, newer): (Slice, Slice), count: u64) {
        self.pending.push(Part { parent: Some(count), ..Part::new(newer) });
        self.pending.push(Part::new(older));
    }

    /// The newer half waits below: what both had without the older one is its own.
    fn tell_newer_half(&mut self, older: u64) {
        if let Some(newer) = self.pending.last_mut()
            && let Some(both) = newer.parent.take()
        {
            newer.expected = Some(both.saturating_sub(older));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(n: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, 1).expect("a date") + Days::new(u64::from(n))
    }

    impl Slice {
        fn holds(&self, on: NaiveDate, pmid: u32) -> bool {
            self.days.is_none_or(|(from, to)| (from..=to).contains(&on))
                && self.pmids.is_none_or(|(first, last)| (first..=last).contains(&pmid))
        }
    }

    /// Walks over records `(day, pmid)` and answers what was listed, and in how many requests.
    fn walk(records: &[(NaiveDate, u32)], cap: u32) -> (Vec<u32>, usize) {
        let mut walk = Walk::over([Slice::all()]);
        let (mut found, mut requests) = (Vec::new(), 0);
        while let Some(slice) = walk.next(cap) {
            requests += 1;
            // As after a restart.
            walk = serde_json::from_str(&serde_json::to_string(&walk).expect("JSON")).expect("back");
            let hits: Vec<u32> =
                records.iter().filter(|(on, pmid)| slice.holds(*on, *pmid)).map(|(_, pmid)| *pmid).collect();
            if hits.len() > cap as usize {
                assert!(walk.too_many(hits.len() as u64), "one PMID is never too many");
            } else {
                walk.listed(hits.len() as u64);
                found.extend(hits);
            }
        }
        (found, requests)
    }

    proptest! {
        #[test]
        fn each_record_is_listed_once_whatever_the_dates(
            days in prop::collection::vec(prop_oneof![Just(0u32), Just(40), 0..60u32], 1..300),
            cap in 1..40u32,
        ) {
            let records: Vec<(NaiveDate, u32)> = (1..).zip(&days).map(|(pmid, n)| (day(*n), pmid)).collect();
            let (mut found, _) = walk(&records, cap);
            found.sort_unstable();
            let all: Vec<u32> = records.iter().map(|(_, pmid)| *pmid).collect();
            prop_assert_eq!(found, all);
        }
    }

    #[test]
    fn counts_save_requests() {
        // 266 records over a year with a cap of 10: about as many requests as parts.
        let records: Vec<(NaiveDate, u32)> = (1..=266).map(|n| (day(n), n)).collect();
        let (found, requests) = walk(&records, 10);
        assert_eq!(found.len(), 266);
        assert!(requests < 100, "{requests}");
    }
}
