//! A proxy to the test server whose connections can become silent, as behind a NAT that dropped its state: they stay
//! open, but no data passes. New connections work.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};

/// A running proxy; it ends with the test.
pub struct SilentProxy {
    /// The port of this machine that it listens on.
    pub port: u16,
    silenced: Arc<AtomicU64>,
    user: String,
    database: String,
}

impl SilentProxy {
    /// A proxy to the database of a URL of the test server.
    pub async fn before(url: &str) -> Self {
        let options = PgConnectOptions::from_str(url).expect("a URL");
        let socket = options.get_socket().expect("a socket").join(format!(".s.PGSQL.{}", options.get_port()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("bound").port();
        let silenced = Arc::new(AtomicU64::new(0));
        let now = silenced.clone();
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let (socket, silenced) = (socket.clone(), now.clone());
                let born = silenced.load(Ordering::SeqCst);
                tokio::spawn(async move {
                    let Ok(to) = UnixStream::connect(&socket).await else { return };
                    let (from_client, to_client) = from.into_split();
                    let (from_server, to_server) = to.into_split();
                    tokio::select! {
                        () = pump(from_client, to_server, &silenced, born) => {}
                        () = pump(from_server, to_client, &silenced, born) => {}
                    }
                });
            }
        });
        Self {
            port,
            silenced,
            user: options.get_username().to_owned(),
            database: options.get_database().expect("a database").to_owned(),
        }
    }

    /// URL of the database through the proxy.
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// URL of the database through another local port.
    pub fn url_at(&self, port: u16) -> String {
        format!("postgres://{}@127.0.0.1:{port}/{}?sslmode=disable", self.user, self.database)
    }

    /// Name of the database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// All open connections become silent, permanently.
    pub fn hush(&self) {
        self.silenced.fetch_add(1, Ordering::SeqCst);
    }
}

/// Forwards until the connection is closed; a silent connection is not even closed.
async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, silenced: &AtomicU64, born: u64) {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut piece).await;
        if silenced.load(Ordering::SeqCst) != born {
            // Read, then discarded.
            if matches!(read, Ok(0) | Err(_)) {
                std::future::pending::<()>().await;
            }
            continue;
        }
        let Ok(n @ 1..) = read else { return };
        if to.write_all(&piece[..n]).await.is_err() {
            return;
        }
    }
}
