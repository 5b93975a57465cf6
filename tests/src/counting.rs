//! A pipeline that only counts: every batch of every unit accepts different records, so that lost or repeated work is
//! detected.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use serde_json::{Value, json};
use shared::archive::ETag;
use shared::core::{FileRank, JobId, Outcome, Pmid, Principal, RecordOrder, Role, Sha256};
use shared::ingest::{Batch, Engine, Lease, NewUnit, Pipeline, Plan, RecordOutcome, Settings, UnitContext, UnitError};
use shared::jobs::{self, FirstUnit, Limits, Submission};
use shared::records::{self, PointerUpdate};
use shared::sources::store_records::StoredBatch;

pub const TOOL: &str = "test.count";

/// Records per batch.
pub const PER_BATCH: u32 = 3;

/// The pipeline; the parameters of its jobs are `{first, units, batches}`.
pub struct Counting;

fn number(value: &Value, key: &str) -> u32 {
    value[key].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

/// The plan of a job.
pub fn plan(params: &Value) -> Plan {
    let units = (0..number(params, "units")).map(|n| NewUnit { input: json!({ "n": n }), ..NewUnit::default() });
    let external_version = params["first"].to_string();
    Plan { units: units.collect(), work_total: 100, external_version, is_whole: true, ..Plan::default() }
}

/// The next batch of a unit; none if it is done.
pub fn next_batch(lease: &Lease) -> Option<Batch> {
    let done = lease.cursor.as_ref().map_or(0, |cursor| number(cursor, "done"));
    let batches = number(&lease.params, "batches");
    if done >= batches {
        return None;
    }
    let start = number(&lease.params, "first") + (number(&lease.input, "n") * batches + done) * PER_BATCH;
    let mut batch = StoredBatch::default();
    for n in start..start + PER_BATCH {
        let pmid = Pmid::new(n).expect("a PMID");
        let hash = Sha256::of(&n.to_le_bytes());
        // A different address for every claim: a second acceptance would be a second event.
        let uri = format!("memory:///{n}?versionId={}", lease.epoch);
        batch.rows.accepts.push(PointerUpdate {
            pmid,
            s3_uri: uri.clone(),
            object_etag: ETag::parse("1"),
            content_hash: Some(hash),
            retracted: false,
            integrity: None,
            fetched_at: DateTime::default(),
            api_etag: None,
            order: RecordOrder {
                version: 1,
                date_revised: None,
                as_of: DateTime::default(),
                file_number: 0,
                position: 1,
                file_id: None,
                deleted: false,
            },
            seen: FileRank::NONE,
            expected: None,
        });
        batch.outcomes.push(RecordOutcome {
            key: records::key(Some(pmid)),
            outcome: Outcome::Archived,
            hash: Some(hash),
            uri: Some(uri),
            reason: None,
        });
    }
    Some(batch.into_batch(json!({ "done": done + 1 }), 1, None))
}

#[async_trait]
impl Pipeline for Counting {
    fn tool(&self) -> &'static str {
        TOOL
    }

    fn phases(&self) -> &'static [&'static str] {
        &["count"]
    }

    async fn plan(&self, context: &UnitContext) -> Result<Plan, UnitError> {
        Ok(plan(&context.lease.params))
    }

    async fn run(&self, context: &mut UnitContext) -> Result<(), UnitError> {
        while let Some(batch) = next_batch(&context.lease) {
            context.check().await?;
            context.commit(batch).await?;
        }
        Ok(())
    }
}

/// An engine with only the counting pipeline.
pub async fn engine(connections: u32) -> Engine {
    super::engine::engine(vec![Arc::new(Counting)], Settings::default(), connections).await
}

/// Submits a counting job.
pub async fn submit(engine: &Engine, first: u32, units: u32, batches: u32) -> JobId {
    let submission = Submission {
        tool: TOOL.into(),
        params: json!({ "first": first, "units": units, "batches": batches }),
        idempotency_key: None,
        principal: Principal { name: "test".into(), role: Role::Admin },
        priority: 0,
        ttl_hours: 24,
        trace_id: "t".into(),
        parent_job_id: None,
        query_key: None,
        exclusive_key: None,
        records_at_most: None,
        then: Vec::new(),
        chain_position: None,
        first_unit: FirstUnit { phase: "count".into(), required_hostname: None },
    };
    let limits = Limits::without_quotas(1_000_000, 3600.0);
    jobs::submit(&engine.db, &submission, limits).await.expect("submitted").job().job_id()
}
