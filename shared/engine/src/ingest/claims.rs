//! Claims of one worker, including those whose response was lost.
//!
//! A connection may be lost after the database has committed a claim and before this process receives the response. No
//! worker would run such a unit until its lease expires. So a worker records the claims it holds, and after a lost
//! response releases all other claims in its name.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::lease::{Claim, JobProgressed, Lease};
use super::unit_error::UnitError;
use super::{Engine, finalise};
use crate::db::DbError;
use bio_mcp_core::{UnitId, WorkerId};

/// A statement of a lost connection may still be committed until the database ends it.
const MAX_STATEMENT_TIME: Duration = Duration::from_secs(65);

/// Delays of the attempts to release claims of a lost response.
const RELEASE_RETRY_DELAYS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(300), Duration::from_secs(1)];

/// The claims of a worker.
#[derive(Default)]
pub(super) struct Claims {
    /// When a response was lost; the lock also makes claims sequential.
    lost: tokio::sync::Mutex<Option<Instant>>,
    /// Units and epochs that this process works on.
    held: Mutex<HashSet<(UnitId, i64)>>,
}

impl Claims {
    /// Claims a unit. For a while after a lost response, first releases what it may have claimed.
    pub(super) async fn claim(&self, engine: &Engine, claim: Claim<'_>) -> Result<Option<Lease>, UnitError> {
        let mut lost = self.lost.lock().await;
        if let Some(at) = *lost {
            self.release_unheld(engine, claim.worker).await?;
            if at.elapsed() > MAX_STATEMENT_TIME {
                *lost = None;
            }
        }
        let worker = claim.worker;
        match Lease::claim(&engine.db, &engine.settings, claim).await {
            Ok(lease) => {
                if let Some(lease) = &lease {
                    self.held().insert((lease.unit, lease.epoch));
                }
                Ok(lease)
            }
            Err(error) => {
                *lost = Some(Instant::now());
                for pause in RELEASE_RETRY_DELAYS {
                    tokio::time::sleep(pause).await;
                    if self.release_unheld(engine, worker).await.is_ok() {
                        break;
                    }
                }
                Err(error.into())
            }
        }
    }

    /// Records that a claim has ended.
    pub(super) fn over(&self, lease: (UnitId, i64)) {
        self.held().remove(&lease);
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashSet<(UnitId, i64)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn release_unheld(&self, engine: &Engine, worker: &WorkerId) -> Result<(), UnitError> {
        let claimed: Vec<(Uuid, i64)> = sqlx::query_as(
            "select id, epoch from ingestion_work_units where worker_id = $1 and status = 'claimed' order by id",
        )
        .bind(worker.as_str())
        .fetch_all(&engine.db)
        .await
        .map_err(DbError::from)?;
        let mut released = false;
        for (unit, epoch) in claimed {
            if self.held().contains(&(UnitId(unit), epoch)) {
                continue;
            }
            let Some(lease) = Lease::of_claimed(&engine.db, unit, worker).await? else { continue };
            tracing::warn!(unit_id = %lease.unit, epoch, "the response to a claim was lost: its unit is released");
            match lease.release(engine).await {
                Ok(JobProgressed::JobOver) => {
                    finalise(engine, lease.job).await?;
                }
                Ok(JobProgressed::UnitsLeft) | Err(UnitError::LeaseLost) => {}
                Err(error) => return Err(error),
            }
            released = true;
        }
        if released {
            engine.wake_after_commit().await;
        }
        Ok(())
    }
}
