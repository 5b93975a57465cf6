//! Settings of the HTTP server: authentication, allowed hosts and origins, limits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::address::is_safe_url;
use super::credentials::{RoleRule, TokenHash};
use super::reader::Reader;
use super::tool_limits::{self, LimitedUnit, ToolLimit};
use super::toolsets::{self, Toolset};

/// How callers over HTTP authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthSetting {
    /// No authentication: on loopback only.
    None,
    /// By one of these tokens.
    Bearer(Vec<TokenHash>),
    /// By a token of this issuer.
    Oidc(OidcSettings),
}

/// An OpenID Connect issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    /// `BIO_MCP_OIDC_ISSUER`: its URL, exactly as in the claim `iss`.
    pub issuer: String,
    /// `BIO_MCP_OIDC_AUDIENCE`: the required claim `aud`; if not set, tokens with an `aud` are refused.
    pub audience: Option<String>,
    /// `BIO_MCP_OIDC_ROLES`: which claims give which role; a token without any of them is refused.
    pub roles: Vec<RoleRule>,
    /// `BIO_MCP_OIDC_CLIENT_IDS`: clients whose tokens are accepted without `aud`, such as Amazon Cognito's access
    /// tokens.
    pub client_ids: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// `BIO_MCP_AUTH`, `BIO_MCP_AUTH_TOKENS`
    pub auth: AuthSetting,
    /// `BIO_MCP_ALLOW_ANONYMOUS`: a function may serve requests without credentials.
    pub allow_anonymous: bool,
    /// `BIO_MCP_ALLOWED_HOSTS`: names of this server, in addition to loopback names if no token is required.
    pub allowed_hosts: Vec<String>,
    /// `BIO_MCP_ALLOWED_ORIGINS`: origins of web pages that may call, in addition to loopback origins if no token is
    /// required.
    pub allowed_origins: Vec<String>,
    /// `BIO_MCP_PUBLIC_URL`: the URL by which clients reach this server; by default, the name in `Host`.
    pub public_url: Option<String>,
    /// `BIO_MCP_MAX_WAIT_SECS`: the longest wait of a request for a job; by default 25 seconds, in a function 2.
    pub max_wait: Option<Duration>,
    /// `BIO_MCP_WAIT_SLOTS`: requests of a whole fleet of functions that may wait at the same time; others get a
    /// response immediately.
    pub wait_slots: usize,
    /// `BIO_MCP_MAX_CONCURRENCY`: maximum number of requests in flight.
    pub max_concurrency: usize,
    /// `BIO_MCP_TOOL_LIMIT_…` of fast tools: requests in flight per tool.
    pub fast_limits: BTreeMap<String, usize>,
    /// `BIO_MCP_SERVE_ABSTRACTS`
    pub serve_abstracts: bool,
    /// `BIO_MCP_TOOLSETS`: the groups of tools that MCP lists.
    pub toolsets: BTreeSet<Toolset>,
}

/// `BIO_MCP_OIDC_ROLES`; required, because without it no token of the issuer would be accepted.
fn roles<F: Fn(&str) -> Option<String>>(env: &mut Reader<F>) -> Vec<RoleRule> {
    let given = env.list("BIO_MCP_OIDC_ROLES");
    let rules: Vec<RoleRule> = given.iter().filter_map(|rule| RoleRule::parse(rule)).collect();
    if rules.is_empty() || rules.len() < given.len() {
        let message = "BIO_MCP_AUTH=oidc needs BIO_MCP_OIDC_ROLES: which claims give which role, as role:claim=value \
                       separated by commas, for example read:scope=bio-mcp.read,admin:cognito:groups=librarians";
        env.errors.push(message.to_owned());
    }
    rules
}

pub(super) fn read<F: Fn(&str) -> Option<String>>(env: &mut Reader<F>, tools: &[ToolLimit]) -> HttpSettings {
    let tokens = env.text("BIO_MCP_AUTH_TOKENS").map_or_else(Vec::new, |text| {
        TokenHash::parse_all(&text).unwrap_or_else(|| {
            let message = "BIO_MCP_AUTH_TOKENS must be hashes as `bio-mcp token new` prints them, separated by \
                           commas, each alone, as name=hash or as name:role=hash, where role is read, submit or \
                           admin; local, topics and projections are reserved";
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
        let message = "BIO_MCP_AUTH_TOKENS and BIO_MCP_OIDC_ISSUER are both set: set BIO_MCP_AUTH to bearer or oidc";
        env.errors.push(message.to_owned());
    }
    let auth = match env.choice("BIO_MCP_AUTH", default, &["none", "bearer", "oidc"].map(|name| (name, name))) {
        "bearer" => {
            if tokens.is_empty() {
                let message = "BIO_MCP_AUTH=bearer needs BIO_MCP_AUTH_TOKENS: `bio-mcp token new` creates one";
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
            let roles = roles(env);
            AuthSetting::Oidc(OidcSettings { issuer: issuer.unwrap_or_default(), audience, client_ids, roles })
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
        fast_limits: tool_limits::read(env, tools, LimitedUnit::Calls),
        serve_abstracts: env.choice("BIO_MCP_SERVE_ABSTRACTS", true, &switch),
        toolsets: toolsets::read(env),
    }
}
