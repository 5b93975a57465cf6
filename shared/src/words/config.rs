//! Configuration: the one place that reads the environment. All errors are reported at once, each
//! with the name of its variable; values that may be secret are never shown.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::sha256::Sha256;

/// A value that never shows in `Debug` output, logs or errors.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How objects are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionName {
    /// `zstd`
    Zstd,
    /// `gzip`
    Gzip,
}

/// Where objects are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchivePlace {
    /// A directory.
    Dir(PathBuf),
    /// An S3 bucket.
    Bucket(String),
}

impl ArchivePlace {
    fn parse(text: &str) -> Option<Self> {
        if let Some(dir) = text.strip_prefix("file://") {
            return dir.starts_with('/').then(|| Self::Dir(PathBuf::from(dir)));
        }
        let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        let is_bucket = (3..=63).contains(&text.len())
            && text.bytes().all(fine)
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric());
        is_bucket.then(|| Self::Bucket(text.to_owned()))
    }
}

/// A query that is synced by itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicSetting {
    /// Its key; derived from the query if not given.
    #[serde(default)]
    pub query_key: Option<String>,
    /// The query.
    pub query: String,
}

/// NCBI: who asks, where, and how much.
#[derive(Clone, Debug)]
pub struct PubmedSettings {
    /// `BIO_MCP_PUBMED_API_KEY`
    pub api_key: Option<Secret>,
    /// `BIO_MCP_PUBMED_EMAIL`
    pub email: Option<String>,
    /// `BIO_MCP_PUBMED_TOOL`
    pub tool: String,
    /// `BIO_MCP_PUBMED_BASE_URL`: where the E-utilities are.
    pub base_url: String,
    /// `BIO_MCP_PUBMED_FILES_URL`: where the folders of bulk files are.
    pub files_url: String,
    /// `BIO_MCP_PUBMED_REQUESTS_PER_SECOND`: more than NCBI's usual limit, by arrangement.
    pub requests_per_second: Option<u32>,
    /// `BIO_MCP_SYNC_MAX_RECORDS`: a sync of more is refused.
    pub max_records: i64,
}

/// Who may ask over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthSetting {
    /// Anybody: on loopback only.
    None,
    /// Who has one of these tokens.
    Bearer(Vec<TokenHash>),
    /// Who has a token of this issuer.
    Oidc(OidcSettings),
}

/// An OpenID Connect issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    /// `BIO_MCP_OIDC_ISSUER`: its address, exactly as tokens say it in `iss`.
    pub issuer: String,
    /// `BIO_MCP_OIDC_AUDIENCE`: what tokens must say in `aud`.
    pub audience: String,
}

