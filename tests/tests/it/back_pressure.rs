//! Load beyond the limits: excess requests are refused at once without side effects, and the server recovers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use serde_json::json;
use shared::ingest::Settings;
use simulator::{Corpus, Options, Spread};
use sqlx::Connection;
use sqlx::postgres::PgConnectOptions;
use tests::http::{Server, World, plain, settings as http_settings, sync_of};
use tests::invariants;
use tests::mcp;
use tests::sync::{client, day, engine, settings, simulator};
use tokio::net::{TcpListener, UnixStream};

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limits_requests_are_refused_and_jobs_are_queued() {
    let slow = Options { delay: Duration::from_millis(400), ..Options::default() };
    let limits = [("BIO_MCP_TOOL_LIMIT_PUBMED_SEARCH", "2")];
    let World { simulator, server } = World::new(5, slow, &limits).await;
    let search = json!({ "tool": "pubmed.search", "params": { "term": "all", "summaries": false } });
    let responses = futures_util::future::join_all((0..20).map(|_| server.post("/v1/mcp/invoke", &search))).await;
    let served = responses.iter().filter(|response| response.status == 200).count();
    assert!((2..20).contains(&served), "{served}");
    for refused in responses.iter().filter(|response| response.status != 200) {
        assert_eq!(refused.error(), (429, "RATE_LIMIT_EXCEEDED"));
        assert_eq!((refused.header("retry-after"), &refused.body["retryable"]), (Some("1"), &json!(true)));
    }
    assert_eq!(simulator.arrivals().len(), served, "who was refused touched nothing");
    let again = server.post("/v1/mcp/invoke", &search).await;
    assert_eq!(again.status, 200, "places are given back: {}", again.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_requests_share_a_limit_and_long_polls_have_their_own() {
    let slow = Options { delay: Duration::from_millis(400), ..Options::default() };
    let World { simulator: _ncbi, server } = World::new(5, slow, &[("BIO_MCP_MAX_CONCURRENCY", "3")]).await;
    let job = server.submit(&sync_of(1000..1001)).await;
    let poll = format!("/v1/jobs/{job}?wait=2");
    let search = json!({ "tool": "pubmed.search", "params": { "term": "all" } });
    let waiting = futures_util::future::join_all((0..3).map(|_| server.get(&poll)));
    let searching = futures_util::future::join_all((0..12).map(|_| server.post("/v1/mcp/invoke", &search)));
    let alive = futures_util::future::join_all((0..12).map(|n| server.get(["/healthz", "/readyz"][n % 2])));
    let (waited, searched, alive) = tokio::join!(waiting, searching, alive);
    assert!(waited.iter().all(|response| response.status == 200), "they keep no other out and are not kept out");
    assert!(alive.iter().all(|response| response.status == 200), "a busy process lives");
    let served = searched.iter().filter(|response| response.status == 200).count();
    assert!((3..12).contains(&served), "{served}");
    assert!(searched.iter().filter(|a| a.status != 200).all(|a| a.error() == (429, "RATE_LIMIT_EXCEEDED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_jobs_are_refused_until_some_have_ended() {
    let World { simulator, server } = plain().await;
    let client = client(settings(&simulator));
    let mut server = Server::with(server.engine.clone(), client, &http_settings(&[]), |toolbox| {
        let limits = shared::jobs::Limits { max_queued_jobs: 3, ..toolbox.limits };
        shared::tools::Toolbox { limits, ..toolbox }
    })
    .await;
    let first = server.submit(&sync_of(1000..1001)).await;
    let second = server.submit(&sync_of(1001..1002)).await;
    let refused = server.post("/v1/jobs", &sync_of(1002..1003)).await;
    assert_eq!(refused.error(), (429, "RATE_LIMIT_EXCEEDED"));
    assert_eq!(refused.header("retry-after"), Some("30"));
    server.work();
    server.ended(&first).await;
    server.ended(&second).await;
    server.submit(&sync_of(1002..1003)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_jobs_at_once_run_to_their_end() {
    let World { simulator: _ncbi, mut server } = World::new(200, Options::default(), &[]).await;
    let jobs = futures_util::future::join_all((0..100).map(|n| {
        let body = sync_of(1000 + n..1002 + n);
        let server = &server;
        async move { server.submit(&body).await }
    }))
    .await;
    for _ in 0..3 {
        server.work();
    }
    for job in &jobs {
        assert_eq!(server.ended(job).await["state"], "succeeded");
    }
    assert_eq!(server.get("/v1/jobs?status=completed&limit=1").await.body["total"], 100);
    assert_eq!(invariants::broken(&server.engine.db).await, Vec::<String>::new());
}

/// Records the maximum number of connections that a server has, until it is dropped.
async fn watch(server: &Server, most: &AtomicI64) {
    let options = server.engine.db.connect_options();
    let mut watcher = sqlx::PgConnection::connect_with(&options).await.expect("connects");
    let sql = "select count(*) from pg_stat_activity where datname = current_database() \
               and pid <> pg_backend_pid() and backend_type = 'client backend'";
    loop {
        let now: i64 = sqlx::query_scalar(sql).fetch_one(&mut watcher).await.expect("counted");
        most.fetch_max(now, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}

/// Load far beyond every limit: each response is a success or 429 with Retry-After, and neither the database nor NCBI
/// gets more than its share.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_beyond_every_limit_breaks_nothing() {
    const POOL: u32 = 6;
    let ncbi = simulator(
        Corpus::generated(day("2026-03-10"), 1000, 200, 1, Spread::Even(30)),
        Options { delay: Duration::from_millis(40), ..Options::default() },
    )
    .await;
    let client = client(settings(&ncbi));
    let engine = engine(tests::engine::pool(POOL).await, client.clone(), Settings::default());
    let limits = [
        ("BIO_MCP_MAX_CONCURRENCY", "40"),
        ("BIO_MCP_TOOL_LIMIT_PUBMED_SEARCH", "3"),
        ("BIO_MCP_TOOL_LIMIT_PUBMED_GET", "5"),
    ];
    let server = Server::with(engine, client, &http_settings(&limits), |toolbox| {
        let limits = shared::jobs::Limits { max_queued_jobs: 28, ..toolbox.limits };
        shared::tools::Toolbox { limits, ..toolbox }
    })
    .await;
    let flood = async {
        let requests = (0..800_u32).map(|n| {
            let server = &server;
            async move {
                match n % 8 {
                    0 => {
                        server
                            .post("/v1/mcp/invoke", &json!({ "tool": "pubmed.search", "params": { "term": "all" } }))
                            .await
                    }
                    1 => server.get(&format!("/v1/pubmed/{}", 1000 + n % 200)).await,
                    2 => server.post("/v1/jobs", &sync_of(n..n + 1)).await,
                    3 => server.get("/v1/jobs?limit=5").await,
                    4 => server.post("/v1/mcp/invoke", &json!({ "tool": "corpus.checkpoint.list" })).await,
                    5 => {
                        mcp::send(
                            server,
                            "tools/call",
                            json!({ "name": "pubmed_get", "arguments": { "pmid": "1001" } }),
                            true,
                        )
                        .await
                    }
                    6 => mcp::send(server, "tools/list", json!({}), false).await,
                    _ => server.get("/v1/mcp/tools").await,
                }
            }
        });
        let mut responses = futures_util::future::join_all(requests).await;
        // As many jobs as the first limit lets through.
        let jobs = (1000..1040).map(|n| {
            let (server, body) = (&server, sync_of(n..n + 1));
            async move { server.post("/v1/jobs", &body).await }
        });
        responses.extend(futures_util::future::join_all(jobs).await);
        responses
    };
    let most = AtomicI64::new(0);
    let responses = tokio::select! {
        responses = flood => responses,
        () = watch(&server, &most) => unreachable!("it never ends"),
    };
    let mut refused = BTreeMap::new();
    for response in &responses {
        match response.status.as_u16() {
            200 | 202 => {
                // An MCP tool call that is refused reports it in its result.
                if let Some(body) = response.body["result"].get("structuredContent").filter(|body| body["ok"] == false)
                {
                    assert_eq!(
                        (&body["error_code"], &body["retryable"]),
                        (&json!("RATE_LIMIT_EXCEEDED"), &json!(true))
                    );
                    *refused.entry("a tool of MCP".to_owned()).or_insert(0) += 1;
                }
            }
            429 => {
                assert_eq!(response.error(), (429, "RATE_LIMIT_EXCEEDED"));
                let pause: u64 = response.header("retry-after").expect("when to come again").parse().expect("seconds");
                assert!(pause >= 1);
                *refused.entry(response.body["message"].as_str().unwrap_or_default().to_owned()).or_insert(0) += 1;
            }
            other => panic!("{other}: {}", response.body),
        }
    }
    for limit in ["too many requests", "pubmed.search", "pubmed.get", "queued or running jobs"] {
        assert!(refused.keys().any(|message| message.contains(limit)), "{limit}: {refused:?}");
    }
    assert!(most.load(Ordering::Relaxed) <= i64::from(POOL), "{most:?} connections");
    assert!(ncbi.most_at_once() <= 3 + 5, "{} requests to NCBI at once", ncbi.most_at_once());
    let jobs: i64 =
        sqlx::query_scalar("select count(*) from jobs").fetch_one(&server.engine.db).await.expect("counted");
    // Jobs submitted at the same moment do not see each other yet: at most one per connection.
    assert!((25..25 + i64::from(POOL)).contains(&jobs), "{jobs}");
    for path in ["/readyz", "/v1/jobs", "/v1/pubmed/1001", "/v1/mcp/tools"] {
        assert_eq!(server.get(path).await.status, 200, "{path} is well again");
    }
}

/// A large job that was submitted first does not delay a hundred small ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_small_jobs_do_not_wait_for_a_large_one() {
    let World { simulator: _ncbi, mut server } = World::new(1200, Options::default(), &[]).await;
    let large = server.submit(&sync_of(1000..2000)).await;
    let small = futures_util::future::join_all((0..100).map(|n| {
        let (server, body) = (&server, sync_of(2000 + n..2001 + n));
        async move { server.submit(&body).await }
    }))
    .await;
    for _ in 0..3 {
        server.work();
    }
    let large = server.ended(&large).await;
    let mut last = String::new();
    for job in &small {
        let ended = server.ended(job).await;
        assert_eq!(ended["state"], "succeeded");
        last = last.max(ended["completed_at"].as_str().expect("a time").to_owned());
    }
    assert!(last.as_str() < large["completed_at"].as_str().expect("a time"), "{last}: {large}");
}

/// The database behind a proxy that can refuse connections.
struct Shutter {
    port: u16,
    is_shut: Arc<AtomicBool>,
}

impl Shutter {
    async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("bound").port();
        let is_shut = Arc::new(AtomicBool::new(false));
        let shut = is_shut.clone();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let (socket, shut) = (socket.clone(), shut.clone());
                tokio::spawn(async move {
                    let Ok(mut to) = UnixStream::connect(&socket).await else { return };
                    let until_shut = async {
                        while !shut.load(Ordering::Relaxed) {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                        () = until_shut => {}
                    }
                });
            }
        });
        Self { port, is_shut }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_database_requests_fail_fast_until_it_is_reachable_again() {
    let url = tests::databases::new_database().await;
    let options = PgConnectOptions::from_str(&url).expect("a URL");
    let socket = options.get_socket().expect("a socket").join(format!(".s.PGSQL.{}", options.get_port()));
    let shutter = Shutter::start(socket).await;
    let through = PgConnectOptions::new()
        .host("127.0.0.1")
        .port(shutter.port)
        .username(options.get_username())
        .database(options.get_database().expect("a database"))
        .ssl_mode(sqlx::postgres::PgSslMode::Disable);
    let db = shared::db::connect(through, 5).await.expect("connects");
    let ncbi = simulator(Corpus::generated(day("2026-03-10"), 1000, 5, 1, Spread::Even(30)), Options::default()).await;
    let client = client(settings(&ncbi));
    let server = Server::start(engine(db, client.clone(), Settings::default()), client, &http_settings(&[])).await;
    let metric = |text: &str| text.lines().find(|line| line.contains("dependency=\"database\"")).map(str::to_owned);
    let metrics =
        || async { server.request("GET", "/metrics").send().await.expect("sent").text().await.expect("text") };
    assert_eq!(server.get("/v1/jobs").await.status, 200);
    assert_eq!(metric(&metrics().await).as_deref(), Some("bio_mcp_breaker_open{dependency=\"database\"} 0"));

    shutter.is_shut.store(true, Ordering::Relaxed);
    let opened = async {
        loop {
            let response = server.get("/v1/jobs").await;
            if response.status == 200 {
                continue; // The proxy is not fully closed yet.
            }
            assert_eq!(response.error(), (503, "DATABASE_ERROR"));
            if metric(&metrics().await).as_deref() == Some("bio_mcp_breaker_open{dependency=\"database\"} 1") {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), opened).await.expect("the breaker opens");
    let refused = mcp::send(&server, "tools/call", json!({ "name": "corpus_checkpoint_list" }), false).await;
    let (error, is_error) = mcp::tool_result(&refused.body);
    assert!(is_error && error["error_code"] == "DATABASE_ERROR" && error["retryable"] == true, "{error}");
    let pong = server.post("/v1/mcp/invoke", &json!({ "tool": "ping" })).await;
    assert_eq!(pong.status, 200, "what needs no database goes on");

    shutter.is_shut.store(false, Ordering::Relaxed);
    while server.get("/v1/jobs").await.status != 200 {}
    assert_eq!(metric(&metrics().await).as_deref(), Some("bio_mcp_breaker_open{dependency=\"database\"} 0"));
    server.submit(&sync_of(1000..1001)).await;
    let text = metrics().await;
    assert!(
        text.contains("# TYPE bio_mcp_queue_age_seconds gauge\n") && text.contains("\nbio_mcp_jobs_running 0\n"),
        "{text}"
    );
}
