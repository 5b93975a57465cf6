//! The end of a job: its manifest, then its terminal state.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use super::unit_error::UnitError;
use super::{Engine, failures, outcomes};
use crate::db;
use crate::jobs::{self, JobState, Level};
use crate::words::{JobId, Tally, UnitId, clock, metrics};

#[derive(FromRow)]
struct Unit {
    id: Uuid,
    phase: String,
    seq: i32,
    input: Value,
    status: String,
    tally: Value,
    outcomes_ref: Option<String>,
    has_outcomes: bool,
    error_code: Option<String>,
    error_message: Option<String>,
    completed_at: Option<DateTime<Utc>>,
}

/// Finalises a job whose units have all ended; does nothing if some have not, or if it is final.
///
/// May run twice at once: everything in the manifest comes from rows that do not change any more,
/// it is written once under a key of its own, and the state changes under the job's lock.
pub async fn finalise(engine: &Engine, job_id: JobId) -> Result<bool, UnitError> {
    let Some(job) = jobs::get(&engine.db, job_id).await? else { return Ok(false) };
    let mut units: Vec<Unit> = sqlx::query_as(include_str!("sql/units.sql")).bind(job.id).fetch_all(&engine.db).await?;
    let is_live = |unit: &Unit| matches!(unit.status.as_str(), "pending" | "claimed" | "processing");
    if job.state.is_terminal() || units.iter().any(is_live) {
        return Ok(false);
    }
    for unit in units.iter_mut().filter(|unit| unit.has_outcomes && unit.outcomes_ref.is_none()) {
        unit.outcomes_ref = outcomes::write_part(engine, job_id, UnitId(unit.id)).await?;
    }
    let mut counts = Tally::default();
    for unit in &units {
        counts.merge(&serde_json::from_value(unit.tally.clone()).unwrap_or_default());
    }
    let failure = units.iter().find(|unit| unit.status == "failed");
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
    let parts: Vec<Value> = units.iter().filter(|unit| unit.seq > 0).map(part).collect();
    let manifest = json!({
        "version": 1, "job_id": job.id, "tool": job.tool, "params": job.params, "windows": windows,
        "state": state, "counts": counts, "started": clock::rfc3339(started_at),
        "finished": clock::rfc3339(finished_at), "parts": parts,
    });
    let key = engine.archive.layout().manifest(started_at, job_id);
    let bytes = serde_json::to_vec_pretty(&manifest).expect("a value is JSON");
    let manifest_uri = engine.archive.put_once(key, bytes).await?;
    crate::words::crash::point("after_manifest");

    let mut result = result(&engine.db, job_id, &units, &counts, &manifest_uri).await?;
    let error = failure.map(|unit| json!({ "error_code": unit.error_code, "message": unit.error_message }));
    let done = json!({ "done": counts.requested, "total": counts.requested, "fraction": 1.0 });
    let mut tx = db::begin(&engine.db).await?;
    let live: Option<bool> =
        sqlx::query_scalar("select state in ('queued', 'running') from jobs where id = $1 for update")
            .bind(job.id)
            .fetch_optional(&mut *tx)
            .await?;
    if live != Some(true) {
        return Ok(false);
    }
    if let Some(pipeline) = &pipeline {
        result.extend(pipeline.ended(&mut tx, &job, state).await?);
    }
    let fields = json!({ "counts": counts, "error": error });
    jobs::write_log(&mut tx, job_id, Level::of(state), state.as_str(), fields).await?;
    warn_of_older(&mut tx, job_id, &counts).await?;
    let ended = sqlx::query(include_str!("sql/finalise.sql"))
        .bind(job.id)
        .bind(state.as_str())
        .bind(Value::Object(result))
        .bind(&manifest_uri)
        .bind(&error)
        .bind(if state == JobState::Succeeded { done } else { json!({}) })
        .execute(&mut *tx)
        .await?
        .rows_affected()
        == 1;
    if ended {
        sqlx::query(
            "update ingestion_jobs set completed_at = now(), total_records = records_processed, \
             status = case $2 when 'succeeded' then 'completed' else $2 end where id = $1",
        )
        .bind(job.id)
        .bind(state.as_str())
        .execute(&mut *tx)
        .await?;
        for unit in &units {
            sqlx::query("update ingestion_work_units set outcomes_ref = $2 where id = $1 and outcomes_ref is null")
                .bind(unit.id)
                .bind(&unit.outcomes_ref)
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(
            "delete from ingestion_unit_outcomes o using ingestion_work_units u where u.id = o.unit_id and u.job_id = $1",
        )
        .bind(job.id)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    if ended {
        metrics::job_ended(&job.tool, state == JobState::Succeeded);
        metrics::records(&counts);
        let latency_ms = (clock::now() - started_at).num_milliseconds();
        let (job_id, trace_id) = (job.id, &job.trace_id);
        tracing::info!(%job_id, trace_id, tool = job.tool, status = state.as_str(), latency_ms, "job ended");
    }
    Ok(ended)
}

async fn warn_of_older(db: &mut PgConnection, job: JobId, counts: &Tally) -> Result<(), UnitError> {
    if counts.older > 0 {
        let text = format!("{} records are older than what the archive has, and were skipped", counts.older);
        jobs::write_log(db, job, Level::Warn, &text, json!({ "older": counts.older })).await?;
    }
    Ok(())
}

async fn result(
    db: &PgPool,
    job: JobId,
    units: &[Unit],
    counts: &Tally,
    manifest_uri: &str,
) -> Result<Map<String, Value>, UnitError> {
    let Ok(Value::Object(mut result)) = serde_json::to_value(counts) else { return Ok(Map::new()) };
    result.insert("manifest".into(), json!(manifest_uri));
    result.insert("pmids_failed".into(), json!(failures::pmids_failed(db, job).await?));
    let files: Vec<Value> = units.iter().filter(|unit| unit.input.get("name").is_some()).map(file).collect();
    if !files.is_empty() {
        result.insert("files".into(), Value::Array(files));
    }
    Ok(result)
}

fn part(unit: &Unit) -> Value {
    json!({
        "unit_id": unit.id, "phase": unit.phase, "seq": unit.seq, "name": unit.input.get("name"),
        "status": unit.status, "counts": unit.tally, "uri": unit.outcomes_ref,
        "error_code": unit.error_code, "error": unit.error_message,
    })
}

fn file(unit: &Unit) -> Value {
    let mut file = json!({ "name": unit.input.get("name"), "status": unit.status });
    if let (Some(file), Some(counts)) = (file.as_object_mut(), unit.tally.as_object()) {
        file.extend(counts.clone());
        if let Some(message) = &unit.error_message {
            file.insert("error".into(), json!(message));
        }
    }
    file
}
