//! Settings of sessions: what the server itself bounds. The client's limits (`relay`) are a little more.

use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::DbError;

/// What every session is set to. A client that vanished holds locks for no longer than these; one that a function left
/// behind when it was frozen is closed.
pub(super) const SESSION: [(&str, &str); 11] = [
    ("statement_timeout", "16s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("lock_timeout", "15s"),
    ("idle_session_timeout", "60s"),
    // A statement whose client went away ends.
    ("client_connection_check_interval", "5s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "20s"),
    ("timezone", "UTC"),
    // The statements are small: compiling them takes longer than running them.
    ("jit", "off"),
];

/// Sets settings of a session. By statements: poolers such as pgbouncer refuse settings at the start of a connection.
pub(super) async fn set(
    connection: &mut PgConnection,
    settings: impl IntoIterator<Item = (&'static str, &'static str)>,
) -> Result<(), sqlx::Error> {
    // Neither can be a bind parameter; both are constants of the program.
    let set = |(name, value)| format!("set {name} = '{value}'");
    let sql = settings.into_iter().map(set).collect::<Vec<_>>().join("; ");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ())
}

/// Gives the settings of a session to the role that asks, for this database.
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
