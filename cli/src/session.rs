//! What a command works with: opened lazily, closed in order.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use shared::archive::{Archive, Compression, DiskStore, Layout, S3Settings, S3Store, Store};
use shared::db;
use shared::ingest::{Engine, Settings};
use shared::jobs::Limits;
use shared::limits::PostgresPace;
use shared::pipelines::pubmed_sync::Sources;
use shared::pipelines::{self, pubmed_files::FileSettings};
use shared::pubmed::eutils::{Client, LocalPace, Pace, Settings as EutilsSettings};
use shared::queue::ListenOnly;
use shared::words::config::{ArchivePlace, CompressionName, Config};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::data_dir::DataDir;
use crate::failure::Failure;
use crate::postgres::{Keeper, Postgres};

/// Connections a command may open beside those of its workers.
const CONNECTIONS: u32 = 5;

/// An open archive with its database.
pub struct Session {
    /// Settings.
    pub config: Config,
    /// Where everything is.
    pub data_dir: DataDir,
    /// The engine over both.
    pub engine: Engine,
    /// NCBI, at the pace of all workers of this database.
    pub client: Client,
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
        // A worker holds one for its unit, one to listen, and now and then one for its heartbeat.
        let workers = u32::try_from(config.workers).unwrap_or(1);
        let pool = db::connect(options, CONNECTIONS + 3 * workers).await?;
        db::migrate(&pool).await?;
        let per_second = eutils_settings(&config).per_second();
        let client = client(&config, Arc::new(PostgresPace::new(pool.clone(), "ncbi", per_second)));
        let sources = Sources::new(client.clone(), config.pubmed.max_records);
        let files = FileSettings {
            max_file_bytes: config.max_file_bytes,
            files_url: config.pubmed.files_url.clone(),
            downloads: data_dir.downloads(),
        };
        let engine = Engine {
            db: pool,
            archive: archive(&config, &data_dir).await?,
            queue: Arc::new(ListenOnly),
            settings: settings(&config),
            pipelines: pipelines::all(files, &sources),
        };
        Ok(Self { config, data_dir, engine, client, postgres })
    }

    /// Limits on submissions.
    pub fn limits(&self) -> Limits {
        Limits { max_queued_jobs: self.config.max_queued_jobs, job_timeout_secs: self.config.job_timeout.as_secs_f64() }
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

/// NCBI without an archive: the pace is this process's own.
pub fn lone_client(config: &Config) -> Client {
    client(config, Arc::new(LocalPace::new(eutils_settings(config).per_second())))
}

/// NCBI with the configured identity.
fn client(config: &Config, pace: Arc<dyn Pace>) -> Client {
    Client::new(eutils_settings(config), pace)
}

fn eutils_settings(config: &Config) -> EutilsSettings {
    EutilsSettings {
        tool: config.pubmed.tool.clone(),
        email: config.pubmed.email.clone(),
        api_key: config.pubmed.api_key.clone(),
        requests_per_second: config.pubmed.requests_per_second,
        ..EutilsSettings::new(&config.pubmed.base_url)
    }
}

/// The archive: a bucket, a directory, or the one in the data directory.
async fn archive(config: &Config, data_dir: &DataDir) -> Result<Archive, Failure> {
    let compression = match config.archive_compression {
        CompressionName::Zstd => Compression::Zstd,
        CompressionName::Gzip => Compression::Gzip,
    };
    let layout = Layout::new(&config.archive_prefix, compression).map_err(|error| Failure::usage(error.to_string()))?;
    let store: Arc<dyn Store> = match (&config.archive, archive_dir(config, data_dir)) {
        (Some(ArchivePlace::Bucket(bucket)), _) => {
            let settings = S3Settings {
                bucket: bucket.clone(),
                kms_key_id: config.archive_kms_key_id.clone(),
                path_style: config.has_s3_endpoint,
            };
            Arc::new(S3Store::open(settings).await?)
        }
        (_, dir) => Arc::new(DiskStore::new(&dir.unwrap_or_default())),
    };
    Ok(Archive::new(store, layout, config.max_record_bytes))
}

/// The archive's directory; nothing when it is in a bucket.
pub fn archive_dir(config: &Config, data_dir: &DataDir) -> Option<PathBuf> {
    match &config.archive {
        Some(ArchivePlace::Bucket(_)) => None,
        Some(ArchivePlace::Dir(dir)) => Some(dir.clone()),
        None => Some(data_dir.archive()),
    }
}

/// Where objects are, for people.
pub fn archive_place(config: &Config, data_dir: &DataDir) -> String {
    match (&config.archive, archive_dir(config, data_dir)) {
        (Some(ArchivePlace::Bucket(bucket)), _) => format!("s3://{bucket}"),
        (_, dir) => dir.unwrap_or_default().display().to_string(),
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        job_units: config.job_units,
        tool_limits: config.tool_limits.clone(),
        heartbeat: config.heartbeat,
        stale: config.stale,
        sweep: config.sweep,
        unit_timeout: config.unit_timeout,
        batch_records: config.batch_records,
        ..Settings::default()
    }
}
