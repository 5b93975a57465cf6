//! The resources of a command: opened lazily, closed in order.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use shared::archive::{DiskStore, Store};
use shared::config::{ArchiveLocation, Config};
use shared::core::ErrorCode;
use shared::db::{self, DatabaseRole, DbError};
use shared::deployment::{self, StartError};
use shared::ingest::{self, Engine, LivingWorkers};
use shared::jobs::Limits;
use shared::limits::SharedLimits;
use shared::pubmed::eutils::{Client, LocalRateLimiter};
use shared::tools::Toolbox;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::data_dir::DataDir;
use crate::failure::CliError;
use crate::postgres::{Keeper, Postgres};
use crate::{ownership, users, waiting};

/// Connections of a command in addition to those of its workers.
const CONNECTIONS: u32 = 5;

/// An open archive with its database.
pub struct Session {
    pub config: Config,
    pub data_dir: DataDir,
    pub engine: Engine,
    /// NCBI, at the rate limit shared by all workers of this database.
    pub client: Client,
    shared_limits: Arc<dyn SharedLimits>,
    postgres: Option<Postgres>,
}

impl Session {
    /// Opens the database, brings its schema up to date, and opens the archive.
    pub async fn open(config: Config, data_dir: DataDir) -> Result<Self, CliError> {
        prepare(&config, &data_dir)?;
        let (postgres, owner, role) = database(&config, || Ok(data_dir.clone()))?;
        // A worker holds one for its unit, one to listen, and sometimes one for its heartbeat.
        let workers = u32::try_from(config.workers).unwrap_or(1);
        let connections = CONNECTIONS + 3 * workers;
        let pool = if let Some(role) = &role {
            db::connect_as(role, owner, connections).await?
        } else {
            let pool = db::connect(owner, connections).await?;
            db::migrate(&pool).await?;
            pool
        };
        let shared_limits = deployment::shared_limits(&config, &pool)?;
        let client = deployment::client(&config, &*shared_limits);
        let store = store(&config, &data_dir).await?;
        let engine = deployment::engine(&config, pool, store, &client, data_dir.downloads())?;
        Ok(Self { config, data_dir, engine, client, shared_limits, postgres })
    }

    /// The dependencies of tools.
    pub fn toolbox(&self) -> Toolbox {
        deployment::toolbox(&self.config, self.engine.clone(), self.client.clone())
    }

    /// The workers that are alive, here and on other machines, with or without a unit.
    pub async fn living_workers(&self) -> Result<LivingWorkers, DbError> {
        ingest::living_workers(self.db(), &self.data_dir.workers(), self.config.stale).await
    }

    pub fn limits(&self) -> Limits {
        deployment::limits(&self.config)
    }

    pub fn db(&self) -> &PgPool {
        &self.engine.db
    }

    /// Restarts the private Postgres if it dies while the returned value exists.
    pub fn keep_database_alive(&self) -> Option<Keeper> {
        self.postgres.as_ref().map(Postgres::keep_alive)
    }

    /// The private Postgres, if this session uses one.
    pub fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// Adds to a failure of the private Postgres what to do if its disk is full.
    pub fn explained(&self, failure: CliError) -> CliError {
        let reason = self.postgres.as_ref().filter(|_| failure.code == ErrorCode::DatabaseError);
        match reason.and_then(Postgres::out_of_space) {
            Some(reason) if !failure.message.contains(&reason) => {
                CliError { message: format!("{reason} ({})", failure.message), ..failure }
            }
            _ => failure,
        }
    }

    /// NCBI for interactive use: shorter timeouts, the same rate limit.
    pub fn impatient_client(&self) -> Client {
        deployment::client_with(waiting::eutils_settings(&self.config), &*self.shared_limits)
    }

    /// URL of the database, as its owner.
    pub fn database_url(&self) -> String {
        match (&self.postgres, &self.config.database.url) {
            (Some(postgres), _) => postgres.url(),
            (None, Some(url)) => url.expose().to_owned(),
            (None, None) => String::new(),
        }
    }

    /// Closes connections first, then releases the private Postgres.
    pub async fn close(self) {
        self.engine.db.close().await;
        tokio::task::block_in_place(|| drop(self.postgres));
    }
}

/// The private server if it is used, the owner's connection options, and the role that programs log in as. The role of
/// the private server is fixed; another server has the one of `BIO_MCP_DATABASE_ROLE`, or none: then the user of its
/// URL does everything.
pub fn database(
    config: &Config,
    data_dir: impl FnOnce() -> Result<DataDir, CliError>,
) -> Result<(Option<Postgres>, PgConnectOptions, Option<DatabaseRole>), CliError> {
    if config.database.is_given() {
        let owner = db::options(&config.database).map_err(StartError::from)?;
        let role = config.database.role.as_ref().map(DatabaseRole::parse).transpose().map_err(StartError::from)?;
        return Ok((None, owner, role));
    }
    let data_dir = data_dir()?;
    let postgres = tokio::task::block_in_place(|| Postgres::open(&data_dir.postgres(), config))?;
    let owner = postgres.owner();
    Ok((Some(postgres), owner, Some(DatabaseRole::of_private_server())))
}

/// NCBI without an archive: the rate limit is that of this process.
pub fn lone_client(config: &Config) -> Client {
    let settings = waiting::eutils_settings(config);
    let rate_limiter = LocalRateLimiter::new(settings.per_second());
    Client::new(settings, Arc::new(rate_limiter))
}

/// The store of objects: a bucket, a directory, or the one in the data directory.
async fn store(config: &Config, data_dir: &DataDir) -> Result<Arc<dyn Store>, CliError> {
    Ok(match (&config.archive, archive_dir(config, data_dir)) {
        (Some(ArchiveLocation::Bucket(bucket)), _) => {
            deployment::bucket_services()?.open_bucket(deployment::s3_settings(config, bucket)).await?
        }
        (_, dir) => Arc::new(DiskStore::new(&dir.unwrap_or_default())),
    })
}

/// Creates the directories that other users must not enter. Root writes no objects where another user decides what is
/// written.
fn prepare(config: &Config, data_dir: &DataDir) -> Result<(), CliError> {
    let archive = archive_dir(config, data_dir);
    let own = archive.clone().filter(|dir| *dir == data_dir.archive());
    for dir in own.into_iter().chain([data_dir.workers(), data_dir.downloads()]) {
        // The caller may have linked it to another disk: a link is kept.
        if !dir.exists()
            && let Err(error) = ownership::private_dir(&dir)
            // Some commands only read.
            && !matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
        {
            return Err(error.into());
        }
    }
    if let Some(dir) = archive.filter(|_| users::is_root()) {
        ownership::resolve_existing(&dir).map_err(|untrusted| {
            CliError::usage(format!(
                "refusing to archive as root to {}: {untrusted}; run this command as its owner",
                dir.display()
            ))
        })?;
    }
    Ok(())
}

/// Directory of the archive; none if it is in a bucket.
pub fn archive_dir(config: &Config, data_dir: &DataDir) -> Option<PathBuf> {
    match &config.archive {
        Some(ArchiveLocation::Bucket(_)) => None,
        Some(ArchiveLocation::Dir(dir)) => Some(dir.clone()),
        None => Some(data_dir.archive()),
    }
}

/// Location of the objects, for messages.
pub fn archive_location(config: &Config, data_dir: &DataDir) -> String {
    match (&config.archive, archive_dir(config, data_dir)) {
        (Some(ArchiveLocation::Bucket(bucket)), _) => format!("s3://{bucket}"),
        (_, dir) => dir.unwrap_or_default().display().to_string(),
    }
}
