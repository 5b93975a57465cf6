//! The HTTP server: serves requests with responses or failures.

mod endpoints;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use axum::routing::any;
use chrono::DateTime;
use futures_util::{StreamExt as _, stream};
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::bulk::BulkFile;
use crate::corpus::Corpus;
use crate::faults::{Fault, Faults};
use crate::history::History;
use crate::responses;
use crate::traffic::{Arrival, Traffic};
use endpoints::{efetch, epost, esearch, esummary};

/// Maximum length of a URI.
const MAX_URI_BYTES: usize = 4096;

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Maximum number of results of a search; NCBI's is 9,999.
    pub cap: usize,
    /// Maximum requests per second without a key and with one; none for no limit.
    pub limit: Option<(u32, u32)>,
    /// Valid API keys.
    pub keys: Vec<String>,
    /// Delay of each response.
    pub delay: Duration,
    /// Simulated failures.
    pub faults: Faults,
    /// Port; 0 selects any free port.
    pub port: u16,
    /// Whether searches by creation date are supported.
    pub lists_creation: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cap: 9_999,
            limit: None,
            keys: vec!["valid-key".into()],
            delay: Duration::ZERO,
            faults: Faults::default(),
            port: 0,
            lists_creation: true,
        }
    }
}

#[derive(Default)]
struct Inside {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Inside {
    fn enter(inside: &Arc<Self>) -> Entered {
        let now = inside.now.fetch_add(1, Ordering::Relaxed) + 1;
        inside.most.fetch_max(now, Ordering::Relaxed);
        Entered(inside.clone())
    }
}

/// A request in progress, until it has a response or is cancelled.
struct Entered(Arc<Inside>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Shared {
    options: Options,
    corpus: Mutex<Corpus>,
    faults: Mutex<Faults>,
    history: Mutex<History>,
    traffic: Mutex<Traffic>,
    inside: Arc<Inside>,
    files: Mutex<Vec<BulkFile>>,
    file_requests: AtomicUsize,
}

/// A running server; stops when dropped.
pub struct Simulator {
    shared: Arc<Shared>,
    port: u16,
    task: JoinHandle<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Simulator {
    /// Starts a server on loopback.
    pub async fn start(corpus: Corpus, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            faults: Mutex::new(options.faults.clone()),
            options,
            corpus: Mutex::new(corpus),
            history: Mutex::default(),
            traffic: Mutex::default(),
            inside: Arc::default(),
            files: Mutex::default(),
            file_requests: AtomicUsize::new(0),
        });
        let router = Router::new()
            .route("/entrez/eutils/{program}", any(eutils))
            .route("/pubmed/{folder}/", any(bulk_listing))
            .route("/pubmed/{folder}/{name}", any(bulk))
            .with_state(shared.clone());
        let task = tokio::spawn(async move {
            // Ends only if the task is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { shared, port, task })
    }

    /// Base URL of its E-utilities.
    pub fn eutils_url(&self) -> String {
        format!("http://127.0.0.1:{}/entrez/eutils/", self.port)
    }

    /// Base URL of its bulk files.
    pub fn files_url(&self) -> String {
        format!("http://127.0.0.1:{}/pubmed/", self.port)
    }

    /// The corpus, to read or change while the server runs.
    pub fn corpus(&self) -> MutexGuard<'_, Corpus> {
        lock(&self.shared.corpus)
    }

    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.shared.faults)
    }

