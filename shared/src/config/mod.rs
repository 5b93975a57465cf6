//! Configuration: the only module that reads the environment. All errors are reported together, each with the name of
//! its variable; values that may be secret are never shown.

mod address;
mod credentials;
mod database;
mod fleet;
mod http;
mod needs_aws;
mod pem;
mod pubmed;
mod reader;
mod settings;
mod tool_limits;
mod toolsets;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

pub use crate::core::Secret;
pub use crate::db::DatabaseSettings;
pub use address::{is_local_url, is_safe_url};
pub use credentials::{RESERVED, RoleRule, TokenHash};
pub use http::{AuthSetting, HttpSettings, OidcSettings};
pub use needs_aws::{HAS_AWS, NeedsAws};
pub use pubmed::PubmedSettings;
pub use reader::ConfigErrors;
use reader::Reader;
pub use tool_limits::{LimitedUnit, ToolLimit};
pub use toolsets::Toolset;

use crate::invocation;

/// How objects are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionName {
    /// `zstd`
    Zstd,
    /// `gzip`
    Gzip,
}

/// Where objects are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveLocation {
    /// A directory.
    Dir(PathBuf),
    /// An S3 bucket.
    Bucket(String),
}

impl ArchiveLocation {
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

/// A query that is synced automatically.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicSetting {
    /// Its key; by default, derived from the query.
    #[serde(default)]
    pub query_key: Option<String>,
    pub query: String,
}

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The database; by default, a private Postgres is started.
    pub database: DatabaseSettings,
    /// `BIO_MCP_JOBS_QUEUE_URL`: the SQS queue that wakes workers; without it they listen to the database.
    pub jobs_queue_url: Option<String>,
    /// `BIO_MCP_LIMITS_TABLE`: the DynamoDB table of shared limits; without it they are rows in Postgres.
    pub limits_table: Option<String>,
    /// `BIO_MCP_ARCHIVE_BUCKET`; without it, `archive/` in the data directory.
    pub archive: Option<ArchiveLocation>,
    /// `BIO_MCP_ARCHIVE_KMS_KEY_ID`: encrypts new objects in a bucket.
    pub archive_kms_key_id: Option<String>,
    /// `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` is set: your own S3 server, whose buckets have no host names.
    pub has_s3_endpoint: bool,
    /// `BIO_MCP_ARCHIVE_PREFIX`
    pub archive_prefix: String,
    /// `BIO_MCP_ARCHIVE_COMPRESSION`
    pub archive_compression: CompressionName,
    /// `BIO_MCP_MAX_RECORD_BYTES`
    pub max_record_bytes: usize,
    /// `BIO_MCP_MAX_FILE_BYTES`: maximum unpacked size of one file.
    pub max_file_bytes: u64,
    /// `BIO_MCP_BATCH_RECORDS`
    pub batch_records: usize,
    pub pubmed: PubmedSettings,
    pub http: HttpSettings,
    /// `BIO_MCP_SYNC_TOPICS`
    pub topics: Vec<TopicSetting>,
    /// `BIO_MCP_WORKERS`: units that one program processes at the same time.
    pub workers: usize,
    /// `BIO_MCP_TOOL_LIMIT_…` of job tools: running jobs per tool.
    pub tool_limits: BTreeMap<String, i32>,
    /// `BIO_MCP_MAX_QUEUED_JOBS`
    pub max_queued_jobs: i64,
    /// `BIO_MCP_PRINCIPAL_QUEUED_JOBS`: queued or running jobs of one principal, except admins.
    pub principal_queued_jobs: i64,
    /// `BIO_MCP_PRINCIPAL_DAILY_RECORDS`: records that the jobs of one principal, except admins, may store per day
    /// (UTC); 0 means no limit.
    pub principal_daily_records: i64,
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
    /// `AWS_LAMBDA_FUNCTION_TIMEOUT`, which emulators of Lambda set: maximum duration of an invocation.
    pub function_timeout: Duration,
    /// `BIO_MCP_WAKE_AGAIN_SECS`: time after which a wake-up by the queue that had no effect is sent again.
    pub rewake_after: Duration,
    /// `BIO_MCP_LOG_LEVEL`
    pub log_level: String,
    /// `BIO_MCP_JSON_LOGS`
    pub json_logs: bool,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: a collector that receives spans, as OTLP over HTTP.
    pub otlp_endpoint: Option<String>,
    /// `BIO_MCP_POSTGRES_BIN`: directory of initdb, `pg_ctl` and postgres.
    pub postgres_bin: Option<PathBuf>,
    /// `PATH`, to find Postgres if no other setting names it.
    pub path: Option<std::ffi::OsString>,
    /// `XDG_STATE_HOME`: directory for the state of this user's programs.
    pub state_home: Option<PathBuf>,
    /// `HOME`
    pub home: Option<PathBuf>,
}

