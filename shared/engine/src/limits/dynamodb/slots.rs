//! Slots of a tool with a rate-limited upstream: the maximum number of concurrent calls in the fleet.
//!
//! The slot of a holder that dies is released at its expiry, which is checked here and not left to the table's TTL,
//! which deletes days later. An expiry further ahead than the duration of a slot was written by a wrong clock, and
//! counts as expired.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};

use super::{Item, LimitsTable, TableError, Updated, now_ms, number, send, too_far};
use crate::limits::slots::{Slot, SlotError, Slots};

/// Maximum number of attempts at a slot while others change the item concurrently.
const MAX_UPDATE_ATTEMPTS: u32 = 20;

impl LimitsTable {
    async fn add_slot(&self, tool: &str, limit: usize, longest: Duration) -> Result<Option<Slot>, TableError> {
        let holder = uuid::Uuid::new_v4().simple().to_string();
        for _ in 0..MAX_UPDATE_ATTEMPTS {
            let now = now_ms();
            let expires = now.saturating_add(i64::try_from(longest.as_millis()).unwrap_or(i64::MAX));
            match self.add_holder(tool, &holder, limit, expires).await? {
                Updated::Done(_) => return Ok(Some(Slot { name: tool.to_owned(), holder })),
                // No item exists yet.
                Updated::Refused(None) => self.begin_slots(tool).await?,
                Updated::Refused(Some(item)) => match expired(&item, now, too_far(now, longest)) {
                    Some(dead) => self.drop_holder(tool, &dead.0, Some(dead.1)).await?,
                    None if holders(&item).is_none() => self.begin_slots(tool).await?,
                    None => return Ok(None),
                },
            }
        }
        Ok(None)
    }

    async fn add_holder(&self, tool: &str, holder: &str, limit: usize, expires: i64) -> Result<Updated, TableError> {
        let update = self.update("slots", tool).await;
        let update = update
            .update_expression("SET holders.#holder = :expires")
            .condition_expression(
                "attribute_exists(holders.#holder) OR attribute_exists(holders) AND size(holders) < :limit",
            )
            .expression_attribute_names("#holder", holder)
            .expression_attribute_values(":expires", number(expires))
            .expression_attribute_values(":limit", number(i64::try_from(limit).unwrap_or(i64::MAX)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        send(update).await
    }

    async fn begin_slots(&self, tool: &str) -> Result<(), TableError> {
        let update = self.update("slots", tool).await;
        let update = update
            .update_expression("SET holders = :none")
            .condition_expression("attribute_not_exists(holders)")
            .expression_attribute_values(":none", AttributeValue::M(Item::new()));
        send(update).await.map(|_| ())
    }

    /// Removes a holder; with `expires`, only if it still has this expiry.
    async fn drop_holder(&self, tool: &str, holder: &str, expires: Option<i64>) -> Result<(), TableError> {
        let update = self.update("slots", tool).await;
        let update = update.update_expression("REMOVE holders.#holder").expression_attribute_names("#holder", holder);
        let update = match expires {
            Some(expires) => update
                .condition_expression("holders.#holder = :expires")
                .expression_attribute_values(":expires", number(expires)),
            None => update.condition_expression("attribute_exists(holders.#holder)"),
        };
        send(update).await.map(|_| ())
    }
}

fn unavailable(error: TableError) -> SlotError {
    SlotError(Box::new(error))
}

#[async_trait]
impl Slots for LimitsTable {
    async fn take_slot(&self, name: &str, limit: usize, ttl: Duration) -> Result<Option<Slot>, SlotError> {
        self.add_slot(name, limit, ttl).await.map_err(unavailable)
    }

    async fn release_slot(&self, slot: &Slot) -> Result<(), SlotError> {
        self.drop_holder(&slot.name, &slot.holder, None).await.map_err(unavailable)
    }
}

fn holders(item: &Item) -> Option<&Item> {
    item.get("holders")?.as_m().ok()
}

/// A holder whose slot has expired.
fn expired(item: &Item, now: i64, too_far: i64) -> Option<(String, i64)> {
    holders(item)?.iter().find_map(|(holder, expires)| {
        let expires = expires.as_n().ok()?.parse().ok()?;
        (expires < now || expires > too_far).then(|| (holder.clone(), expires))
    })
}
