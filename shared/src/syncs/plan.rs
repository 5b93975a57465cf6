//! The plan of a run, fixed when it starts. Pure: no rows, no requests.
//!
//! A run without a watermark walks the whole query. With one it walks a window of days for each date (entry,
//! modification and, if the server lists it, creation), each from its watermark − overlap to the run's end, oldest day
//! first. A run that a limit stopped leaves a position at which to resume; the next run first finishes that walk to
//! *its* end, because records indexed since could be before that position, and then, unless it has a limit too, walks
//! its own windows. A gap holds the watermark of its date at its beginning; the rest continues.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, Duration, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::pubmed::eutils::DateField;

/// NCBI's days follow its clocks, five hours behind UTC in winter and four in summer. With five, a day is never
/// considered over too early.
const BEHIND_UTC: Duration = Duration::hours(5);

/// The date at NCBI at an instant.
pub fn ncbi_day(at: DateTime<Utc>) -> NaiveDate {
    (at - BEHIND_UTC).date_naive()
}

/// The instant at which a day begins at NCBI.
pub fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(chrono::NaiveTime::MIN).and_utc() + BEHIND_UTC
}

/// The dates that windows are walked by, in this order.
pub(super) const FIELDS: [DateField; 3] = [DateField::Entry, DateField::Modification, DateField::Creation];

/// All records dated before a watermark have an outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermarks {
    pub entry: Option<DateTime<Utc>>,
    pub modification: Option<DateTime<Utc>>,
    #[serde(default)]
    pub creation: Option<DateTime<Utc>>,
}

impl Watermarks {
    /// The same instant for all dates.
    pub fn at(instant: DateTime<Utc>) -> Self {
        Self { entry: Some(instant), modification: Some(instant), creation: Some(instant) }
    }

    /// The watermark of a date.
    pub fn of(&self, field: DateField) -> Option<DateTime<Utc>> {
        match field {
            DateField::Entry => self.entry,
            DateField::Modification => self.modification,
            DateField::Creation => self.creation,
        }
    }

    fn set(&mut self, field: DateField, at: DateTime<Utc>) {
        match field {
            DateField::Entry => self.entry = Some(at),
            DateField::Modification => self.modification = Some(at),
            DateField::Creation => self.creation = Some(at),
        }
    }
}

/// A walk of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Its fixed end, which becomes the watermark when the walk is done.
    pub end: DateTime<Utc>,
    /// Its days; none for a walk over the whole query, which sets all watermarks.
    pub window: Option<Window>,
    /// In the first slice, PMIDs up to this one have an outcome already.
    pub after: u32,
}

/// Days of one date, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub field: DateField,
    /// First day.
    pub from: NaiveDate,
    /// Last day.
    pub to: NaiveDate,
    /// Last day of the slice in which a limit stopped, which is walked separately.
    pub first_until: Option<NaiveDate>,
    /// A day before the first one with a gap in the run that a limit stopped.
    pub held: Option<NaiveDate>,
}

/// The position of a slice in a run, ordered as slices are walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SlicePosition {
    /// Number of the stage, from 0.
    pub stage: i16,
    /// Its first day; none in a walk over the whole query.
    pub day: Option<NaiveDate>,
    /// Its last day, if that is known.
    #[serde(default)]
    pub until: Option<NaiveDate>,
    /// The date by which the slice selects records.
    pub field: DateField,
}

/// Where a run with a limit stopped: the next one resumes here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumePoint {
    /// The end of the walk that was not finished.
    pub end: DateTime<Utc>,
    /// The day to resume with; none in a walk over the whole query.
    pub day: Option<NaiveDate>,
    /// Last day of a slice that is only partly done.
    #[serde(default)]
    pub until: Option<NaiveDate>,
    /// The date to resume with; those before it are done up to the end.
    pub field: DateField,
    /// PMIDs of that slice up to this one have an outcome.
    pub after: u32,
    /// An earlier day with a gap: the watermark stays there.
    #[serde(default)]
    pub held: Option<NaiveDate>,
}

/// The state from which a run starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartState {
    /// Progress of earlier runs.
    pub watermarks: Watermarks,
    /// Where a limit stopped the last one.
    pub resume: Option<ResumePoint>,
    /// Whether this run has a limit.
    pub is_limited: bool,
    /// Whether the server can search by creation date.
    pub has_creation: bool,
}

