//! Postgres: the pool, the schema, and what its errors mean.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgPool};

/// The schema this program was built for.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// A database call failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The server cannot be reached, is starting or stopping, or dropped the connection. The
    /// outcome of a commit may be unknown: read before writing again.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// The server chose this transaction as a deadlock victim or could not serialise it.
    #[error("the database asks to run the transaction again")]
    Conflict(#[source] sqlx::Error),
    /// The database has no room left.
    #[error("the database is out of disk space: free some and run again, committed batches are kept")]
    Full(#[source] sqlx::Error),
    /// The schema is not the one this program needs.
    #[error("the database schema cannot be brought up to date")]
    Schema(#[source] sqlx::migrate::MigrateError),
    /// A statement was refused: a bug, or a database changed by hand.
    #[error("the database refused a statement")]
    Refused(#[source] sqlx::Error),
}

impl DbError {
    /// Whether the same work may succeed when it is tried again.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Conflict(_))
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => {
                Self::Unreachable(error)
            }
            E::Database(db) => match db.code().as_deref() {
                // Admin shutdown, crash shutdown, starting up; connection exceptions; read-only after a failover.
                Some(code)
                    if code.starts_with("57P") || code.starts_with("08") || code == "25006" || code == "53300" =>
                {
                    Self::Unreachable(error)
                }
                // Also out of memory, a statement or an idle transaction that took too long.
                Some("40001" | "40P01" | "55P03" | "57014" | "25P03" | "53200") => Self::Conflict(error),
                Some(code) if code.starts_with("53") => Self::Full(error),
                _ => Self::Refused(error),
            },
            _ => Self::Refused(error),
        }
    }
}

/// A connection idle for less is taken as alive.
const FRESH: Duration = Duration::from_secs(1);

/// A small pool. No statement runs longer than a minute, no transaction idles.
///
/// A connection given back inside a transaction (its future was dropped) is rolled back before
/// anyone else gets it.
pub async fn connect(options: PgConnectOptions, max_connections: u32) -> Result<PgPool, DbError> {
    let options = options.application_name("bio-mcp").options([
        ("statement_timeout", "60s"),
        ("idle_in_transaction_session_timeout", "120s"),
        ("lock_timeout", "30s"),
        ("timezone", "UTC"),
        // The statements are small: compiling them takes longer than running them.
        ("jit", "off"),
        // Rolling back a connection that is in no transaction is worth no notice.
        ("client_min_messages", "error"),
    ]);
    let pool = PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(Duration::from_secs(10))
        .after_release(|connection, _| Box::pin(async move { connection.execute("rollback").await.map(|_| true) }))
        // It was there a moment ago: only one that lay idle is asked whether it still is.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move { Ok(meta.idle_for < FRESH || connection.ping().await.is_ok()) })
        })
        .connect_with(options)
        .await?;
    Ok(pool)
}

/// Brings the schema up to date; a newer schema than this program's is accepted, because
/// migrations only add.
pub async fn migrate(pool: &PgPool) -> Result<(), DbError> {
    let mut migrator = sqlx::migrate::Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
    migrator.set_ignore_missing(true);
    migrator.run(pool).await.map_err(DbError::Schema)
}

/// Whether the database answers, and the schema is at least the one this program was built for.
pub async fn check(pool: &PgPool) -> Result<bool, DbError> {
    let built_for = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    let there: Option<i64> =
        sqlx::query_scalar("select max(version) from _sqlx_migrations where success").fetch_one(pool).await?;
    Ok(there.is_some_and(|there| there >= built_for))
}

/// Creates a database of a server where it does not exist; `options` lead to another one.
pub async fn ensure_database(options: PgConnectOptions, name: &'static str) -> Result<(), DbError> {
    use sqlx::{AssertSqlSafe, ConnectOptions};
    let mut connection = options.connect().await?;
    let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        // A name cannot be a bind parameter; this one is a constant of the program.
        sqlx::query(AssertSqlSafe(format!("create database {name}"))).execute(&mut connection).await?;
    }
    Ok(connection.close().await?)
}
