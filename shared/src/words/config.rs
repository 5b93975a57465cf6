//! Configuration: the one place that reads the environment. All errors are reported at once, each
//! with the name of its variable; values that may be secret are never shown.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

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

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// `BIO_MCP_DATABASE_URL`; without it a private Postgres is started.
    pub database_url: Option<Secret>,
    /// `BIO_MCP_ARCHIVE_BUCKET` as `file:///dir`; without it, `archive/` in the data directory.
    pub archive_dir: Option<PathBuf>,
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
        let archive_dir = env.text("BIO_MCP_ARCHIVE_BUCKET").and_then(|text| {
            let dir = text.strip_prefix("file://").filter(|dir| dir.starts_with('/')).map(PathBuf::from);
            if dir.is_none() {
                env.errors.push(
                    "BIO_MCP_ARCHIVE_BUCKET must be file:///dir with an absolute path; this version has no S3 store"
                        .to_owned(),
                );
            }
            dir
        });
        let archive_prefix = env.text("BIO_MCP_ARCHIVE_PREFIX").unwrap_or_else(|| "pubmed".to_owned());
        if !is_prefix(&archive_prefix) {
            env.errors.push(
                "BIO_MCP_ARCHIVE_PREFIX must be letters, digits, '-', '_' and '.', parts separated by '/'".to_owned(),
            );
        }
        let levels = ["error", "warn", "info", "debug", "trace"].map(|level| (level, level));
        let switch = [("true", true), ("false", false), ("1", true), ("0", false)];
        let compressions = [("zstd", CompressionName::Zstd), ("gzip", CompressionName::Gzip)];
        let config = Self {
            database_url: database_url.map(Secret::new),
            archive_dir,
            archive_prefix,
            archive_compression: env.choice("BIO_MCP_ARCHIVE_COMPRESSION", CompressionName::Zstd, &compressions),
            max_record_bytes: env.number("BIO_MCP_MAX_RECORD_BYTES", 64 << 20, 1024, 1 << 30),
            max_file_bytes: env.number("BIO_MCP_MAX_FILE_BYTES", 16 << 30, 1 << 20, 1 << 40),
            batch_records: env.number("BIO_MCP_BATCH_RECORDS", 1000, 1, 10_000),
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
            ("BIO_MCP_ARCHIVE_BUCKET", "a-bucket"),
            ("BIO_MCP_ARCHIVE_PREFIX", "../x"),
            ("BIO_MCP_ARCHIVE_COMPRESSION", "lzma"),
            ("BIO_MCP_HEARTBEAT_SECS", "100"),
            ("BIO_MCP_JOB_UNITS", "many"),
        ])
        .expect_err("all wrong");
        assert_eq!(errors.0.len(), 6, "{errors}");
        assert!(!errors.to_string().contains("hunter2"));
    }

    #[test]
    fn secrets_do_not_show() {
        let config = read(&[("BIO_MCP_DATABASE_URL", "postgres://me:hunter2@host/db")]).expect("valid");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