/// Where a run stops because of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPoint {
    /// The slice that is not finished.
    #[serde(rename = "place")]
    pub position: SlicePosition,
    /// PMIDs of it up to this one have an outcome.
    pub after: u32,
}

/// Days, or a whole query, whose list does not match its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The stage it was found in.
    pub stage: i16,
    /// The date; none for a whole query.
    pub field: Option<DateField>,
    /// First day.
    pub from: Option<NaiveDate>,
    /// Last day.
    pub to: Option<NaiveDate>,
    /// Number of counted results.
    pub counted: u64,
    /// Number of listed results. A whole query without any is a gap too: it may be an outage.
    pub listed: u64,
}

/// All walks of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPlan {
    pub query: String,
    /// Watermarks when it started.
    pub before: Watermarks,
    /// Its walks, in order.
    pub stages: Vec<Stage>,
}

impl RunPlan {
    /// The plan of a run that starts at `now`. With a limit it only finishes a walk that was stopped, so
    /// that walks end however small the limit is.
    pub fn new(query: String, start: StartState, overlap_days: u32, now: DateTime<Utc>) -> Self {
        let StartState { watermarks: before, resume, is_limited, has_creation } = start;
        let fields: Vec<DateField> =
            FIELDS.into_iter().filter(|field| *field != DateField::Creation || has_creation).collect();
        let window = |field: DateField, base: Option<DateTime<Utc>>, end: DateTime<Utc>| {
            let from = ncbi_day(base.unwrap_or(end)) - Days::new(u64::from(overlap_days));
            Stage {
                end,
                window: Some(Window { field, from, to: ncbi_day(end), first_until: None, held: None }),
                after: 0,
            }
        };
        // The window of a date that no run has walked yet begins at the watermark of the entry date.
        let base = |field: DateField| before.of(field).or(before.entry);
        let mut stages = Vec::new();
        match resume {
            Some(resume) => {
                let stopped = resume.day.map(|from| Window {
                    field: resume.field,
                    from,
                    to: ncbi_day(resume.end),
                    first_until: resume.until,
                    held: resume.held,
                });
                stages.push(Stage { end: resume.end, window: stopped, after: resume.after });
                let is_later = |field: DateField| stopped.is_some() && field > resume.field;
                stages.extend(
                    fields
                        .iter()
                        .filter(|field| is_later(**field))
                        .map(|field| window(*field, base(*field), resume.end)),
                );
                if !is_limited {
                    let end = now.max(resume.end);
                    stages.extend(fields.iter().map(|field| {
                        let base = match stopped {
                            Some(stopped) if *field == stopped.field => stopped.held.map(start_of),
                            Some(stopped) if *field < stopped.field => base(*field),
                            _ => None,
                        };
                        window(*field, Some(base.unwrap_or(resume.end)), end)
                    }));
                }
            }
            None if before.entry.is_none() || before.modification.is_none() => {
                stages.push(Stage { end: now, window: None, after: 0 });
            }
            None => stages.extend(fields.iter().map(|field| window(*field, base(*field), now))),
        }
        stages.retain(|stage| stage.window.is_none_or(|window| window.from <= window.to));
        Self { query, before, stages }
    }

    /// A stage by its number.
    pub fn stage(&self, number: i16) -> Option<&Stage> {
        self.stages.get(usize::try_from(number).ok()?)
    }

    /// Where a stage begins.
    pub fn first_of(&self, stage: i16) -> Option<SlicePosition> {
        let window = self.stage(stage)?.window;
        Some(match window {
            None => SlicePosition { stage, day: None, until: None, field: DateField::Entry },
            Some(Window { field, from, first_until, .. }) => {
                SlicePosition { stage, day: Some(from), until: first_until, field }
            }
        })
    }

    /// PMIDs of a slice up to this one have an outcome from the previous run.
    pub fn skip(&self, position: SlicePosition) -> u32 {
        let Some(stage) = self.stage(position.stage) else { return 0 };
        match stage.window {
            None => stage.after,
            // Parts of the slice in which the run stopped, and nothing after it.
            Some(window) if position.until.is_some() && position.until <= window.first_until => stage.after,
            Some(_) => 0,
        }
    }

