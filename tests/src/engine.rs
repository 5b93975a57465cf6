//! Databases and engines for tests.

use std::str::FromStr;
use std::sync::Arc;

use shared::archive::{Archive, Compression, Layout, MemoryStore, Store};
use shared::db;
use shared::ingest::{Engine, Pipeline, Settings};
use shared::queue::ListenOnly;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

/// The URL of a new database, its schema up to date, on the test server.
pub async fn new_database() -> String {
    let server = super::variable("BIO_MCP_TEST_DATABASE_URL")
        .expect("BIO_MCP_TEST_DATABASE_URL names the test server: run `make test`");
    let name = format!("t_{}", uuid::Uuid::new_v4().simple());
    let mut connection = PgConnection::connect(&server).await.expect("the test server answers");
    sqlx::query(AssertSqlSafe(format!("create database {name}"))).execute(&mut connection).await.expect("created");
    connection.close().await.expect("closed");
    let (base, query) = server.split_once('?').unwrap_or((&server, ""));
    let (base, _) = base.rsplit_once('/').expect("a URL with a database");
    format!("{base}/{name}?{query}")
}

/// A pool on a new database with the schema.
pub async fn pool(connections: u32) -> PgPool {
    pool_on(&new_database().await, connections).await
}

/// A pool on a database, with the schema.
pub async fn pool_on(url: &str, connections: u32) -> PgPool {
    let options = PgConnectOptions::from_str(url).expect("a URL");
    let pool = db::connect(options, connections).await.expect("the test server answers");
    db::migrate(&pool).await.expect("migrations apply");
    pool
}

/// An engine over a new database and a store in memory.
pub async fn engine(pipelines: Vec<Arc<dyn Pipeline>>, settings: Settings, connections: u32) -> Engine {
    Engine {
        db: pool(connections).await,
        archive: archive(Arc::new(MemoryStore::new()), 64 << 20),
        queue: Arc::new(ListenOnly),
        settings,
        pipelines: pipelines.into(),
    }
}

/// An archive in a store, laid out as programs do.
pub fn archive(store: Arc<dyn Store>, max_record_bytes: usize) -> Archive {
    Archive::new(store, Layout::new("pubmed", Compression::Zstd).expect("a valid prefix"), max_record_bytes)
}
