//! Connections to the database that fall silent without being closed: every program recovers within half a minute.

use std::time::{Duration, Instant};

use samples::files::FileWriter;
use samples::record::Record;
use serde_json::json;
use tests::cloud::{Cloud, ask};
use tests::program::{Archive, text};
use tests::serving::{Running, client};
use tests::silent_proxy::SilentProxy;

/// Maximum time to recover.
const RECOVERY: Duration = Duration::from_secs(30);

/// A database, and a proxy before it that the program under test connects to.
struct Network {
    proxy: SilentProxy,
    /// Connected through the proxy.
    behind: Archive,
    /// The same archive without the proxy.
    direct: Archive,
    db: sqlx::PgPool,
}

impl Network {
    async fn new() -> Self {
        let direct = Archive::new().await;
        let db = direct.database().await;
        let proxy = SilentProxy::before(direct.url().expect("on the test server")).await;
        let behind = direct.with_url(&proxy.url());
        let network = Self { proxy, behind, direct, db };
        network.direct.run(&["ingest", &network.file("made.xml.gz", 900_001..900_002)]).expect(0);
        network
    }

    fn file(&self, name: &str, records: std::ops::Range<u32>) -> String {
        let path = self.direct.dir.path().join(name);
        let mut file = FileWriter::create(&path, 1_700_000_000).expect("created");
        for pmid in records {
            file.record(&Record::new(pmid, 0).xml()).expect("written");
        }
        file.finish(&[]).expect("finished");
        text(&path).to_owned()
    }

    /// A job for other programs, submitted without the proxy.
    fn submit(&self, name: &str, records: std::ops::Range<u32>) -> String {
        let file = self.file(name, records);
        let submitted = self.direct.run(&["--output", "json", "ingest", "--detach", &file]).expect(0).json();
        submitted["job_id"].as_str().expect("an id").to_owned()
    }

    async fn state_of(&self, job: &str) -> String {
        let sql = "select state from jobs where id = $1::uuid";
        sqlx::query_scalar(sql).bind(job).fetch_one(&self.db).await.expect("read")
    }

    async fn ended(&self, job: &str, longest: Duration) {
        let done = async { while self.state_of(job).await != "succeeded" {} };
        tokio::time::timeout(longest, done).await.expect("the job ends in time");
    }

    async fn batches(&self) -> i64 {
        sqlx::query_scalar("select count(*) from ingestion_unit_outcomes").fetch_one(&self.db).await.expect("counted")
    }
}

