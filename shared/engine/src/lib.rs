//! The jobs engine: jobs planned into work units, units claimed, fenced, run and completed exactly once; the database,
//! the queue that wakes workers, and the limits and leases that all workers share. Independent of sources and tools.

#[cfg(feature = "aws")]
pub mod aws;
pub mod db;
pub mod ingest;
pub mod jobs;
pub mod limits;
pub mod queue;
