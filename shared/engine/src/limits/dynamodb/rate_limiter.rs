//! Reservations of request starts: one item, evenly spaced starts, no bursts.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};

use super::{LimitsTable, TableError, Updated, now_ms, number, read_number, send};
use crate::limits::rate_limiter::{MAX_PAUSE, Reservation, Reservations, SharedRateLimiter};
use bio_mcp_core::rate_limiter::{RateLimiterError, gap};

/// Maximum number of attempts at a reservation while others change the item concurrently.
const MAX_UPDATE_ATTEMPTS: u32 = 100;

/// The rate limiter of one server, with reservations in DynamoDB. Without the table no request is made.
pub type DynamoRateLimiter = SharedRateLimiter<DynamoReservations>;

impl DynamoRateLimiter {
    /// The rate limiter of `upstream` (a short name) for `per_second` requests a second.
    pub fn new(table: LimitsTable, upstream: impl Into<String>, per_second: u32) -> Self {
        let gap_ms = i64::try_from(gap(per_second).as_micros().div_ceil(1000)).unwrap_or(i64::MAX);
        Self(DynamoReservations {
            table,
            upstream: upstream.into(),
            gap_ms,
            patience: MAX_PAUSE,
            ahead: Mutex::default(),
        })
    }

    /// Sets how long an item that is too far ahead is respected.
    #[must_use]
    pub fn patient_for(mut self, patience: Duration) -> Self {
        self.0.patience = patience;
        self
    }
}

/// The reservations of one server.
#[derive(Debug)]
pub struct DynamoReservations {
    table: LimitsTable,
    upstream: String,
    gap_ms: i64,
    patience: Duration,
    /// An item further ahead than any reservation or pause, and when it was first seen with this value.
    ahead: Mutex<Option<(i64, Instant)>>,
}

impl DynamoReservations {
    /// Whether a clock that was ahead wrote the item: it is further ahead than any reservation or pause, and has not
    /// changed since it was first seen. The table has no clock of its own. If the clock of this process is behind
    /// instead, reservations of others change the item, and it is left unchanged.
    fn is_wrong(&self, next: i64, now: i64) -> bool {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if next <= now.saturating_add(millis(MAX_PAUSE)).saturating_add(self.gap_ms) {
            *ahead = None;
            return false;
        }
        match *ahead {
            Some((seen, since)) if seen == next => since.elapsed() >= self.patience,
            _ => {
                *ahead = Some((next, Instant::now()));
                self.patience.is_zero()
            }
        }
    }

    /// Pulls an item back to the present, unless it has changed.
    async fn pull_back(&self, next: i64, now: i64) -> Result<(), TableError> {
        let update = self.table.update("pace", &self.upstream).await;
        let update = update
            .update_expression("SET next_ms = :now")
            .condition_expression("next_ms = :seen")
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":seen", number(next));
        if let Updated::Done(_) = send(update).await? {
            let (upstream, secs) = (&self.upstream, (next - now) / 1000);
            tracing::warn!(
                upstream,
                secs,
                "reservations were in the future because of a wrong clock: they were corrected"
            );
        }
        Ok(())
    }

    /// Reserves the start after all reserved ones, if any: an addition does not conflict with concurrent ones.
    async fn queue_up(&self, now: i64, latest: i64) -> Result<Updated, TableError> {
        let update = self.table.update("pace", &self.upstream).await;
        let update = update
            .update_expression("SET next_ms = next_ms + :gap")
            .condition_expression("next_ms BETWEEN :now AND :latest")
            .expression_attribute_values(":gap", number(self.gap_ms))
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":latest", number(latest))
            .return_values(ReturnValue::UpdatedNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        send(update).await
    }

    /// Reserves an immediate start, if none is reserved.
    async fn begin(&self, now: i64) -> Result<Updated, TableError> {
        let update = self.table.update("pace", &self.upstream).await;
        let update = update
            .update_expression("SET next_ms = :next")
            .condition_expression("attribute_not_exists(next_ms) OR next_ms < :now")
            .expression_attribute_values(":next", number(now + self.gap_ms))
            .expression_attribute_values(":now", number(now));
        send(update).await
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn unavailable(error: TableError) -> RateLimiterError {
    RateLimiterError::Unavailable(Box::new(error))
}

#[async_trait]
impl Reservations for DynamoReservations {
    async fn reserve(&self, longest: Duration) -> Result<Option<Reservation>, RateLimiterError> {
        for _ in 0..MAX_UPDATE_ATTEMPTS {
            let (sent_at, now) = (Instant::now(), now_ms());
            let latest = now.saturating_add(millis(longest));
            // A reservation that has passed before the response was received is late by the difference.
            let reservation = |start: i64| {
                let start_at = sent_at + Duration::from_millis(u64::try_from(start - now).unwrap_or(0));
                Reservation { start_at, lateness: Duration::ZERO }
            };
            match self.queue_up(now, latest).await.map_err(unavailable)? {
                Updated::Done(item) => {
                    let next = read_number(Some(&item), "next_ms").unwrap_or(latest);
                    return Ok(Some(reservation(next - self.gap_ms)));
                }
                Updated::Refused(item) => match read_number(item.as_ref(), "next_ms") {
                    Some(next) if self.is_wrong(next, now) => {
                        self.pull_back(next, now).await.map_err(unavailable)?;
                        continue;
                    }
                    Some(next) if next > latest => return Ok(None),
                    _ => {}
                },
            }
            if let Updated::Done(_) = self.begin(now).await.map_err(unavailable)? {
                return Ok(Some(reservation(now)));
            }
        }
        Err(unavailable(TableError(crate::aws::AwsError::of("the item is changed too often by others"))))
    }

    async fn pause_for(&self, pause: Duration) -> Result<(), RateLimiterError> {
        let until = now_ms().saturating_add(millis(pause));
        let update = self.table.update("pace", &self.upstream).await;
        let update = update
            .update_expression("SET next_ms = :until")
            .condition_expression("attribute_not_exists(next_ms) OR next_ms < :until")
            .expression_attribute_values(":until", number(until));
        // A failed condition means that the present pause is longer.
        send(update).await.map(|_| ()).map_err(unavailable)
    }
}
