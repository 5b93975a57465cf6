//! Verification checks that every row refers to an object that matches it, and that every object has its row. Repair
//! rebuilds rows from the objects alone.
//!
//! Many objects are read at the same time, each once, and checked on all processors: [`check`] does not read again what
//! [`repair`] has read.

mod assess;
mod check;
mod objects;
mod record;
mod repair;
mod report;

use futures_util::{Stream, StreamExt, stream};

pub use check::check;
pub use repair::{Repaired, repair};
pub use report::{Problem, Report};

use crate::archive::StoreError;
use crate::core::PmidSet;
use crate::db::DbError;

/// Rows or keys that are checked together.
const PAGE: i64 = 1000;

/// Objects read at the same time.
const CONCURRENT_READS: usize = 64;

/// Verification could not be done.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The progress of a run.
#[derive(Clone, Copy, Debug)]
pub struct VerifyProgress {
    /// What is being checked.
    pub phase: &'static str,
    /// How many of them were checked.
    pub done: u64,
}

/// The options and the state of a run.
pub struct VerifyRun<'a> {
    /// Records whose objects were all read and whose rows were made to agree with them.
    pub verified: PmidSet,
    /// Whether a repair trusts objects that no row names: after the database was restored to an earlier state.
    pub from_objects: bool,
    /// Called after each page.
    pub on_progress: &'a (dyn Fn(VerifyProgress) + Send + Sync),
}

impl Default for VerifyRun<'_> {
    fn default() -> Self {
        Self { verified: PmidSet::default(), from_objects: false, on_progress: &|_| {} }
    }
}

/// The results of checks of objects, in their order. Each check is a separate task: a single task that decompresses and
/// hashes all objects would keep one processor busy and the others idle.
fn side_by_side<T: Send + 'static>(
    checks: Vec<impl Future<Output = T> + Send + 'static>,
) -> impl Stream<Item = T> + Unpin {
    stream::iter(checks)
        .map(|check| async move { tokio::spawn(check).await.expect("a check of an object does not panic") })
        .buffered(CONCURRENT_READS)
}
