//! A running server of the program, and a client for it.

use std::io::{BufRead as _, BufReader};
use std::process::Child;

/// A command that ends with the test.
pub struct Running(pub Child);

impl Running {
    /// The address that a server says it listens on.
    pub fn address(&mut self) -> String {
        let mut line = String::new();
        let out = self.0.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        line.trim().strip_prefix("listening on ").expect("an address").to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client of HTTP.
pub fn client() -> reqwest::Client {
    // Fails only when one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}