/// Whether what is read from an address can be believed: over TLS, or from this machine.
pub fn is_safe_url(url: &str) -> bool {
    let authority = |rest: &str| rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned();
    if url.contains(['@', '\\']) {
        return false;
    }
    if let Some(rest) = url.strip_prefix("https://") {
        return !authority(rest).is_empty();
    }
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = authority(rest);
    let name = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .map_or_else(|| authority.split(':').next().unwrap_or_default().to_owned(), |(name, _)| name.to_owned());
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A token that is let in, by its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHash {
    /// Stands for who asks; without a name, the start of the hash.
    pub id: String,
    /// SHA-256 of the token.
    pub hash: Sha256,
}

impl TokenHash {
    /// Whether a text can stand for who has a token.
    pub fn is_id(id: &str) -> bool {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.@".contains(&b))
    }

    /// `name=hash`, or a hash alone.
    fn parse(text: &str) -> Option<Self> {
        let (id, hash) = text.split_once('=').map_or((None, text), |(id, hash)| (Some(id.trim()), hash));
        let hash = hash.trim();
        let id = id.map_or_else(|| hash.get(..8), |id| Self::is_id(id).then_some(id))?;
        Some(Self { id: id.to_owned(), hash: Sha256::parse(hash).ok()? })
    }
}

/// The HTTP server.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// `BIO_MCP_AUTH`, `BIO_MCP_AUTH_TOKENS`
    pub auth: AuthSetting,
    /// `BIO_MCP_ALLOWED_HOSTS`: names of this server beside those of loopback, where nobody needs a token.
    pub allowed_hosts: Vec<String>,
    /// `BIO_MCP_ALLOWED_ORIGINS`: origins of pages in browsers that may call, beside those of loopback where nobody
    /// needs a token.
    pub allowed_origins: Vec<String>,
    /// `BIO_MCP_MAX_CONCURRENCY`: requests in flight.
    pub max_concurrency: usize,
    /// `BIO_MCP_TOOL_LIMIT_…` of fast tools: requests in flight per tool.
    pub fast_limits: BTreeMap<String, usize>,
    /// `BIO_MCP_SERVE_ABSTRACTS`
    pub serve_abstracts: bool,
}

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// `BIO_MCP_DATABASE_URL`; without it a private Postgres is started.
    pub database_url: Option<Secret>,
    /// `BIO_MCP_ARCHIVE_BUCKET`; without it, `archive/` in the data directory.
    pub archive: Option<ArchivePlace>,
    /// `BIO_MCP_ARCHIVE_KMS_KEY_ID`: encrypts new objects in a bucket.
    pub archive_kms_key_id: Option<String>,
    /// `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` is set: a server of one's own, whose buckets have no
    /// names of their own.
    pub has_s3_endpoint: bool,
    /// `BIO_MCP_ARCHIVE_PREFIX`
    pub archive_prefix: String,
    /// `BIO_MCP_ARCHIVE_COMPRESSION`
    pub archive_compression: CompressionName,
    /// `BIO_MCP_MAX_RECORD_BYTES`
    pub max_record_bytes: usize,
    /// `BIO_MCP_MAX_FILE_BYTES`: the most bytes one file may unpack to.
    pub max_file_bytes: u64,
    /// `BIO_MCP_BATCH_RECORDS`
    pub batch_records: usize,
    /// NCBI.
    pub pubmed: PubmedSettings,
    /// The HTTP server.
    pub http: HttpSettings,
    /// `BIO_MCP_SYNC_TOPICS`
    pub topics: Vec<TopicSetting>,
    /// `BIO_MCP_WORKERS`: units that one program works on at a time.
    pub workers: usize,
    /// `BIO_MCP_TOOL_LIMIT_PUBMED_SYNC`, `…_SYNC_INCREMENTAL`, `…_INGEST_FILES`: running jobs per tool.
    pub tool_limits: BTreeMap<String, i32>,
    /// `BIO_MCP_MAX_QUEUED_JOBS`
    pub max_queued_jobs: i64,
    /// `BIO_MCP_JOB_UNITS`
    pub job_units: i32,
    /// `BIO_MCP_JOB_TTL_HOURS`
    pub job_ttl_hours: i16,
    /// `BIO_MCP_JOB_TIMEOUT_SECS`
    pub job_timeout: Duration,
    /// `BIO_MCP_UNIT_TIMEOUT_SECS`
    pub unit_timeout: Duration,
    /// `BIO_MCP_HEARTBEAT_SECS`
    pub heartbeat: Duration,
    /// `BIO_MCP_STALE_SECS`
    pub stale: Duration,
    /// `BIO_MCP_SWEEP_SECS`
    pub sweep: Duration,
    /// `BIO_MCP_LOG_LEVEL`
    pub log_level: String,
    /// `BIO_MCP_JSON_LOGS`
    pub json_logs: bool,
    /// `BIO_MCP_POSTGRES_BIN`: where initdb, `pg_ctl` and postgres are.
    pub postgres_bin: Option<PathBuf>,
    /// `PATH`, to find Postgres when nothing else says where it is.
    pub path: Option<std::ffi::OsString>,
}

/// What is wrong with the environment, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment is not valid:")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for ConfigErrors {}

struct Reader<F> {
    lookup: F,
    errors: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
    }

    fn number<T: FromStr + PartialOrd + fmt::Display + Copy>(&mut self, name: &str, default: T, min: T, max: T) -> T {
        let Some(text) = self.text(name) else { return default };
        match text.parse::<T>() {
            Ok(value) if value >= min && value <= max => value,
            _ => {
                self.errors.push(format!("{name} must be a number from {min} to {max}"));
                default
            }
        }
    }

    fn secs(&mut self, name: &str, default: u64, min: u64, max: u64) -> Duration {
        Duration::from_secs(self.number(name, default, min, max))
    }

    fn choice<T: Copy>(&mut self, name: &str, default: T, choices: &[(&str, T)]) -> T {
        let Some(text) = self.text(name) else { return default };
        let found = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
        found.map_or_else(
            || {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                self.errors.push(format!("{name} must be one of {}", words.join(", ")));
                default
            },
            |(_, value)| *value,
        )
    }
}

