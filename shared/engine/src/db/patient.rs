//! Connections for long operations: migrations, and statements that read whole tables.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::DbError;
use super::relay::{Relay, unhurried};
use super::session::{SESSION, set};

/// Limits of the server here, set after [`SESSION`]; the client's limit (`relay::MAX_SILENCE_LONG`) is slightly higher.
const LONG_SESSION: [(&str, &str); 2] = [("statement_timeout", "30min"), ("lock_timeout", "30min")];

/// Time limit of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A separate connection beside a pool, closed when it is dropped. A statement may take half an hour.
pub struct Patient {
    connection: PgConnection,
    /// Ends the relay if only this connection uses it.
    _relay: Option<oneshot::Sender<()>>,
}

/// A connection to the database of a pool, with a limit of half an hour per statement; that of the pool is sixteen
/// seconds.
pub async fn patient(pool: &PgPool) -> Result<Patient, DbError> {
    let options = pool.connect_options();
    let (options, relay) = if let Some(options) = unhurried(&options) {
        (options, None)
    } else {
        // The pool was not created here.
        let relay = Relay::new(&options);
        let (keep, end) = oneshot::channel::<()>();
        relay.serve(options.get_port(), async move { drop(end.await) });
        let led = relay.lead((*options).clone());
        (unhurried(&led).unwrap_or(led), Some(keep))
    };
    let connecting = async {
        let mut connection = options.connect().await?;
        set(&mut connection, SESSION.into_iter().chain(LONG_SESSION)).await?;
        Ok::<_, sqlx::Error>(connection)
    };
    let connection = timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    Ok(Patient { connection, _relay: relay })
}

impl Patient {
    /// Begins a transaction, which is rolled back unless it is committed.
    pub async fn begin(&mut self) -> Result<Transaction<'_, Postgres>, DbError> {
        Ok(self.connection.begin().await?)
    }
}

impl Deref for Patient {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Patient {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