const DATABASE_URL: &str = "BIO_MCP_DATABASE_URL";

/// JSON object of further settings, for which the environment is too small.
const SETTINGS: &str = "BIO_MCP_SETTINGS";

/// Variables that may be given as the ARN of a secret, in `…_SECRET_ARN`.
const SECRETS: [&str; 5] =
    [DATABASE_URL, "BIO_MCP_DATABASE_ROLE", "BIO_MCP_PUBMED_API_KEY", "BIO_MCP_AUTH_TOKENS", SETTINGS];

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Returns the secrets that this process's environment names by ARN: variable and ARN.
pub fn secret_arns() -> Vec<(&'static str, String)> {
    let arn = |name: &str| env(&format!("{name}_SECRET_ARN")).filter(|arn| !arn.trim().is_empty());
    SECRETS.into_iter().filter_map(|name| Some((name, arn(name)?))).collect()
}

impl Config {
    /// Reads this process's environment. `tools` are the limits of the tool catalogue, `secrets` the values of the
    /// secrets that [`secret_arns`] returned, by variable.
    pub fn from_env(tools: &[ToolLimit], secrets: &BTreeMap<&'static str, Secret>) -> Result<Self, ConfigErrors> {
        Self::read_with(env, tools, secrets, HAS_AWS)
    }

    /// Reads settings from any source, e.g. a map in a test.
    pub fn read(tools: &[ToolLimit], lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        Self::read_with(lookup, tools, &BTreeMap::new(), HAS_AWS)
    }

