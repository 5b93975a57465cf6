//! What a command works with: opened lazily, closed in order.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use shared::archive::{Archive, Compression, DiskStore, Layout};
use shared::db;
use shared::ingest::{Engine, Settings};
use shared::pipelines::{self, pubmed_files::FileLimits};
use shared::queue::ListenOnly;
use shared::words::config::{CompressionName, Config};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::data_dir::DataDir;
use crate::failure::Failure;
use crate::postgres::{Keeper, Postgres};

/// Connections a command may open.
const MAX_CONNECTIONS: u32 = 6;

/// An open archive with its database.
pub struct Session {
    /// Settings.
    pub config: Config,
    /// Where everything is.
    pub data_dir: DataDir,
    /// The engine over both.
    pub engine: Engine,
    postgres: Option<Postgres>,
}

impl Session {
    /// Opens the database, brings its schema up to date, and opens the archive.
    pub async fn open(config: Config, data_dir: DataDir) -> Result<Self, Failure> {
        let (postgres, options) = if let Some(url) = &config.database_url {
            (None, url_options(url.expose())?)
        } else {
            let postgres = tokio::task::block_in_place(|| Postgres::open(&data_dir.postgres(), &config))?;
            let options = postgres.options();
            (Some(postgres), options)
        };
        let pool = db::connect(options, MAX_CONNECTIONS).await?;
        db::migrate(&pool).await?;
        let engine = Engine {
            db: pool,
            archive: archive(&config, &data_dir)?,
            queue: Arc::new(ListenOnly),
            settings: settings(&config),
            pipelines: pipelines::all(FileLimits { max_file_bytes: config.max_file_bytes }),
        };
        Ok(Self { config, data_dir, engine, postgres })
    }

    /// The database.
    pub fn db(&self) -> &PgPool {
        &self.engine.db
    }

    /// Restarts the private Postgres if it dies while the answer lives.
    pub fn keep_database_alive(&self) -> Option<Keeper> {
        self.postgres.as_ref().map(Postgres::keep_alive)
    }

    /// The private Postgres, if this session uses one.
    pub fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// The database's address.
    pub fn database_url(&self) -> String {
        match (&self.postgres, &self.config.database_url) {
            (Some(postgres), _) => postgres.url(),
            (None, Some(url)) => url.expose().to_owned(),
            (None, None) => String::new(),
        }
    }

    /// Closes connections first, then leaves the private Postgres.
    pub async fn close(self) {
        self.engine.db.close().await;
        tokio::task::block_in_place(|| drop(self.postgres));
    }
}

fn url_options(url: &str) -> Result<PgConnectOptions, Failure> {
    // The parser's error could repeat the URL, which may hold a password.
    PgConnectOptions::from_str(url).map_err(|_| Failure::usage("BIO_MCP_DATABASE_URL is not a valid Postgres URL"))
}

/// The archive of a data directory.
pub fn archive(config: &Config, data_dir: &DataDir) -> Result<Archive, Failure> {
    let compression = match config.archive_compression {
        CompressionName::Zstd => Compression::Zstd,
        CompressionName::Gzip => Compression::Gzip,
    };
    let layout = Layout::new(&config.archive_prefix, compression).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Archive::new(Arc::new(DiskStore::new(&archive_dir(config, data_dir))), layout, config.max_record_bytes))
}

/// Where objects are.
pub fn archive_dir(config: &Config, data_dir: &DataDir) -> PathBuf {
    config.archive_dir.clone().unwrap_or_else(|| data_dir.archive())
}

fn settings(config: &Config) -> Settings {
    Settings {
        job_units: config.job_units,
        heartbeat: config.heartbeat,
        stale: config.stale,
        sweep: config.sweep,
        unit_timeout: config.unit_timeout,
        batch_records: config.batch_records,
        ..Settings::default()
    }
}
