//! Settings of the engine.

use std::collections::BTreeMap;
use std::time::Duration;

/// How units are leased and batched.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Maximum number of running units per job.
    pub job_units: i32,
    /// Maximum number of running jobs per tool; a tool without an entry has no limit.
    pub tool_limits: BTreeMap<String, i32>,
    /// Interval of heartbeats.
    pub heartbeat: Duration,
    /// Time after which the units of a silent worker are reclaimed.
    pub stale: Duration,
    /// Interval of sweeps for stranded work.
    pub sweep: Duration,
    /// Minimum time between two wake-ups for the same unit.
    pub rewake_after: Duration,
    /// Time limit of a unit: without progress it fails, with progress it is released.
    pub unit_timeout: Duration,
    /// Records per batch.
    pub batch_records: usize,
    /// Bytes of records per batch; a batch with one larger record may be larger.
    pub batch_bytes: usize,
    /// How long a worker waits for a lost database before it gives up its unit.
    pub database_patience: Duration,
    /// Makes the span of a unit part of its job's trace, if spans are exported.
    pub join_trace: fn(&tracing::Span, &str),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            job_units: 8,
            tool_limits: BTreeMap::new(),
            heartbeat: Duration::from_secs(30),
            stale: Duration::from_secs(120),
            sweep: Duration::from_secs(60),
            rewake_after: Duration::from_secs(30),
            unit_timeout: Duration::from_secs(840),
            batch_records: 1000,
            batch_bytes: 6 << 20,
            database_patience: Duration::from_secs(60),
            join_trace: |_, _| (),
        }
    }
}
