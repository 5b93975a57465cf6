//! The dependencies of a program, created from the environment: settings, database, archive, queue, NCBI.
//!
//! [`Deployment`] is that of a function: it does no I/O before its first use, so that a cold start pays only for what
//! the first request needs. The command line and tests have another database and store; their [`engine`] and
//! [`toolbox`] are also created only here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::try_join_all;
use sqlx::PgPool;

use crate::archive::{Archive, Compression, DiskStore, Layout, S3Settings, Store};
use crate::aws::{self, Services};
use crate::config::{
    ArchiveLocation, CompressionName, Config, ConfigErrors, DatabaseSettings, HAS_AWS, NeedsAws, Secret, secret_arns,
};
use crate::db::{self, Access, OptionsError};
use crate::ingest::{Engine, Pipeline, Settings, Upkeep};
use crate::jobs::Limits;
use crate::limits::{PostgresLimits, SharedLimits};
use crate::observability;
use crate::projections::{self, ReadersOfTheLog};
use crate::pubmed::eutils::{Client, EutilsSettings};
use crate::queue::{ListenOnly, Queue};
use crate::secrets::{self, Renewal, SecretError};
use crate::sources::pubmed_files::FileSettings;
use crate::sources::pubmed_sync::Sources;
use crate::tools::{self, ToolSteps, Toolbox};

/// A program could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The environment is not valid.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// A secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A setting names an AWS resource, which this program was built without.
    #[error(transparent)]
    Aws(#[from] NeedsAws),
    /// No database is configured.
    #[error(transparent)]
    Database(#[from] OptionsError),
    /// No archive is configured.
    #[error("no archive is configured: set BIO_MCP_ARCHIVE_BUCKET to the name of a versioned bucket")]
    NoArchive,
    /// The prefix of the archive is invalid.
    #[error("BIO_MCP_ARCHIVE_PREFIX is not valid")]
    Prefix,
    /// A function would serve requests without credentials.
    #[error(
        "no authentication is configured: set BIO_MCP_AUTH_TOKENS (`bio-mcp token new` creates one) or \
         BIO_MCP_OIDC_ISSUER, or BIO_MCP_ALLOW_ANONYMOUS=true"
    )]
    Anonymous,
}

