//! Leases as rows of Postgres. The time is that of the database, so that the clocks of holders do not matter.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;

use super::leases::{LeaseError, Leases, MAX_CLOCK_ERROR, NamedLease};
use crate::db::DbError;
use bio_mcp_core::host;

/// Leases of a deployment, in its database.
#[derive(Clone, Debug)]
pub struct PostgresLeases(pub PgPool);

fn unavailable(error: sqlx::Error) -> LeaseError {
    LeaseError(Box::new(DbError::from(error)))
}

#[async_trait]
impl Leases for PostgresLeases {
    async fn acquire(&self, name: &str, ttl: Duration) -> Result<Option<NamedLease>, LeaseError> {
        let token: Option<i64> = sqlx::query_scalar(include_str!("acquire_lease.sql"))
            .bind(name)
            .bind(host::name())
            .bind(ttl.as_secs_f64())
            .bind(MAX_CLOCK_ERROR.as_secs_f64())
            .fetch_optional(&self.0)
            .await
            .map_err(unavailable)?;
        Ok(token.map(|token| NamedLease { name: name.to_owned(), fence: name.to_owned(), token }))
    }

    async fn renew(&self, lease: &NamedLease, ttl: Duration) -> Result<bool, LeaseError> {
        let sql = "update leases set expires_at = clock_timestamp() + make_interval(secs => $3), ttl = $3 \
                   where name = $1 and token = $2 and holder is not null";
        let renewed = sqlx::query(sql)
            .bind(&lease.name)
            .bind(lease.token)
            .bind(ttl.as_secs_f64())
            .execute(&self.0)
            .await
            .map_err(unavailable)?;
        Ok(renewed.rows_affected() == 1)
    }

    async fn release(&self, lease: &NamedLease) -> Result<(), LeaseError> {
        let sql = "update leases set expires_at = null, holder = null where name = $1 and token = $2";
        sqlx::query(sql).bind(&lease.name).bind(lease.token).execute(&self.0).await.map_err(unavailable)?;
        Ok(())
    }
}
