//! Leases: what only one of a fleet may do at a time.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

use super::{LimitsTable, TableError, Updated, now_ms, number, read_number, send, too_far};

/// A held lease. Its version grows with every holder: a fencing token for whatever it protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    name: String,
    /// The version that is held.
    pub version: i64,
}

fn until(longest: Duration) -> i64 {
    now_ms().saturating_add(i64::try_from(longest.as_millis()).unwrap_or(i64::MAX))
}

impl LimitsTable {
    /// The lease of a name for so long; nothing while another holds it. One that runs longer than that by more than a
    /// minute was written by a clock that was ahead, and is over.
    pub async fn take_lease(&self, name: &str, longest: Duration) -> Result<Option<Lease>, TableError> {
        // Its own: when the answer is lost, the SDK asks again, and must not find itself in the way.
        let owner = uuid::Uuid::new_v4().simple().to_string();
        let update = self.update("lease", name).await;
        let update = update
            .update_expression("SET #owner = :owner, expires_ms = :until ADD version :one")
            .condition_expression(
                "attribute_not_exists(expires_ms) OR expires_ms < :now OR expires_ms > :far OR #owner = :owner",
            )
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", AttributeValue::S(owner))
            .expression_attribute_values(":until", number(until(longest)))
            .expression_attribute_values(":now", number(now_ms()))
            .expression_attribute_values(":far", number(too_far(now_ms(), longest)))
            .expression_attribute_values(":one", number(1))
            .return_values(ReturnValue::UpdatedNew);
        Ok(match send(update).await? {
            Updated::Done(item) => {
                let version = read_number(Some(&item), "version");
                version.map(|version| Lease { name: name.to_owned(), version })
            }
            Updated::Refused(_) => None,
        })
    }

    /// Holds a lease for so long from now on; false when another process has it.
    pub async fn renew_lease(&self, lease: &Lease, longest: Duration) -> Result<bool, TableError> {
        self.change_lease(lease, until(longest)).await
    }

    /// Gives a lease back; that of another process is left alone.
    pub async fn end_lease(&self, lease: &Lease) -> Result<(), TableError> {
        self.change_lease(lease, 0).await.map(|_| ())
    }

    async fn change_lease(&self, lease: &Lease, expires: i64) -> Result<bool, TableError> {
        let update = self.update("lease", &lease.name).await;
        let update = update
            .update_expression("SET expires_ms = :until")
            .condition_expression("version = :version")
            .expression_attribute_values(":until", number(expires))
            .expression_attribute_values(":version", number(lease.version));
        Ok(matches!(send(update).await?, Updated::Done(_)))
    }
}
