//! Current values of metrics, for a scraper and for CloudWatch.

use sqlx::PgPool;

use crate::core::metrics::Gauge;
use crate::db::DbError;
use crate::jobs::active_jobs;
use crate::projections::{self, Lag, lag};
use crate::syncs;

/// `jobs_running`, `queue_age_seconds`, `progress_pct{tool}`, `sync_age_seconds` if there are topics, and for each
/// projection `projection_lag_events`, `projection_lag_seconds` and `projection_stalled_seconds`.
pub async fn gauges(db: &PgPool) -> Result<Vec<Gauge>, DbError> {
    let mut jobs = active_jobs(db).await?;
    jobs.sort_by(|a, b| a.tool.cmp(&b.tool));
    let count = |n: i64| i32::try_from(n).map_or(f64::INFINITY, f64::from);
    let mut gauges = vec![
        ("jobs_running", vec![], jobs.iter().map(|job| count(job.running)).sum()),
        ("queue_age_seconds", vec![], jobs.iter().map(|job| job.oldest_secs).fold(0.0, f64::max)),
    ];
    let running = jobs.iter().filter(|job| job.running > 0);
    gauges.extend(running.map(|job| ("progress_pct", vec![("tool", job.tool.clone())], job.fraction * 100.0)));
    gauges.extend(syncs::oldest_topic_secs(db).await?.map(|secs| ("sync_age_seconds", vec![], secs)));
    let lags = lag(db, &projections::all()).await?;
    let of = |lag: &Lag| vec![("projection", lag.name.clone())];
    gauges.extend(lags.iter().map(|lag| ("projection_lag_events", of(lag), count(lag.events_behind))));
    gauges.extend(lags.iter().map(|lag| ("projection_lag_seconds", of(lag), lag.seconds_behind)));
    gauges.extend(lags.iter().map(|lag| ("projection_stalled_seconds", of(lag), lag.stalled_seconds)));
    Ok(gauges)
}
