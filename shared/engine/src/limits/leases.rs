//! Leases: for work that only one process of a deployment may do at a time, such as a tick or a batch of dependent
//! steps.
//!
//! A lease expires, so that a holder that died blocks no other; but a holder that was only slow may find that another
//! has taken over. Therefore each holder has a fencing token that is greater than those of all earlier holders, and
//! passes it to [`fence`] in every transaction that writes what the lease protects. A holder that reads before it
//! writes also does so in a transaction before it reads: from then on, no earlier holder can write.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgConnection;

use crate::db::DbError;

/// A lease that expires later than its own holder requested by more than this was written by a clock that was ahead,
/// and counts as expired.
pub(super) const MAX_CLOCK_ERROR: Duration = Duration::from_secs(60);

/// A held lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedLease {
    /// Name of the lease.
    pub(super) name: String,
    /// Name under which tokens are compared: tokens of different stores of leases are unrelated.
    pub(super) fence: String,
    /// Greater than that of every earlier holder.
    pub(super) token: i64,
}

impl NamedLease {
    /// Name of the lease.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The fencing token: greater than that of every earlier holder.
    pub fn token(&self) -> i64 {
        self.token
    }
}

/// Leases cannot be acquired or changed now.
#[derive(Debug, thiserror::Error)]
#[error("leases are unavailable")]
pub struct LeaseError(#[source] pub(super) Box<dyn std::error::Error + Send + Sync>);

/// A store of leases.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Acquires the lease of a name for `ttl`; returns none while another process holds it.
    async fn acquire(&self, name: &str, ttl: Duration) -> Result<Option<NamedLease>, LeaseError>;

    /// Extends a lease to `ttl` from now; returns false if another process has it.
    async fn renew(&self, lease: &NamedLease, ttl: Duration) -> Result<bool, LeaseError>;

    /// Releases a lease; does nothing if another process has it.
    async fn release(&self, lease: &NamedLease) -> Result<(), LeaseError>;
}

/// Whether the holder of a lease may write in this transaction: no later holder has passed its token here in a
/// committed one. Until this transaction ends, none can, and a lease in Postgres is not taken over. If it returns
/// false, roll back.
pub async fn fence(tx: &mut PgConnection, lease: &NamedLease) -> Result<bool, DbError> {
    let fenced = sqlx::query(include_str!("fence_lease.sql")).bind(&lease.fence).bind(lease.token).execute(tx).await?;
    Ok(fenced.rows_affected() == 1)
}
