//! A database opened as the role of programs, prepared for it by the owner where that is needed.

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use super::{DatabaseRole, RULES, grant};
use crate::db::{DbError, connect, is_current, migrate, version};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreparedDatabase {
    /// The version of the schema before; 0 when there was none.
    pub from: i64,
    /// The version of the schema now.
    pub to: i64,
}

/// Brings the schema up to date, then the privileges of the role of programs, where there is one. The pool is the
/// owner's.
pub async fn prepare(owner: &PgPool, role: Option<&DatabaseRole>) -> Result<PreparedDatabase, DbError> {
    let from = version(owner).await?;
    migrate(owner).await?;
    if let Some(role) = role {
        grant(owner, role).await?;
    }
    Ok(PreparedDatabase { from, to: version(owner).await? })
}

/// A small pool of the role of programs. `owner` is the way of who owns the tables to the same database: it is taken
/// only where the role, its privileges or the schema are not there yet or are older than this program, and left again.
pub async fn connect_as(role: &DatabaseRole, owner: PgConnectOptions, max_connections: u32) -> Result<PgPool, DbError> {
    let options = role.log_in(owner.clone());
    match connect(options.clone(), max_connections).await {
        Ok(pool) => match is_prepared(&pool).await {
            Ok(true) => return Ok(pool),
            Ok(false) | Err(DbError::Refused(_)) => pool.close().await,
            Err(error) => return Err(error),
        },
        // Not there yet, with another password, or not let into this database.
        Err(DbError::Denied(_) | DbError::Refused(_)) => {}
        Err(error) => return Err(error),
    }
    let owner = connect(owner, 2).await?;
    let prepared = prepare(&owner, Some(role)).await;
    owner.close().await;
    prepared?;
    connect(options, max_connections).await
}

/// Whether the schema is this program's, and the role that asks was granted its privileges on it.
async fn is_prepared(pool: &PgPool) -> Result<bool, DbError> {
    if !is_current(pool).await? {
        return Ok(false);
    }
    let granted: Option<(i32, i64)> =
        sqlx::query_as("select rules, schema_version from program_roles where role_name = current_user")
            .fetch_optional(pool)
            .await?;
    let Some((rules, of)) = granted else { return Ok(false) };
    Ok(rules >= RULES && of >= version(pool).await?)
}
