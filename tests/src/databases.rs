//! Databases on the test server. The migrations run once, into a template; every test gets a copy of it.

use std::str::FromStr;
use std::time::{Duration, Instant};

use shared::core::Sha256;
use shared::db;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

/// Advisory lock, held while the template is created, so that concurrent processes create it only once.
const LOCK: i64 = 0x0062_696f_6d63_7074;

/// Creates a database on the test server with the current schema; returns its URL.
pub async fn new_database() -> String {
    let server = server();
    let mut connection = connect(&server).await;
    let template = template();
    if !exists(&mut connection, &template).await {
        make(&mut connection, &server, &template).await;
    }
    let name = new_name();
    let strategy = strategy(&mut connection).await;
    run(&mut connection, format!("create database {name} template {template}{strategy}")).await;
    connection.close().await.expect("closed");
    url_of(&server, &name)
}

/// Creates an empty database on the test server; returns its URL.
pub async fn empty_database() -> String {
    let server = server();
    let mut connection = connect(&server).await;
    let name = new_name();
    run(&mut connection, format!("create database {name}")).await;
    connection.close().await.expect("closed");
    url_of(&server, &name)
}

/// Returns when a statement in this pool's database waits for a lock.
pub async fn until_one_waits(db: &PgPool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let waits: bool = sqlx::query_scalar(
            "select exists (select from pg_stat_activity \
             where datname = current_database() and wait_event_type = 'Lock')",
        )
        .fetch_one(db)
        .await
        .expect("asked");
        if waits {
            return;
        }
        assert!(Instant::now() < deadline, "nothing waits for a lock");
        tokio::task::yield_now().await;
    }
}

fn server() -> String {
    super::variable("BIO_MCP_TEST_DATABASE_URL")
        .expect("BIO_MCP_TEST_DATABASE_URL names the test server: run `make test`")
}

fn new_name() -> String {
    format!("t_{}", uuid::Uuid::new_v4().simple())
}

/// The same URL with another database.
fn url_of(server: &str, name: &str) -> String {
    let (base, query) = server.split_once('?').unwrap_or((server, ""));
    let (base, _) = base.rsplit_once('/').expect("a URL with a database");
    format!("{base}/{name}?{query}")
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the test server responds")
}

async fn run(connection: &mut PgConnection, sql: String) {
    sqlx::query(AssertSqlSafe(sql.as_str())).execute(connection).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

/// Name of the template for these migrations: templates of other migrations on the server are kept.
fn template() -> String {
    let checksums: Vec<u8> = db::MIGRATIONS.iter().flat_map(|migration| migration.checksum.to_vec()).collect();
    format!("bio_mcp_template_{}", &Sha256::of(&checksums).to_hex()[..16])
}

async fn exists(connection: &mut PgConnection, database: &str) -> bool {
    let sql = "select exists (select from pg_database where datname = $1)";
    sqlx::query_scalar(sql).bind(database).fetch_one(connection).await.expect("the test server responds")
}

/// Copies files if fsync is off: that takes half the time. Otherwise it would take ten times as long, because of two
/// checkpoints.
async fn strategy(connection: &mut PgConnection) -> &'static str {
    let sql = "select current_setting('fsync') = 'off' and current_setting('server_version_num')::int >= 150000";
    let copies: bool = sqlx::query_scalar(sql).fetch_one(connection).await.expect("the test server responds");
    if copies { " strategy file_copy" } else { "" }
}

/// Creates the template under another name first: a template with its final name is complete and has no connections.
async fn make(connection: &mut PgConnection, server: &str, template: &str) {
    // The lock ends with the connection, also if this process is killed.
    run(connection, format!("select pg_advisory_lock({LOCK})")).await;
    if !exists(connection, template).await {
        let unfinished = format!("{template}_unfinished");
        run(connection, format!("drop database if exists {unfinished} with (force)")).await;
        run(connection, format!("create database {unfinished}")).await;
        let options = PgConnectOptions::from_str(&url_of(server, &unfinished)).expect("a URL");
        let pool = db::connect(options, 1).await.expect("the test server responds");
        db::migrate(&pool).await.expect("migrations apply");
        pool.close().await;
        run(connection, format!("alter database {unfinished} with allow_connections false")).await;
        run(connection, format!("alter database {unfinished} rename to {template}")).await;
    }
    run(connection, format!("select pg_advisory_unlock({LOCK})")).await;
}
