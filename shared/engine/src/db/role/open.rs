//! Opens a database as the role of programs, after the owner has prepared it if necessary.

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use super::{DatabaseRole, RULES, grant};
use crate::db::{DbError, connect, is_current, migrate, version};

/// Result of the preparation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreparedDatabase {
    /// Version of the schema before; 0 if there was none.
    pub from: i64,
    /// Version of the schema now.
    pub to: i64,
}

/// Updates the schema, then the privileges of the role of programs, if there is one. The pool is the owner's.
pub async fn prepare(owner: &PgPool, role: Option<&DatabaseRole>) -> Result<PreparedDatabase, DbError> {
    let from = version(owner).await?;
    migrate(owner).await?;
    if let Some(role) = role {
        grant(owner, role).await?;
    }
    Ok(PreparedDatabase { from, to: version(owner).await? })
}

/// A small pool of the role of programs. `owner` are the options of the tables' owner for the same database: they are
/// used only if the role, its privileges or the schema are missing or older than this program.
pub async fn connect_as(role: &DatabaseRole, owner: PgConnectOptions, max_connections: u32) -> Result<PgPool, DbError> {
    let options = role.log_in(owner.clone());
    match connect(options.clone(), max_connections).await {
        Ok(pool) => match is_prepared(&pool).await {
            Ok(true) => return Ok(pool),
            Ok(false) | Err(DbError::Refused(_)) => pool.close().await,
            Err(error) => return Err(error),
        },
        // The role does not exist yet, has another password, or has no access to this database.
        Err(DbError::Denied(_) | DbError::Refused(_)) => {}
        Err(error) => return Err(error),
    }
    let owner = connect(owner, 2).await?;
    let prepared = prepare(&owner, Some(role)).await;
    owner.close().await;
    prepared?;
    connect(options, max_connections).await
}

/// Whether the schema is that of this program, and the current role was granted its privileges.
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
