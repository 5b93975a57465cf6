//! Engines for tests.

use std::str::FromStr;
use std::sync::Arc;

use shared::archive::{Archive, Compression, Layout, MemoryStore};
use shared::db;
use shared::ingest::{Engine, Pipeline, Settings};
use shared::queue::ListenOnly;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::databases::new_database;

/// A pool on a new database with the schema.
pub async fn pool(connections: u32) -> PgPool {
    let options = PgConnectOptions::from_str(&new_database().await).expect("a URL");
    db::connect(options, connections).await.expect("the test server answers")
}

/// An engine over a new database and a store in memory.
pub async fn engine(pipelines: Vec<Arc<dyn Pipeline>>, settings: Settings, connections: u32) -> Engine {
    let layout = Layout::new("pubmed", Compression::Zstd).expect("a valid prefix");
    Engine {
        db: pool(connections).await,
        archive: Archive::new(Arc::new(MemoryStore::new()), layout, 64 << 20),
        queue: Arc::new(ListenOnly),
        settings,
        pipelines: pipelines.into(),
    }
}
