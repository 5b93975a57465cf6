//! Forwards all bytes between this process and its database server, so that no statement can wait forever.
//!
//! A connection may go silent without being closed: a NAT drops it, a host fails. sqlx has no time limit on its sockets
//! and no hook for one, but it can connect to a Unix socket. So each pool connects to a socket of this process, and
//! each connection is forwarded to the server. One that transfers no byte for the limit of its socket is closed at both
//! ends, and everything that waits for it gets an I/O error: statements, `BEGIN`, `COMMIT`, pings and listening
//! connections alike. TLS is not decrypted, so that it is still verified from end to end.
//!
//! Work-around, until sqlx has limits on its sockets: launchbadge/sqlx#3540, open; #4355 would add keepalive, which is
//! not enough for a server that acknowledges and never responds.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::sockopt;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::time::timeout;

use super::refusal;
use super::transfer::transfer;

/// A connection that transfers no byte for this long is closed: slightly more than the server's own limit on a
/// statement.
pub(super) const MAX_SILENCE: Duration = Duration::from_secs(18);

/// The same for statements that read whole tables.
pub(super) const MAX_SILENCE_LONG: Duration = Duration::from_secs(31 * 60);

/// Time limit of the server for accepting a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Delay after a failed accept: file descriptors may be exhausted.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Keepalive: a failed host is detected after 10 + 3 × 5 seconds, even during long statements.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(5), 3);

/// How long, in milliseconds, sent bytes may remain unacknowledged by the server's host (Linux).
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MS: u32 = 25_000;

/// Prefix of the names of socket directories, followed by a random number.
const PREFIX: &str = "bio-mcp-relay-";

/// The start of a name: on Linux a zero byte, for sockets without a file, so that a killed process leaves nothing
/// behind; elsewhere the directory of temporary files.
fn root() -> String {
    if cfg!(target_os = "linux") { "\0".to_owned() } else { format!("{}/", std::env::temp_dir().display()) }
}

/// Whether sockets under this name have files.
fn has_files(name: &str) -> bool {
    !name.starts_with('\0')
}

/// Sockets of this process that are forwarded to one server.
#[derive(Clone)]
pub(super) struct Relay {
    name: String,
    target: Arc<Mutex<Target>>,
    /// Why the last connection failed.
    failure: Arc<Mutex<Option<io::Error>>>,
}

/// Address of the server, and whether a client may connect without TLS.
#[derive(Clone)]
struct Target {
    address: ServerAddress,
    plain: bool,
}

#[derive(Clone)]
enum ServerAddress {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl Target {
    fn of(options: &PgConnectOptions) -> Self {
        let (host, port) = (options.get_host(), options.get_port());
        let dir = options.get_socket().map(PathBuf::as_path);
        let address = match dir.or_else(|| host.starts_with('/').then(|| Path::new(host))) {
            Some(dir) => ServerAddress::Unix(dir.join(format!(".s.PGSQL.{port}"))),
            None => ServerAddress::Tcp(host.trim_matches(['[', ']']).to_owned(), port),
        };
        let plain = matches!(options.get_ssl_mode(), PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer);
        Self { address, plain }
    }
}

impl Relay {
    /// Sockets that are forwarded to the server of these options.
    pub(super) fn new(options: &PgConnectOptions) -> Self {
        Self::named(format!("{}{PREFIX}{:016x}", root(), fastrand::u64(..)), options)
    }

    fn named(name: String, options: &PgConnectOptions) -> Self {
        Self { name, target: Arc::new(Mutex::new(Target::of(options))), failure: Arc::default() }
    }

    /// Returns these options with the address of this relay, which from now on forwards to their server.
    pub(super) fn lead(&self, options: PgConnectOptions) -> PgConnectOptions {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Target::of(&options);
        // Poolers refuse unknown settings at the start of a connection; without this one, the server's default is
        // exact.
        options.extra_float_digits(None).socket(&self.name)
    }

    /// Accepts connections until `end`; open ones then continue until either side closes them.
    pub(super) fn serve(&self, port: u16, end: impl Future<Output = ()> + Send + 'static) {
        // Opened before the first connection; if that fails, it is retried.
        let ordinary = accept(self.clone(), ListeningSocket::open(&self.name, port), MAX_SILENCE);
        let long_lived = accept(self.clone(), ListeningSocket::open(&long(&self.name), port), MAX_SILENCE_LONG);
        let files = [self.name.clone(), long(&self.name)].map(Files);
        tokio::spawn(async move {
            let _files = files;
            tokio::select! {
                () = ordinary => {}
                () = long_lived => {}
                () = end => {}
            }
        });
    }

    /// The cause of a connection error, if the relay knows it.
    pub(super) fn explain(&self, error: sqlx::Error) -> sqlx::Error {
        use sqlx::Error as E;
        let is_ours = match &error {
            E::Io(_) | E::Protocol(_) | E::PoolTimedOut => true,
            E::Database(db) => {
                db.code().is_some_and(|code| code == refusal::CANNOT_CONNECT || code == refusal::CANNOT_CONNECT_NOW)
            }
            _ => false,
        };
        if !is_ours {
            return error;
        }
        let known = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        known.map_or(error, E::Io)
    }

