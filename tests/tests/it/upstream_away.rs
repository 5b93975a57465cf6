//! NCBI does not respond: programs stop on a signal, and fast tools return in time.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use shared::ingest::Settings;
use shared::pubmed::eutils::EutilsSettings;
use tests::engine::pool;
use tests::http::{Server, settings};
use tests::program::{Archive, Run};
use tests::serving::{Running, client as http};
use tests::sync::{client, engine};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A server that accepts requests and never responds: its address, and a message per connection.
async fn silent() -> (String, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let (told, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.push(connection);
            let _ = told.send(());
        }
    });
    (url, heard)
}

/// An address where nothing listens.
async fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    format!("http://{}/", listener.local_addr().expect("bound"))
}

async fn heard(requests: &mut mpsc::UnboundedReceiver<()>) {
    let one = tokio::time::timeout(Duration::from_secs(30), requests.recv());
    one.await.expect("NCBI is asked").expect("the server lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_program_that_waits_for_ncbi() {
    let (url, mut requests) = silent().await;
    let archive = Archive::new().await;
    let environment = [("BIO_MCP_PUBMED_BASE_URL", url.as_str()), ("BIO_MCP_PUBMED_FILES_URL", url.as_str())];
    archive.run(&["topics", "list"]).expect(0);
    for (arguments, code) in [
        (&["sync", "asthma"][..], 130),
        (&["sync", "asthma", "--incremental"], 130),
        (&["sync", "--pmids", "1"], 130),
        (&["worker"], 0),
        (&["up", "--listen", "127.0.0.1:0"], 0),
    ] {
        if code == 0 {
            // A job for the worker, a different one each time.
            archive
                .command(&["sync", "--pmids", &format!("10{}", arguments.len()), "--detach"])
                .envs(environment)
                .output()
                .expect("runs");
        }
        let program = Running(archive.start(arguments, &environment));
        heard(&mut requests).await;
        let told = Instant::now();
        let ended = tokio::task::spawn_blocking(move || program.end("-TERM")).await.expect("waited for");
        assert_eq!(ended, Some(code), "{arguments:?}");
        assert!(told.elapsed() < Duration::from_secs(6), "{arguments:?}: {:?}", told.elapsed());
        let db = archive.database().await;
        let (pending, blamed): (i64, i64) = sqlx::query_as(
            "select count(*) filter (where status = 'pending'), coalesce(sum(retry_count), 0)::bigint \
             from ingestion_work_units where status not in ('completed', 'failed', 'cancelled')",
        )
        .fetch_one(&db)
        .await
        .expect("read");
        assert!(pending >= 1 && blamed == 0, "{arguments:?}: its unit is handed back");
        archive.run(&["status"]).expect(0);
        sqlx::query("update jobs set cancel_requested_at = now()").execute(&db).await.expect("cancelled");
        sqlx::query("update ingestion_work_units set status = 'cancelled' where status = 'pending'")
            .execute(&db)
            .await
            .expect("cancelled");
        while requests.try_recv().is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_program_at_once() {
    let (url, mut requests) = silent().await;
    let archive = Archive::new().await;
    let environment = [("BIO_MCP_PUBMED_BASE_URL", url.as_str())];
    let mut serve = Running(archive.start(&["serve", "--listen", "127.0.0.1:0"], &environment));
    let address = serve.address();
    let asked = tokio::spawn(http().get(format!("{address}/v1/pubmed/1")).send());
    heard(&mut requests).await;
    let told = Instant::now();
    let status = tokio::task::spawn_blocking(move || {
        loop {
            if let Some(status) = serve.0.try_wait().expect("known") {
                return status;
            }
            assert!(told.elapsed() < Duration::from_secs(5), "it goes on");
            serve.signal("-INT");
        }
    });
    let status = status.await.expect("ends");
    assert_eq!((status.code(), status.signal()), (Some(130), None));
    assert!(asked.await.expect("ended").is_err(), "what was under way got no response");
}

#[tokio::test(flavor = "multi_thread")]
async fn fast_tools_return_in_time_when_ncbi_does_not() {
    for url in [silent().await.0, refusing().await] {
        let client = client(EutilsSettings::new(url));
        let engine = engine(pool(4).await, client.clone(), Settings::default());
        let server = Server::start(engine, client, &settings(&[])).await;
        for path in ["/v1/pubmed/31452104", "/v1/pubmed/1"] {
            let asked = Instant::now();
            let response = server.get(path).await;
            assert!([502, 503, 504].contains(&response.status.as_u16()), "{}", response.body);
            assert!(asked.elapsed() < Duration::from_secs(11), "{path}: {:?}", asked.elapsed());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_opens_after_two_requests_of_fast_tools() {
    let client = client(EutilsSettings { backoff: Duration::from_millis(1), ..EutilsSettings::new(refusing().await) });
    let engine = engine(pool(4).await, client.clone(), Settings::default());
    let server = Server::start(engine, client.clone(), &settings(&[])).await;
    for _ in 0..2 {
        assert!(!client.breaker().is_open());
        server.get("/v1/pubmed/31452104").await;
    }
    assert!(client.breaker().is_open(), "every attempt counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_has_a_time_limit_too() {
    let archive = Archive::new().await;
    let mut command = archive.command(&["search", "asthma"]);
    let run: Run = command.env("BIO_MCP_PUBMED_BASE_URL", refusing().await).output().expect("runs").into();
    assert!(run.expect(4).err.contains("the connection failed"));
}
