//! Clients that send slowly or not at all do not block other clients.

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tests::http::plain;
use tests::program::{Archive, limited};
use tests::serving::{Running, exchange};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The program with few file descriptors; its database is private, so the program monitors it.
struct Server {
    running: Running,
    address: String,
}

impl Server {
    fn start(archive: &Archive, files: usize, environment: &[(&str, &str)]) -> Self {
        let mut command = limited(&archive.command(&["serve", "--listen", "127.0.0.1:0"]), &format!("-n {files}"));
        command.envs(environment.iter().copied());
        let mut running =
            Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts"));
        let address = running.address().strip_prefix("http://").expect("an address").to_owned();
        Self { running, address }
    }

    /// Stops the server and returns its log.
    fn stop(mut self) -> String {
        let mut err = self.running.0.stderr.take().expect("piped");
        self.running.signal("-TERM");
        let mut log = String::new();
        err.read_to_string(&mut log).expect("text");
        log
    }

    async fn send(&self, bytes: &str) -> Option<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).await.ok()?;
        stream.write_all(bytes.as_bytes()).await.ok()?;
        Some(stream)
    }
}

/// The status of a complete request.
async fn status(address: &str, method: &str, path: &str, body: &str) -> u16 {
    let asked = async {
        let stream = TcpStream::connect(address).await.expect("connects");
        let response = exchange(stream, address, method, path, body).await;
        response.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await.expect("a response in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_block_no_other_client_and_no_check_of_the_database() {
    const FILES: usize = 400;
    let archive = Archive::with_private_postgres();
    let server = Server::start(&archive, FILES, &[("BIO_MCP_MAX_CONCURRENCY", "20")]);
    // The file descriptors of this process limit the flood.
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(4096);
    let flood = 1_100.min(usize::try_from(own).expect("few").saturating_sub(200));
    assert!(flood > FILES, "more than the server may open: {own}");
    let half = "GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n";
    let mut open = futures_util::future::join_all((0..flood).map(|_| server.send(half))).await;
    let slow = "POST /v1/mcp/invoke HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
                content-length: 1000\r\n\r\n{";
    open.extend(futures_util::future::join_all((0..20).map(|_| server.send(slow))).await);
    for _ in 0..5 {
        assert_eq!(status(&server.address, "GET", "/healthz", "").await, 200);
        let ping = r#"{"tool":"ping","params":{}}"#;
        assert_eq!(status(&server.address, "POST", "/v1/mcp/invoke", ping).await, 200, "no place is taken");
        assert_eq!(status(&server.address, "GET", "/v1/jobs", "").await, 200, "the database has files");
    }
    drop(open);
    let log = server.stop();
    assert!(!log.contains("has stopped"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_send_nothing_more_are_closed() {
    let world = plain().await;
    let address = world.server.url.strip_prefix("http://").expect("http").to_owned();
    let closed = |bytes: String| {
        let address = address.clone();
        async move {
            let mut stream = TcpStream::connect(&address).await.expect("connects");
            stream.write_all(bytes.as_bytes()).await.expect("sent");
            let mut response = String::new();
            let began = Instant::now();
            tokio::time::timeout(Duration::from_secs(45), stream.read_to_string(&mut response))
                .await
                .expect("closed in time")
                .expect("closed");
            (response, began.elapsed())
        }
    };
    let head = |line: &str| format!("{line} HTTP/1.1\r\nhost: {address}\r\n");
    let (header, idle, body) = tokio::join!(
        closed(head("GET /healthz")),
        closed(format!("{}\r\n", head("GET /healthz"))),
        closed(format!(
            "{}content-type: application/json\r\ncontent-length: 10\r\n\r\n{{",
            head("POST /v1/mcp/invoke")
        )),
    );
    assert!(!header.0.contains("200 OK"), "{header:?}");
    assert!(idle.0.starts_with("HTTP/1.1 200 OK") && idle.1 > Duration::from_secs(5), "{idle:?}");
    assert!(body.0.starts_with("HTTP/1.1 400") && body.0.contains("was not received in time"), "{body:?}");
}
