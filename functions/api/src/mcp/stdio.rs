//! MCP over standard input and output: one message per line. An invalid message is refused and the next line is read.

use std::sync::Arc;

use rmcp::model::ClientJsonRpcMessage;
use rmcp::service::{RxJsonRpcMessage, ServerInitializeError, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::{RoleServer, ServerHandler, ServiceExt};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{Mutex, mpsc};

use super::message::{self, Refused};

/// Maximum length of a message, in bytes.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// Serves standard input and output until the input ends.
pub async fn serve(handler: impl ServerHandler) -> std::io::Result<()> {
    let (input, output) = rmcp::transport::stdio_pipes();
    let running = match handler.serve(Lines::new(input, output)).await {
        Ok(running) => running,
        // The client may close the input before its first message.
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(std::io::Error::other(error.to_string())),
    };
    running.waiting().await.map_err(std::io::Error::other)?;
    Ok(())
}

/// A transport with one message per line.
struct Lines<W> {
    received: mpsc::Receiver<RxJsonRpcMessage<RoleServer>>,
    output: Arc<Mutex<W>>,
}

impl<W: AsyncWrite + Send + Unpin + 'static> Lines<W> {
    fn new(input: impl AsyncRead + Send + Unpin + 'static, output: W) -> Self {
        let output = Arc::new(Mutex::new(output));
        let (send, received) = mpsc::channel(1);
        // In a separate task, so that reading a line is never cancelled halfway.
        tokio::spawn(read_messages(BufReader::new(input), output.clone(), send));
        Self { received, output }
    }
}

impl<W: AsyncWrite + Send + Unpin + 'static> Transport<RoleServer> for Lines<W> {
    type Error = std::io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let output = self.output.clone();
        async move { write_line(&output, serde_json::to_vec(&message)?).await }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        self.received.recv().await
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.received.close();
        Ok(())
    }
}

async fn write_line<W: AsyncWrite + Unpin>(output: &Mutex<W>, mut line: Vec<u8>) -> std::io::Result<()> {
    line.push(b'\n');
    let mut output = output.lock().await;
    output.write_all(&line).await?;
    output.flush().await
}

async fn read_messages<W: AsyncWrite + Unpin>(
    mut input: impl AsyncBufRead + Unpin,
    output: Arc<Mutex<W>>,
    send: mpsc::Sender<ClientJsonRpcMessage>,
) {
    let mut has_begun = false;
    loop {
        let read = match read_line(&mut input).await {
            Ok(Some(line)) if line.trim_ascii().is_empty() => continue,
            Ok(Some(line)) => match parse(&line) {
                Ok(Some(message)) => Ok(message),
                Ok(None) => continue,
                Err(refused) => Err(refused),
            },
            Ok(None) => return,
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                Err(Refused::invalid(format!("the message is larger than {MAX_LINE_BYTES} bytes")))
            }
            Err(error) => {
                tracing::error!(%error, "standard input cannot be read");
                return;
            }
        };
        match read {
            Ok(message) => {
                let is_request = matches!(message, ClientJsonRpcMessage::Request(_));
                // The library ends the session if the first message is not a request.
                if !is_request && !has_begun {
                    continue;
                }
                has_begun |= is_request;
                if send.send(message).await.is_err() {
                    return;
                }
            }
            Err(refused) => {
                let written = write_line(&output, refused.response().to_string().into_bytes()).await;
                if let Err(error) = written {
                    tracing::error!(%error, "standard output cannot be written");
                    return;
                }
            }
        }
    }
}

/// Parses a message; none for an invalid notification or response, which must get no response.
fn parse(line: &[u8]) -> Result<Option<ClientJsonRpcMessage>, Refused> {
    let message = message::read(line)?;
    let id = message["id"].clone();
    let wants_response = !message::is_response(&message) && (!id.is_null() || message.get("method").is_none());
    match serde_json::from_value(message) {
        Ok(message) => Ok(Some(message)),
        Err(error) if wants_response => Err(Refused { id, ..Refused::invalid(error.to_string()) }),
        Err(error) => {
            tracing::debug!(%error, "a notification or response cannot be read");
            Ok(None)
        }
    }
}

/// Reads the next line; none at the end. A line that is too long is read to its end and returns the error
/// `FileTooLarge`.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = MAX_LINE_BYTES as u64 + 1;
    if AsyncReadExt::take(&mut *input, limit).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    if line.len() <= MAX_LINE_BYTES || line.ends_with(b"\n") {
        return Ok(Some(line));
    }
    while !line.is_empty() && !line.ends_with(b"\n") {
        line.clear();
        AsyncReadExt::take(&mut *input, limit).read_until(b'\n', &mut line).await?;
    }
    Err(std::io::ErrorKind::FileTooLarge.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn what_is_no_message_is_refused_and_the_next_line_read() {
        let long = "x".repeat(MAX_LINE_BYTES + 10);
        let ping = r#"{"jsonrpc":"2.0","id":5,"method":"ping"}"#;
        let input = format!(
            "garbage\n\n[]\n{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\"}}\n{long}\n\
             {{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"tools/call\",\"params\":7}}\n{ping}\r\n{ping}"
        );
        let (mut said, output) = tokio::io::duplex(64 * 1024);
        let mut lines = Lines::new(std::io::Cursor::new(input.into_bytes()), output);
        for _ in 0..2 {
            let message = lines.receive().await.map(|message| json!(message)).expect("the ping");
            assert_eq!(message["id"], 5);
        }
        assert!(lines.receive().await.is_none());
        drop(lines);
        let mut text = String::new();
        said.read_to_string(&mut text).await.expect("read");
        let refused = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        let refused: Vec<(Value, Value)> =
            refused.map(|line: Value| (line["id"].clone(), line["error"]["code"].clone())).collect();
        let code = |code: i32| (Value::Null, json!(code));
        assert_eq!(refused, [code(-32700), code(-32600), code(-32600), (json!(4), json!(-32602))]);
    }
}