    fn read_with(
        lookup: impl Fn(&str) -> Option<String>,
        tools: &[ToolLimit],
        secrets: &BTreeMap<&'static str, Secret>,
        has_aws: bool,
    ) -> Result<Self, ConfigErrors> {
        let beside = SECRETS.iter().filter(|name| **name != DATABASE_URL && secrets.contains_key(**name));
        let twice = beside.filter(|name| lookup(name).is_some_and(|value| !value.trim().is_empty()));
        let mut errors: Vec<String> =
            twice.map(|name| format!("{name} and {name}_SECRET_ARN are both set: unset one")).collect();
        let from_secrets = |name: &str| secrets.get(name).map(|secret| secret.expose().to_owned());
        let is_text = |text: &String| !text.trim().is_empty();
        let beside = from_secrets(SETTINGS).or_else(|| lookup(SETTINGS)).filter(is_text);
        let beside = beside.map_or_else(BTreeMap::new, |text| {
            settings::read(&text).unwrap_or_else(|error| {
                errors.push(error);
                BTreeMap::new()
            })
        });
        let asked: RefCell<BTreeSet<String>> = RefCell::default();
        let lookup = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            let given = if name == DATABASE_URL { None } else { from_secrets(name) };
            // An empty value counts as not set.
            given.or_else(|| lookup(name).filter(is_text)).or_else(|| beside.get(name).cloned())
        };
        let mut env = Reader { lookup, errors };
        let database = database::read(&mut env, secrets);
        let fleet = fleet::read(&mut env);
        let otlp_endpoint = env.text("OTEL_EXPORTER_OTLP_ENDPOINT");
        let is_http = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        if otlp_endpoint.as_deref().is_some_and(|url| !is_http(url)) {
            env.errors.push("OTEL_EXPORTER_OTLP_ENDPOINT must be the http address of a collector".to_owned());
        }
        let archive = archive_location(&mut env);
        needs_aws::check(&mut env, archive.as_ref(), has_aws);
        let archive_prefix = env.text("BIO_MCP_ARCHIVE_PREFIX").unwrap_or_else(|| "pubmed".to_owned());
        if !is_prefix(&archive_prefix) {
            env.errors.push(
                "BIO_MCP_ARCHIVE_PREFIX must be letters, digits, '-', '_' and '.', parts separated by '/'".to_owned(),
            );
        }
        let pubmed = pubmed::read(&mut env);
        let http = http::read(&mut env, tools);
        let topics = topics(&mut env);
        let tool_limits = tool_limits::read(&mut env, tools, LimitedUnit::Jobs);
        let levels = ["error", "warn", "info", "debug", "trace"].map(|level| (level, level));
        let switch = [("true", true), ("false", false), ("1", true), ("0", false)];
        let compressions = [("zstd", CompressionName::Zstd), ("gzip", CompressionName::Gzip)];
        let config = Self {
            database,
            jobs_queue_url: fleet.jobs_queue_url,
            limits_table: env.text("BIO_MCP_LIMITS_TABLE"),
            archive,
            archive_kms_key_id: env.text("BIO_MCP_ARCHIVE_KMS_KEY_ID"),
            has_s3_endpoint: fleet.has_s3_endpoint,
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
            principal_queued_jobs: env.number("BIO_MCP_PRINCIPAL_QUEUED_JOBS", 100, 1, 1_000_000),
            principal_daily_records: env.number("BIO_MCP_PRINCIPAL_DAILY_RECORDS", 200_000, 0, 1_000_000_000),
            job_units: env.number("BIO_MCP_JOB_UNITS", 8, 1, 10_000),
            job_ttl_hours: env.number("BIO_MCP_JOB_TTL_HOURS", 24, 1, 168),
            job_timeout: env.secs("BIO_MCP_JOB_TIMEOUT_SECS", 21_600, 1, 604_800),
            unit_timeout: env.secs("BIO_MCP_UNIT_TIMEOUT_SECS", 840, 1, 86_400),
            heartbeat: env.secs("BIO_MCP_HEARTBEAT_SECS", 30, 1, 3600),
            stale: env.secs("BIO_MCP_STALE_SECS", 120, 2, 86_400),
            sweep: env.secs("BIO_MCP_SWEEP_SECS", 60, 1, 3600),
            function_timeout: env.secs(
                "AWS_LAMBDA_FUNCTION_TIMEOUT",
                invocation::MAX_INVOCATION_TIME.as_secs(),
                1,
                900,
            ),
            rewake_after: env.secs("BIO_MCP_WAKE_AGAIN_SECS", 30, 1, 3600),
            log_level: env.choice("BIO_MCP_LOG_LEVEL", "info", &levels).to_owned(),
            json_logs: env.choice("BIO_MCP_JSON_LOGS", false, &switch),
            otlp_endpoint,
            postgres_bin: env.text("BIO_MCP_POSTGRES_BIN").map(PathBuf::from),
            path: env.text("PATH").map(Into::into),
            state_home: env.text("XDG_STATE_HOME").map(PathBuf::from),
            home: env.text("HOME").map(PathBuf::from),
        };
        if config.heartbeat * 2 > config.stale {
            env.errors.push("BIO_MCP_STALE_SECS must be at least twice BIO_MCP_HEARTBEAT_SECS".to_owned());
        }
        let mut errors = env.errors;
        let asked = asked.into_inner();
        let unread = beside.keys().filter(|name| !asked.contains(*name));
        errors.extend(unread.map(|name| format!("{SETTINGS} has {name}, which is not a setting")));
        if errors.is_empty() { Ok(config) } else { Err(ConfigErrors(errors)) }
    }
}

