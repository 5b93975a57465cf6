//! The end of a job: its manifest, then its terminal state.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::chain::Attempt;
use super::pipeline::Ended;
use super::unit_error::UnitError;
use super::unit_status::UnitStatus;
use super::{Engine, chain, outcomes};
use crate::db;
use crate::jobs::{self, Job, JobResult, JobState, Level};
use bio_mcp_core::{JobId, Tally, UnitId, clock, counted, metrics};

/// A unit of a job that has ended.
#[derive(Clone, Debug, FromRow)]
pub struct EndedUnit {
    pub id: Uuid,
    pub phase: String,
    /// Number in the phase; 0 planned it.
    pub seq: i32,
    /// Label given by the plan.
    pub label: Option<String>,
    #[sqlx(try_from = "String")]
    pub status: UnitStatus,
    /// Records by outcome.
    #[sqlx(rename = "tally", json)]
    pub counts: Tally,
    /// Why it failed; otherwise, why an earlier attempt failed.
    pub error_code: Option<String>,
    /// Message for people.
    pub error_message: Option<String>,
    outcomes_ref: Option<String>,
    has_outcomes: bool,
    completed_at: Option<DateTime<Utc>>,
}

impl EndedUnit {
    pub fn has_failed(&self) -> bool {
        self.status == UnitStatus::Failed
    }

    /// The entry of its part in the manifest.
    fn part(&self) -> Value {
        json!({
            "unit_id": self.id, "phase": self.phase, "seq": self.seq, "name": self.label,
            "status": self.status, "counts": self.counts, "uri": self.outcomes_ref,
            "error_code": self.error_code, "error": self.error_message,
        })
    }
}

