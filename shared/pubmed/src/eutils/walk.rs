//! A walk over slices that verifies its own completeness: a slice over the cap is halved by date until each part is
//! small enough, a single day by PMIDs, and the listed results must add up to the counted ones.
//!
//! Three counts must match, each from a separate search: that of a page and its list, those of the two halves of a
//! slice and of the slice, and that of each slice of the walk and a count at its end. A slice that does not match is
//! listed again; one that never does is a [`Shortfall`]. Results added during the walk are allowed: more may be listed
//! than were counted, never fewer. A walk can be resumed, because its remaining work is plain data.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::slice::Slice;

/// How often a slice is listed before a shortfall is reported.
const PASSES: u8 = 3;

/// Maximum number of lists with a shortfall that a walk narrows down to a day. Further ones are reported as they are,
/// to limit the number of requests.
const MAX_NARROWED: u32 = 64;

/// The next request of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkStep {
    /// List this slice, then call [`Walk::listed`], [`Walk::too_many`] or [`Walk::short`].
    List(Slice),
    /// Count this slice, then call [`Walk::counted`].
    Count(Slice),
}

/// A slice whose list has fewer results than were counted, in every attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortfall {
    pub slice: Slice,
    /// Results counted.
    pub counted: u64,
    /// Results listed.
    pub listed: u64,
}

/// The remaining work of a walk, oldest first, and its sums so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    pending: Vec<Part>,
    /// Results listed so far.
    listed: u64,
    shortfalls: Vec<Shortfall>,
    narrowed: u32,
    is_repeated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    /// The slice must be listed.
    List {
        slice: Slice,
        /// Results of the slice whose newer half it is, until the older half is counted.
        parent: Option<u64>,
        /// Expected number of results, once the older half is counted. Only a hint: it may have changed.
        expected: Option<u64>,
        pass: u8,
    },
    /// Both halves are listed: together they must have the counted number of results of the slice.
    Sum { slice: Slice, counted: u64, mark: Mark, pass: u8 },
    /// A slice of the walk is listed, and must be counted again.
    Recount { slice: Slice, mark: Mark, pass: u8 },
}

/// State of the walk when a slice was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    listed: u64,
    shortfalls: usize,
}

impl Part {
    fn list(slice: Slice, pass: u8) -> Self {
        Self::List { slice, parent: None, expected: None, pass }
    }
}

impl Walk {
    /// A walk over slices in this order, each counted again after it is listed.
    pub fn over(slices: impl IntoIterator<Item = Slice>) -> Self {
        let mut pending: Vec<Part> = slices.into_iter().map(|slice| Part::list(slice, 0)).collect();
        pending.reverse();
        // The recount of a slice is pushed below its list when the list starts: it needs the number of results listed
        // before.
        Self { pending, ..Self::default() }.begun()
    }

    /// The next request, if any is left. A slice expected to be over the cap is halved without a request.
    pub fn next(&mut self, cap: u32) -> Option<WalkStep> {
        loop {
            let part = *self.pending.last()?;
            match part {
                Part::List { slice, expected: Some(count), pass, .. } if count > u64::from(cap) => {
                    let Some(halves) = slice.halves() else { return Some(WalkStep::List(slice)) };
                    self.pending.pop();
                    self.push(slice, halves, count, pass);
                }
                Part::List { slice, .. } => return Some(WalkStep::List(slice)),
                Part::Recount { slice, .. } => return Some(WalkStep::Count(slice)),
                Part::Sum { slice, counted, mark, pass } => {
                    self.pending.pop();
                    if !self.adds_up(slice, counted, mark, pass) {
                        self.pending.push(Part::list(slice, pass + 1));
                    }
                }
            }
        }
    }

    /// Records the count of the slice that was listed.
    pub fn listed(&mut self, count: u64) {
        self.pending.pop();
        self.listed += count;
        self.tell_newer_half(count);
    }

    /// Records that the slice to list has more results than the cap.
    pub fn too_many(&mut self, count: u64) {
        if !self.halve(count) {
            // One PMID of one day has at most one record.
            self.give_up(count, 0);
        }
    }

    /// Records that the list of the slice was shorter than its count in every attempt. It is narrowed down to single
    /// days, so that as few as possible are delayed; returns false if it is not narrowed, but reported.
    pub fn short(&mut self, counted: u64, listed: u64) -> bool {
        let slice = match self.pending.last() {
            Some(Part::List { slice, .. }) => *slice,
            _ => return false,
        };
        if self.narrowed < MAX_NARROWED && slice.has_several_days() {
            self.narrowed += 1;
            return self.halve(counted);
        }
        self.give_up(counted, listed);
        false
    }

    /// Records the number of results of the slice to count.
    pub fn counted(&mut self, count: u64) {
        let Some(Part::Recount { slice, mark, pass }) = self.pending.pop() else { return };
        if self.adds_up(slice, count, mark, pass) {
            *self = std::mem::take(self).begun();
        } else {
            self.pending.push(Part::Recount { slice, mark, pass: pass + 1 });
            self.pending.push(Part::list(slice, 0));
        }
    }

