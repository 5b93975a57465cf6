//! Postgres: the pool, the schema, and what its errors mean.

mod access;
mod kept;
mod options;
mod role;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgPool, Postgres, Transaction};

pub use access::{Access, Renew};
pub use kept::Kept;
pub use options::{OptionsError, options};
pub use role::{Role, grant};

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
    /// The schema is older than this program: the migrations are to be run first.
    #[error("the database schema is older than this program: run the migrations (the function migrate does)")]
    Behind,
    /// The server does not know the user, or not with this password.
    #[error("the database refused the user or the password")]
    Denied(#[source] sqlx::Error),
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
                Some("28P01" | "28000") => Self::Denied(error),
                _ => Self::Refused(error),
            },
            _ => Self::Refused(error),
        }
    }
}

/// A connection idle for less is taken as alive.
const FRESH: Duration = Duration::from_secs(1);

/// What every session is set to: no statement runs longer than a minute, no transaction idles.
const SESSION: [(&str, &str); 5] = [
    ("statement_timeout", "60s"),
    ("idle_in_transaction_session_timeout", "120s"),
    ("lock_timeout", "30s"),
    ("timezone", "UTC"),
    // The statements are small: compiling them takes longer than running them.
    ("jit", "off"),
];

/// A small pool, connected.
pub async fn connect(options: PgConnectOptions, max_connections: u32) -> Result<PgPool, DbError> {
    Ok(pool(max_connections).connect_with(options.application_name("bio-mcp").options(SESSION)).await?)
}

/// A small pool that connects when it is first used. Its role has the session's settings, see [`set_role`]: proxies
/// accept none at the start of a connection.
pub fn connect_lazily(options: PgConnectOptions, max_connections: u32) -> PgPool {
    // A function that waits is paid for, and API Gateway waits half a minute.
    pool(max_connections).acquire_timeout(Duration::from_secs(3)).connect_lazy_with(options.application_name("bio-mcp"))
}

/// Gives the settings of a session to the role that asks, for this database.
pub async fn set_role(pool: &PgPool) -> Result<(), DbError> {
    for (name, value) in SESSION {
        // Neither can be a bind parameter; both are constants of the program.
        let sql = format!(
            "do $$ begin execute format('alter role %I in database %I set {name} = ''{value}''', current_user, \
             current_database()); end $$"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(pool).await?;
    }
    Ok(())
}

fn pool(max_connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(Duration::from_secs(10))
        // It was there a moment ago: only one that lay idle is asked whether it still is.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move { Ok(meta.idle_for < FRESH || connection.ping().await.is_ok()) })
        })
}

/// Begins a transaction, which is rolled back unless it is committed; the only way to begin one here.
///
/// It begins in a task of its own: a caller that goes away between the server's `BEGIN` and sqlx's taking note of
/// it would leave the pool a connection in a transaction that nobody knows of.
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, DbError> {
    let pool = pool.clone();
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    let begun = tokio::spawn(async move { pool.begin().await }).await;
    Ok(begun.unwrap_or(Err(sqlx::Error::WorkerCrashed))?)
}

/// Brings the schema up to date; a newer schema than this program's is accepted, because
/// migrations only add.
pub async fn migrate(pool: &PgPool) -> Result<(), DbError> {
    let mut migrator = sqlx::migrate::Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
    migrator.set_ignore_missing(true);
    migrator.run(pool).await.map_err(DbError::Schema)
}

/// The version of the schema that is there; 0 when there is none.
pub async fn version(pool: &PgPool) -> Result<i64, DbError> {
    let there: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(pool).await?;
    if !there {
        return Ok(0);
    }
    let version = "select coalesce(max(version), 0) from _sqlx_migrations where success";
    Ok(sqlx::query_scalar(version).fetch_one(pool).await?)
}

/// Whether the database answers, and the schema is at least the one this program was built for.
pub async fn check(pool: &PgPool) -> Result<bool, DbError> {
    let built_for = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    Ok(version(pool).await? >= built_for)
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
