//! Limits that hold for all programs of a deployment together, wherever they are kept.

use std::sync::Arc;

use bio_mcp_core::rate_limiter::RateLimiter;
use sqlx::PgPool;

use super::leases::Leases;
use super::postgres_leases::PostgresLeases;
use super::postgres_rate_limiter::PostgresRateLimiter;
use super::slots::Slots;

/// Where a deployment keeps its limits.
pub trait SharedLimits: Send + Sync {
    /// The pace of requests to a server (a short name), with `per_second` of them.
    fn rate_limiter(&self, upstream: &str, per_second: u32) -> Arc<dyn RateLimiter>;

    /// What only one program may do at a time.
    fn leases(&self) -> Arc<dyn Leases>;

    /// How many programs may do the same at a time; nothing where each process counts for itself.
    fn slots(&self) -> Option<Arc<dyn Slots>>;
}

/// Limits in the database of a deployment. It keeps no slots: few processes share it, and each has limits of its own.
#[derive(Clone, Debug)]
pub struct PostgresLimits(pub PgPool);

impl SharedLimits for PostgresLimits {
    fn rate_limiter(&self, upstream: &str, per_second: u32) -> Arc<dyn RateLimiter> {
        Arc::new(PostgresRateLimiter::new(self.0.clone(), upstream, per_second))
    }

    fn leases(&self) -> Arc<dyn Leases> {
        Arc::new(PostgresLeases(self.0.clone()))
    }

    fn slots(&self) -> Option<Arc<dyn Slots>> {
        None
    }
}
