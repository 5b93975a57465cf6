//! The whole deployed system on this machine: functions under the runtime interface emulator; emulated S3, SQS and
//! DynamoDB; a real Postgres; a simulated NCBI.

use std::path::PathBuf;

use serde_json::{Value, json};
use shared::core::Sha256;
use simulator::{Corpus, Options, Simulator, Spread};
use sqlx::PgPool;

use crate::aws::{self, Queues};
use crate::event_source::EventSource;
use crate::lambda::{self, Crashed, Function};
use crate::s3;
use crate::sync::{day, simulator};

/// The token of the sample events.
const TOKEN: &str = "bio-mcp_example";

/// Everything except the functions.
pub struct Cloud {
    pub queues: Queues,
    pub bucket: String,
    /// URL of the database, without a schema until [`Cloud::migrate`].
    pub url: String,
    pub ncbi: Simulator,
    emulator: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Cloud {
    /// Starts one with `records` records at NCBI; none if the emulators were not fetched. `endpoint` replaces AWS in
    /// the environment of the functions.
    pub async fn new(records: u32, endpoint: Option<&str>) -> Option<Self> {
        let (emulator, real) = (lambda::emulator()?, aws::endpoint()?);
        let config = s3::config(&real);
        let corpus = Corpus::generated(day("2026-03-10"), 1000, records, 1, Spread::Even(30));
        let ncbi = simulator(corpus, Options::default()).await;
        let bucket = s3::new_bucket(&s3::client(&real), true).await;
        let queues = Queues::new(&config, 20, 20).await;
        let url = crate::databases::empty_database().await;
        let endpoint = endpoint.unwrap_or(&real);
        let mut environment = aws::environment(endpoint);
        environment.extend([
            ("BIO_MCP_DATABASE_URL", url.clone()),
            ("BIO_MCP_ARCHIVE_BUCKET", bucket.clone()),
            ("BIO_MCP_JOBS_QUEUE_URL", queues.url.replace(&real, endpoint)),
            ("BIO_MCP_LIMITS_TABLE", aws::new_table(&config).await),
            ("BIO_MCP_AUTH_TOKENS", Sha256::of(TOKEN.as_bytes()).to_hex()),
            ("BIO_MCP_PUBMED_BASE_URL", ncbi.eutils_url()),
            ("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", "100".to_owned()),
            ("BIO_MCP_HEARTBEAT_SECS", "1".to_owned()),
            ("BIO_MCP_STALE_SECS", "3".to_owned()),
            ("BIO_MCP_WAKE_AGAIN_SECS", "1".to_owned()),
        ]);
        Some(Self { queues, bucket, url, ncbi, emulator, environment })
    }

    /// A function of this deployment, with additional environment variables.
    pub fn function(&self, name: &str, more: &[(&'static str, &str)]) -> Function {
        let mut environment = self.environment.clone();
        environment.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Function::start(&self.emulator, &lambda::bootstrap(name), 60, &environment)
    }

    /// Creates the schema with the function `migrate`.
    pub async fn migrate(&self) -> Value {
        self.function("migrate", &[]).invoke(&json!({})).await.expect("migrates")
    }

    /// The event source mapping from the queue to the worker.
    pub fn event_source(&self, batch: i32) -> EventSource {
        EventSource::new(&self.queues, batch)
    }

    /// A separate connection for the test.
    pub async fn database(&self) -> PgPool {
        PgPool::connect(&self.url).await.expect("the test server responds")
    }
}

/// An HTTP request in API Gateway's event format.
pub fn request(method: &str, path: &str, body: Option<&Value>) -> Value {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut event: Value = serde_json::from_str(
        &std::fs::read_to_string(crate::root().join("events/api-submit.json")).expect("the sample event is there"),
    )
    .expect("JSON");
    event["rawPath"] = json!(path);
    event["rawQueryString"] = json!(query);
    event["requestContext"]["http"]["method"] = json!(method);
    event["requestContext"]["http"]["path"] = json!(path);
    event["body"] = body.map_or(Value::Null, |body| json!(body.to_string()));
    event
}

/// Sends a request to the function `api`; returns status and body.
pub async fn ask(api: &Function, method: &str, path: &str, body: Option<&Value>) -> Result<(u64, Value), Crashed> {
    let response = api.invoke(&request(method, path, body)).await?;
    let status = response["statusCode"].as_u64().ok_or_else(|| Crashed(response.to_string()))?;
    let body = serde_json::from_str(response["body"].as_str().unwrap_or("null"));
    Ok((status, body.map_err(|error| Crashed(error.to_string()))?))
}