impl Config {
    /// Reads this process's environment.
    #[expect(clippy::disallowed_methods, reason = "this is the one caller")]
    pub fn from_env() -> Result<Self, ConfigErrors> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads settings from anywhere, e.g. a map in a test.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let mut env = Reader { lookup, errors: Vec::new() };
        let database_url = env.text("BIO_MCP_DATABASE_URL");
        if database_url
            .as_deref()
            .is_some_and(|url| !url.starts_with("postgres://") && !url.starts_with("postgresql://"))
        {
            env.errors.push("BIO_MCP_DATABASE_URL must start with postgres://".to_owned());
        }
        let archive = env.text("BIO_MCP_ARCHIVE_BUCKET").and_then(|text| {
            let place = ArchivePlace::parse(&text);
            if place.is_none() {
                env.errors.push(
                    "BIO_MCP_ARCHIVE_BUCKET must be the name of a bucket, or file:///dir with an absolute path"
                        .to_owned(),
                );
            }
            place
        });
        let archive_prefix = env.text("BIO_MCP_ARCHIVE_PREFIX").unwrap_or_else(|| "pubmed".to_owned());
        if !is_prefix(&archive_prefix) {
            env.errors.push(
                "BIO_MCP_ARCHIVE_PREFIX must be letters, digits, '-', '_' and '.', parts separated by '/'".to_owned(),
            );
        }
        let pubmed = read_pubmed(&mut env);
        let http = read_http(&mut env);
        let topics = env.text("BIO_MCP_SYNC_TOPICS").map_or_else(Vec::new, |text| {
            serde_json::from_str(&text).unwrap_or_else(|_| {
                env.errors.push(
                    "BIO_MCP_SYNC_TOPICS must be a JSON list like [{\"query_key\": \"asthma\", \"query\": \"asthma\"}]"
                        .to_owned(),
                );
                Vec::new()
            })
        });
        let tool_limits = BTreeMap::from([
            ("pubmed.sync".to_owned(), env.number("BIO_MCP_TOOL_LIMIT_PUBMED_SYNC", 8, 1, 10_000)),
            (
                "pubmed.sync.incremental".to_owned(),
                env.number("BIO_MCP_TOOL_LIMIT_PUBMED_SYNC_INCREMENTAL", 8, 1, 10_000),
            ),
            ("pubmed.ingest_files".to_owned(), env.number("BIO_MCP_TOOL_LIMIT_PUBMED_INGEST_FILES", 8, 1, 10_000)),
        ]);
        let levels = ["error", "warn", "info", "debug", "trace"].map(|level| (level, level));
        let switch = [("true", true), ("false", false), ("1", true), ("0", false)];
        let compressions = [("zstd", CompressionName::Zstd), ("gzip", CompressionName::Gzip)];
        let config = Self {
            database_url: database_url.map(Secret::new),
            archive,
            archive_kms_key_id: env.text("BIO_MCP_ARCHIVE_KMS_KEY_ID"),
            has_s3_endpoint: env.text("AWS_ENDPOINT_URL_S3").or_else(|| env.text("AWS_ENDPOINT_URL")).is_some(),
            archive_prefix,
            archive_compression: env.choice("BIO_MCP_ARCHIVE_COMPRESSION", CompressionName::Zstd, &compressions),
            max_record_bytes: env.number("BIO_MCP_MAX_RECORD_BYTES", 64 << 20, 1024, 1 << 30),
            max_file_bytes: env.number("BIO_MCP_MAX_FILE_BYTES", 16 << 30, 1 << 20, 1 << 40),
            batch_records: env.number("BIO_MCP_BATCH_RECORDS", 1000, 1, 10_000),
            pubmed,
            http,
            topics,
            workers: env.number("BIO_MCP_WORKERS", 4, 1, 64),
            tool_limits,
            max_queued_jobs: env.number("BIO_MCP_MAX_QUEUED_JOBS", 1000, 1, 1_000_000),
            job_units: env.number("BIO_MCP_JOB_UNITS", 8, 1, 10_000),
            job_ttl_hours: env.number("BIO_MCP_JOB_TTL_HOURS", 24, 1, 168),
            job_timeout: env.secs("BIO_MCP_JOB_TIMEOUT_SECS", 21_600, 1, 604_800),
            unit_timeout: env.secs("BIO_MCP_UNIT_TIMEOUT_SECS", 840, 1, 86_400),
            heartbeat: env.secs("BIO_MCP_HEARTBEAT_SECS", 30, 1, 3600),
            stale: env.secs("BIO_MCP_STALE_SECS", 120, 2, 86_400),
            sweep: env.secs("BIO_MCP_SWEEP_SECS", 60, 1, 3600),
            log_level: env.choice("BIO_MCP_LOG_LEVEL", "info", &levels).to_owned(),
            json_logs: env.choice("BIO_MCP_JSON_LOGS", false, &switch),
            postgres_bin: env.text("BIO_MCP_POSTGRES_BIN").map(PathBuf::from),
            path: env.text("PATH").map(Into::into),
        };
        if config.heartbeat * 2 > config.stale {
            env.errors.push("BIO_MCP_STALE_SECS must be at least twice BIO_MCP_HEARTBEAT_SECS".to_owned());
        }
        if env.errors.is_empty() { Ok(config) } else { Err(ConfigErrors(env.errors)) }
    }
}