/// Many concurrent requests: all of them succeed again in time, so that no single one does by luck.
async fn served(http: &reqwest::Client, address: &str, longest: Duration) {
    let get = || async {
        let sent = http.get(format!("{address}/v1/jobs")).timeout(RECOVERY).send().await;
        sent.is_ok_and(|response| response.status() == 200)
    };
    let good =
        async { while !futures_util::future::join_all((0..30).map(|_| get())).await.into_iter().all(|is| is) {} };
    tokio::time::timeout(longest, good).await.expect("requests are served in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_recovers_when_its_connections_fall_silent() {
    let network = Network::new().await;
    let _worker = Running(network.behind.start(&["worker"], &[]));
    network.ended(&network.submit("first.xml.gz", 1..50), RECOVERY * 2).await;
    network.proxy.hush();
    network.ended(&network.submit("second.xml.gz", 50..100), RECOVERY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_recovers_when_its_connections_fall_silent() {
    let network = Network::new().await;
    let mut serve = Running(network.behind.start(&["serve", "--listen", "127.0.0.1:0"], &[]));
    let (address, http) = (serve.address(), client());
    served(&http, &address, RECOVERY).await;
    network.proxy.hush();
    served(&http, &address, RECOVERY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn up_recovers_when_its_connections_fall_silent() {
    let network = Network::new().await;
    let mut up = Running(network.behind.start(&["up", "--listen", "127.0.0.1:0"], &[]));
    let (address, http) = (up.address(), client());
    served(&http, &address, RECOVERY).await;
    network.ended(&network.submit("first.xml.gz", 1..50), RECOVERY * 2).await;
    network.proxy.hush();
    let second = network.submit("second.xml.gz", 50..100);
    tokio::join!(network.ended(&second, RECOVERY), served(&http, &address, RECOVERY));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_recovers_when_its_connections_fall_silent() {
    const RECORDS: u32 = 6_000;
    let network = Network::new().await;
    let file = network.file("large.xml.gz", 1..RECORDS + 1);
    let small = [("BIO_MCP_BATCH_RECORDS", "50"), ("BIO_MCP_WORKERS", "1")];
    let ingest = network.behind.start(&["--output", "json", "ingest", &file], &small);
    let some = async { while network.batches().await < 4 {} };
    tokio::time::timeout(RECOVERY, some).await.expect("it works");
    network.proxy.hush();
    let before = network.batches().await;
    assert!(before < i64::from(RECORDS / 50), "it is in the middle of its work");
    let began = Instant::now();
    // One commit may already have been in progress.
    let more = async { while network.batches().await < before + 2 {} };
    tokio::time::timeout(RECOVERY, more).await.expect("it goes on in time");
    println!("recovered after {:?}", began.elapsed());
    let ended = tokio::task::spawn_blocking(move || ingest.wait_with_output()).await.expect("runs").expect("ends");
    let run = tests::program::Run::from(ended).expect(0);
    assert_eq!((&run.json()["archived"], &run.json()["failed"]), (&json!(RECORDS), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_recover_when_their_connections_fall_silent() {
    let Some(cloud) = Cloud::new(5, None).await else { return };
    cloud.migrate().await;
    let proxy = SilentProxy::before(&cloud.url).await;
    let api = cloud.function("api", &[("BIO_MCP_DATABASE_URL", &proxy.url())]);
    let scheduler = cloud.function("scheduler", &[("BIO_MCP_DATABASE_URL", &proxy.url())]);
    let sweep = json!({ "action": "sweep" });
    ask(&api, "GET", "/v1/jobs", None).await.expect("responds");
    scheduler.invoke(&sweep).await.expect("sweeps");
    proxy.hush();
    let served = async { while !matches!(ask(&api, "GET", "/v1/jobs", None).await, Ok((200, _))) {} };
    let swept = async { while scheduler.invoke(&sweep).await.is_err() {} };
    let both = async { tokio::join!(served, swept) };
    tokio::time::timeout(RECOVERY, both).await.expect("they response in time");
}

/// Sessions of a database, except the asking one.
async fn sessions(db: &sqlx::PgPool, application: &str) -> i64 {
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and application_name = $1";
    sqlx::query_scalar(sql).bind(application).fetch_one(db).await.expect("counted")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_ended_closes_its_connections_and_one_that_is_frozen_loses_them() {
    let Some(cloud) = Cloud::new(5, None).await else { return };
    cloud.migrate().await;
    let db = cloud.database().await;
    let scheduler = cloud.function("scheduler", &[]);
    scheduler.invoke(&json!({ "action": "sweep" })).await.expect("sweeps");
    assert!(sessions(&db, "bio-mcp").await > 0, "it has a connection");
    scheduler.terminate();
    let gone = async { while sessions(&db, "bio-mcp").await > 0 {} };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("closed at once");
    // The server's limits for sessions of a frozen function.
    let role: Vec<String> = sqlx::query_scalar(
        "select unnest(setconfig) from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase \
         where d.datname = current_database()",
    )
    .fetch_all(&db)
    .await
    .expect("read");
    for setting in ["idle_session_timeout=60s", "tcp_keepalives_idle=10", "statement_timeout=16s"] {
        assert!(role.iter().any(|one| one == setting), "{setting}: {role:?}");
    }
}