/// Reads the settings from this process's environment, with the secrets that it names by ARN.
pub async fn config() -> Result<Config, StartError> {
    // Without AWS, secrets by ARN are refused together with all other settings that need it.
    let arns = if HAS_AWS { secret_arns() } else { Vec::new() };
    let read = arns.into_iter().map(|(name, arn)| async move { Ok((name, secrets::read(name, &arn).await?)) });
    let secrets: Vec<(&'static str, Secret)> = try_join_all(read).await.map_err(|error: SecretError| error)?;
    Ok(Config::from_env(&tools::limits(), &secrets.into_iter().collect::<BTreeMap<_, _>>())?)
}

/// The dependencies of a function.
pub struct Deployment {
    pub config: Config,
    /// Database, archive, queue, and the pipelines of jobs.
    pub engine: Engine,
    pub client: Client,
    /// Access to the database, to be awaited before the database is used.
    pub access: Arc<Access>,
    /// Limits shared by all programs of the deployment.
    pub limits: Arc<dyn SharedLimits>,
}

impl Deployment {
    /// Creates the deployment that the environment configures; its only I/O is reading secrets.
    pub async fn from_env() -> Result<Self, StartError> {
        Self::new(config().await?)
    }

    /// The same for a function with this name, which logs to standard output from then on; an error is logged.
    pub async fn for_lambda(service: &'static str) -> Result<Self, StartError> {
        let made = Self::from_env().await;
        log_as(service, made.as_ref().ok().map(|made| &made.config));
        made.inspect_err(|error| tracing::error!(error = observability::chain(error), "cannot start"))
    }

    /// Creates a deployment from settings; does no I/O.
    pub fn new(config: Config) -> Result<Self, StartError> {
        let options = db::options(&config.database)?;
        let access = Arc::new(Access::new(options, config.database.pool, renew(&config)));
        let limits = shared_limits(&config, access.pool())?;
        let client = client(&config, &*limits);
        let store: Arc<dyn Store> = match &config.archive {
            None => return Err(StartError::NoArchive),
            Some(ArchiveLocation::Dir(dir)) => Arc::new(DiskStore::new(dir)),
            Some(ArchiveLocation::Bucket(bucket)) => bucket_services()?.bucket(s3_settings(&config, bucket)),
        };
        let downloads = std::env::temp_dir().join("bio-mcp-downloads");
        let engine = engine(&config, access.pool().clone(), store, &client, downloads)?;
        Ok(Self { config, engine, client, access, limits })
    }

    /// The dependencies of tools.
    pub fn toolbox(&self) -> Toolbox {
        toolbox(&self.config, self.engine.clone(), self.client.clone())
    }
}

/// Creates an engine over a database, a store and NCBI; bulk files are downloaded into `downloads`. Does no I/O.
pub fn engine(
    config: &Config,
    db: PgPool,
    store: Arc<dyn Store>,
    client: &Client,
    downloads: PathBuf,
) -> Result<Engine, StartError> {
    Ok(Engine {
        db,
        archive: archive(config, store)?,
        queue: queue(config)?,
        settings: engine_settings(config),
        pipelines: pipelines(config, downloads, client),
        upkeep: upkeep(config),
        steps: Arc::new(ToolSteps { limits: limits(config) }),
    })
}

/// The dependencies of tools, over an engine.
pub fn toolbox(config: &Config, engine: Engine, client: Client) -> Toolbox {
    Toolbox {
        engine,
        client,
        limits: limits(config),
        ttl_hours: config.job_ttl_hours,
        serve_abstracts: config.http.serve_abstracts,
    }
}

/// Starts the log of a function that reads its secrets later.
pub fn log_of_function(service: &'static str) {
    log_as(service, Config::from_env(&tools::limits(), &BTreeMap::new()).ok().as_ref());
}

fn log_as(service: &'static str, config: Option<&Config>) {
    // Each line is written immediately, so no line is pending when this is dropped.
    let _log = observability::init(&observability::TelemetryOptions {
        service,
        level: config.map_or("info", |config| &config.log_level),
        json: true,
        output: observability::LogOutput::Stdout,
        otlp_endpoint: config.and_then(|config| config.otlp_endpoint.as_deref()),
        metrics: observability::Metrics::Emf,
    });
}

/// How a changed password is read again, if the database's secret is named by ARN.
fn renew(config: &Config) -> Option<db::Renew> {
    let renewal = Arc::new(Renewal::of("BIO_MCP_DATABASE_URL")?);
    let settings = config.database.clone();
    Some(Box::new(move || {
        let (settings, renewal) = (settings.clone(), renewal.clone());
        async move {
            let secret = renewal.read().await?;
            db::options(&DatabaseSettings { secret: Some(secret), ..settings }).ok()
        }
        .boxed()
    }))
}

/// Limits on submissions.
pub fn limits(config: &Config) -> Limits {
    Limits {
        max_queued_jobs: config.max_queued_jobs,
        principal_queued_jobs: config.principal_queued_jobs,
        principal_daily_records: Some(config.principal_daily_records).filter(|limit| *limit > 0),
        job_timeout_secs: config.job_timeout.as_secs_f64(),
    }
}

/// A client of NCBI at the rate shared by all programs that use these limits.
pub fn client(config: &Config, limits: &dyn SharedLimits) -> Client {
    client_with(eutils_settings(config), limits)
}

/// The same with other settings, such as shorter time limits.
pub fn client_with(settings: EutilsSettings, limits: &dyn SharedLimits) -> Client {
    let rate_limiter = limits.rate_limiter("ncbi", settings.per_second());
    let client = Client::new(settings, rate_limiter);
    match Renewal::of("BIO_MCP_PUBMED_API_KEY").map(Arc::new) {
        None => client,
        Some(renewal) => client.renewing_key(Arc::new(move || {
            let renewal = renewal.clone();
            async move { renewal.read().await }.boxed()
        })),
    }
}

/// Settings of NCBI's client: identification and URL.
pub fn eutils_settings(config: &Config) -> EutilsSettings {
    EutilsSettings {
        tool: config.pubmed.tool.clone(),
        email: config.pubmed.email.clone(),
        api_key: config.pubmed.api_key.clone(),
        requests_per_second: config.pubmed.requests_per_second,
        ..EutilsSettings::new(&config.pubmed.base_url)
    }
}

/// The sources of syncs.
fn sources(config: &Config, client: &Client) -> Sources {
    Sources::new(client.clone(), config.pubmed.max_records)
}

/// Pipelines of the jobs that can run: those of sources, which download bulk files into `downloads`, and that of the
/// projections.
fn pipelines(config: &Config, downloads: PathBuf, client: &Client) -> Arc<[Arc<dyn Pipeline>]> {
    let of_sources = crate::sources::all(file_settings(config, downloads), &sources(config, client));
    of_sources.iter().cloned().chain([readers(config).pipeline()]).collect()
}

/// Maintenance after each job and with each sweep, by sources and by projections.
fn upkeep(config: &Config) -> Arc<[Arc<dyn Upkeep>]> {
    let of_readers: Arc<dyn Upkeep> = Arc::new(readers(config));
    crate::sources::upkeep().iter().cloned().chain([of_readers]).collect()
}

/// The projections of the event log.
fn readers(config: &Config) -> ReadersOfTheLog {
    ReadersOfTheLog::new(projections::all(), limits(config))
}

/// Settings for reading bulk files.
fn file_settings(config: &Config, downloads: PathBuf) -> FileSettings {
    FileSettings { max_file_bytes: config.max_file_bytes, files_url: config.pubmed.files_url.clone(), downloads }
}

/// The AWS services, for a setting that needs them.
fn services_for(setting: &str) -> Result<&'static dyn Services, NeedsAws> {
    aws::services().ok_or_else(|| NeedsAws(setting.to_owned()))
}

