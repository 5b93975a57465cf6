//! Estimates the cost of a sync with a search or two at NCBI; writes nothing.

use serde::Serialize;

use crate::pubmed::eutils::{Client, EutilsError, Query, Slice};
use crate::syncs::RunPlan;

/// Bytes of a stored object: the median of real records under zstd is below this.
const OBJECT_BYTES: f64 = 3_000.0;

/// List prices of S3 Standard in us-east-1: a put, and a gigabyte for a month.
const PUT_USD: f64 = 0.005 / 1000.0;
const GB_MONTH_USD: f64 = 0.023;

/// The estimated cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Records to fetch; for several windows the sum, although they may have records in common.
    pub hits: u64,
    /// Requests to NCBI.
    pub requests: u64,
    /// Duration of these requests at the allowed rate.
    pub seconds: f64,
    /// Stored bytes, if all are new.
    pub storage_bytes: f64,
    /// Their storage price for a month on S3.
    pub storage_usd_per_month: f64,
    /// The price of the PUT requests.
    pub put_usd: f64,
}

/// Counts the records of a run at NCBI.
pub async fn estimate(
    client: &Client,
    query: &Query,
    plan: &RunPlan,
    limit: Option<i64>,
) -> Result<Estimate, EutilsError> {
    let (mut hits, mut searches) = (0, 0);
    for stage in &plan.stages {
        let slice = stage.window.map_or_else(Slice::all, |window| Slice::days(window.field, window.from, window.to));
        let count = client.count(query, &slice).await?;
        hits += count;
        // One list and one count; halving needs about as many searches as there are parts.
        let cap = u64::from(client.settings().cap);
        searches += 1 + count.div_ceil(u64::from(client.settings().page)).max(1);
        if count > cap {
            searches += count.div_ceil(cap / 2) * 2;
        }
    }
    let hits = limit.and_then(|limit| u64::try_from(limit).ok()).map_or(hits, |limit| hits.min(limit));
    let requests = searches + hits.div_ceil(200);
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let (records, sent) = (hits as f64, requests as f64);
    let storage_bytes = records * OBJECT_BYTES;
    Ok(Estimate {
        hits,
        requests,
        seconds: sent * crate::pubmed::eutils::gap(client.settings().per_second()).as_secs_f64(),
        storage_bytes,
        storage_usd_per_month: storage_bytes / 1e9 * GB_MONTH_USD,
        put_usd: records * PUT_USD,
    })
}
