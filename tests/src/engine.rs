//! Engines for tests.

use std::str::FromStr;
use std::sync::Arc;

use shared::archive::{Archive, Compression, Layout, MemoryStore, Store};
use shared::config::Config;
use shared::ingest::{Engine, Pipeline, Settings};
use shared::limits::PostgresLimits;
use shared::pubmed::eutils::Client;
use shared::{db, deployment, tools};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::databases::new_database;

/// A pool on a new database with the current schema.
pub async fn pool(connections: u32) -> PgPool {
    pool_on(&new_database().await, connections).await
}

/// A pool on a database with the current schema.
pub async fn pool_on(url: &str, connections: u32) -> PgPool {
    let options = PgConnectOptions::from_str(url).expect("a URL");
    db::connect(options, connections).await.expect("the test server responds")
}

/// The settings of an environment with only these variables.
pub fn config(variables: &[(&str, &str)]) -> Config {
    let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Config::read(&tools::limits(), lookup).expect("valid settings")
}

/// An engine with default settings, over a database, an in-memory store and a client.
pub fn plain(db: PgPool, client: &Client) -> Engine {
    let store = Arc::new(MemoryStore::new());
    deployment::engine(&config(&[]), db, store, client, std::env::temp_dir()).expect("the settings are valid")
}

/// An engine with these pipelines, over a new database and an in-memory store.
pub async fn engine(pipelines: Vec<Arc<dyn Pipeline>>, settings: Settings, connections: u32) -> Engine {
    let db = pool(connections).await;
    let client = deployment::client(&config(&[]), &PostgresLimits(db.clone()));
    Engine { settings, pipelines: pipelines.into(), ..plain(db, &client) }
}

/// An archive in a store, with the production layout.
pub fn archive(store: Arc<dyn Store>, max_record_bytes: usize) -> Archive {
    Archive::new(store, Layout::new("pubmed", Compression::Zstd).expect("a valid prefix"), max_record_bytes)
}
