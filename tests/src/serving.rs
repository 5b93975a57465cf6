//! A running server of the program, and clients of it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A command that ends with the test.
pub struct Running(pub Child);

impl Running {
    /// The address that the server prints when it listens.
    pub fn address(&mut self) -> String {
        let mut line = String::new();
        let out = self.0.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        line.trim().strip_prefix("listening on ").expect("an address").to_owned()
    }

    /// Sends a signal, such as `-TERM`.
    pub fn signal(&self, signal: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    }

    /// Ends it with a signal; returns its exit code, if it has one.
    pub fn end(mut self, signal: &str) -> Option<i32> {
        self.signal(signal);
        self.0.wait().expect("ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn client() -> reqwest::Client {
    // Fails only if a provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// Sends one request on a connection; returns everything that is received.
pub async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    method: &str,
    path: &str,
    body: &str,
) -> String {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("a response");
    response
}
