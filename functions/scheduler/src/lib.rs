//! Scheduled work: jobs of due topics, and the sweep.
//!
//! Both are idempotent: a topic's slot creates one job, and a second sweep finds nothing. The lease only avoids
//! duplicate work.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::config::TopicSetting;
use shared::core::metrics::Gauge;
use shared::db::{Access, DbError};
use shared::deployment::{Deployment, limits};
use shared::gauges::gauges;
use shared::ingest::{self, Engine, UnitError};
use shared::invocation::kind_of;
use shared::jobs::Limits;
use shared::limits::{Leases, NamedLease};
use shared::observability;
use shared::readiness;
use shared::sources::topics::{self, TopicError};

/// After this time another invocation with the same action counts as dead.
const LEASE_TTL: Duration = Duration::from_secs(55);

/// The action of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TickAction {
    /// Submit jobs for topics that are due.
    Topics,
    /// Reclaim the units of dead workers, wake workers for waiting units, finish stranded jobs, delete expired ones,
    /// start projections that are behind; and report gauges.
    Sweep,
}

/// A scheduled event: the input of a schedule, or the plain event of a rule or schedule without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    pub action: TickAction,
}

/// The event is not a tick: the invocation fails, so that the sender is notified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTick {
    /// Not a tick at all.
    #[error(
        "this function accepts {{\"action\": \"topics\"}}, {{\"action\": \"sweep\"}} or a Scheduled Event of \
         EventBridge, but received {0}"
    )]
    Event(String),
    /// An unknown action.
    #[error("action must be topics or sweep")]
    Action,
}

impl Tick {
    /// Parses an event. EventBridge's plain "Scheduled Event", which has no action, means topics.
    pub fn read(event: &Value) -> Result<Self, InvalidTick> {
        if let Some(action) = event.get("action") {
            let action = TickAction::deserialize(action).map_err(|_| InvalidTick::Action)?;
            return Ok(Self { action });
        }
        let is = |name: &str, values: &[&str]| event[name].as_str().is_some_and(|text| values.contains(&text));
        if is("detail-type", &["Scheduled Event"]) && is("source", &["aws.events", "aws.scheduler"]) {
            return Ok(Self { action: TickAction::Topics });
        }
        Err(InvalidTick::Event(kind_of(event)))
    }
}

/// Counts of what was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TickResult {
    /// Another invocation was doing the same.
    pub left_to_another: bool,
    /// Jobs that were submitted.
    pub jobs: usize,
    /// Units that were reclaimed.
    pub reclaimed: i32,
    /// Stranded jobs that were finished.
    pub finished: u64,
    /// Expired jobs that were deleted.
    pub expired: u64,
    /// Wake-ups sent.
    pub wake_ups: usize,
}

/// Why a tick failed; the next tick tries again.
#[derive(Debug, thiserror::Error)]
pub enum TickError {
    /// The database failed.
    #[error("the database failed")]
    Db(#[from] DbError),
    /// A configured topic is invalid.
    #[error("a topic of BIO_MCP_SYNC_TOPICS cannot be synced")]
    Topic(#[from] TopicError),
    /// Sweeping failed.
    #[error("sweeping failed")]
    Sweep(#[from] UnitError),
}

pub struct SchedulerFunction {
    engine: Engine,
    access: Arc<Access>,
    leases: Arc<dyn Leases>,
    limits: Limits,
    ttl_hours: i16,
    topics: Vec<TopicSetting>,
}

impl SchedulerFunction {
    pub fn new(deployment: Deployment) -> Self {
        Self {
            leases: deployment.limits.leases(),
            limits: limits(&deployment.config),
            ttl_hours: deployment.config.job_ttl_hours,
            topics: deployment.config.topics,
            engine: deployment.engine,
            access: deployment.access,
        }
    }

    /// Performs the action; returns what was done, and the gauges.
    pub async fn handle(&self, tick: Tick) -> Result<(TickResult, Vec<Gauge>), TickError> {
        let done = match self.access.ensure_ready().await {
            Ok(()) => self.act(tick.action).await,
            Err(error) => Err(error.into()),
        };
        let mut seen = Vec::new();
        if tick.action == TickAction::Sweep {
            let readiness = readiness::check_readiness(&self.engine, &[]).await;
            seen.push(("ready", vec![], if readiness.is_ready() { 1.0 } else { 0.0 }));
            seen.extend(gauges(&self.engine.db).await.unwrap_or_default());
        }
        match done {
            Ok(done) => Ok((done, seen)),
            Err(error) => {
                // The gauges are written even if the tick failed: alarms depend on them.
                observability::write_metrics(observability::LogOutput::Stdout, "scheduler", &seen);
                Err(error)
            }
        }
    }

    async fn act(&self, action: TickAction) -> Result<TickResult, TickError> {
        let name = format!("{action:?}").to_lowercase();
        let lease: Option<NamedLease> = match self.leases.acquire(&name, LEASE_TTL).await {
            Ok(None) => return Ok(TickResult { left_to_another: true, ..TickResult::default() }),
            Ok(lease) => lease,
            // Continues without a lease: duplicate work is harmless.
            Err(error) => {
                tracing::warn!(error = observability::chain(&error), "no lease could be taken; continuing without one");
                None
            }
        };
        let done = match action {
            TickAction::Topics => self.submit_topics().await,
            TickAction::Sweep => self.sweep().await,
        };
        if let Some(lease) = lease
            && let Err(error) = self.leases.release(&lease).await
        {
            tracing::warn!(error = observability::chain(&error), "a lease could not be released; it will expire");
        }
        done
    }

    async fn submit_topics(&self) -> Result<TickResult, TickError> {
        topics::add_configured(&self.engine.db, &self.topics).await?;
        let jobs = topics::submit_due(&self.engine, self.limits, self.ttl_hours).await?;
        Ok(TickResult { jobs: jobs.len(), ..TickResult::default() })
    }

    async fn sweep(&self) -> Result<TickResult, TickError> {
        let swept = ingest::sweep(&self.engine, None).await?;
        let wake_ups = self.engine.wake_workers().await?;
        let finished = swept.finalised;
        Ok(TickResult {
            reclaimed: swept.reclaimed,
            finished,
            expired: swept.expired,
            wake_ups,
            ..TickResult::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plain_scheduled_event_is_the_tick_of_topics() {
        let plain = json!({
            "version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {},
            "resources": ["arn:aws:events:us-east-1:123456789012:rule/nightly"],
        });
        let of_scheduler = json!({ "detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{}" });
        for event in [plain, of_scheduler, json!({ "action": "topics" })] {
            assert_eq!(Tick::read(&event), Ok(Tick { action: TickAction::Topics }), "{event}");
        }
        assert_eq!(Tick::read(&json!({ "action": "sweep" })), Ok(Tick { action: TickAction::Sweep }));
    }

    #[test]
    fn what_is_no_tick_is_named() {
        assert_eq!(Tick::read(&json!({ "action": "delete" })), Err(InvalidTick::Action));
        for (event, said) in [
            (
                json!({ "detail-type": "Scheduled Event", "source": "my.app" }),
                "received an event of my.app (Scheduled Event)",
            ),
            (
                json!({ "source": "aws.s3", "detail-type": "Object Created" }),
                "received an event of aws.s3 (Object Created)",
            ),
            (json!({ "Records": [] }), "received records without a source"),
            (json!("sweep"), "received a text"),
            (json!(null), "received null"),
        ] {
            let refused = Tick::read(&event).expect_err("no tick").to_string();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
