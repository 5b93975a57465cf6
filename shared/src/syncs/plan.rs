//! What a run walks, fixed when it starts. Pure: no rows, no requests.
//!
//! A run without a watermark walks the whole query. With one it walks two windows of days, entry and
//! modification, from watermark − overlap to its end, oldest day first. A run that a limit stopped
//! leaves a place to go on at; the next run first finishes that walk to *its* end, because what was
//! indexed since could lie before the place, and then, unless it has a limit too, walks its own windows.

use chrono::{DateTime, Days, Duration, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::pubmed::eutils::DateField;

/// NCBI's days are those of its clocks, five hours behind UTC in winter and four in summer. With five
/// a day is never thought over before it is.
const BEHIND_UTC: Duration = Duration::hours(5);

/// The day at NCBI at an instant.
pub fn ncbi_day(at: DateTime<Utc>) -> NaiveDate {
    (at - BEHIND_UTC).date_naive()
}

/// The instant at which a day begins at NCBI.
pub fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(chrono::NaiveTime::MIN).and_utc() + BEHIND_UTC
}

/// Everything dated before a watermark has an outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermarks {
    /// By entry date.
    pub entry: Option<DateTime<Utc>>,
    /// By modification date.
    pub modification: Option<DateTime<Utc>>,
}

/// A walk of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Its fixed end: the watermarks are here when it is done.
    pub end: DateTime<Utc>,
    /// The days of its windows; none for a walk over the whole query.
    pub days: Option<Windows>,
    /// In the first slice, PMIDs up to this have an outcome already.
    pub after: u32,
}

/// Windows of days, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// First day of entry.
    pub entry_from: NaiveDate,
    /// First day of modification.
    pub modification_from: NaiveDate,
    /// Last day of both.
    pub to: NaiveDate,
    /// The field that the first day begins with.
    pub first_field: DateField,
}

/// A slice of a run, in the order in which they are walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Number of the stage, from 0.
    pub stage: i16,
    /// The day; none in a walk over the whole query.
    pub day: Option<NaiveDate>,
    /// The date that the slice is made by.
    pub field: DateField,
}

/// Where a run with a limit stopped: the next one goes on here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The end of the walk that was not finished.
    pub end: DateTime<Utc>,
    /// The day to go on with; none in a walk over the whole query.
    pub day: Option<NaiveDate>,
    /// The field to go on with.
    pub field: DateField,
    /// PMIDs of that slice up to this have an outcome.
    pub after: u32,
}

/// Where a run starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// How far earlier runs came.
    pub watermarks: Watermarks,
    /// Where a limit stopped the last one.
    pub resume: Option<Resume>,
    /// Whether this one has a limit.
    pub is_limited: bool,
}

/// Where a run stops because of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The slice that is not done.
    pub place: Place,
    /// PMIDs of it up to this have an outcome.
    pub after: u32,
}

/// All that a run walks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPlan {
    /// The query.
    pub query: String,
    /// Watermarks when it started.
    pub before: Watermarks,
    /// Its walks, in order.
    pub stages: Vec<Stage>,
}

impl RunPlan {
    /// The plan of a run that starts at `now`. With a limit it only finishes a walk that was stopped, so
    /// that walks end however small the limit is.
    pub fn new(query: String, start: Start, overlap_days: u32, now: DateTime<Utc>) -> Self {
        let Start { watermarks: before, resume, is_limited } = start;
        let windows = |from: Watermarks, end: DateTime<Utc>| {
            let first = |watermark: Option<DateTime<Utc>>| {
                ncbi_day(watermark.unwrap_or(end)) - Days::new(u64::from(overlap_days))
            };
            Stage {
                end,
                days: Some(Windows {
                    entry_from: first(from.entry),
                    modification_from: first(from.modification),
                    to: ncbi_day(end),
                    first_field: DateField::Entry,
                }),
                after: 0,
            }
        };
        let both = |at| Watermarks { entry: Some(at), modification: Some(at) };
        let mut stages = Vec::new();
        match resume {
            Some(resume) => {
                let days = resume.day.map(|day| Windows {
                    entry_from: day,
                    modification_from: day,
                    to: ncbi_day(resume.end),
                    first_field: resume.field,
                });
                stages.push(Stage { end: resume.end, days, after: resume.after });
                if !is_limited {
                    stages.push(windows(both(resume.end), now.max(resume.end)));
                }
            }
            None if before.entry.is_none() || before.modification.is_none() => {
                stages.push(Stage { end: now, days: None, after: 0 });
            }
            None => stages.push(windows(before, now)),
        }
        Self { query, before, stages }
    }

    /// The slice after one, or the first.
    pub fn next(&self, place: Option<Place>) -> Option<Place> {
        let Some(place) = place else { return self.first_of(0) };
        let stage = self.stage(place)?;
        let next = match (stage.days, place.day) {
            (Some(windows), Some(day)) => {
                let (field, day) = match place.field {
                    DateField::Entry => (DateField::Modification, day),
                    DateField::Modification => (DateField::Entry, day + Days::new(1)),
                };
                windows.at_or_after(day, field).map(|(day, field)| Place { day: Some(day), field, ..place })
            }
            _ => None,
        };
        next.or_else(|| self.first_of(place.stage + 1))
    }

    /// PMIDs of a slice up to this have an outcome from the run before.
    pub fn skip(&self, place: Place) -> u32 {
        match self.stage(place) {
            Some(stage) if self.first_of(place.stage) == Some(place) => stage.after,
            _ => 0,
        }
    }

