//! Telemetry of programs: spans for a collector, metrics for Prometheus.

use std::collections::BTreeSet;
use std::process::Command;

use samples::files::write_sample;
use tests::program::{Archive, Run, text};
use tests::serving::{Running, client};

/// Runs a command to its end while the runtime serves its connections.
async fn run(mut command: Command) -> Run {
    tokio::task::spawn_blocking(move || command.output().expect("the program starts")).await.expect("joined").into()
}

/// An ingest that exports its spans to a collector.
fn ingest(archive: &Archive, collector: &str) -> Command {
    let sample = write_sample(&archive.dir.path().join("s"), 100).expect("written");
    let mut command = archive.command(&["ingest", text(&sample.baseline)]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector).env("BIO_MCP_JSON_LOGS", "true");
    command
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The command ends long before the export interval: without a flush at its end, no span would be sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_sends_its_spans_before_it_exits() {
    let archive = Archive::new().await;
    let (received, mut bodies) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    let post = axum::routing::post(move |body: axum::body::Bytes| {
        let received = received.clone();
        async move { received.send(body.to_vec()).expect("the receiver is there") }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let collector = format!("http://{}", listener.local_addr().expect("bound"));
    let server = tokio::spawn(async move {
        axum::serve(listener, axum::Router::new().route("/v1/traces", post)).await.expect("serves");
    });
    run(ingest(&archive, &collector)).await.expect(0);
    server.abort();
    let _ = server.await;
    let mut spans = Vec::new();
    while let Ok(body) = bodies.try_recv() {
        spans.extend(body);
    }
    for text in ["unit", "pubmed.ingest_files", "service.name", "bio-mcp"] {
        assert!(holds(&spans, text), "no {text} in {} bytes", spans.len());
    }
}

/// The collector accepts connections and never responds: the command waits a limited time, logs it, and succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_collector_costs_spans_and_never_the_command() {
    let archive = Archive::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = listener.local_addr().expect("bound").port();
    let silent = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            open.push(connection);
        }
    });
    let run = run(ingest(&archive, &format!("http://me:hunter2@127.0.0.1:{port}"))).await.expect(0);
    silent.abort();
    assert!(run.err.contains("the collector did not accept the spans"), "{}", run.err);
    assert!(!run.err.contains("hunter2"), "{}", run.err);
}

/// An invalid endpoint is not repeated in the message: it may contain a password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_endpoint_is_not_repeated() {
    let archive = Archive::new().await;
    let run = run(ingest(&archive, "http://me:hunter2@[nowhere")).await.expect(0);
    assert!(run.err.contains("OTEL_EXPORTER_OTLP_ENDPOINT or _HEADERS is not valid"), "{}", run.err);
    assert!(!run.err.contains("hunter2"), "{}", run.err);
}

/// Each metric has its help and type, each name the prefix; latencies are a histogram.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_has_its_metrics_for_prometheus() {
    const CALLS: usize = 7;
    let archive = Archive::new().await;
    let mut server = Running(archive.start(&["serve", "--listen", "127.0.0.1:0"], &[]));
    let (address, http) = (server.address(), client());
    let invoke = async |body: &'static str| {
        let request = http.post(format!("{address}/v1/mcp/invoke")).header("content-type", "application/json");
        request.body(body).send().await.expect("sent").status()
    };
    for _ in 0..CALLS {
        assert_eq!(invoke(r#"{"tool": "ping"}"#).await, 200);
    }
    assert_eq!(invoke(r#"{"tool": "ping", "params": {"unknown": 1}}"#).await, 400);
    let response = http.get(format!("{address}/metrics")).send().await.expect("sent");
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = response.text().await.expect("text");
    let named = |kind: &str| -> BTreeSet<&str> {
        text.lines().filter_map(|line| line.strip_prefix(kind)?.split(' ').next()).collect()
    };
    assert_eq!(named("# TYPE "), named("# HELP "), "{text}");
    for name in ["requests_total", "errors_total", "latency_ms", "jobs_running", "queue_age_seconds", "breaker_open"] {
        assert!(named("# TYPE ").contains(format!("bio_mcp_{name}").as_str()), "no {name} in:\n{text}");
    }
    assert!(text.lines().all(|line| line.is_empty() || line.trim_start_matches(['#', ' ']).contains("bio_mcp_")));
    let values = |start: &str| -> Vec<usize> {
        let of = |line: &str| line.strip_prefix(start)?.rsplit(' ').next()?.parse().ok();
        text.lines().filter_map(of).collect()
    };
    assert_eq!(values("bio_mcp_requests_total{tool=\"ping\",status=\"ok\"}"), [CALLS]);
    assert_eq!(values("bio_mcp_errors_total{tool=\"ping\",error_code=\"VALIDATION_ERROR\"}"), [1]);
    let buckets = values("bio_mcp_latency_ms_bucket{tool=\"ping\",");
    assert!(buckets.len() > 10 && buckets.is_sorted(), "{text}");
    assert_eq!(buckets.last(), Some(&(CALLS + 1)), "each call is in a bucket: {text}");
    assert_eq!(values("bio_mcp_latency_ms_count{tool=\"ping\"}"), [CALLS + 1]);
}
