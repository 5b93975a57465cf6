//! The HTTP server in tests: a real port and a real client.

use std::time::Duration;

use api::Api;
use futures_util::future::BoxFuture;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use shared::config::HttpSettings;
use shared::deployment;
use shared::ingest::{Engine, Settings, Worker};
use shared::pubmed::eutils::Client;
use shared::tools::Toolbox;
use simulator::{Corpus, Options, Simulator, Spread};
use tokio::task::JoinHandle;

use crate::engine::{config, pool};
use crate::sync::{LIMITS, client, day, engine, settings as eutils_settings, simulator};

/// A server that stops with the test.
pub struct Server {
    pub url: String,
    /// The engine of the server.
    pub engine: Engine,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    /// Sent with every request.
    token: Option<&'static str>,
    http: reqwest::Client,
    tasks: Vec<JoinHandle<()>>,
}

pub struct ApiResponse {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    /// The JSON body; null if it is not JSON.
    pub body: Value,
}

impl ApiResponse {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Status and code of an error; checks the fields of the error body.
    #[track_caller]
    pub fn error(&self) -> (u16, &str) {
        let body = &self.body;
        assert_eq!(body["ok"], false, "{body}");
        assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        assert!(body["retryable"].is_boolean(), "{body}");
        assert_eq!(body["trace_id"].as_str(), self.header("x-trace-id"), "{body}");
        for word in ["postgres", "select ", "/tmp", "127.0.0.1", "sqlx", "panicked"] {
            assert!(!body.to_string().to_lowercase().contains(word), "{word} leaks: {body}");
        }
        (self.status.as_u16(), body["error_code"].as_str().unwrap_or_default())
    }
}

/// The setting that accepts the token `admin` with the role admin.
pub const ADMIN: (&str, &str) =
    ("BIO_MCP_AUTH_TOKENS", "tests:admin=8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918");

/// The settings of an environment with only these variables.
pub fn settings(more: &[(&str, &str)]) -> HttpSettings {
    config(more).http
}

impl Server {
    /// A server over an engine, without workers.
    pub async fn start(engine: Engine, client: Client, settings: &HttpSettings) -> Self {
        Self::with(engine, client, settings, |toolbox| toolbox).await
    }

    /// The same with a changed toolbox.
    pub async fn with(
        engine: Engine,
        client: Client,
        settings: &HttpSettings,
        change: impl FnOnce(Toolbox) -> Toolbox,
    ) -> Self {
        Self::all(engine, client, settings, change, |api, listener, stopped| api::serve(listener, api, stopped)).await
    }

    /// A server with another handler for `/mcp`.
    pub async fn with_mcp(
        engine: Engine,
        client: Client,
        settings: &HttpSettings,
        mcp: impl rmcp::ServerHandler + Clone + 'static,
    ) -> Self {
        let serve = |api, listener, stopped| api::serve_with(listener, api, mcp, stopped);
        Self::all(engine, client, settings, |toolbox| toolbox, serve).await
    }

    async fn all<F>(
        engine: Engine,
        client: Client,
        settings: &HttpSettings,
        change: impl FnOnce(Toolbox) -> Toolbox,
        serve: impl FnOnce(Api, tokio::net::TcpListener, BoxFuture<'static, ()>) -> F,
    ) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let toolbox = deployment::toolbox(&config(&[]), engine.clone(), client);
        let toolbox = change(Toolbox { limits: LIMITS, serve_abstracts: settings.serve_abstracts, ..toolbox });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let api = Api::new(toolbox, settings);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async move {
            let _ = stopped.await;
        };
        let served = serve(api, listener, Box::pin(stopped));
        let serving = tokio::spawn(async move { served.await.expect("serves") });
        Self { url, engine, stop: Some(stop), token: None, http: reqwest::Client::new(), tasks: vec![serving] }
    }

    /// Sends further requests as an admin; the server must have the setting [`ADMIN`].
    #[must_use]
    pub fn as_admin(mut self) -> Self {
        self.token = Some("admin");
        self
    }

    /// Starts a worker in this process that runs the submitted jobs.
    pub fn work(&mut self) {
        let worker = Worker::new(self.engine.clone(), None).expect("a worker");
        self.tasks.push(tokio::spawn(async move { worker.run(false).await.expect("works") }));
    }

    /// Stops the server, as a signal would.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.url)).timeout(Duration::from_secs(60));
        match self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn send(&self, request: RequestBuilder) -> ApiResponse {
        let response = request.send().await.expect("a response");
        let (status, headers) = (response.status(), response.headers().clone());
        let body = serde_json::from_slice(&response.bytes().await.expect("a body")).unwrap_or(Value::Null);
        ApiResponse { status, headers, body }
    }

    pub async fn get(&self, path: &str) -> ApiResponse {
        self.send(self.request("GET", path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> ApiResponse {
        let request = self.request("POST", path).header("content-type", "application/json").body(body.to_string());
        self.send(request).await
    }

    /// Submits a job and returns its id.
    pub async fn submit(&self, body: &Value) -> String {
        let response = self.post("/v1/jobs", body).await;
        assert_eq!(response.status, StatusCode::ACCEPTED, "{}", response.body);
        response.body["job_id"].as_str().expect("an id").to_owned()
    }

    /// Waits for the end of a job with long polls; returns the job.
    pub async fn ended(&self, job: &str) -> Value {
        loop {
            let response = self.get(&format!("/v1/jobs/{job}?wait=25")).await;
            assert_eq!(response.status, StatusCode::OK, "{}", response.body);
            if ["succeeded", "failed", "cancelled"].contains(&response.body["state"].as_str().expect("a state")) {
                return response.body;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A server, and the NCBI that it calls.
pub struct World {
    /// Stops when dropped.
    pub simulator: Simulator,
    /// A server without workers.
    pub server: Server,
}

impl World {
    /// With `records` records from PMID 1000 on, and these settings.
    pub async fn new(records: u32, options: Options, more: &[(&str, &str)]) -> Self {
        let corpus = Corpus::generated(day("2026-03-10"), 1000, records, 1, Spread::Even(30));
        let simulator = simulator(corpus, options).await;
        let client: Client = client(eutils_settings(&simulator));
        let engine = engine(pool(12).await, client.clone(), Settings::default());
        let server = Server::start(engine, client, &settings(more)).await;
        Self { simulator, server }
    }
}

/// Thirty ordinary records.
pub async fn plain() -> World {
    World::new(30, Options::default(), &[]).await
}

/// A sync of these records.
pub fn sync_of(pmids: std::ops::Range<u32>) -> Value {
    json!({ "tool": "pubmed.sync", "params": { "pmids": pmids.map(|n| n.to_string()).collect::<Vec<_>>() } })
}