    /// All requests so far, in order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        lock(&self.shared.traffic).arrivals().to_vec()
    }

    /// Maximum number of concurrent requests so far.
    pub fn most_at_once(&self) -> usize {
        self.shared.inside.most.load(Ordering::Relaxed)
    }

    /// Number of requests for bulk files and their folders so far.
    pub fn file_requests(&self) -> usize {
        self.shared.file_requests.load(Ordering::Relaxed)
    }

    /// Publishes an update file with the current version of these records, and deletions.
    pub fn publish_update(&self, name: &str, pmids: &[u32], deleted: &[u32], modified: i64) {
        let records: Vec<String> = {
            let corpus = self.corpus();
            pmids.iter().filter_map(|pmid| corpus.xml(*pmid).map(Cow::into_owned)).collect()
        };
        lock(&self.shared.files).push(BulkFile::new("updatefiles", name, &records, deleted, modified));
    }

    /// Waits until the server ends.
    pub async fn serve(&mut self) {
        let _ = (&mut self.task).await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Params = HashMap<String, String>;
type HttpResponse = Response<Body>;

fn respond(status: u16, kind: &'static str, body: impl Into<Body>) -> HttpResponse {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

const XML: &str = "text/xml; charset=UTF-8";
const JSON: &str = "application/json; charset=UTF-8";
const HTML: &str = "text/html";

async fn eutils(
    State(shared): State<Arc<Shared>>,
    Path(program): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    form: Bytes,
) -> HttpResponse {
    if uri.to_string().len() > MAX_URI_BYTES {
        return respond(414, HTML, "<!DOCTYPE HTML><html><head><title>414 Request-URI Too Large</title></head></html>");
    }
    let mut params = Params::new();
    parse_form(uri.query().unwrap_or_default(), &mut params);
    parse_form(&String::from_utf8_lossy(&form), &mut params);
    let endpoint = match program.as_str() {
        "esearch.fcgi" => "esearch",
        "efetch.fcgi" => "efetch",
        "esummary.fcgi" => "esummary",
        "einfo.fcgi" => "einfo",
        "epost.fcgi" => "epost",
        _ => return respond(404, HTML, "<html><head><title>404 Not Found</title></head></html>"),
    };
    let _inside = Inside::enter(&shared.inside);
    tokio::time::sleep(shared.options.delay).await;
    let key = params.get("api_key").cloned();
    let limit = shared.options.limit.map(|(without, with)| if key.is_some() { with } else { without });
    let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
    if let Some(count) = lock(&shared.traffic).arrive(endpoint, traceparent, limit) {
        return throttled(429, key.as_deref(), count, limit.unwrap_or(3));
    }
    if let Some(key) = key.as_deref().filter(|key| !shared.options.keys.iter().any(|valid| valid == key)) {
        let body =
            format!("{{\"error\":\"API key invalid\",\"api-key\":\"{key}\",\"type\":\"api\",\"status\":\"unknown\"}}");
        return respond(400, JSON, body);
    }
    let fault = lock(&shared.faults).next(endpoint);
    let good = match endpoint {
        "esearch" => esearch(&shared, &params, fault),
        "efetch" => efetch(&shared, &params, fault),
        "esummary" => esummary(&shared, &params),
        "einfo" => respond(200, XML, responses::fields(shared.options.lists_creation)),
        _ => epost(&shared, &params),
    };
    match fault {
        Some(fault) => spoil(fault, good, key.as_deref(), endpoint).await,
        None => good,
    }
}

fn parse_form(text: &str, params: &mut Params) {
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.replace('+', " ");
        let value = percent_decode_str(&value).decode_utf8_lossy().into_owned();
        // A repeated id adds an id.
        params
            .entry(name.to_owned())
            .and_modify(|before| {
                if name == "id" {
                    before.push(',');
                    before.push_str(&value);
                }
            })
            .or_insert(value);
    }
}

fn throttled(status: u16, key: Option<&str>, count: usize, limit: u32) -> HttpResponse {
    let who = key.unwrap_or("127.0.0.1");
    let body = format!(
        "{{\"error\":\"API rate limit exceeded\",\"api-key\":\"{who}\",\"count\":\"{count}\",\"limit\":\"{limit}\"}}"
    );
    respond(status, JSON, body)
}

/// Turns a response into a failure.
async fn spoil(fault: Fault, good: HttpResponse, key: Option<&str>, endpoint: &str) -> HttpResponse {
    let search = endpoint == "esearch";
    let error = |status, text: &str| {
        if search {
            respond(status, JSON, responses::esearch_error(text))
        } else {
            respond(status, XML, responses::efetch_error(text))
        }
    };
    match fault {
        Fault::Throttled => {
            let mut response = throttled(429, key, 4, 3);
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
            response
        }
        Fault::ThrottledSilent => throttled(429, key, 4, 3),
        Fault::ThrottledOk => throttled(200, key, 4, 3),
        Fault::BadGateway => {
            respond(502, HTML, "<html><head><title>Bad Gateway!</title></head><body>502</body></html>")
        }
        Fault::ServerError => respond(500, "text/plain", "Service unavailable!"),
        Fault::Html => respond(
            200,
            HTML,
            "<!DOCTYPE html>\n<html><head><title>NCBI - WWW Error Blocked Diagnostic</title></head></html>",
        ),
        Fault::Outage => respond(200, "text/plain", "Unable to route request! /http/service/ratecontrol"),
        Fault::Empty => respond(200, if search { JSON } else { XML }, ""),
        Fault::PrologOnly if search => respond(200, JSON, "{\"header\":{\"type\":\"esearch\""),
        Fault::PrologOnly => respond(
            200,
            XML,
            "<?xml version=\"1.0\" ?>\n<!DOCTYPE PubmedArticleSet PUBLIC \"-//NLM//DTD X//EN\" \"https://x.dtd\">\n",
        ),
        Fault::Truncated | Fault::Broken | Fault::Stalled => {
            let (parts, body) = good.into_parts();
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
            let half = bytes.slice(..bytes.len() / 2);
            if fault == Fault::Truncated {
                return Response::from_parts(parts, Body::from(half));
            }
            if fault == Fault::Stalled {
                let stream = stream::iter([Ok::<_, io::Error>(half)]).chain(stream::pending());
                return Response::from_parts(parts, Body::from_stream(stream));
            }
            let stream = stream::iter([Ok(half), Err(io::Error::other("broken"))]);
            Response::from_parts(parts, Body::from_stream(stream))
        }
        Fault::Backend => error(
            200,
            "NCBI C++ Exception: Error: TXCLIENT(CException::eUnknown) read_reply.cpp, line 103: TXCLIENT::readAll EOF",
        ),
        Fault::Relayed => error(
            400,
            "Error: CEFetchPApplication::proxy_stream(): Failed to connect to PubOne service. Try again later.",
        ),
        Fault::SearchBackend
        | Fault::SearchStatus
        | Fault::SearchDatabase
        | Fault::SearchConnection
        | Fault::SearchLost => error(200, fault.search_text().unwrap_or_default()),
        Fault::SearchMessage if search => {
            respond(200, JSON, responses::nothing("Unable to open connection to #1PubSrv"))
        }
        Fault::SearchMessage => error(200, "Unable to open connection to #1PubSrv"),
        Fault::Redirect => {
            let mut response = respond(302, HTML, "");
            response
                .headers_mut()
                .insert(header::LOCATION, header::HeaderValue::from_static("https://127.0.0.1:1/elsewhere"));
            response
        }
        Fault::Short | Fault::Drift | Fault::Duplicate | Fault::Nothing | Fault::Half | Fault::NoRecords => good,
    }
}

/// A folder in the format of NCBI's listings: HTML with dates and rounded sizes.
async fn bulk_listing(State(shared): State<Arc<Shared>>, Path(folder): Path<String>) -> HttpResponse {
    shared.file_requests.fetch_add(1, Ordering::Relaxed);
    let mut html = format!("<html><head><title>Index of /pubmed/{folder}</title></head><body><pre>\n");
    for file in lock(&shared.files).iter().filter(|file| file.folder == folder) {
        let size = format!("{}K", file.bytes.len().div_ceil(1024));
        for (name, size) in [(file.name.clone(), size), (format!("{}.md5", file.name), "60".to_owned())] {
            let _ = writeln!(html, "<a href=\"{name}\">{name}</a>  2026-01-02 10:00  {size:>5}");
        }
    }
    html.push_str("</pre></body></html>\n");
    respond(200, HTML, html)
}

async fn bulk(State(shared): State<Arc<Shared>>, Path((folder, name)): Path<(String, String)>) -> HttpResponse {
    shared.file_requests.fetch_add(1, Ordering::Relaxed);
    let side_file = name.strip_suffix(".md5");
    let wanted = side_file.unwrap_or(&name);
    let files = lock(&shared.files);
    let Some(file) = files.iter().find(|file| file.folder == folder && file.name == wanted) else {
        return respond(404, HTML, "<html><head><title>404 Not Found</title></head></html>");
    };
    let mut response = if side_file.is_some() {
        respond(200, "text/plain", file.md5())
    } else {
        respond(200, "application/x-gzip", file.bytes.clone())
    };
    let modified = DateTime::from_timestamp(file.modified, 0).unwrap_or_default();
    if let Ok(value) = header::HeaderValue::from_str(&modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string()) {
        response.headers_mut().insert(header::LAST_MODIFIED, value);
    }
    response
}
