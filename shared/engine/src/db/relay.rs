//! The way of every byte between this process and its database server, so that no statement can wait for ever.
//!
//! A connection may fall silent without an end: a NAT forgets it, a host vanishes. sqlx has no time limit on its
//! sockets and no hook for one, but it connects to a Unix socket where one is named. So each pool is given the name of
//! a socket of this process, and each connection to it is forwarded to the server. One that moves no byte for the limit
//! of its socket is closed at both ends, and what waits for it gets an I/O error: statements, `BEGIN`, `COMMIT`, pings
//! and connections that listen alike. TLS passes unread, so it is still checked from end to end.
//!
//! Work-around, until sqlx has limits on its sockets: launchbadge/sqlx#3540, open; #4355 would bring keepalive, which
//! is not enough for a server that acknowledges and never responds.

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

/// A connection that moves no byte for so long is closed: a little more than the server's own limit on a statement.
pub(super) const MAX_SILENCE: Duration = Duration::from_secs(18);

/// The same for statements that read whole tables.
pub(super) const MAX_SILENCE_LONG: Duration = Duration::from_secs(31 * 60);

/// How long the server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long after a failed accept the next is tried: file descriptors may have run out.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Keepalive: a host that vanished is noticed after 10 + 3 × 5 seconds, even where a statement may take long.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(5), 3);

/// How long, in milliseconds, the network of the server's host may leave bytes unacknowledged (Linux).
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MS: u32 = 25_000;

/// Directories of the sockets are named so, with a random number.
const PREFIX: &str = "bio-mcp-relay-";

/// What stands before a name: the zero byte gives Linux sockets without a file, so that nothing is left behind by a
/// process that was killed; elsewhere they lie in the directory of temporary files.
fn root() -> String {
    if cfg!(target_os = "linux") { "\0".to_owned() } else { format!("{}/", std::env::temp_dir().display()) }
}

/// Whether sockets under this name have files.
fn has_files(name: &str) -> bool {
    !name.starts_with('\0')
}

/// Sockets of this process that lead to one server.
#[derive(Clone)]
pub(super) struct Relay {
    name: String,
    target: Arc<Mutex<Target>>,
    /// Why the last connection could not be made.
    failure: Arc<Mutex<Option<io::Error>>>,
}

/// Where the server is, and whether a client may do without TLS.
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
    /// Sockets that lead where these options lead.
    pub(super) fn new(options: &PgConnectOptions) -> Self {
        Self::named(format!("{}{PREFIX}{:016x}", root(), fastrand::u64(..)), options)
    }

    fn named(name: String, options: &PgConnectOptions) -> Self {
        Self { name, target: Arc::new(Mutex::new(Target::of(options))), failure: Arc::default() }
    }

    /// These options, through this relay; it leads where they lead from now on.
    pub(super) fn lead(&self, options: PgConnectOptions) -> PgConnectOptions {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Target::of(&options);
        // Poolers refuse settings at the start that they do not know; without this one the server's default is exact.
        options.extra_float_digits(None).socket(&self.name)
    }

    /// Accepts connections until `end`; those that are open then go on until either side closes them.
    pub(super) fn serve(&self, port: u16, end: impl Future<Output = ()> + Send + 'static) {
        // Before anything connects; where it fails, it is tried again.
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

    /// The reason behind an error of connecting, where this side knows it.
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
        // A server that is being started again refuses for a moment: a pool tries again until its time is over.
        let is_starting = failed.kind() == io::ErrorKind::ConnectionRefused;
        let code = if is_starting { refusal::CANNOT_CONNECT_NOW } else { refusal::CANNOT_CONNECT };
        let text = failed.to_string();
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
        // The client may be gone, too.
        let _ = timeout(CONNECT_TIMEOUT, refusal::send(client, code, &text, target.plain)).await;
    }
}

/// The same options with the limit for statements that read whole tables; nothing where they lead through no relay.
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
            // Keepalive does not look while bytes wait to be acknowledged.
            #[cfg(target_os = "linux")]
            sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED_MS)?;
            Ok(Server::Tcp(stream))
        }
    }
}

/// The files of sockets under a name, removed with the runtime that serves them.
struct Files(String);

impl Drop for Files {
    fn drop(&mut self) {
        if has_files(&self.0) {
            // What is left lies among temporary files.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// A socket that accepts.
struct ListeningSocket {
    path: String,
    /// Nothing where it could not be opened yet.
    listener: Option<UnixListener>,
}

impl ListeningSocket {
    fn open(name: &str, port: u16) -> Self {
        if has_files(name) {
            // For its own user alone. Where it cannot be made, the socket cannot either, which is tried again.
            let _ = DirBuilder::new().mode(0o700).create(name);
        }
        // As sqlx names the socket in a directory.
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
            // Another process of this machine has no business here.
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

    /// What a client gets through a relay of this name from a server that says "hello".
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
