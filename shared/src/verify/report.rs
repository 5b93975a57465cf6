//! The results of verification.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::core::{JobId, Pmid};
use crate::records::SetAside;

/// Maximum number of stored problems; all are counted.
pub(super) const MAX_PROBLEMS_KEPT: usize = 1000;

#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Pointers checked.
    pub pointers: i64,
    /// History rows checked.
    pub history_rows: i64,
    /// Objects found under record keys.
    pub objects: i64,
    /// Problems found.
    pub problem_count: i64,
    /// The first of them.
    pub problems: Vec<Problem>,
    /// Objects without a pointer that a job which has not ended will point at, by job: not a problem.
    pub unfinished: BTreeMap<JobId, i64>,
    /// Versions of objects that this archive did not write and that a repair set aside: no longer a problem.
    pub set_aside_count: i64,
    /// The first of them.
    pub set_aside: Vec<SetAside>,
    /// Records whose pointer is based on its object alone, because its rows were lost.
    pub from_objects_count: i64,
    /// The first of them.
    pub from_objects: Vec<Pmid>,
}

/// An inconsistency that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A stable name of the kind of problem.
    pub kind: &'static str,
    pub pmid: Option<String>,
    pub detail: String,
}

impl Problem {
    pub(super) fn of(kind: &'static str, pmid: Pmid, detail: impl Into<String>) -> Self {
        Self { kind, pmid: Some(pmid.to_string()), detail: detail.into() }
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problem_count == 0
    }

    pub(super) fn add(&mut self, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < MAX_PROBLEMS_KEPT {
            self.problems.push(problem);
        }
    }
}
