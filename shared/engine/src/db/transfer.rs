//! Transfers bytes in both directions between a client and a server, until one closes or neither sends for too long.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

/// Bytes read at a time.
const PIECE: usize = 16 * 1024;

/// Value of [`Moved`] while bytes wait for the client to read them.
const HELD: u64 = u64::MAX;

/// When bytes were last transferred.
struct Moved {
    start: Instant,
    /// Milliseconds after `start`, or [`HELD`].
    at: AtomicU64,
    /// The client has sent bytes, and the server none since.
    is_owed: AtomicBool,
}

impl Moved {
    fn now(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(HELD - 1);
        self.at.store(now, Ordering::Relaxed);
    }

    fn quiet_for(&self) -> Duration {
        match self.at.load(Ordering::Relaxed) {
            // A slow client shows nothing about the server.
            HELD => Duration::ZERO,
            at => self.start.elapsed().saturating_sub(Duration::from_millis(at)),
        }
    }

    async fn quiet(&self, limit: Duration) {
        loop {
            let quiet = self.quiet_for();
            if quiet >= limit {
                return;
            }
            tokio::time::sleep(limit.saturating_sub(quiet)).await;
        }
    }
}

/// Forwards until either side closes or fails, or no byte was transferred for `limit`; then closes both.
pub(super) async fn transfer<C, S>(client: C, server: S, limit: Duration)
where
    C: AsyncRead + AsyncWrite,
    S: AsyncRead + AsyncWrite,
{
    let moved = Moved { start: Instant::now(), at: AtomicU64::new(0), is_owed: AtomicBool::new(false) };
    let (from_client, to_client) = split(client);
    let (from_server, to_server) = split(server);
    tokio::select! {
        _ = requests(from_client, to_server, &moved) => {}
        _ = responses(from_server, to_client, &moved) => {}
        () = moved.quiet(limit) => {
            let secs = limit.as_secs();
            if moved.is_owed.load(Ordering::Relaxed) {
                tracing::warn!(secs, "the database sent nothing for too long: its connection is closed");
            } else {
                tracing::debug!(secs, "an idle connection to the database was closed");
            }
        }
    }
}

async fn requests(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, moved: &Moved) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let n = from.read(&mut piece).await?;
        if n == 0 {
            return Ok(());
        }
        moved.is_owed.store(true, Ordering::Relaxed);
        moved.now();
        to.write_all(&piece[..n]).await?;
        moved.now();
    }
}

async fn responses(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, moved: &Moved) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let n = from.read(&mut piece).await?;
        if n == 0 {
            return Ok(());
        }
        moved.is_owed.store(false, Ordering::Relaxed);
        moved.at.store(HELD, Ordering::Relaxed);
        to.write_all(&piece[..n]).await?;
        moved.now();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn a_server_that_says_nothing_is_left_and_one_that_does_is_not() {
        let ((mut client, near), (far, mut server)) = (duplex(64), duplex(64));
        let passing = tokio::spawn(transfer(near, far, LIMIT));
        let began = Instant::now();
        let mut byte = [0];
        for _ in 0..3 {
            client.write_all(b"?").await.expect("taken");
            server.read_exact(&mut byte).await.expect("forwarded");
            tokio::time::sleep(LIMIT * 2 / 3).await;
            server.write_all(b"!").await.expect("taken");
            client.read_exact(&mut byte).await.expect("forwarded");
        }
        assert!(began.elapsed() > LIMIT);
        client.write_all(b"?").await.expect("taken");
        let closed = timeout(LIMIT * 10, client.read(&mut byte)).await.expect("in time");
        assert_eq!(closed.expect("closed"), 0);
        passing.await.expect("ends");
    }

    #[tokio::test]
    async fn half_a_response_is_not_waited_for_and_a_slow_client_is() {
        let ((mut client, near), (far, mut server)) = (duplex(8), duplex(64));
        let passing = tokio::spawn(transfer(near, far, LIMIT));
        server.write_all(&[7; 32]).await.expect("taken");
        tokio::time::sleep(LIMIT * 2).await;
        let mut half = [0; 32];
        client.read_exact(&mut half).await.expect("nothing is lost while the client is slow");
        let closed = timeout(LIMIT * 10, client.read(&mut half)).await.expect("in time");
        assert_eq!(closed.expect("closed"), 0, "the other half never comes");
        passing.await.expect("ends");
    }
}
