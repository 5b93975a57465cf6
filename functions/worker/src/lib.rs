//! Runs work units, woken by messages of SQS.
//!
//! A message names a unit that may be claimable. It is acknowledged if there is nothing to do for it, or if a unit ran;
//! it is redelivered only if a unit failed and is to be retried, at that time, and while the database is unavailable.
//! The sweep sends wake-ups for waiting units again, so that waiting never uses up a message's receives; a message that
//! is not a wake-up is redelivered at once until it reaches the dead-letter queue, where an alarm reports it. An event
//! that is not a batch fails the invocation. An invocation that did nothing logs why.

mod batch;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsMessage};
use serde_json::Value;
use shared::core::UnitId;
use shared::db::Access;
use shared::ingest::{Engine, UnitError, WakeOutcome, Worker};
use shared::observability;
use shared::queue::WakeUp;
use tokio::task::JoinHandle;

pub use batch::InvalidBatch;

/// Maximum part of an invocation's time that is reserved for releasing a unit.
const RELEASE_RESERVE: Duration = Duration::from_secs(30);

/// How long a message is hidden the first time the database is unavailable; doubled each time after.
const DATABASE_DOWN_DELAY: Duration = Duration::from_secs(30);

/// Maximum of the doubled delay.
const MAX_DATABASE_DOWN_DELAY: Duration = Duration::from_secs(900);

pub struct WorkerFunction {
    engine: Engine,
    access: Arc<Access>,
    worker: Worker,
}

/// What happens to a message.
enum MessageOutcome {
    /// A unit ran: the message is acknowledged.
    Ran,
    /// There was nothing to do, for this reason: it is acknowledged too.
    Idle(String),
    /// It is redelivered after this time; nothing was done, for this reason, if there is one.
    Redeliver(Duration, Option<&'static str>),
}

impl WorkerFunction {
    pub fn new(engine: Engine, access: Arc<Access>) -> std::io::Result<Self> {
        Ok(Self { worker: Worker::new(engine.clone(), None)?, engine, access })
    }

    /// Processes a batch until `deadline`; returns the messages to redeliver.
    pub async fn handle(&self, event: &Value, deadline: Instant) -> Result<SqsBatchResponse, InvalidBatch> {
        let messages = batch::messages(event)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let reserve = (left / 5).min(RELEASE_RESERVE);
        let clock = self.stop_at(Instant::now() + left.saturating_sub(reserve));
        let (mut failed, mut unbegun) = (Vec::new(), Vec::new());
        let (mut ran, mut reasons, count) = (0, BTreeSet::new(), messages.len());
        for (id, message) in messages {
            let outcome = match wake_up(&message) {
                // Redelivered at once, so that it reaches the dead-letter queue soon.
                None => MessageOutcome::Redeliver(Duration::ZERO, Some("a message is not a wake-up")),
                // The remaining time may be too short for a batch of records.
                Some(wake_up) if Instant::now() + reserve * 2 > deadline => {
                    unbegun.push((id, wake_up.unit_id));
                    continue;
                }
                Some(wake_up) => self.process(&wake_up, batch::receives(&message)).await,
            };
            match outcome {
                MessageOutcome::Ran => ran += 1,
                MessageOutcome::Idle(reason) => _ = reasons.insert(reason),
                MessageOutcome::Redeliver(pause, reason) => {
                    ran += usize::from(reason.is_none());
                    reasons.extend(reason.map(str::to_owned));
                    self.delay(&message, pause).await;
                    failed.push(id);
                }
            }
        }
        clock.abort();
        if unbegun.len() == count && count > 0 {
            // New wake-ups would find as little time: the messages are redelivered, and after the last receive an alarm
            // reports them.
            reasons.insert(format!("{} ms are left of the invocation: too little to begin", left.as_millis()));
            failed.extend(unbegun.into_iter().map(|(id, _)| id));
        } else if !unbegun.is_empty() && self.rewake_others(&unbegun).await.is_err() {
            failed.extend(unbegun.into_iter().map(|(id, _)| id));
        }
        if count == 0 {
            reasons.insert("no messages".to_owned());
        }
        if ran == 0 {
            let why = reasons.into_iter().collect::<Vec<_>>().join("; ");
            tracing::info!(messages = count, why, "nothing was done");
        }
        Ok(batch::response(failed))
    }