    /// The watermark of each date when everything before an open position is done (everything, if there is none), held
    /// back by gaps.
    pub fn reached(&self, open: Option<SlicePosition>, gaps: &[Gap]) -> Watermarks {
        let mut marks = Watermarks::default();
        // The first day that is not done, for each date that has one.
        let mut held: BTreeMap<DateField, NaiveDate> = BTreeMap::new();
        for (number, stage) in (0..).zip(&self.stages) {
            if open.is_some_and(|open| open.stage < number) {
                break;
            }
            let here = open.filter(|open| open.stage == number);
            let mut gaps = gaps.iter().filter(|gap| gap.stage == number).peekable();
            let Some(window) = stage.window else {
                for field in FIELDS {
                    if here.is_some() || gaps.peek().is_some() {
                        held.insert(field, NaiveDate::MIN);
                    } else {
                        marks.set(field, stage.end);
                    }
                }
                continue;
            };
            // Unless this window contains that day again.
            if held.get(&window.field).is_some_and(|day| *day < window.from) {
                continue;
            }
            let gap = gaps.map(|gap| gap.from.unwrap_or(window.from)).chain(window.held).min();
            let stop = here.map(|open| open.day.unwrap_or(window.from)).into_iter().chain(gap).min();
            marks.set(window.field, stop.map_or(stage.end, |day| start_of(day).min(stage.end)));
            match stop {
                Some(day) => held.insert(window.field, day),
                None => held.remove(&window.field),
            };
        }
        marks
    }

