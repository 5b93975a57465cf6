//! The HTTP server: who may ask, from where, and how much.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::address::is_safe_url;
use super::reader::Reader;
use super::toolsets::{self, Toolset};
use crate::words::sha256::Sha256;

/// Who may ask over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthSetting {
    /// Every caller: on loopback only.
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
    /// `BIO_MCP_OIDC_AUDIENCE`: what tokens must say in `aud`; without it, none with an `aud` is let in.
    pub audience: Option<String>,
    /// `BIO_MCP_OIDC_CLIENT_IDS`: of tokens without `aud`, as Amazon Cognito's access tokens are, those given to these
    /// clients are let in.
    pub client_ids: Vec<String>,
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

    /// Hashes separated by commas, each alone or as `name=hash`; nothing where one is none.
    pub fn parse_all(text: &str) -> Option<Vec<Self>> {
        text.split(',').map(|one| Self::parse(one.trim())).collect()
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
    /// `BIO_MCP_ALLOW_ANONYMOUS`: a function may answer without credentials.
    pub allow_anonymous: bool,
    /// `BIO_MCP_ALLOWED_HOSTS`: names of this server beside those of loopback, where no token is needed.
    pub allowed_hosts: Vec<String>,
    /// `BIO_MCP_ALLOWED_ORIGINS`: origins of pages in browsers that may call, beside those of loopback where no
    /// token is needed.
    pub allowed_origins: Vec<String>,
    /// `BIO_MCP_PUBLIC_URL`: the address by which clients reach this server; without it, the name in `Host`.
    pub public_url: Option<String>,
    /// `BIO_MCP_MAX_WAIT_SECS`: the longest that a request waits for a job; by default 25 seconds, in a function 2.
    pub max_wait: Option<Duration>,
    /// `BIO_MCP_WAIT_SLOTS`: requests of a whole fleet of functions that may wait at a time; more are answered at once.
    pub wait_slots: usize,
    /// `BIO_MCP_MAX_CONCURRENCY`: requests in flight.
    pub max_concurrency: usize,
    /// `BIO_MCP_TOOL_LIMIT_…` of fast tools: requests in flight per tool.
    pub fast_limits: BTreeMap<String, usize>,
    /// `BIO_MCP_SERVE_ABSTRACTS`
    pub serve_abstracts: bool,
    /// `BIO_MCP_TOOLSETS`: the groups of tools that MCP lists.
    pub toolsets: BTreeSet<Toolset>,
}

pub(super) fn read<F: Fn(&str) -> Option<String>>(env: &mut Reader<F>) -> HttpSettings {
    let tokens = env.text("BIO_MCP_AUTH_TOKENS").map_or_else(Vec::new, |text| {
        TokenHash::parse_all(&text).unwrap_or_else(|| {
            let message = "BIO_MCP_AUTH_TOKENS must be hashes as `bio-mcp token new` prints them, separated by commas, \
                           each alone or as name=hash";
            env.errors.push(message.to_owned());
            Vec::new()
        })
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
            let client_ids = env.list("BIO_MCP_OIDC_CLIENT_IDS");
            if audience.is_none() && client_ids.is_empty() {
                let message =
                    "BIO_MCP_AUTH=oidc needs BIO_MCP_OIDC_AUDIENCE, or BIO_MCP_OIDC_CLIENT_IDS for tokens without aud";
                env.errors.push(message.to_owned());
            }
            AuthSetting::Oidc(OidcSettings { issuer: issuer.unwrap_or_default(), audience, client_ids })
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
    let public_url = env.text("BIO_MCP_PUBLIC_URL");
    if public_url.as_deref().is_some_and(|url| !is_safe_url(url) || url.contains(['?', '#', '"'])) {
        env.errors.push("BIO_MCP_PUBLIC_URL must be the https address by which clients reach this server".to_owned());
    }
    let max_wait = match env.number("BIO_MCP_MAX_WAIT_SECS", u64::MAX, 0, 25) {
        u64::MAX => None,
        seconds => Some(Duration::from_secs(seconds)),
    };
    // They can keep a connection busy for long.
    let checkpoint = |verb: &str, limit: usize| (format!("corpus.checkpoint.{verb}"), limit);
    let switch = [("true", true), ("false", false), ("1", true), ("0", false)];
    HttpSettings {
        auth,
        allow_anonymous: env.choice("BIO_MCP_ALLOW_ANONYMOUS", false, &switch),
        allowed_hosts: env.list("BIO_MCP_ALLOWED_HOSTS"),
        allowed_origins,
        public_url,
        max_wait,
        wait_slots: env.number("BIO_MCP_WAIT_SLOTS", 5, 1, 10_000),
        max_concurrency: env.number("BIO_MCP_MAX_CONCURRENCY", 200, 1, 100_000),
        fast_limits: BTreeMap::from([
            ("pubmed.search".to_owned(), env.number("BIO_MCP_TOOL_LIMIT_PUBMED_SEARCH", 50, 1, 10_000)),
            ("pubmed.get".to_owned(), env.number("BIO_MCP_TOOL_LIMIT_PUBMED_GET", 100, 1, 10_000)),
            checkpoint("create", env.number("BIO_MCP_TOOL_LIMIT_CORPUS_CHECKPOINT_CREATE", 3, 1, 10_000)),
            checkpoint("get", env.number("BIO_MCP_TOOL_LIMIT_CORPUS_CHECKPOINT_GET", 3, 1, 10_000)),
            checkpoint("diff", env.number("BIO_MCP_TOOL_LIMIT_CORPUS_CHECKPOINT_DIFF", 3, 1, 10_000)),
        ]),
        serve_abstracts: env.choice("BIO_MCP_SERVE_ABSTRACTS", true, &switch),
        toolsets: toolsets::read(env),
    }
}