    /// At this time, stops the running unit after its batch of records, and releases it.
    fn stop_at(&self, at: Instant) -> JoinHandle<()> {
        let stop = self.worker.shutdown_flag();
        stop.store(false, Ordering::Relaxed);
        tokio::spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            stop.store(true, Ordering::Relaxed);
        })
    }

    async fn process(&self, wake_up: &WakeUp, receives: u32) -> MessageOutcome {
        if let Err(error) = self.access.ensure_ready().await {
            tracing::error!(
                error = observability::chain(&error),
                "the database cannot be used: the messages will be redelivered"
            );
            return MessageOutcome::Redeliver(database_down_delay(receives), Some("the database cannot be used"));
        }
        match self.worker.handle_wake_up(wake_up.unit_id).await {
            Ok(WakeOutcome::Idle(idle)) => MessageOutcome::Idle(idle.to_string()),
            Ok(WakeOutcome::Ran) => MessageOutcome::Ran,
            Ok(WakeOutcome::RetryAfter(pause)) => MessageOutcome::Redeliver(pause, None),
            Err(error @ UnitError::Blocked { .. }) => {
                tracing::error!(%error, "blocked: the message will be redelivered");
                MessageOutcome::Redeliver(database_down_delay(receives), Some("the unit is blocked"))
            }
            Err(error) => {
                tracing::error!(%error, "a unit could not be completed: the message will be redelivered");
                MessageOutcome::Redeliver(database_down_delay(receives), Some("a unit could not be completed"))
            }
        }
    }

    /// Sends new wake-ups for messages that there was no time for.
    async fn rewake_others(&self, unbegun: &[(String, UnitId)]) -> Result<(), shared::db::DbError> {
        let units: Vec<UnitId> = unbegun.iter().map(|(_, unit)| *unit).collect();
        tracing::info!(units = units.len(), "little time is left: waking other workers for the remaining units");
        self.access.ensure_ready().await?;
        self.engine.rewake(&units).await
    }

    async fn delay(&self, message: &SqsMessage, pause: Duration) {
        let Some(receipt) = &message.receipt_handle else { return };
        if let Err(error) = self.engine.queue.delay(receipt, pause).await {
            // It is redelivered when its visibility timeout ends; meanwhile the sweep wakes another worker.
            tracing::warn!(error = observability::chain(&error), "a message could not be delayed");
        }
    }
}

/// How long a message is hidden while the database is unavailable, by its number of receives: an outage of hours does
/// not use them up.
pub fn database_down_delay(receives: u32) -> Duration {
    DATABASE_DOWN_DELAY.saturating_mul(1 << receives.saturating_sub(1).min(10)).min(MAX_DATABASE_DOWN_DELAY)
}

fn wake_up(message: &SqsMessage) -> Option<WakeUp> {
    let parsed = serde_json::from_str(message.body.as_deref().unwrap_or_default());
    // The message is foreign: its content is not logged.
    parsed.inspect_err(|_| tracing::error!(message_id = message.message_id, "a message is not a wake-up")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_away_for_two_hours_uses_up_no_message() {
        let stack = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/stack.json"));
        let stack: Value = serde_json::from_str(&stack.expect("read")).expect("JSON");
        let receives = u32::try_from(stack["queue"]["max_receives"].as_u64().expect("a number")).expect("small");
        let outlasted: Duration = (1..receives).map(database_down_delay).sum();
        assert!(outlasted >= Duration::from_secs(2 * 3600), "{outlasted:?}");
        assert_eq!(
            (database_down_delay(0), database_down_delay(1), database_down_delay(2), database_down_delay(99)),
            (DATABASE_DOWN_DELAY, DATABASE_DOWN_DELAY, DATABASE_DOWN_DELAY * 2, MAX_DATABASE_DOWN_DELAY)
        );
    }
}