fn read_pubmed<F: Fn(&str) -> Option<String>>(env: &mut Reader<F>) -> PubmedSettings {
    let mut url = |name: &str, default: &str| {
        let text = env.text(name).unwrap_or_else(|| default.to_owned());
        if !text.starts_with("https://") && !text.starts_with("http://") {
            env.errors.push(format!("{name} must start with https:// or http://"));
        }
        text
    };
    let base_url = url("BIO_MCP_PUBMED_BASE_URL", "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/");
    let files_url = url("BIO_MCP_PUBMED_FILES_URL", "https://ftp.ncbi.nlm.nih.gov/pubmed/");
    let email = env.text("BIO_MCP_PUBMED_EMAIL");
    if email.as_deref().is_some_and(|email| !email.contains('@') || email.contains(char::is_whitespace)) {
        env.errors.push("BIO_MCP_PUBMED_EMAIL must be an e-mail address".to_owned());
    }
    let tool = env.text("BIO_MCP_PUBMED_TOOL").unwrap_or_else(|| "bio-mcp".to_owned());
    if tool.contains(char::is_whitespace) {
        env.errors.push("BIO_MCP_PUBMED_TOOL must hold no spaces".to_owned());
    }
    PubmedSettings {
        api_key: env.text("BIO_MCP_PUBMED_API_KEY").map(Secret::new),
        email,
        tool,
        base_url,
        files_url,
        requests_per_second: match env.number("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", 0, 0, 10_000) {
            0 => None,
            requests => Some(requests),
        },
        max_records: env.number("BIO_MCP_SYNC_MAX_RECORDS", 1_000_000, 1, 100_000_000),
    }
}

