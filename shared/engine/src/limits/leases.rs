//! Leases: what only one process of a deployment may do at a time, such as a tick or a batch whose steps belong
//! together.
//!
//! A lease runs out by itself, so that a holder that dies keeps no other waiting; and so a holder that was only slow may
//! find that another has taken over. Therefore each holder has a token that is greater than those of all before it, and
//! names it in every transaction that writes what the lease protects: [`fence`]. A holder that reads before it writes
//! names it in a transaction before it reads, too: from then on no earlier holder can write.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgConnection;

use crate::db::DbError;

/// A lease that runs longer than it was asked for by more than this was written by a clock that was ahead, and is over.
pub(super) const MAX_CLOCK_ERROR: Duration = Duration::from_secs(60);

/// A held lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What it is for.
    pub(super) name: String,
    /// Its name where tokens are compared: tokens of two places where leases are kept have nothing to do with each
    /// other.
    pub(super) fence: String,
    /// Greater than that of every earlier holder.
    pub(super) token: i64,
}

impl Lease {
    /// What it is for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The fencing token: greater than that of every earlier holder.
    pub fn token(&self) -> i64 {
        self.token
    }
}

/// Leases cannot be had or changed now.
#[derive(Debug, thiserror::Error)]
#[error("leases cannot be reached")]
pub struct LeaseError(#[source] pub(super) Box<dyn std::error::Error + Send + Sync>);

/// Where leases are kept.
#[async_trait]
pub trait Leases: Send + Sync {
    /// The lease of a name for `ttl`; nothing while another holds it.
    async fn acquire(&self, name: &str, ttl: Duration) -> Result<Option<Lease>, LeaseError>;

    /// Holds a lease for `ttl` from now on; false when another has it.
    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<bool, LeaseError>;

    /// Gives a lease back; that of another holder is left alone.
    async fn release(&self, lease: &Lease) -> Result<(), LeaseError>;
}

/// Whether the holder of a lease may write in this transaction: no later holder has named its token in one that is
/// committed. Until this one ends, none can, and no lease that is kept in Postgres is taken over. Where it is false, roll
/// back.
pub async fn fence(tx: &mut PgConnection, lease: &Lease) -> Result<bool, DbError> {
    let fenced = sqlx::query(include_str!("fence_lease.sql")).bind(&lease.fence).bind(lease.token).execute(tx).await?;
    Ok(fenced.rows_affected() == 1)
}
