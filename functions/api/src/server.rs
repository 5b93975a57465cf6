//! The HTTP server of `serve` and `up`: slow clients cost little and block no other client.
//!
//! Each connection has a time limit for receiving a header, including the wait for its first byte, and for sending a
//! response; a body has one in `body`. The number of connections is limited so that file descriptors remain for the
//! database and the archive. Beyond that, the connection that has been without a complete request for longest is closed
//! for a new one.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use crate::connections::{Connection, Connections};
use crate::listener::{Listener, Stream};
use crate::stalling::Stalling;

/// Maximum time for receiving a header, counted from when the connection is ready for it: also the maximum idle time.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum time during which a client accepts no byte of a response.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);

const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Maximum number of connections, however many files may be open.
const MAX_CONNECTIONS: u64 = 10_000;

/// Delay before the next attempt after a failed accept, or without a free permit.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The client's address, as an extension of the request: that of the peer, or the one that a gateway reports.
#[derive(Clone, Copy, Debug)]
pub struct SourceAddress(pub Option<IpAddr>);

/// Serves until `stop`; then no connection is accepted, and those with a request are waited for.
pub async fn serve(listener: Listener, router: Router, stop: impl Future<Output = ()> + Send) {
    let most = most_connections();
    let (permits, open) = (Arc::new(Semaphore::new(most)), Connections::default());
    let (stopping, stopped) = watch::channel(());
    let accepting = async {
        loop {
            let stream = accept(&listener, &open).await;
            let permit = permit(&permits, &open).await;
            let service = TowerToHyperService::new(router.clone());
            match stream {
                Stream::Tcp(stream) => {
                    // Only for latency: the error is ignored.
                    let _ = stream.set_nodelay(true);
                    let source = SourceAddress(stream.peer_addr().ok().map(|peer| peer.ip()));
                    tokio::spawn(run(stream, source, service, open.add(), stopped.clone(), permit));
                }
                Stream::Unix(stream) => {
                    tokio::spawn(run(stream, SourceAddress(None), service, open.add(), stopped.clone(), permit));
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop => {}
    }
    drop((listener, stopping));
    let all = u32::try_from(most).unwrap_or(u32::MAX);
    // The semaphore is never closed.
    let _ = permits.acquire_many(all).await;
}

/// Half of the process's limit on open files.
fn most_connections() -> usize {
    let half = getrlimit(Resource::Nofile).current.map_or(MAX_CONNECTIONS, |files| files / 2);
    usize::try_from(half.clamp(8, MAX_CONNECTIONS)).unwrap_or(8)
}

async fn accept(listener: &Listener, open: &Connections) -> Stream {
    loop {
        let error = match listener.accept().await {
            Ok(stream) => return stream,
            Err(error) => error,
        };
        // The process has no free file descriptors: close one connection.
        if matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE)) {
            open.close_longest_waiting();
        }
        if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            tracing::warn!(%error, "a connection cannot be accepted");
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }
}

/// A permit for another connection.
async fn permit(permits: &Arc<Semaphore>, open: &Connections) -> OwnedSemaphorePermit {
    loop {
        let free = match permits.clone().try_acquire_owned() {
            Ok(permit) => return permit,
            Err(_) => permits.clone().acquire_owned(),
        };
        open.close_longest_waiting();
        if let Ok(Ok(permit)) = timeout(RETRY_DELAY, free).await {
            return permit;
        }
    }
}

async fn run(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    source: SourceAddress,
    router: TowerToHyperService<Router>,
    connection: Arc<Connection>,
    mut stopped: watch::Receiver<()>,
    _permit: OwnedSemaphorePermit,
) {
    let served = connection.clone();
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        let (router, connection) = (router.clone(), served.clone());
        request.extensions_mut().insert(connection.clone());
        request.extensions_mut().insert(source);
        async move {
            let response = router.call(request).await;
            connection.waits();
            response
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(Stalling::new(stream, WRITE_STALL_TIMEOUT)), service);
    tokio::pin!(serving);
    let is_stopped = tokio::select! {
        ended = serving.as_mut() => return log(ended),
        () = connection.is_to_close() => return,
        _ = stopped.changed() => true,
    };
    if is_stopped {
        serving.as_mut().graceful_shutdown();
    }
    tokio::select! {
        ended = serving.as_mut() => log(ended),
        () = connection.is_to_close() => {}
    }
}

fn log(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Marks the request as complete: its connection is not closed until the response is sent.
pub fn is_complete(request: &Request) {
    if let Some(connection) = request.extensions().get::<Arc<Connection>>() {
        connection.works();
    }
}
