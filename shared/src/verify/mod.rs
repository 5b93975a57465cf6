//! Verification: does every row point at an object that is what the row says, and does every object
//! have its row? And the way back: rows rebuilt from the objects alone.
//!
//! Objects are read many at a time, each once, and checked on all processors: what [`repair`] has read, [`check`] does
//! not read again.

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

/// Rows or keys looked at together.
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

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct VerifyProgress {
    /// What is gone through.
    pub phase: &'static str,
    /// How many of them were.
    pub done: u64,
}

/// What a run knows and tells.
pub struct VerifyRun<'a> {
    /// Records whose objects were all read and whose rows were made to agree with them.
    pub verified: PmidSet,
    /// Whether a repair believes objects that no row names: after the database was set back to an earlier state.
    pub from_objects: bool,
    /// Is told after each page.
    pub on_progress: &'a (dyn Fn(VerifyProgress) + Send + Sync),
}

impl Default for VerifyRun<'_> {
    fn default() -> Self {
        Self { verified: PmidSet::default(), from_objects: false, on_progress: &|_| {} }
    }
}

/// What checks of objects find, in their order. Each is a task of its own: one task that decompresses and hashes all
/// objects keeps one processor busy and the others idle.
fn side_by_side<T: Send + 'static>(
    checks: Vec<impl Future<Output = T> + Send + 'static>,
) -> impl Stream<Item = T> + Unpin {
    stream::iter(checks)
        .map(|check| async move { tokio::spawn(check).await.expect("a check of an object does not panic") })
        .buffered(CONCURRENT_READS)
}
