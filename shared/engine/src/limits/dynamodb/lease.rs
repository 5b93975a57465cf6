//! Leases as items of the table.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

use super::{LimitsTable, TableError, Updated, now_ms, number, read_number, send, too_far};
use crate::limits::leases::{LeaseError, Leases, NamedLease};

/// A lease may be taken if it is free, has expired, was acquired or renewed more than a minute in the future, or is the
/// caller's own. Items of an older program have no `since_ms`; then a lease that lasts longer than the caller's counts
/// as expired.
const MAY_BE_TAKEN: &str = "attribute_not_exists(expires_ms) OR expires_ms < :now OR since_ms > :ahead \
     OR (attribute_not_exists(since_ms) AND expires_ms > :far) OR #owner = :owner";

fn until(longest: Duration) -> i64 {
    now_ms().saturating_add(i64::try_from(longest.as_millis()).unwrap_or(i64::MAX))
}

impl LimitsTable {
    /// A lease that was acquired or renewed more than a minute in the future was written by a clock that was ahead, and
    /// counts as expired, regardless of its requested duration.
    async fn take_lease(&self, name: &str, longest: Duration) -> Result<Option<NamedLease>, TableError> {
        // Unique, because the SDK retries when the response is lost: the retry must recognise its own lease.
        let owner = uuid::Uuid::new_v4().simple().to_string();
        let update = self.update("lease", name).await;
        // Tokens of a recreated table are greater than those of the deleted one: there are fewer holders than
        // milliseconds.
        let update = update
            .update_expression(
                "SET #owner = :owner, expires_ms = :until, since_ms = :now, \
                 version = if_not_exists(version, :now) + :one",
            )
            .condition_expression(MAY_BE_TAKEN)
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", AttributeValue::S(owner))
            .expression_attribute_values(":until", number(until(longest)))
            .expression_attribute_values(":now", number(now_ms()))
            .expression_attribute_values(":ahead", number(too_far(now_ms(), Duration::ZERO)))
            .expression_attribute_values(":far", number(too_far(now_ms(), longest)))
            .expression_attribute_values(":one", number(1))
            .return_values(ReturnValue::UpdatedNew);
        Ok(match send(update).await? {
            Updated::Done(item) => {
                let token = read_number(Some(&item), "version");
                token.map(|token| NamedLease { name: name.to_owned(), fence: format!("dynamodb/{name}"), token })
            }
            Updated::Refused(_) => None,
        })
    }

    async fn change_lease(&self, lease: &NamedLease, expires: i64) -> Result<bool, TableError> {
        let update = self.update("lease", &lease.name).await;
        let update = update
            .update_expression("SET expires_ms = :until, since_ms = :now")
            .condition_expression("version = :version AND expires_ms > :released")
            .expression_attribute_values(":until", number(expires))
            .expression_attribute_values(":now", number(now_ms()))
            .expression_attribute_values(":version", number(lease.token))
            .expression_attribute_values(":released", number(0));
        Ok(matches!(send(update).await?, Updated::Done(_)))
    }
}

fn unavailable(error: TableError) -> LeaseError {
    LeaseError(Box::new(error))
}

#[async_trait]
impl Leases for LimitsTable {
    async fn acquire(&self, name: &str, ttl: Duration) -> Result<Option<NamedLease>, LeaseError> {
        self.take_lease(name, ttl).await.map_err(unavailable)
    }

    async fn renew(&self, lease: &NamedLease, ttl: Duration) -> Result<bool, LeaseError> {
        self.change_lease(lease, until(ttl)).await.map_err(unavailable)
    }

    async fn release(&self, lease: &NamedLease) -> Result<(), LeaseError> {
        self.change_lease(lease, 0).await.map(|_| ()).map_err(unavailable)
    }
}