/// The AWS services, for an archive in a bucket.
pub fn bucket_services() -> Result<&'static dyn Services, StartError> {
    Ok(services_for("BIO_MCP_ARCHIVE_BUCKET")?)
}

/// Limits shared by all programs of a deployment: in the configured table, else in the database. Does no I/O.
pub fn shared_limits(config: &Config, db: &PgPool) -> Result<Arc<dyn SharedLimits>, StartError> {
    Ok(match &config.limits_table {
        Some(table) => services_for("BIO_MCP_LIMITS_TABLE")?.limits(table),
        None => Arc::new(PostgresLimits(db.clone())),
    })
}

/// The queue that wakes workers.
fn queue(config: &Config) -> Result<Arc<dyn Queue>, StartError> {
    Ok(match &config.jobs_queue_url {
        Some(url) => services_for("BIO_MCP_JOBS_QUEUE_URL")?.queue(url),
        None => Arc::new(ListenOnly),
    })
}

/// Settings of a bucket.
pub fn s3_settings(config: &Config, bucket: &str) -> S3Settings {
    S3Settings {
        bucket: bucket.to_owned(),
        kms_key_id: config.archive_kms_key_id.clone(),
        path_style: config.has_s3_endpoint,
    }
}

/// The archive in a store.
fn archive(config: &Config, store: Arc<dyn Store>) -> Result<Archive, StartError> {
    let compression = match config.archive_compression {
        CompressionName::Zstd => Compression::Zstd,
        CompressionName::Gzip => Compression::Gzip,
    };
    let layout = Layout::new(&config.archive_prefix, compression).map_err(|_| StartError::Prefix)?;
    Ok(Archive::new(store, layout, config.max_record_bytes))
}

/// Settings for leasing and batching units.
fn engine_settings(config: &Config) -> Settings {
    Settings {
        job_units: config.job_units,
        tool_limits: config.tool_limits.clone(),
        heartbeat: config.heartbeat,
        stale: config.stale,
        sweep: config.sweep,
        rewake_after: config.rewake_after,
        unit_timeout: config.unit_timeout,
        batch_records: config.batch_records,
        join_trace: observability::continue_trace,
        ..Settings::default()
    }
}
