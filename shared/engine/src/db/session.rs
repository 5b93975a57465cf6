//! Settings of sessions: limits that the server enforces. The client's limits (`relay`) are slightly higher.

use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::DbError;

/// Settings of every session. They limit how long a lost client holds locks, and close a connection that a frozen
/// function left behind.
pub(super) const SESSION: [(&str, &str); 11] = [
    ("statement_timeout", "16s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("lock_timeout", "15s"),
    ("idle_session_timeout", "60s"),
    // Ends the statement of a client that is disconnected.
    ("client_connection_check_interval", "5s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "20s"),
    ("timezone", "UTC"),
    // The statements are small: compiling them takes longer than running them.
    ("jit", "off"),
];

/// Sets settings of a session, with statements: poolers such as pgbouncer refuse settings at the start of a connection.
pub(super) async fn set(
    connection: &mut PgConnection,
    settings: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> Result<(), sqlx::Error> {
    // Neither can be a bind parameter; both are constants of the program.
    let set = |(name, value)| format!("set {name} = '{value}'");
    let sql = settings.into_iter().map(set).collect::<Vec<_>>().join("; ");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ())
}

/// Stores the settings of a session for the current role in this database.
pub async fn set_role(pool: &PgPool) -> Result<(), DbError> {
    for (name, value) in SESSION {
        // Neither can be a bind parameter; both are constants of the program.
        let sql = format!(
            "do $$ begin execute format('alter role %I in database %I set {name} = ''{value}''', current_user, \
             current_database()); end $$"
        );
        sqlx::query(AssertSqlSafe(sql)).execute(pool).await?;
    }
    Ok(())
}
