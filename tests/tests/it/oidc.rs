//! Tokens of an OpenID Connect issuer, made by an independent library: which are accepted and which are refused.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json};
use shared::ingest::Settings;
use simulator::{Corpus, Options};
use tests::http::{Server, settings as http_settings};
use tests::mcp::python;
use tests::sync::{client, day, engine, settings, simulator};

const AUDIENCE: &str = "https://archive.lab/mcp";

/// An issuer whose responses can be changed.
struct Issuer {
    url: String,
    keys: Arc<Mutex<(StatusCode, Value)>>,
    fetches: Arc<AtomicU64>,
}

impl Issuer {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let keys = Arc::new(Mutex::new((StatusCode::OK, json!({ "keys": [] }))));
        let fetches = Arc::new(AtomicU64::new(0));
        let configuration = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string();
        let (response, count) = (keys.clone(), fetches.clone());
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(move || async move { configuration.into_response() }))
            .route(
                "/keys",
                get(move || async move {
                    count.fetch_add(1, Ordering::SeqCst);
                    let (status, keys) = response.lock().expect("no panic").clone();
                    (status, keys.to_string()).into_response()
                }),
            );
        tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { url, keys, fetches }
    }

    fn publish(&self, status: StatusCode, keys: &Value) {
        *self.keys.lock().expect("no panic") = (status, keys.clone());
    }

    fn fetches(&self) -> u64 {
        self.fetches.load(Ordering::SeqCst)
    }
}

async fn server(issuer: &Issuer) -> Server {
    server_with(issuer, &[("BIO_MCP_OIDC_AUDIENCE", AUDIENCE)]).await
}

async fn server_with(issuer: &Issuer, settings_of_oidc: &[(&str, &str)]) -> Server {
    let ncbi = simulator(Corpus::new(day("2026-03-10")), Options::default()).await;
    let client = client(settings(&ncbi));
    let engine = engine(tests::engine::pool(4).await, client.clone(), Settings::default());
    // Without other settings, every token of the issuer may submit jobs.
    let all = format!("submit:iss={}", issuer.url);
    let roles = [("BIO_MCP_OIDC_ISSUER", issuer.url.as_str()), ("BIO_MCP_OIDC_ROLES", all.as_str())];
    let more = [settings_of_oidc, &roles].concat();
    Server::start(engine, client, &http_settings(&more)).await
}

