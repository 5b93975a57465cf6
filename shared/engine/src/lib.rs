//! The jobs engine: jobs planned into work units, units claimed, fenced, run and finished exactly once; the database,
//! the queue that wakes workers, and the limits and leases that all workers share. Knows no source and no tool.

#[cfg(feature = "aws")]
pub mod aws;
pub mod db;
pub mod ingest;
pub mod jobs;
pub mod limits;
pub mod queue;
