//! Settings of the engine.

use std::collections::BTreeMap;
use std::time::Duration;

/// How units are leased and batched.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Running units per job.
    pub job_units: i32,
    /// Running jobs per tool; a tool that is not named has no limit.
    pub tool_limits: BTreeMap<String, i32>,
    /// How often a worker says that it lives.
    pub heartbeat: Duration,
    /// After how long a silent worker's units are taken back.
    pub stale: Duration,
    /// How often stranded work is looked for.
    pub sweep: Duration,
    /// No worker is woken for the same unit again within this time.
    pub rewake_after: Duration,
    /// A unit without progress for so long is given up; one with progress hands back.
    pub unit_timeout: Duration,
    /// Records per batch.
    pub batch_records: usize,
    /// Bytes of records per batch; a batch with one larger record may be larger.
    pub batch_bytes: usize,
    /// How long a worker waits for a lost database before it gives its unit up.
    pub database_patience: Duration,
    /// Makes the span of a unit part of its job's trace, where spans are exported.
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
