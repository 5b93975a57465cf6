//! Upper bound of the cost of a job, returned when it is submitted.

use schemars::JsonSchema;
use serde::Serialize;

use crate::ingest::Engine;
use crate::jobs::Job;

/// Dollars for storing a record in a bucket: one PUT each, $5 a million in S3 Standard of us-east-1
/// (<https://aws.amazon.com/s3/pricing/>, November 2026). Other requests, storage and compute are smaller by far.
const USD_PER_RECORD: f64 = 0.000_005;

/// Upper bound of what a job stores, and its cost. Records already archived are skipped and cost nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct EstimatedCost {
    /// Maximum number of records; null if neither the parameters nor a quota limit it.
    pub records_at_most: Option<i64>,
    /// Cost of as many storing requests in US dollars, at the list price of Amazon S3; 0 if the archive is a directory.
    pub usd_at_most: Option<f64>,
}

impl EstimatedCost {
    /// The cost of a job, from its parameters and the daily quota of its principal.
    pub fn of(engine: &Engine, job: &Job) -> Self {
        let by_params = engine.pipeline(&job.tool).and_then(|pipeline| pipeline.records_at_most(&job.params));
        let records_at_most = by_params.into_iter().chain(job.daily_records).min();
        let price = if engine.archive.is_bucket() { USD_PER_RECORD } else { 0.0 };
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let usd_at_most = records_at_most.map(|records| (records as f64 * price * 100.0).ceil() / 100.0);
        Self { records_at_most, usd_at_most }
    }
}
