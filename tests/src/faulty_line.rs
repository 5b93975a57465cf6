//! A proxy to the test server that fails as networks do: it loses a response (the server executes the statement, and
//! the connection ends before the response arrives), or closes all connections and refuses the next ones.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The proxy; it ends with the test's runtime.
pub struct FaultyLine {
    /// Connection options through the proxy.
    pub options: PgConnectOptions,
    state: Arc<State>,
    _dir: tempfile::TempDir,
}

#[derive(Default)]
struct State {
    wanted: Mutex<Option<Vec<u8>>>,
    lost: AtomicUsize,
    refusals: AtomicUsize,
    cut: tokio::sync::Notify,
}

impl State {
    /// Forwards a new connection, or refuses it.
    async fn begin<S: Stream + 'static>(self: Arc<Self>, client: S, server: impl Future<Output = std::io::Result<S>>) {
        let refused = self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if refused.is_err() {
            let server = server.await.expect("the test server responds");
            tokio::spawn(carry(Box::new(client), Box::new(server), self));
        }
    }
}

impl FaultyLine {
    /// A proxy to the database of a URL.
    pub async fn new(url: &str) -> Self {
        let server: PgConnectOptions = url.parse().expect("a URL");
        let dir = tempfile::tempdir().expect("a directory");
        let state = Arc::new(State::default());
        let options = if let Some(socket) = server.get_socket() {
            let name = format!(".s.PGSQL.{}", server.get_port());
            let (far, near) = (socket.join(&name), dir.path().join(&name));
            let listener = UnixListener::bind(near).expect("binds");
            let state = state.clone();
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    state.clone().begin(client, UnixStream::connect(&far)).await;
                }
            });
            server.socket(dir.path())
        } else {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
            let port = listener.local_addr().expect("an address").port();
            let far = (server.get_host().to_owned(), server.get_port());
            let state = state.clone();
            tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    state.clone().begin(client, TcpStream::connect(far.clone())).await;
                }
            });
            server.host("127.0.0.1").port(port)
        };
        Self { options, state, _dir: dir }
    }

    /// Loses the response to the next message that contains this text, such as a parameter.
    pub fn lose(&self, text: &str) {
        *self.state.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.as_bytes().to_vec());
    }

    /// Closes all connections, and refuses this many after that.
    pub fn cut(&self, refusals: usize) {
        self.state.refusals.store(refusals, Ordering::Relaxed);
        self.state.cut.notify_waiters();
    }

    /// Number of connections that are still to be refused.
    pub fn refusals(&self) -> usize {
        self.state.refusals.load(Ordering::Relaxed)
    }

    /// Number of lost responses.
    pub fn lost(&self) -> usize {
        self.state.lost.load(Ordering::Relaxed)
    }
}

/// Forwards bytes both ways, until a response is to be lost.
async fn carry(client: Box<dyn Stream>, server: Box<dyn Stream>, state: Arc<State>) {
    let ((mut client_read, mut client_write), (mut server_read, mut server_write)) = (split(client), split(server));
    let losing = AtomicBool::new(false);
    let there = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = server_read.read(&mut buffer).await {
            // The server sends its response after the commit.
            if losing.load(Ordering::Relaxed) {
                state.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if client_write.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    };
    let here = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = client_read.read(&mut buffer).await {
            let is_wanted = {
                let mut wanted = state.wanted.lock().unwrap_or_else(PoisonError::into_inner);
                let found =
                    wanted.as_ref().is_some_and(|text| buffer[..n].windows(text.len()).any(|part| part == text));
                found.then(|| wanted.take()).is_some()
            };
            if is_wanted {
                losing.store(true, Ordering::Relaxed);
            }
            if server_write.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = here => {}
        () = state.cut.notified() => {}
    }
}