    /// Where the next run resumes when this one stops at a position. None within a whole query with gaps: its records
    /// that are not listed yet could be before that position.
    pub fn resume_at(&self, stop: StopPoint, gaps: &[Gap]) -> Option<ResumePoint> {
        let StopPoint { position, after } = stop;
        let stage = self.stage(position.stage)?;
        let mut gaps = gaps.iter().filter(|gap| gap.stage == position.stage).peekable();
        if stage.window.is_none() && gaps.peek().is_some() {
            return None;
        }
        let held = gaps.filter_map(|gap| gap.from).chain(stage.window.and_then(|window| window.held)).min();
        let after = after.max(self.skip(position));
        Some(ResumePoint {
            end: stage.end,
            day: position.day,
            until: position.until,
            field: position.field,
            after,
            held,
        })
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

    fn stages(plan: &RunPlan) -> Vec<String> {
        let shown = plan.stages.iter().map(|stage| match stage.window {
            None => "whole".to_owned(),
            Some(Window { field, from, to, .. }) => {
                format!("{} {}-{}", field.as_str(), from.format("%d"), to.format("%d"))
            }
        });
        shown.collect()
    }

    fn marks(entry: &str, modification: &str) -> Watermarks {
        Watermarks { entry: Some(at(entry)), modification: Some(at(modification)), creation: None }
    }

    fn plan(start: StartState, now: &str) -> RunPlan {
        RunPlan::new("q".into(), start, 1, at(now))
    }

    fn position(stage: i16, on: &str, field: DateField) -> SlicePosition {
        SlicePosition { stage, day: Some(day(on)), until: Some(day(on)), field }
    }

    const NOON: &str = "2026-03-10T12:00:00Z";

    #[test]
    fn without_a_watermark_the_whole_query_is_walked() {
        let plan = plan(StartState { has_creation: true, ..StartState::default() }, NOON);
        assert_eq!(stages(&plan), ["whole"]);
        assert_eq!(plan.reached(None, &[]), Watermarks::at(at(NOON)));
        assert_eq!(plan.reached(plan.first_of(0), &[]), Watermarks::default());
        let gap = Gap { stage: 0, field: None, from: None, to: None, counted: 10, listed: 9 };
        assert_eq!(plan.reached(None, &[gap]), Watermarks::default(), "not until it adds up");
        let stop = StopPoint { position: plan.first_of(0).expect("a place"), after: 7 };
        assert_eq!(plan.resume_at(stop, &[gap]), None);
        assert_eq!(plan.resume_at(stop, &[]).map(|resume| resume.after), Some(7));
    }

    #[test]
    fn with_one_a_window_of_each_date_is_walked() {
        let watermarks = marks("2026-03-08T12:00:00Z", "2026-03-09T12:00:00Z");
        let start = StartState { watermarks, ..StartState::default() };
        assert_eq!(stages(&plan(start, NOON)), ["edat 07-10", "mdat 08-10"]);
        let plan = plan(StartState { has_creation: true, ..start }, NOON);
        assert_eq!(stages(&plan), ["edat 07-10", "mdat 08-10", "crdt 07-10"], "it begins where the entry date is");
        let reached = plan.reached(Some(position(1, "2026-03-09", DateField::Modification)), &[]);
        assert_eq!(reached, marks(NOON, "2026-03-09T05:00:00Z"), "the eighth is over, and all entries");
    }

    #[test]
    fn what_does_not_add_up_holds_the_watermark_of_its_date_only() {
        let start = StartState { watermarks: marks(NOON, NOON), has_creation: true, ..StartState::default() };
        let later = "2026-03-14T12:00:00Z";
        let plan = plan(start, later);
        let on = Some(day("2026-03-12"));
        let gap = Gap { stage: 1, field: Some(DateField::Modification), from: on, to: on, counted: 3, listed: 2 };
        let reached = plan.reached(None, &[gap]);
        assert_eq!(reached, Watermarks { modification: Some(at("2026-03-12T05:00:00Z")), ..Watermarks::at(at(later)) });
        let resume = plan
            .resume_at(StopPoint { position: position(1, "2026-03-13", DateField::Modification), after: 0 }, &[gap]);
        let resume = resume.expect("it goes on");
        assert_eq!(resume.held, on);
        let again = StartState { resume: Some(resume), watermarks: reached, ..start };
        let next = RunPlan::new("q".into(), again, 1, at("2026-03-15T12:00:00Z"));
        assert_eq!(
            stages(&next),
            ["mdat 13-14", "crdt 13-14", "edat 13-15", "mdat 11-15", "crdt 13-15"],
            "the day is listed again"
        );
        let open = next.first_of(3);
        assert_eq!(next.reached(open, &[]).modification, Some(at("2026-03-11T05:00:00Z")), "and holds it until then");
        assert_eq!(next.reached(None, &[]).modification, Some(at("2026-03-15T12:00:00Z")));
    }

    #[test]
    fn an_instant_shortly_after_midnight_utc_is_still_the_day_before_at_ncbi() {
        assert_eq!(ncbi_day(at("2026-03-10T04:59:59Z")), day("2026-03-09"));
        assert_eq!(ncbi_day(start_of(day("2026-03-10"))), day("2026-03-10"));
    }

    #[test]
    fn a_stopped_walk_is_finished_to_its_own_end_before_new_windows_are_walked() {
        let resume = ResumePoint {
            end: at(NOON),
            day: Some(day("2026-03-05")),
            until: Some(day("2026-03-08")),
            field: DateField::Modification,
            after: 77,
            held: None,
        };
        let watermarks = marks(NOON, "2026-03-05T05:00:00Z");
        let start = StartState { watermarks, resume: Some(resume), is_limited: false, has_creation: false };
        let later = "2026-03-11T12:00:00Z";
        assert_eq!(stages(&plan(StartState { is_limited: true, ..start }, later)), ["mdat 05-10"]);
        let plan = plan(start, later);
        assert_eq!(stages(&plan), ["mdat 05-10", "edat 09-11", "mdat 09-11"]);
        let first = plan.first_of(0).expect("a place");
        assert_eq!(plan.skip(first), 77);
        let part = SlicePosition { day: Some(day("2026-03-07")), ..first };
        assert_eq!(plan.skip(part), 77, "a part of the slice");
        assert_eq!(plan.skip(position(0, "2026-03-09", DateField::Modification)), 0);
        assert_eq!(plan.skip(position(1, "2026-03-09", DateField::Entry)), 0);
        let reached = plan.reached(plan.first_of(1), &[]);
        assert_eq!(reached.modification, Some(resume.end), "the first walk is over");
        assert_eq!(
            plan.resume_at(StopPoint { position: first, after: 80 }, &[]).expect("resumes"),
            ResumePoint { after: 80, ..resume }
        );
        assert_eq!(
            plan.resume_at(StopPoint { position: first, after: 0 }, &[]).expect("resumes"),
            resume,
            "never back"
        );
    }
}
