//! Work units, woken by messages of SQS.
//!
//! A message says "look again". It is acknowledged when there is nothing to do for it, or when a unit ran; it comes
//! back only when a unit failed and is to be tried again, at that time, and while the database is away. What waits is
//! sent again by the sweep, so that waiting never uses up a message's receives; what is no message at all comes back
//! until the queue gives it to its dead letters, where somebody sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use shared::db::Access;
use shared::ingest::{Engine, UnitError, Woken, Worker};
use shared::queue::WakeUp;
use shared::words::{UnitId, telemetry};
use tokio::task::JoinHandle;

/// The most that is kept of an invocation's time for handing a unit back.
const RESERVE: Duration = Duration::from_secs(30);

/// How long a message is hidden that met a database that is away.
const AWAY: Duration = Duration::from_secs(30);

/// The function.
pub struct Function {
    engine: Engine,
    access: Arc<Access>,
    worker: Worker,
}

/// What is to become of a message.
enum Ending {
    /// It is done with.
    Acknowledge,
    /// It comes back after this time.
    ComeBack(Duration),
    /// It comes back as the queue does by itself.
    Poison,
}

impl Function {
    /// The function over an engine.
    pub fn new(engine: Engine, access: Arc<Access>) -> std::io::Result<Self> {
        Ok(Self { worker: Worker::new(engine.clone(), None)?, engine, access })
    }

    /// Answers a batch before `deadline`: which of its messages are to come back.
    pub async fn handle(&self, batch: SqsEvent, deadline: Instant) -> SqsBatchResponse {
        let left = deadline.saturating_duration_since(Instant::now());
        let reserve = (left / 5).min(RESERVE);
        let clock = self.stop_at(Instant::now() + left.saturating_sub(reserve));
        let mut response = SqsBatchResponse::default();
        let mut unbegun = Vec::new();
        for message in batch.records {
            let Some(id) = message.message_id.clone() else { continue };
            let ending = match wake_up(&message) {
                None => Ending::Poison,
                // What is left of the time may be too little for a batch of records.
                Some(wake_up) if Instant::now() + reserve * 2 > deadline => {
                    unbegun.push((id.clone(), wake_up.unit_id));
                    continue;
                }
                Some(wake_up) => self.answer(&wake_up).await,
            };
            if let Ending::ComeBack(pause) = ending {
                self.put_off(&message, pause).await;
            }
            if !matches!(ending, Ending::Acknowledge) {
                response.batch_item_failures.push(failure(id));
            }
        }
        clock.abort();
        if !unbegun.is_empty() && self.hand_on(&unbegun).await.is_err() {
            response.batch_item_failures.extend(unbegun.into_iter().map(|(id, _)| failure(id)));
        }
        response
    }

    /// Lets the unit that runs then come to the end of its batch of records, and be handed back.
    fn stop_at(&self, at: Instant) -> JoinHandle<()> {
        let stop = self.worker.shutdown_flag();
        stop.store(false, Ordering::Relaxed);
        tokio::spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            stop.store(true, Ordering::Relaxed);
        })
    }

    async fn answer(&self, wake_up: &WakeUp) -> Ending {
        if let Err(error) = self.access.ready().await {
            tracing::error!(error = telemetry::chain(&error), "the database cannot be used: messages come back");
            return Ending::ComeBack(AWAY);
        }
        match self.worker.woken_for(wake_up.unit_id).await {
            Ok(Woken::Nothing | Woken::Ran) => Ending::Acknowledge,
            Ok(Woken::Again(pause)) => Ending::ComeBack(pause),
            Err(error @ UnitError::Blocked { .. }) => {
                tracing::error!(%error, "blocked: the message comes back");
                Ending::ComeBack(AWAY)
            }
            Err(error) => {
                tracing::error!(%error, "a unit could not be ended: the message comes back");
                Ending::ComeBack(AWAY)
            }
        }
    }

    /// Another wake-up in place of a message that there was no time for.
    async fn hand_on(&self, unbegun: &[(String, UnitId)]) -> Result<(), shared::db::DbError> {
        let units: Vec<UnitId> = unbegun.iter().map(|(_, unit)| *unit).collect();
        tracing::info!(units = units.len(), "the time is nearly up: others are woken for the rest");
        self.access.ready().await?;
        self.engine.wake_again(&units).await
    }

    async fn put_off(&self, message: &SqsMessage, pause: Duration) {
        let Some(receipt) = &message.receipt_handle else { return };
        if let Err(error) = self.engine.queue.put_off(receipt, pause).await {
            // It comes back when its visibility ends; meanwhile the sweep wakes somebody.
            tracing::warn!(error = telemetry::chain(&error), "a message could not be put off");
        }
    }
}

fn failure(id: String) -> BatchItemFailure {
    let mut failure = BatchItemFailure::default();
    failure.item_identifier = id;
    failure
}

fn wake_up(message: &SqsMessage) -> Option<WakeUp> {
    let parsed = serde_json::from_str(message.body.as_deref().unwrap_or_default());
    // What it holds is not repeated: it is not ours.
    parsed.inspect_err(|_| tracing::error!(message_id = message.message_id, "a message is no wake-up")).ok()
}
