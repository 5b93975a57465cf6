//! Reports an unreachable server to a client in Postgres' protocol, because the relay has already accepted its
//! connection.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// The code of a request for TLS, in place of a protocol version.
const SSL_REQUEST: u32 = 80_877_103;

/// Maximum size of the first message: names and settings.
const MAX_FIRST_MESSAGE_BYTES: u32 = 10_000;

/// SQLSTATE `cannot_connect_now`: a pool retries until its time limit for connecting.
pub(super) const CANNOT_CONNECT_NOW: &str = "57P03";

/// SQLSTATE `sqlclient_unable_to_establish_sqlconnection`.
pub(super) const CANNOT_CONNECT: &str = "08001";

/// Reads the client's first message and responds with an error. If the client requires TLS, its connection is only
/// closed, because any response would concern TLS.
pub(super) async fn send(mut client: UnixStream, code: &str, reason: &str, plain: bool) -> io::Result<()> {
    if first_message(&mut client).await? == SSL_REQUEST {
        if !plain {
            return Ok(());
        }
        client.write_all(b"N").await?;
        first_message(&mut client).await?;
    }
    let mut fields = Vec::new();
    for (field, text) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', code), (b'M', reason)] {
        fields.push(field);
        fields.extend(text.bytes().filter(|byte| *byte != 0));
        fields.push(0);
    }
    fields.push(0);
    let length = u32::try_from(fields.len()).map_err(io::Error::other)? + 4;
    client.write_all(b"E").await?;
    client.write_all(&length.to_be_bytes()).await?;
    client.write_all(&fields).await?;
    client.shutdown().await
}

/// Reads a message without a type; returns its code.
async fn first_message(client: &mut UnixStream) -> io::Result<u32> {
    let (length, code) = (client.read_u32().await?, client.read_u32().await?);
    let rest =
        length.checked_sub(8).filter(|rest| *rest <= MAX_FIRST_MESSAGE_BYTES).ok_or(io::ErrorKind::InvalidData)?;
    let mut rest = vec![0; usize::try_from(rest).map_err(io::Error::other)?];
    client.read_exact(&mut rest).await?;
    Ok(code)
}