/// An issuer that publishes no keys yet, and its tokens; `None` if the library that makes them is not installed.
async fn issuer_with_tokens() -> Option<(Issuer, Value)> {
    let mut python = python()?;
    let issuer = Issuer::start().await;
    let made = python.arg(tests::root().join("tests/src/tokens.py")).args([&issuer.url, AUDIENCE]).output();
    let made = made.expect("python3 runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some((issuer, serde_json::from_slice(&made.stdout).expect("JSON")))
}

async fn status(server: &Server, token: &str) -> u16 {
    let request = server.request("GET", "/v1/mcp/tools").header("authorization", format!("Bearer {token}"));
    let response = server.send(request).await;
    if response.status != 200 {
        assert_eq!(response.error().1, "UNAUTHENTICATED", "{}", response.body);
        let challenge = response.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("Bearer resource_metadata=\"http://127.0.0.1:"), "{challenge}");
    }
    response.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_malformed_tokens_are_refused_and_valid_ones_accepted() {
    let Some((issuer, tokens)) = issuer_with_tokens().await else { return };
    issuer.publish(StatusCode::OK, &tokens["keys"]);
    let server = server(&issuer).await;
    let of = |kind: &str| tokens[kind].as_object().expect("tokens").clone();
    for (name, token) in of("good") {
        assert_eq!(status(&server, token.as_str().expect("a token")).await, 200, "{name}");
    }
    let bad = of("bad");
    assert!(bad.len() >= 100, "{}", bad.len());
    for (name, token) in bad {
        assert_eq!(status(&server, token.as_str().expect("a token")).await, 401, "{name}");
    }
    assert_eq!(issuer.fetches(), 1, "unknown keys are not asked for again and again");
    let good = of("good")["plain"].as_str().expect("a token").to_owned();
    for path in ["/v1/mcp/tools", "/v1/jobs", "/metrics", "/openapi.json", "/llms.txt", "/v1/pubmed/1"] {
        assert_eq!(server.get(path).await.error(), (401, "UNAUTHENTICATED"), "{path}");
        let in_query = server.get(&format!("{path}?access_token={good}&token={good}")).await;
        assert_eq!(in_query.error(), (401, "UNAUTHENTICATED"), "{path}");
    }
    let job = json!({ "tool": "pubmed.sync", "params": { "pmids": ["1"] } });
    let request = server.request("POST", "/v1/jobs").header("authorization", format!("Bearer {good}"));
    let made = server.send(request.header("content-type", "application/json").body(job.to_string())).await;
    assert_eq!(made.status, 202, "{}", made.body);
    let principal: String =
        sqlx::query_scalar("select principal from jobs").fetch_one(&server.engine.db).await.expect("a job");
    assert_eq!(principal, "alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_once_and_stay_valid_while_the_issuer_is_unavailable() {
    let Some((issuer, tokens)) = issuer_with_tokens().await else { return };
    let server = server(&issuer).await;
    let good = tokens["good"]["plain"].as_str().expect("a token");
    issuer.publish(StatusCode::OK, &tokens["keys"]);
    let at_once = (0..20).map(|_| status(&server, good));
    assert_eq!(futures_util::future::join_all(at_once).await, vec![200; 20]);
    assert_eq!(issuer.fetches(), 1, "one fetches, the others wait");
    issuer.publish(StatusCode::SERVICE_UNAVAILABLE, &json!({}));
    for token in tokens["flood"].as_array().expect("tokens") {
        assert_eq!(status(&server, token.as_str().expect("a token")).await, 401);
    }
    assert_eq!(status(&server, good).await, 200);
    assert_eq!(issuer.fetches(), 1, "a flood of unknown keys does not reach the issuer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_be_verified_is_refused() {
    let Some((issuer, tokens)) = issuer_with_tokens().await else { return };
    let good = tokens["good"]["plain"].as_str().expect("a token");
    for (code, keys) in [
        (StatusCode::INTERNAL_SERVER_ERROR, tokens["keys"].clone()),
        (StatusCode::OK, json!("no keys")),
        (StatusCode::OK, json!({ "keys": "none", "padding": "x".repeat(300_000) })),
        (StatusCode::FOUND, tokens["keys"].clone()),
    ] {
        let server = server(&issuer).await;
        issuer.publish(code, &keys);
        assert_eq!(status(&server, good).await, 401, "{code}");
        assert_eq!(server.get("/healthz").await.status, 200);
    }
}

/// Access tokens of Amazon Cognito have no audience, but the id of the client that they were issued to.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_an_audience_is_accepted_by_a_configured_client_id() {
    let Some((issuer, tokens)) = issuer_with_tokens().await else { return };
    issuer.publish(StatusCode::OK, &tokens["keys"]);
    let by_client = server_with(&issuer, &[("BIO_MCP_OIDC_CLIENT_IDS", "client-1, client-2")]).await;
    let by_both = [("BIO_MCP_OIDC_AUDIENCE", AUDIENCE), ("BIO_MCP_OIDC_CLIENT_IDS", "client-1")];
    let by_both = server_with(&issuer, &by_both).await;
    let by_audience = server(&issuer).await;
    for (name, token) in tokens["cognito"]["good"].as_object().expect("tokens") {
        let token = token.as_str().expect("a token");
        assert_eq!(status(&by_client, token).await, 200, "{name}");
        assert_eq!(status(&by_both, token).await, 200, "{name}");
        assert_eq!(status(&by_audience, token).await, 401, "{name}: no client is configured");
    }
    for (name, token) in tokens["cognito"]["bad"].as_object().expect("tokens") {
        let token = token.as_str().expect("a token");
        assert_eq!(status(&by_client, token).await, 401, "{name}");
        assert_eq!(status(&by_both, token).await, 401, "{name}");
    }
    let with_audience = tokens["good"]["plain"].as_str().expect("a token");
    assert_eq!(status(&by_client, with_audience).await, 401, "an audience that is not configured");
    assert_eq!(status(&by_both, with_audience).await, 200);
}

/// RFC 9728: an MCP client finds the issuer from the 401 response.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_metadata_that_name_the_issuer() {
    let issuer = Issuer::start().await;
    let server = server(&issuer).await;
    for (path, of) in [("/mcp", "/mcp"), ("/v1/jobs", "")] {
        let refused = server.get(path).await;
        assert_eq!(refused.status, 401, "{}", refused.body);
        let challenge = refused.header("www-authenticate").expect("a challenge").to_owned();
        let url = challenge.strip_prefix("Bearer resource_metadata=\"").and_then(|rest| rest.strip_suffix('"'));
        let url = url.expect("an address");
        let (origin, at) = url.split_at(url.find("/.well-known/").expect("a well-known address"));
        let metadata = server.get(at).await;
        assert_eq!(metadata.status, 200, "it is open: {}", metadata.body);
        let metadata = metadata.body;
        assert_eq!(metadata["resource"], format!("{origin}{of}"));
        assert_eq!(metadata["authorization_servers"], json!([issuer.url]));
        assert_eq!(metadata["bearer_methods_supported"], json!(["header"]));
    }
    let settings = [("BIO_MCP_OIDC_AUDIENCE", AUDIENCE), ("BIO_MCP_PUBLIC_URL", "https://archive.lab/")];
    let named = server_with(&issuer, &settings).await;
    let refused = named.get("/mcp").await;
    let expected = "Bearer resource_metadata=\"https://archive.lab/.well-known/oauth-protected-resource/mcp\"";
    assert_eq!(refused.header("www-authenticate"), Some(expected));
    let request = server.request("GET", "/mcp").header("host", "a\"b.example");
    let odd = server.send(request).await;
    assert!(!odd.header("www-authenticate").unwrap_or("Bearer").contains("a\"b"), "what Host says is not repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_has_the_role_of_its_claims_and_without_one_is_refused() {
    let Some((issuer, tokens)) = issuer_with_tokens().await else { return };
    issuer.publish(StatusCode::OK, &tokens["keys"]);
    let rules =
        "read:scope=archive.read, submit:scp=archive.submit, admin:cognito:groups=librarians, submit:sub=ci-robot";
    let server = server_with(&issuer, &[("BIO_MCP_OIDC_AUDIENCE", AUDIENCE), ("BIO_MCP_OIDC_ROLES", rules)]).await;
    let call = async |token: &str, tool: &str, params: Value| {
        let request = server.request("POST", "/v1/mcp/invoke").header("authorization", format!("Bearer {token}"));
        let body = json!({ "tool": tool, "params": params }).to_string();
        server.send(request.header("content-type", "application/json").body(body)).await.status.as_u16()
    };
    for (name, may_submit, is_admin) in [
        ("read", false, false),
        ("submit", true, false),
        ("of its subject", true, false),
        ("admin", true, true),
        ("highest", true, true),
    ] {
        let token = tokens["roles"][name].as_str().expect("a token");
        assert_eq!(call(token, "ping", json!({})).await, 200, "{name}");
        let made = call(token, "pubmed.sync", json!({ "pmids": ["1"] })).await;
        assert_eq!(made, if may_submit { 202 } else { 403 }, "{name}");
        let bulk = call(token, "pubmed.ingest_files", json!({ "files": ["pubmed26n0001.xml.gz"] })).await;
        assert!(if is_admin { bulk < 300 } else { bulk == 403 }, "{name}: {bulk}");
    }
    for (name, token) in tokens["no_role"].as_object().expect("tokens") {
        let token = token.as_str().expect("a token");
        let request = server.request("GET", "/v1/mcp/tools").header("authorization", format!("Bearer {token}"));
        assert_eq!(server.send(request).await.error(), (403, "FORBIDDEN"), "{name}");
        let ready = server.request("GET", "/readyz").header("authorization", format!("Bearer {token}"));
        let ready = server.send(ready).await;
        assert!(ready.body["checks"].is_null(), "{name} is told no more than a stranger: {}", ready.body);
    }
    for (name, token) in tokens["reserved"].as_object().expect("tokens") {
        assert_eq!(status(&server, token.as_str().expect("a token")).await, 401, "{name} is the name of another");
    }
}