fn read_http<F: Fn(&str) -> Option<String>>(env: &mut Reader<F>) -> HttpSettings {
    let tokens = env.text("BIO_MCP_AUTH_TOKENS").map_or_else(Vec::new, |text| {
        text.split(',')
            .filter_map(|one| {
                let parsed = TokenHash::parse(one.trim());
                if parsed.is_none() {
                    env.errors.push(
                    "BIO_MCP_AUTH_TOKENS must be hashes as `bio-mcp token new` prints them, separated by commas, each \
                     alone or as name=hash".to_owned(),
                );
                }
                parsed
            })
            .collect()
    });
    let (issuer, audience) = (env.text("BIO_MCP_OIDC_ISSUER"), env.text("BIO_MCP_OIDC_AUDIENCE"));
    let default = if issuer.is_some() {
        "oidc"
    } else if tokens.is_empty() {
        "none"
    } else {
        "bearer"
    };
    if issuer.is_some() && !tokens.is_empty() && env.text("BIO_MCP_AUTH").is_none() {
        let message = "BIO_MCP_AUTH must say which counts: bearer (BIO_MCP_AUTH_TOKENS) or oidc (BIO_MCP_OIDC_ISSUER)";
        env.errors.push(message.to_owned());
    }
    let auth = match env.choice("BIO_MCP_AUTH", default, &["none", "bearer", "oidc"].map(|name| (name, name))) {
        "bearer" => {
            if tokens.is_empty() {
                let message = "BIO_MCP_AUTH=bearer needs BIO_MCP_AUTH_TOKENS: `bio-mcp token new` makes one";
                env.errors.push(message.to_owned());
            }
            AuthSetting::Bearer(tokens)
        }
        "oidc" => {
            if !issuer.as_deref().is_some_and(is_safe_url) {
                env.errors.push("BIO_MCP_OIDC_ISSUER must be the https address of an issuer".to_owned());
            }
            if audience.is_none() {
                env.errors.push("BIO_MCP_AUTH=oidc needs BIO_MCP_OIDC_AUDIENCE".to_owned());
            }
            AuthSetting::Oidc(OidcSettings {
                issuer: issuer.unwrap_or_default(),
                audience: audience.unwrap_or_default(),
            })
        }
        _ => AuthSetting::None,
    };
    let allowed_origins = env.list("BIO_MCP_ALLOWED_ORIGINS");
    let is_origin = |one: &str| {
        let authority = one.strip_prefix("https://").or_else(|| one.strip_prefix("http://"));
        one == "null"
            || authority.is_some_and(|authority| !authority.is_empty() && !authority.contains(['/', '@', '?', '#']))
    };
    if allowed_origins.iter().any(|one| !is_origin(one)) {
        let message = "BIO_MCP_ALLOWED_ORIGINS must be origins such as https://app.example or http://localhost:*";
        env.errors.push(message.to_owned());
    }
    // They can keep a connection busy for long.
    let checkpoint = |verb: &str, limit: usize| (format!("corpus.checkpoint.{verb}"), limit);
    let switch = [("true", true), ("false", false), ("1", true), ("0", false)];
    HttpSettings {
        auth,
        allowed_hosts: env.list("BIO_MCP_ALLOWED_HOSTS"),
        allowed_origins,
        max_concurrency: env.number("BIO_MCP_MAX_CONCURRENCY", 200, 1, 100_000),
        fast_limits: BTreeMap::from([
            ("pubmed.search".to_owned(), env.number("BIO_MCP_TOOL_LIMIT_PUBMED_SEARCH", 50, 1, 10_000)),
            ("pubmed.get".to_owned(), env.number("BIO_MCP_TOOL_LIMIT_PUBMED_GET", 100, 1, 10_000)),
            checkpoint("create", env.number("BIO_MCP_TOOL_LIMIT_CORPUS_CHECKPOINT_CREATE", 3, 1, 10_000)),
            checkpoint("get", env.number("BIO_MCP_TOOL_LIMIT_CORPUS_CHECKPOINT_GET", 3, 1, 10_000)),
            checkpoint("diff", env.number("BIO_MCP_TOOL_LIMIT_CORPUS_CHECKPOINT_DIFF", 3, 1, 10_000)),
        ]),
        serve_abstracts: env.choice("BIO_MCP_SERVE_ABSTRACTS", true, &switch),
    }
}

fn is_prefix(text: &str) -> bool {
    text.split('/').all(|part| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        Config::read(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn an_empty_environment_is_fine() {
        let config = read(&[]).expect("defaults");
        assert_eq!(config.archive_prefix, "pubmed");
        assert_eq!(config.heartbeat, Duration::from_secs(30));
    }

    #[test]
    fn all_errors_are_reported_at_once_without_values() {
        let errors = read(&[
            ("BIO_MCP_DATABASE_URL", "mysql://me:hunter2@host/db"),
            ("BIO_MCP_ARCHIVE_BUCKET", "A Bucket"),
            ("BIO_MCP_PUBMED_BASE_URL", "ftp://x"),
            ("BIO_MCP_PUBMED_EMAIL", "nobody"),
            ("BIO_MCP_SYNC_TOPICS", "[{\"q\": 1}]"),
            ("BIO_MCP_ARCHIVE_PREFIX", "../x"),
            ("BIO_MCP_ARCHIVE_COMPRESSION", "lzma"),
            ("BIO_MCP_HEARTBEAT_SECS", "100"),
            ("BIO_MCP_JOB_UNITS", "many"),
        ])
        .expect_err("all wrong");
        assert_eq!(errors.0.len(), 9, "{errors}");
        assert!(!errors.to_string().contains("hunter2"));
    }

    #[test]
    fn secrets_do_not_show() {
        let config =
            read(&[("BIO_MCP_DATABASE_URL", "postgres://me:hunter2@host/db"), ("BIO_MCP_PUBMED_API_KEY", "hunter2")])
                .expect("valid");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
