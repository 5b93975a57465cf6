//! Postgres: the pool, the schema, and the meaning of its errors.

mod access;
mod announcements;
pub mod clock;
mod listen;
mod options;
mod patient;
mod pooler;
mod refusal;
mod relay;
mod role;
mod session;
mod sticky_connections;
mod transfer;

use std::borrow::Cow;
use std::time::{Duration, Instant};

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgPool, Postgres, Transaction};
use tokio::time::timeout;

pub use access::{Access, Renew};
pub use announcements::{Announcements, Subscription};
pub use listen::NotificationListener;
pub use options::{DatabaseSettings, OptionsError, options};
pub use patient::{Patient, patient};
pub use pooler::refuse_transaction_pooler;
use relay::Relay;
pub use role::{DatabaseRole, PreparedDatabase, connect_as, grant, prepare};
pub use session::set_role;
pub use sticky_connections::StickyConnections;

/// The schema that this program requires.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// A database call failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The server cannot be reached, is starting or stopping, or dropped the connection. The
    /// outcome of a commit may be unknown: read before writing again.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// The server chose this transaction as a deadlock victim or could not serialise it.
    #[error("the database requires a retry of the transaction")]
    Conflict(#[source] sqlx::Error),
    /// The database is out of resources.
    #[error("the database is out of disk space: free some and run again, committed batches are kept")]
    Full(#[source] sqlx::Error),
    /// The schema is not the one this program needs.
    #[error("the database schema cannot be brought up to date")]
    Schema(#[source] sqlx::migrate::MigrateError),
    /// The schema is older than this program: the migrations must be run first.
    #[error(
        "the database schema is older than this program, and this user may not change it: run the migrations as the owner \
         of the tables (the function migrate, or `bio-mcp db migrate`)"
    )]
    Behind,
    /// The role that programs should log in as may do more than read and write rows.
    #[error("programs must not log in as the role {role}: {powers}")]
    PowerfulRole {
        role: String,
        /// The additional privileges.
        powers: String,
    },
    /// A pooler that changes the session between transactions.
    #[error(
        "the pooler in front of the database gives each transaction another session: set its pool_mode to session, or \
         connect to the server itself"
    )]
    TransactionPooler,
    /// The server refuses the user or the password.
    #[error("the database refused the user or the password")]
    Denied(#[source] sqlx::Error),
    /// A statement was refused: a bug, or a database that was changed manually.
    #[error("the database refused a statement")]
    Refused(#[source] sqlx::Error),
}

impl DbError {
    /// Whether the same work may succeed later.
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
                // Also out of memory, and timeouts of statements and idle transactions.
                Some("40001" | "40P01" | "55P03" | "57014" | "25P03" | "53200") => Self::Conflict(error),
                Some(code) if code.starts_with("53") => Self::Full(error),
                Some("28P01" | "28000") => Self::Denied(error),
                _ => Self::Refused(error),
            },
            _ => Self::Refused(error),
        }
    }
}

/// A connection that was idle for less is assumed to work.
const ALIVE_WITHOUT_PROBE: Duration = Duration::from_secs(1);

/// Time limit of the check of an idle connection, and of a released one's running statement.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// A small pool with a connection; the server may be behind a pooler of sessions, but not of transactions.
pub async fn connect(options: PgConnectOptions, max_connections: u32) -> Result<PgPool, DbError> {
    let pool = pool(max_connections)
        .after_connect(|connection, _| Box::pin(async move { session::set(connection, session::SESSION).await }));
    let (pool, relay) = relayed(pool, options);
    refuse_transaction_pooler(&pool).await?;
    pool.acquire().await.map_err(|error| relay.explain(error))?;
    Ok(pool)
}

/// A small pool that connects at its first use. Its role has the settings of sessions, see [`set_role`].
fn connect_lazily(options: PgConnectOptions, max_connections: u32) -> (PgPool, Relay) {
    // Waiting of a function is billed, and API Gateway waits for half a minute.
    relayed(pool(max_connections).acquire_timeout(Duration::from_secs(3)), options)
}

/// The pool of these options; the only function that creates one.
fn relayed(pool: PgPoolOptions, options: PgConnectOptions) -> (PgPool, Relay) {
    let relay = Relay::new(&options);
    let port = options.get_port();
    let pool = pool.connect_lazy_with(relay.lead(options.application_name("bio-mcp")));
    relay.serve(port, pool.close_event());
    (pool, relay)
}