    async fn forward(self, client: UnixStream, limit: Duration) {
        let target = self.target.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failed = match timeout(CONNECT_TIMEOUT, connect(&target.address)).await {
            Ok(Ok(Server::Tcp(server))) => return transfer(client, server, limit).await,
            Ok(Ok(Server::Unix(server))) => return transfer(client, server, limit).await,
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, "the server does not accept the connection"),
        };
        tracing::debug!(error = %failed, "no connection to the database server");
        // A restarting server refuses connections for a moment: a pool retries until its time limit.
        let is_starting = failed.kind() == io::ErrorKind::ConnectionRefused;
        let code = if is_starting { refusal::CANNOT_CONNECT_NOW } else { refusal::CANNOT_CONNECT };
        let text = failed.to_string();
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
        // The client may have closed the connection, too.
        let _ = timeout(CONNECT_TIMEOUT, refusal::send(client, code, &text, target.plain)).await;
    }
}

/// The same options with the limit for statements that read whole tables; none if they do not use a relay.
pub(super) fn unhurried(options: &PgConnectOptions) -> Option<PgConnectOptions> {
    let name = options.get_socket()?.to_str().filter(|name| name.contains(PREFIX))?;
    Some(options.clone().socket(long(name)))
}

fn long(name: &str) -> String {
    format!("{name}-long")
}

enum Server {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn connect(address: &ServerAddress) -> io::Result<Server> {
    match address {
        ServerAddress::Unix(path) => UnixStream::connect(path).await.map(Server::Unix),
        ServerAddress::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            let (idle, interval, count) = KEEPALIVE;
            sockopt::set_socket_keepalive(&stream, true)?;
            sockopt::set_tcp_keepidle(&stream, idle)?;
            sockopt::set_tcp_keepintvl(&stream, interval)?;
            sockopt::set_tcp_keepcnt(&stream, count)?;
            // Keepalive is not active while bytes wait for an acknowledgement.
            #[cfg(target_os = "linux")]
            sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED_MS)?;
            Ok(Server::Tcp(stream))
        }
    }
}

/// The files of sockets under a name, removed when the task that serves them ends.
struct Files(String);

impl Drop for Files {
    fn drop(&mut self) {
        if has_files(&self.0) {
            // A remaining directory is among temporary files.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// A listening socket.
struct ListeningSocket {
    path: String,
    /// None if it could not be opened yet.
    listener: Option<UnixListener>,
}

impl ListeningSocket {
    fn open(name: &str, port: u16) -> Self {
        if has_files(name) {
            // Only for its own user. If it cannot be created, neither can the socket, which is retried.
            let _ = DirBuilder::new().mode(0o700).create(name);
        }
        // The name that sqlx gives a socket in a directory.
        let path = format!("{name}/.s.PGSQL.{port}");
        Self { listener: UnixListener::bind(&path).ok(), path }
    }

    async fn accept(&mut self) -> io::Result<UnixStream> {
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => UnixListener::bind(&self.path)?,
        };
        Ok(self.listener.insert(listener).accept().await?.0)
    }
}

async fn accept(relay: Relay, mut socket: ListeningSocket, limit: Duration) {
    loop {
        match socket.accept().await {
            // Connections of other processes are not accepted.
            Ok(client) if is_own(&client) => drop(tokio::spawn(relay.clone().forward(client, limit))),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "cannot connect to the database; retrying");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

fn is_own(client: &UnixStream) -> bool {
    let own = i32::try_from(std::process::id()).ok();
    client.peer_cred().is_ok_and(|peer| peer.pid().is_some() && peer.pid() == own)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;

    use super::*;

    /// Data that a client receives through a relay of this name from a server that sends "hello".
    async fn forwarded(name: String) {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = server.local_addr().expect("bound").port();
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port);
        let relay = Relay::named(name.clone(), &options);
        let (end, ended) = oneshot::channel::<()>();
        relay.serve(port, async move { drop(ended.await) });
        if has_files(&name) {
            let mode = std::fs::metadata(&name).expect("a directory").permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        let mut client = UnixStream::connect(format!("{name}/.s.PGSQL.{port}")).await.expect("it accepts");
        let (mut accepted, _) = server.accept().await.expect("forwarded");
        accepted.write_all(b"hello").await.expect("taken");
        let mut hello = [0; 5];
        client.read_exact(&mut hello).await.expect("forwarded");
        assert_eq!(&hello, b"hello");
        end.send(()).expect("it serves");
        while has_files(&name) && Path::new(&name).exists() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn sockets_lead_to_the_server_with_files_and_without() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        forwarded(format!("{}/{PREFIX}1", dir.path().display())).await;
        if cfg!(target_os = "linux") {
            forwarded(format!("\0{PREFIX}{:016x}", fastrand::u64(..))).await;
        }
    }
}
