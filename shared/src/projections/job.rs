//! Catching up as a job: one at a time in a deployment, submitted when a projection is behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use sqlx::PgConnection;

use super::{Lag, PrepareContext, Projection, catch_up, lag, upkeep};
use crate::core::access::PROJECTIONS;
use crate::core::{Principal, Role};
use crate::db::DbError;
use crate::ingest::{Batch, Ended, Engine, NewUnit, Pipeline, Plan, UnitContext, UnitError};
use crate::jobs::{self, Limits, Submission, SubmitError, SubmitOutcome};

/// Tool name of the jobs. Callers cannot submit them: a projection that is behind is caught up automatically.
pub const TOOL: &str = "projections.catch_up";

const PHASE: &str = "read";

/// Factor on the time limit of jobs: a single worker may first process jobs that take days.
const TIME_LIMITS: u32 = 28;

/// Maximum duration of a job, and at most half of a unit's time limit. A log that takes longer is read by several jobs,
/// so that other jobs run in between: a unit that is only released is claimed again before later jobs.
const MAX_DURATION: Duration = Duration::from_secs(300);

/// Maximum number of batches of a job.
const MAX_BATCHES: usize = 200;

/// The pipeline of projections.
pub struct CatchUp(pub Arc<[Arc<dyn Projection>]>);

/// Submits the job that catches up, if a projection is behind and no such job exists. Wakes workers for a new job.
pub async fn submit_if_behind(
    engine: &Engine,
    projections: &[Arc<dyn Projection>],
    limits: Limits,
) -> Result<Option<SubmitOutcome>, DbError> {
    if !lag(&engine.db, projections).await?.iter().any(Lag::is_to_be_read) {
        return Ok(None);
    }
    let submission = Submission {
        principal: Principal { name: PROJECTIONS.to_owned(), role: Role::Admin },
        exclusive_key: Some(PROJECTIONS.to_owned()),
        ..Submission::new(TOOL, json!({}), PHASE)
    };
    match jobs::submit(&engine.db, &submission, limits.times(TIME_LIMITS)).await {
        Ok(submitted) => {
            if let SubmitOutcome::Created(_) = submitted {
                engine.wake_after_commit().await;
            }
            Ok(Some(submitted))
        }
        Err(SubmitError::Db(error)) => Err(error),
        // The queue is full: the next tick tries again.
        Err(error) => {
            tracing::warn!(%error, "projections are behind the event log, and the job that catches up was refused");
            Ok(None)
        }
    }
}

#[async_trait]
impl Pipeline for CatchUp {
    fn tool(&self) -> &'static str {
        TOOL
    }

    fn phases(&self) -> &'static [&'static str] {
        &[PHASE]
    }

    async fn plan(&self, context: &UnitContext) -> Result<Plan, UnitError> {
        let lags = lag(&context.engine.db, &self.0).await?;
        let work_total = lags.iter().map(Lag::work).sum();
        let is_behind = lags.iter().any(Lag::is_to_be_read);
        let units = is_behind.then(|| NewUnit { label: Some("event log".to_owned()), ..NewUnit::default() });
        let units = units.into_iter().collect();
        Ok(Plan { units, work_total, external_version: "event log".to_owned(), ..Plan::default() })
    }

    async fn run(&self, context: &mut UnitContext) -> Result<(), UnitError> {
        let engine = context.engine.clone();
        let is_last_attempt = context.lease.attempt >= catch_up::LAST_ATTEMPT;
        let end = Instant::now() + MAX_DURATION.min(engine.settings.unit_timeout / 2);
        let mut batches = 0;
        for projection in self.0.iter() {
            let mut prepare_context = PrepareContext { engine: &engine, is_last_attempt };
            while let Some(prepared) = catch_up::next(prepare_context, projection.as_ref()).await? {
                context.check().await?;
                let (work, cursor) = (prepared.numbers(), prepared.cursor());
                context.commit(Batch { cursor, work, rows: Some(Arc::new(prepared)), ..Batch::default() }).await?;
                upkeep::announce(&engine.db).await;
                // The batch that needed the last attempt is done.
                prepare_context.is_last_attempt = false;
                batches += 1;
                if batches >= MAX_BATCHES || Instant::now() >= end {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn ended(&self, _: &mut PgConnection, _: &Ended<'_>) -> Result<Map<String, Value>, UnitError> {
        let names: Vec<&str> = self.0.iter().map(|one| one.name()).collect();
        Ok(Map::from_iter([("projections".to_owned(), json!(names))]))
    }
}