/// Finalises a job whose units have all ended; does nothing if some have not, or if the job is final.
///
/// May run concurrently: all content of the manifest comes from rows that do not change any more, it is written once
/// under its own key, and the state changes under the job's lock.
pub async fn finalise(engine: &Engine, job_id: JobId) -> Result<bool, UnitError> {
    let Some(job) = jobs::get(&engine.db, job_id).await? else { return Ok(false) };
    let mut units: Vec<EndedUnit> =
        sqlx::query_as(include_str!("sql/units.sql")).bind(job.id).fetch_all(&engine.db).await?;
    if job.state.is_terminal() || units.iter().any(|unit| !unit.status.is_final()) {
        return Ok(false);
    }
    // Parts of completed units were written when they completed.
    let mut parts: Vec<(Uuid, String)> = Vec::new();
    for unit in units.iter_mut().filter(|unit| unit.has_outcomes && unit.outcomes_ref.is_none()) {
        unit.outcomes_ref = outcomes::write_part(engine, job_id, UnitId(unit.id)).await?;
        parts.extend(unit.outcomes_ref.clone().map(|part| (unit.id, part)));
    }
    let mut counts = Tally::default();
    for unit in &units {
        counts.merge(&unit.counts);
    }
    let failure = units.iter().find(|unit| unit.has_failed());
    let state = match failure {
        _ if job.cancel_requested_at.is_some() => JobState::Cancelled,
        Some(_) => JobState::Failed,
        None => JobState::Succeeded,
    };
    let started_at = job.started_at.unwrap_or(job.created_at);
    let finished_at = units.iter().filter_map(|unit| unit.completed_at).max().unwrap_or(started_at);
    let pipeline = engine.pipeline(&job.tool);
    let windows = match &pipeline {
        Some(pipeline) => pipeline.windows(&engine.db, &job).await?,
        None => Value::Null,
    };
    let listed: Vec<Value> = units.iter().filter(|unit| unit.seq > 0).map(EndedUnit::part).collect();
    let manifest = json!({
        "version": 1, "job_id": job.id, "tool": job.tool, "params": job.params, "windows": windows,
        "state": state, "counts": counts, "started": clock::rfc3339(started_at),
        "finished": clock::rfc3339(finished_at), "parts": listed,
    });
    let key = engine.archive.layout().manifest(started_at, job_id);
    let bytes = serde_json::to_vec_pretty(&manifest).expect("a value is JSON");
    let manifest_uri = engine.archive.put_once(key, bytes).await?;
    bio_mcp_core::crash::point("after_manifest");

    let error = failure.map(|unit| json!({ "error_code": unit.error_code, "message": unit.error_message }));
    let mut tx = db::begin(&engine.db).await?;
    let locked: Option<Job> =
        sqlx::query_as("select * from jobs where id = $1 for update").bind(job.id).fetch_optional(&mut *tx).await?;
    let Some(locked) = locked.filter(|locked| !locked.state.is_terminal()) else { return Ok(false) };
    if locked.cancel_requested_at.is_some() != job.cancel_requested_at.is_some() {
        // The state above is that of an earlier row version: the next sweep repeats this with the current one.
        return Ok(false);
    }
    let job = locked;
    let mut progress = job.progress.clone();
    progress.end(state == JobState::Succeeded, &counts);
    let mut result = JobResult { counts, manifest: Some(manifest_uri.clone()), ..JobResult::default() };
    if let Some(pipeline) = &pipeline {
        result.more = pipeline.ended(&mut tx, &Ended { job: &job, state, units: &units }).await?;
    }
    let shown = json!(result);
    let fields = json!({ "counts": counts, "error": error });
    jobs::write_log(&mut tx, job_id, Level::of(state), state.as_str(), fields).await?;
    warn_of_older(&mut tx, job_id, &counts).await?;
    let ended = sqlx::query(include_str!("sql/finalise.sql"))
        .bind(job.id)
        .bind(state.as_str())
        .bind(Json(result))
        .bind(&manifest_uri)
        .bind(&error)
        .bind(Json(progress))
        .execute(&mut *tx)
        .await?
        .rows_affected()
        == 1;
    let mut next = None;
    if ended {
        end_rows(&mut tx, job.id, state, &parts).await?;
        if state == JobState::Succeeded {
            next = chain::submit_next(engine, &mut tx, &job, &shown, Attempt::First).await?;
        } else {
            jobs::log_dropped(&mut tx, &job).await?;
        }
    }
    bio_mcp_core::crash::point("before_end");
    tx.commit().await?;
    bio_mcp_core::crash::point("after_end");
    if let Some(next) = next {
        next.announce(engine).await;
    }
    if ended {
        metrics::job_ended(&job.tool, state == JobState::Succeeded);
        metrics::records(&counts);
        let latency_ms = (clock::now() - started_at).num_milliseconds();
        let (job_id, trace_id) = (job.id, &job.trace_id);
        tracing::info!(%job_id, trace_id, tool = job.tool, status = state.as_str(), latency_ms, "job ended");
        for upkeep in &*engine.upkeep {
            if let Err(error) = upkeep.job_ended(engine, &job, state).await {
                tracing::warn!(%job_id, %error, "the work that follows a finished job failed; the next sweep repeats it");
            }
        }
    }
    Ok(ended)
}

/// Updates the rows beside the job: its ingest ends, its parts are recorded, and their frames are deleted.
async fn end_rows(
    db: &mut PgConnection,
    job: Uuid,
    state: JobState,
    parts: &[(Uuid, String)],
) -> Result<(), UnitError> {
    sqlx::query(
        "update ingestion_jobs set completed_at = now(), total_records = records_processed, \
         status = case $2 when 'succeeded' then 'completed' else $2 end where id = $1",
    )
    .bind(job)
    .bind(state.as_str())
    .execute(&mut *db)
    .await?;
    if !parts.is_empty() {
        sqlx::query(include_str!("sql/note_parts.sql"))
            .bind(parts.iter().map(|(unit, _)| *unit).collect::<Vec<_>>())
            .bind(parts.iter().map(|(_, part)| part.as_str()).collect::<Vec<_>>())
            .execute(&mut *db)
            .await?;
    }
    sqlx::query(
        "delete from ingestion_unit_outcomes o using ingestion_work_units u where u.id = o.unit_id and u.job_id = $1",
    )
    .bind(job)
    .execute(db)
    .await?;
    Ok(())
}

async fn warn_of_older(db: &mut PgConnection, job: JobId, counts: &Tally) -> Result<(), UnitError> {
    if counts.older > 0 {
        let text = format!("{} skipped as older than the archive", counted(counts.older, "record"));
        jobs::write_log(db, job, Level::Warn, &text, json!({ "older": counts.older })).await?;
    }
    Ok(())
}