    /// How far everything before a place goes: nothing when that tells nothing new.
    pub fn done_before(&self, place: Place) -> Option<DateTime<Utc>> {
        let earlier =
            usize::try_from(place.stage - 1).ok().and_then(|before| self.stages.get(before)).map(|stage| stage.end);
        let stage = self.stage(place)?;
        let within = place.day.map(|day| start_of(day).min(stage.end));
        earlier.max(within)
    }

    /// How far it goes when all is done.
    pub fn end(&self) -> Option<DateTime<Utc>> {
        self.stages.last().map(|stage| stage.end)
    }

    /// Where the next run goes on when this one stops at a place.
    pub fn resume_at(&self, stop: Stop) -> Option<Resume> {
        let Stop { place, after } = stop;
        let stage = self.stage(place)?;
        let after = after.max(self.skip(place));
        Some(Resume { end: stage.end, day: place.day, field: place.field, after })
    }

    fn stage(&self, place: Place) -> Option<&Stage> {
        self.stages.get(usize::try_from(place.stage).ok()?)
    }

    fn first_of(&self, stage: i16) -> Option<Place> {
        let whole = Place { stage, day: None, field: DateField::Entry };
        match self.stage(whole)?.days {
            None => Some(whole),
            Some(windows) => {
                let from = windows.entry_from.min(windows.modification_from);
                let first = windows.at_or_after(from, windows.first_field);
                first.map(|(day, field)| Place { stage, day: Some(day), field }).or_else(|| self.first_of(stage + 1))
            }
        }
    }
}

impl Windows {
    fn at_or_after(&self, day: NaiveDate, field: DateField) -> Option<(NaiveDate, DateField)> {
        let (mut day, mut field) = (day, field);
        while day <= self.to {
            let from = match field {
                DateField::Entry => self.entry_from,
                DateField::Modification => self.modification_from,
            };
            if day >= from {
                return Some((day, field));
            }
            (day, field) = match field {
                DateField::Entry => (day, DateField::Modification),
                DateField::Modification => (day + Days::new(1), DateField::Entry),
            };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    fn places(plan: &RunPlan) -> Vec<String> {
        let mut found = Vec::new();
        let mut place = plan.next(None);
        while let Some(at) = place {
            let day = at.day.map_or("whole".to_owned(), |day| day.format("%d").to_string());
            found.push(format!("{}:{day}{}", at.stage, if at.field == DateField::Entry { "e" } else { "m" }));
            place = plan.next(place);
        }
        found
    }

    fn marks(entry: &str, modification: &str) -> Watermarks {
        Watermarks { entry: Some(at(entry)), modification: Some(at(modification)) }
    }

    #[test]
    fn without_a_watermark_the_whole_query_is_walked() {
        let plan = RunPlan::new("q".into(), Start::default(), 5, at("2026-03-10T12:00:00Z"));
        assert_eq!(places(&plan), ["0:wholee"]);
        assert_eq!(plan.end(), Some(at("2026-03-10T12:00:00Z")));
        assert_eq!(plan.done_before(plan.next(None).expect("a place")), None);
    }

    #[test]
    fn with_one_both_windows_are_walked_day_by_day_oldest_first() {
        let marks = marks("2026-03-08T12:00:00Z", "2026-03-09T12:00:00Z");
        let plan =
            RunPlan::new("q".into(), Start { watermarks: marks, ..Start::default() }, 1, at("2026-03-10T12:00:00Z"));
        assert_eq!(places(&plan), ["0:07e", "0:08e", "0:08m", "0:09e", "0:09m", "0:10e", "0:10m"]);
        let ninth = Place { stage: 0, day: Some(day("2026-03-09")), field: DateField::Entry };
        assert_eq!(plan.done_before(ninth), Some(at("2026-03-09T05:00:00Z")), "the eighth is over");
    }

    #[test]
    fn an_instant_shortly_after_midnight_utc_is_still_the_day_before_at_ncbi() {
        assert_eq!(ncbi_day(at("2026-03-10T04:59:59Z")), day("2026-03-09"));
        assert_eq!(ncbi_day(start_of(day("2026-03-10"))), day("2026-03-10"));
    }

    #[test]
    fn a_stopped_walk_is_finished_to_its_own_end_before_new_windows_are_walked() {
        let resume = Resume {
            end: at("2026-03-10T12:00:00Z"),
            day: Some(day("2026-03-09")),
            field: DateField::Modification,
            after: 77,
        };
        let watermarks = marks("2026-03-08T12:00:00Z", "2026-03-08T12:00:00Z");
        let start = Start { watermarks, resume: Some(resume), is_limited: false };
        let limited = Start { is_limited: true, ..start };
        let later = at("2026-03-11T12:00:00Z");
        assert_eq!(places(&RunPlan::new("q".into(), limited, 1, later)), ["0:09m", "0:10e", "0:10m"]);
        let plan = RunPlan::new("q".into(), start, 1, later);
        assert_eq!(places(&plan), ["0:09m", "0:10e", "0:10m", "1:09e", "1:09m", "1:10e", "1:10m", "1:11e", "1:11m"]);
        let first = plan.next(None).expect("a place");
        assert_eq!((plan.skip(first), plan.skip(plan.next(Some(first)).expect("another"))), (77, 0));
        let second = Place { stage: 1, day: Some(day("2026-03-09")), field: DateField::Entry };
        assert_eq!(plan.done_before(second), Some(resume.end), "the first walk is over");
        assert_eq!(plan.resume_at(Stop { place: first, after: 80 }).expect("resumes"), Resume { after: 80, ..resume });
        assert_eq!(plan.resume_at(Stop { place: first, after: 0 }).expect("resumes"), resume, "never back");
    }
}