/// `BIO_MCP_ARCHIVE_BUCKET`
fn archive_location<F: Fn(&str) -> Option<String>>(env: &mut Reader<F>) -> Option<ArchiveLocation> {
    let location = ArchiveLocation::parse(&env.text("BIO_MCP_ARCHIVE_BUCKET")?);
    if location.is_none() {
        let message = "BIO_MCP_ARCHIVE_BUCKET must be the name of a bucket, or file:///dir with an absolute path";
        env.errors.push(message.to_owned());
    }
    location
}

/// `BIO_MCP_SYNC_TOPICS`
fn topics<F: Fn(&str) -> Option<String>>(env: &mut Reader<F>) -> Vec<TopicSetting> {
    let Some(text) = env.text("BIO_MCP_SYNC_TOPICS") else { return Vec::new() };
    serde_json::from_str(&text).unwrap_or_else(|_| {
        let message =
            "BIO_MCP_SYNC_TOPICS must be a JSON list like [{\"query_key\": \"asthma\", \"query\": \"asthma\"}]";
        env.errors.push(message.to_owned());
        Vec::new()
    })
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

    const LIMITS: [ToolLimit; 2] = [
        ToolLimit { tool: "fast", counted: LimitedUnit::Calls, variable: "BIO_MCP_TOOL_LIMIT_FAST", default: 3 },
        ToolLimit { tool: "slow", counted: LimitedUnit::Jobs, variable: "BIO_MCP_TOOL_LIMIT_SLOW", default: 8 },
    ];

    fn read(pairs: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        Config::read(&LIMITS, |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn an_empty_environment_is_fine() {
        let config = read(&[]).expect("defaults");
        assert_eq!(config.archive_prefix, "pubmed");
        assert_eq!(config.heartbeat, Duration::from_secs(30));
    }

    #[test]
    fn limits_of_tools_are_those_that_the_catalogue_lists() {
        let config = read(&[("BIO_MCP_TOOL_LIMIT_SLOW", "9")]).expect("valid");
        assert_eq!(config.http.fast_limits, BTreeMap::from([("fast".to_owned(), 3)]));
        assert_eq!(config.tool_limits, BTreeMap::from([("slow".to_owned(), 9)]));
        for wrong in ["0", "10001", "-1", "many"] {
            let errors = read(&[("BIO_MCP_TOOL_LIMIT_FAST", wrong)]).expect_err(wrong);
            assert_eq!(errors.0, ["BIO_MCP_TOOL_LIMIT_FAST must be a number from 1 to 10000"]);
        }
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
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ])
        .expect_err("all wrong");
        assert_eq!(errors.0.len(), 10, "{errors}");
        assert!(!errors.to_string().contains("hunter2"));
    }

    #[test]
    fn a_queue_over_http_is_one_of_this_machine_or_of_an_emulator_beside_it() {
        let queue = |url: &'static str, endpoint: Option<(&'static str, &'static str)>| {
            let mut pairs = vec![("BIO_MCP_JOBS_QUEUE_URL", url)];
            pairs.extend(endpoint);
            read(&pairs).is_ok()
        };
        let private = "http://172.17.0.1:4566/000000000000/jobs";
        assert!(!queue(private, None), "nothing says that AWS is an emulator");
        assert!(!queue(private, Some(("AWS_ENDPOINT_URL", ""))), "what is empty is not set");
        assert!(!queue(private, Some(("AWS_ENDPOINT_URL_S3", "http://172.17.0.1:4566"))), "that is another service");
        assert!(queue(private, Some(("AWS_ENDPOINT_URL", "http://172.17.0.1:4566"))));
        assert!(queue(private, Some(("AWS_ENDPOINT_URL_SQS", "http://172.17.0.1:4566"))));
        let public = "http://sqs.us-east-1.amazonaws.com/1/jobs";
        assert!(!queue(public, Some(("AWS_ENDPOINT_URL", "http://172.17.0.1:4566"))));
        assert!(queue("http://127.0.0.1:4566/1/jobs", None));
        assert!(read(&[("AWS_ENDPOINT_URL", "localhost:4566")]).is_err());
    }

    #[test]
    fn a_program_without_the_feature_refuses_every_setting_that_needs_it_and_says_how_to_get_it() {
        let read = |pairs: &[(&str, &str)], has: bool| {
            let lookup = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            Config::read_with(lookup, &LIMITS, &BTreeMap::new(), has)
        };
        let of_a_stack = [
            ("BIO_MCP_ARCHIVE_BUCKET", "a-bucket"),
            ("BIO_MCP_JOBS_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/1/jobs"),
            ("BIO_MCP_LIMITS_TABLE", "limits"),
            ("BIO_MCP_DATABASE_URL_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:1:secret:database"),
            ("BIO_MCP_SETTINGS_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:1:secret:settings"),
        ];
        read(&of_a_stack, true).expect("valid");
        let errors = read(&of_a_stack, false).expect_err("none of them can be used");
        assert_eq!(errors.0.len(), of_a_stack.len(), "{errors}");
        for (name, _) in of_a_stack {
            let said = format!(
                "{name} needs a build with the feature `aws`: cargo build --release --package bio-mcp --features aws"
            );
            assert!(errors.0.contains(&said), "{name}: {errors}");
        }
        let beside = read(&[("BIO_MCP_SETTINGS", r#"{"BIO_MCP_LIMITS_TABLE": "limits"}"#)], false);
        assert_eq!(beside.expect_err("set all the same").0.len(), 1);
        let of_one_machine = [
            ("BIO_MCP_ARCHIVE_BUCKET", "file:///srv/archive"),
            ("BIO_MCP_JOBS_QUEUE_URL", ""),
            ("BIO_MCP_DATABASE_URL_SECRET_ARN", " "),
            ("BIO_MCP_DATABASE_URL", "postgres://me@host/db"),
        ];
        read(&of_one_machine, false).expect("needs nothing of it");
    }

    #[test]
    fn settings_beside_the_environment_are_read_below_it_and_unknown_ones_refused() {
        let topics =
            r#"{"BIO_MCP_SYNC_TOPICS": [{"query": "asthma"}], "BIO_MCP_JOB_UNITS": 3, "BIO_MCP_LOG_LEVEL": "debug"}"#;
        let config = read(&[("BIO_MCP_SETTINGS", topics), ("BIO_MCP_LOG_LEVEL", "warn"), ("BIO_MCP_JOB_UNITS", "")]);
        let config = config.expect("valid");
        assert_eq!((config.job_units, config.log_level.as_str(), config.topics.len()), (3, "warn", 1));
        let secret = BTreeMap::from([(SETTINGS, Secret::new(r#"{"BIO_MCP_JOB_UNITS": "4"}"#))]);
        assert_eq!(Config::read_with(|_| None, &LIMITS, &secret, true).expect("valid").job_units, 4);
        for wrong in [
            "{\"BIO_MCP_JOB_UNIT\": 3}",
            r#"{"PATH": "/tmp"}"#,
            r#"{"BIO_MCP_AUTH_TOKENS_SECRET_ARN": "hunter2"}"#,
            r#"{"BIO_MCP_SETTINGS": "{}"}"#,
            "hunter2",
            "[]",
        ] {
            let errors = read(&[("BIO_MCP_SETTINGS", wrong)]).expect_err(wrong);
            assert!(errors.0.len() == 1 && errors.0[0].contains("BIO_MCP_SETTINGS"), "{errors}");
            assert!(!errors.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let config =
            read(&[("BIO_MCP_DATABASE_URL", "postgres://me:hunter2@host/db"), ("BIO_MCP_PUBMED_API_KEY", "hunter2")])
                .expect("valid");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