fn pool(max_connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(Duration::from_secs(10))
        // Only a connection that was idle for longer is checked.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                Ok(meta.idle_for < ALIVE_WITHOUT_PROBE
                    || matches!(timeout(PROBE_TIMEOUT, connection.ping()).await, Ok(Ok(()))))
            })
        })
        // Does no I/O if every statement has ended. A cancelled caller leaves the response of its statement unread: if
        // that does not end within the limit, the connection is closed and its permit released. The subsequent ping of
        // the pool has no limit (launchbadge/sqlx#4349, open with 0.9.0): delete this when it has one.
        .after_release(|connection, _| {
            Box::pin(async move { Ok(matches!(timeout(PROBE_TIMEOUT, connection.flush()).await, Ok(Ok(())))) })
        })
}

/// Begins a transaction, which is rolled back unless it is committed; the only function that begins one here.
///
/// It begins in a separate task: a caller that is cancelled between the server's `BEGIN` and sqlx's record of it would
/// return a connection with an open transaction to the pool.
///
/// Work-around for launchbadge/sqlx#4393, fixed by #4394, not in 0.9.0: replace this by `pool.begin()` with the first
/// release that has the fix.
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, DbError> {
    let pool = pool.clone();
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    let begun = tokio::spawn(async move { pool.begin().await }).await;
    Ok(begun.unwrap_or(Err(sqlx::Error::WorkerCrashed))?)
}

/// How long a statement of a migration waits for a lock. Later statements of other sessions queue behind it, so that it
/// must stop waiting and retry.
const MIGRATION_LOCK_TIMEOUT: &str = "2s";

/// Pause between attempts, less than `idle_in_transaction_session_timeout`.
const MIGRATION_PAUSE: Duration = Duration::from_secs(3);

/// Time after which a migration that does not get its locks fails.
const MIGRATION_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Brings the schema up to date; a schema newer than this program's is accepted, because migrations only add. If it is
/// up to date, nothing is changed and no privilege is needed. Each migration is one transaction, which is retried while
/// other sessions, such as a backup, hold locks.
pub async fn migrate(pool: &PgPool) -> Result<(), DbError> {
    if matches!(is_current(pool).await, Ok(true)) {
        return Ok(());
    }
    let mut migrator = sqlx::migrate::Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
    migrator.set_ignore_missing(true);
    let mut connection = patient(pool).await?;
    session::set(&mut connection, [("lock_timeout", MIGRATION_LOCK_TIMEOUT)]).await?;
    let end = Instant::now() + MIGRATION_PATIENCE;
    loop {
        let Err(error) = migrator.run_direct(None, &mut *connection, false).await else { return Ok(()) };
        match code_of(&error).as_deref() {
            Some(LOCK_NOT_AVAILABLE) if Instant::now() < end => {
                tracing::warn!("a migration waits for locks that other sessions hold; trying again");
                tokio::time::sleep(MIGRATION_PAUSE).await;
            }
            Some(INSUFFICIENT_PRIVILEGE) => return Err(DbError::Behind),
            _ => return Err(DbError::Schema(error)),
        }
    }
}

/// SQLSTATE `insufficient_privilege`.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// SQLSTATE `lock_not_available`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// SQLSTATE of the statement that failed.
fn code_of(error: &MigrateError) -> Option<String> {
    let (MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _)) = error else { return None };
    cause.as_database_error()?.code().map(Cow::into_owned)
}

/// Whether every migration of this program was applied, with the same content.
pub async fn is_current(pool: &PgPool) -> Result<bool, DbError> {
    if version(pool).await? == 0 {
        return Ok(false);
    }
    let made: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("select version, checksum from _sqlx_migrations where success").fetch_all(pool).await?;
    let is_made = |wanted: &sqlx::migrate::Migration| {
        made.iter().any(|(version, checksum)| *version == wanted.version && **checksum == *wanted.checksum)
    };
    Ok(MIGRATIONS.iter().all(is_made))
}

/// The version of the schema; 0 if there is none.
pub async fn version(pool: &PgPool) -> Result<i64, DbError> {
    let there: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(pool).await?;
    if !there {
        return Ok(0);
    }
    let version = "select coalesce(max(version), 0) from _sqlx_migrations where success";
    Ok(sqlx::query_scalar(version).fetch_one(pool).await?)
}

/// Whether the database responds, and its schema is at least that of this program.
pub async fn check(pool: &PgPool) -> Result<bool, DbError> {
    let built_for = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    Ok(version(pool).await? >= built_for)
}

/// Creates a database of a server if it does not exist; `options` connect to another database of that server.
pub async fn ensure_database(options: PgConnectOptions, name: &'static str) -> Result<(), DbError> {
    use sqlx::AssertSqlSafe;
    let (pool, relay) = relayed(pool(1), options);
    let mut connection = pool.acquire().await.map_err(|error| relay.explain(error))?;
    let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        // A name cannot be a bind parameter; this one is a constant of the program.
        sqlx::query(AssertSqlSafe(format!("create database {name}"))).execute(&mut *connection).await?;
    }
    drop(connection);
    pool.close().await;
    Ok(())
}
