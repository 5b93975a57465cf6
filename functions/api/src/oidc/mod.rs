//! Tokens of an OpenID Connect issuer: signed with RS256 or ES256 by a published key of the issuer, for this audience
//! or one of these clients, and valid now. What a token says about its own validation is not trusted.

mod keys;
mod signature;

use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use shared::config::{OidcSettings, RESERVED};
use shared::core::Principal;

use keys::Keys;

use crate::auth::Refusal;

/// Allowed clock difference, in seconds.
const LEEWAY_SECS: u64 = 60;

/// Maximum length of a subject.
const MAX_SUBJECT_CHARS: usize = 256;

/// Validates tokens.
#[derive(Debug)]
pub struct Oidc {
    settings: OidcSettings,
    keys: Arc<Keys>,
}

/// The claims that are validated, with their types. All others are ignored by the validation.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    iat: Option<f64>,
    /// The audience: a string, or a list of strings.
    #[serde(default, deserialize_with = "given")]
    aud: Option<Value>,
    /// Claim of Amazon Cognito: `id` or `access`.
    #[serde(default)]
    token_use: Option<String>,
    /// The client that the token was issued to; Amazon Cognito's access tokens have this instead of `aud`.
    #[serde(default)]
    client_id: Option<String>,
    /// Every other claim.
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Claims {
    /// All claims that can grant a role.
    fn everything(&self) -> Map<String, Value> {
        let mut all = self.others.clone();
        let texts = [("iss", Some(&self.iss)), ("sub", Some(&self.sub)), ("client_id", self.client_id.as_ref())];
        all.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text?)))));
        all
    }
}

/// Distinguishes `null` from an absent claim.
fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

impl Oidc {
    /// Keys are not fetched before the first token.
    pub fn new(settings: &OidcSettings) -> Self {
        signature::install();
        Self { settings: settings.clone(), keys: Arc::new(Keys::new(&settings.issuer)) }
    }

    /// URL of the issuer.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// The principal of a token: its subject, with the highest role that its claims grant.
    pub async fn principal(&self, token: &str) -> Result<Principal, Refusal> {
        let claims = self.claims(token).await.ok_or(Refusal::Unauthenticated)?;
        let all = claims.everything();
        let role = self.settings.roles.iter().filter(|rule| rule.applies(&all)).map(|rule| rule.role).max();
        match (self.accept(claims), role) {
            (None, _) => Err(Refusal::Unauthenticated),
            (Some(_), None) => Err(Refusal::NoRole),
            (Some(name), Some(role)) => Ok(Principal { name, role }),
        }
    }

    /// The claims of a token, if its signature, issuer and times are valid.
    async fn claims(&self, token: &str) -> Option<Claims> {
        let header = decode_header(token).ok()?;
        let algorithm = header.alg;
        if !matches!(algorithm, Algorithm::RS256 | Algorithm::ES256) || header.crit.is_some() {
            return None;
        }
        // The key determines the algorithm, not the token.
        let key: Arc<DecodingKey> = self.keys.find(header.kid.as_deref()?, algorithm).await?;
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECS;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.set_issuer(&[&self.settings.issuer]);
        // Checked below: a token without `aud` may name its client.
        validation.validate_aud = false;
        Some(decode::<Claims>(token, &key, &validation).ok()?.claims)
    }

    fn accept(&self, claims: Claims) -> Option<String> {
        let Claims { iss, sub, exp, nbf, iat, aud, token_use, client_id, .. } = claims;
        let is_time = |time: f64| time.is_finite() && (0.0..1e12).contains(&time);
        let now = shared::core::clock::now().timestamp();
        #[expect(clippy::cast_precision_loss, reason = "seconds of this age")]
        let latest = (now + i64::try_from(LEEWAY_SECS).unwrap_or(0)) as f64;
        let times_fit = is_time(exp) && nbf.is_none_or(is_time) && iat.is_none_or(|iat| is_time(iat) && iat <= latest);
        let subject_fits = (1..=MAX_SUBJECT_CHARS).contains(&sub.chars().count())
            && !sub.chars().any(char::is_control)
            && !RESERVED.contains(&sub.as_str());
        let is_for_us = match (&aud, &self.settings.audience) {
            (Some(Value::String(one)), Some(audience)) => one == audience,
            (Some(Value::Array(all)), Some(audience)) => {
                all.iter().all(Value::is_string) && all.iter().any(|one| one == audience)
            }
            (Some(_), _) => false,
            // Like API Gateway: the client counts only without an audience, and if it is configured.
            (None, _) => client_id.is_some_and(|client| self.settings.client_ids.contains(&client)),
        };
        // An ID token is for its client, not for a server.
        let is_for_servers = token_use.is_none_or(|token_use| token_use == "access");
        (iss == self.settings.issuer && times_fit && subject_fits && is_for_us && is_for_servers).then_some(sub)
    }
}