    /// The first day of the current slice that is not listed yet; none if all are, or if it is not restricted by date.
    pub fn rest_from(&self) -> Option<NaiveDate> {
        let of_list = |part: &Part| match part {
            Part::List { slice, .. } => Some(slice.span().map(|(from, _)| from)),
            Part::Recount { .. } => Some(None),
            Part::Sum { .. } => None,
        };
        self.pending.iter().rev().find_map(of_list).flatten()
    }

    /// Ends the walk after a day up to which everything is listed: that part is counted, the rest is dropped.
    pub fn cut(&mut self, last: NaiveDate) {
        let of_recount = |part: &Part| match part {
            Part::Recount { slice, mark, pass } => Some((*slice, *mark, *pass)),
            _ => None,
        };
        let Some((slice, mark, pass)) = self.pending.iter().rev().find_map(of_recount) else { return };
        self.pending = vec![Part::Recount { slice: slice.until(last), mark, pass }];
    }

    pub fn is_done(&self) -> bool {
        self.pending.is_empty()
    }

    /// Number of results listed, according to the counts of their slices.
    pub fn total(&self) -> u64 {
        self.listed
    }

    /// Slices whose sums never matched.
    pub fn shortfalls(&self) -> &[Shortfall] {
        &self.shortfalls
    }

    /// Whether a part was listed more than once, so that its slices may overlap.
    pub fn is_repeated(&self) -> bool {
        self.is_repeated
    }

    fn mark(&self) -> Mark {
        Mark { listed: self.listed, shortfalls: self.shortfalls.len() }
    }

    /// Pushes the recount of the next slice below it.
    fn begun(mut self) -> Self {
        if let Some(Part::List { slice, .. }) = self.pending.last().copied() {
            let at = self.pending.len() - 1;
            self.pending.insert(at, Part::Recount { slice, mark: self.mark(), pass: 0 });
        }
        self
    }

    /// Whether at least as many results were listed since the mark as were counted. If not, they are discarded to be
    /// listed again or, in the last pass, reported.
    fn adds_up(&mut self, slice: Slice, counted: u64, mark: Mark, pass: u8) -> bool {
        let listed = self.listed - mark.listed;
        let known: u64 = self.shortfalls[mark.shortfalls..].iter().map(|one| one.counted - one.listed).sum();
        if listed + known >= counted {
            return true;
        }
        if pass + 1 < PASSES {
            self.listed = mark.listed;
            self.shortfalls.truncate(mark.shortfalls);
            self.is_repeated = true;
            return false;
        }
        // One shortfall for the whole slice replaces those of its parts.
        self.shortfalls.truncate(mark.shortfalls);
        self.shortfalls.push(Shortfall { slice, counted, listed });
        true
    }

    fn give_up(&mut self, counted: u64, listed: u64) {
        let Some(Part::List { slice, .. }) = self.pending.pop() else { return };
        self.listed += listed;
        self.shortfalls.push(Shortfall { slice, counted: counted.max(listed), listed });
        self.tell_newer_half(counted);
    }

    fn halve(&mut self, count: u64) -> bool {
        let Some(Part::List { slice, pass, .. }) = self.pending.last().copied() else { return false };
        let Some(halves) = slice.halves() else { return false };
        self.pending.pop();
        self.tell_newer_half(count);
        self.push(slice, halves, count, pass);
        true
    }

    fn push(&mut self, slice: Slice, (older, newer): (Slice, Slice), counted: u64, pass: u8) {
        self.pending.push(Part::Sum { slice, counted, mark: self.mark(), pass });
        self.pending.push(Part::List { slice: newer, parent: Some(counted), expected: None, pass: 0 });
        self.pending.push(Part::list(older, 0));
    }

    /// The newer half is next: its number of results is that of both minus that of the older half.
    fn tell_newer_half(&mut self, older: u64) {
        if let Some(Part::List { parent, expected, .. }) = self.pending.last_mut()
            && let Some(both) = parent.take()
        {
            *expected = Some(both.saturating_sub(older));
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Days;
    use proptest::prelude::*;

    use super::*;

    fn day(n: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, 1).expect("a date") + Days::new(u64::from(n))
    }

    /// The response of a server that finds only some of the records.
    type Lie<'a> = &'a dyn Fn(usize, &[u32]) -> Vec<u32>;

    fn honest(_: usize, hits: &[u32]) -> Vec<u32> {
        hits.to_vec()
    }

    /// Walks over records `(day, pmid)`: returns the listed ones, the number of requests, and the shortfalls.
    fn walk(records: &[(NaiveDate, u32)], cap: u32, lie: Lie) -> (Vec<u32>, usize, Vec<Shortfall>) {
        let mut walk = Walk::over([Slice::all()]);
        let (mut found, mut requests) = (std::collections::BTreeSet::new(), 0);
        while let Some(step) = walk.next(cap) {
            // As after a restart.
            walk = serde_json::from_str(&serde_json::to_string(&walk).expect("JSON")).expect("back");
            let (WalkStep::List(slice) | WalkStep::Count(slice)) = step;
            let hits: Vec<u32> =
                records.iter().filter(|(on, pmid)| slice.holds(*on, *pmid)).map(|(_, pmid)| *pmid).collect();
            let told = lie(requests, &hits);
            requests += 1;
            assert!(requests < 50_000, "it ends");
            match step {
                WalkStep::Count(_) => walk.counted(told.len() as u64),
                WalkStep::List(_) if told.len() > cap as usize => walk.too_many(told.len() as u64),
                WalkStep::List(_) => {
                    walk.listed(told.len() as u64);
                    found.extend(told);
                }
            }
        }
        (found.into_iter().collect(), requests, walk.shortfalls().to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn each_record_is_listed_whatever_the_dates(
            days in prop::collection::vec(prop_oneof![Just(0u32), Just(40), 0..60u32], 1..150),
            cap in 1..40u32,
        ) {
            let records: Vec<(NaiveDate, u32)> = (1..).zip(&days).map(|(pmid, n)| (day(*n), pmid)).collect();
            let (found, _, short) = walk(&records, cap, &honest);
            let all: Vec<u32> = records.iter().map(|(_, pmid)| *pmid).collect();
            prop_assert_eq!(found, all);
            prop_assert_eq!(short, Vec::new());
        }

        #[test]
        fn one_search_that_finds_less_than_there_is_loses_nothing(
            days in prop::collection::vec(0..60u32, 1..100),
            cap in 1..40u32,
            at in 0..40usize,
            every in 1..5usize,
        ) {
            let records: Vec<(NaiveDate, u32)> = (1..).zip(&days).map(|(pmid, n)| (day(*n), pmid)).collect();
            // Leaves out all records, or every second, third or fourth.
            let lie = |n: usize, hits: &[u32]| {
                let left_out = |(i, _): &(usize, &u32)| n != at || i % every != 0;
                hits.iter().enumerate().filter(left_out).map(|(_, pmid)| *pmid).collect()
            };
            let (found, _, short) = walk(&records, cap, &lie);
            let all: Vec<u32> = records.iter().map(|(_, pmid)| *pmid).collect();
            prop_assert_eq!(found, all);
            prop_assert_eq!(short, Vec::new());
        }
    }

    #[test]
    fn counts_save_requests() {
        // 266 records over a year with a cap of 10: about as many requests as parts.
        let records: Vec<(NaiveDate, u32)> = (1..=266).map(|n| (day(n), n)).collect();
        let (found, requests, _) = walk(&records, 10, &honest);
        assert_eq!(found.len(), 266);
        assert!(requests < 100, "{requests}");
    }

    #[test]
    fn a_list_that_is_always_short_is_narrowed_to_its_day_and_reported() {
        let records: Vec<(NaiveDate, u32)> = (0..30).map(|n| (day(n % 10), n + 1)).collect();
        let mut walk = Walk::over([Slice::days(super::super::DateField::Entry, day(0), day(9))]);
        let mut listed = 0;
        while let Some(step) = walk.next(100) {
            let (WalkStep::List(slice) | WalkStep::Count(slice)) = step;
            let hits = records.iter().filter(|(on, pmid)| slice.holds(*on, *pmid)).count() as u64;
            // One record of the fourth day is counted and never listed.
            let short = hits - u64::from(slice.holds(day(3), 4));
            match step {
                WalkStep::Count(_) => walk.counted(hits),
                WalkStep::List(_) if short == hits => {
                    walk.listed(hits);
                    listed += hits;
                }
                WalkStep::List(_) => listed += if walk.short(hits, short) { 0 } else { short },
            }
        }
        assert_eq!(listed, 29);
        let [only] = walk.shortfalls() else { panic!("{:?}", walk.shortfalls()) };
        assert_eq!((only.slice.span(), only.counted, only.listed), (Some((day(3), day(3))), 3, 2));
    }

    #[test]
    fn a_walk_that_is_cut_counts_what_it_has() {
        let mut walk = Walk::over([Slice::days(super::super::DateField::Entry, day(0), day(7))]);
        assert!(matches!(walk.next(5), Some(WalkStep::List(_))));
        walk.too_many(8);
        assert!(matches!(walk.next(5), Some(WalkStep::List(_))));
        walk.listed(4);
        assert_eq!(walk.rest_from(), Some(day(4)));
        walk.cut(day(3));
        let Some(WalkStep::Count(slice)) = walk.next(5) else { panic!("{walk:?}") };
        assert_eq!(slice.span(), Some((day(0), day(3))));
        walk.counted(4);
        assert!(walk.is_done() && walk.shortfalls().is_empty());
    }
}
