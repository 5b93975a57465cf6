//! Connection options of the database: from a URL, from the JSON of a managed secret, or from both.

use std::str::FromStr;

use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use bio_mcp_core::Secret;

/// Address of the database, and its login.
#[derive(Clone, Debug, Default)]
pub struct DatabaseSettings {
    /// `BIO_MCP_DATABASE_URL`
    pub url: Option<Secret>,
    /// `BIO_MCP_DATABASE_URL_SECRET_ARN`: a URL, or the JSON of a secret that AWS manages. With a URL given too, only
    /// its `username` and `password` are used.
    pub secret: Option<Secret>,
    /// `BIO_MCP_DATABASE_ROLE`: the JSON of a secret with the `username` and `password` that functions log in with; the
    /// function `migrate` creates that role.
    pub role: Option<Secret>,
    /// `BIO_MCP_DATABASE_CA_PEM`: certificates of the server's authority, if the system does not trust it.
    pub ca_pem: Option<String>,
    /// `BIO_MCP_DATABASE_POOL`: maximum number of connections of one function.
    pub pool: u32,
}

impl DatabaseSettings {
    /// Whether a database is configured.
    pub fn is_given(&self) -> bool {
        self.url.is_some() || self.secret.is_some()
    }
}

/// The settings are not valid. The text never contains them: they include a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    #[error("no database is configured: set BIO_MCP_DATABASE_URL or BIO_MCP_DATABASE_URL_SECRET_ARN")]
    Missing,
    #[error("BIO_MCP_DATABASE_URL is not a valid Postgres URL")]
    Url,
    /// The secret is neither a URL nor a managed secret.
    #[error("the secret of the database is neither a Postgres URL nor JSON with username and password")]
    Secret,
    /// The secret of the functions' role is invalid.
    #[error("BIO_MCP_DATABASE_ROLE must be JSON with username (lower-case letters, digits, _) and password")]
    Role,
    /// Neither the managed secret nor a URL contains the host.
    #[error("the secret of the database names no host: set BIO_MCP_DATABASE_URL to postgres://host/name beside it")]
    Host,
}

/// A secret in the format of RDS and Secrets Manager.
#[derive(Deserialize)]
struct Managed {
    username: String,
    password: String,
    host: Option<String>,
    port: Option<u16>,
    dbname: Option<String>,
}

/// The connection options. A remote server must have a certificate that is valid for its name, unless `sslmode` in the
/// URL specifies otherwise.
pub fn options(settings: &DatabaseSettings) -> Result<PgConnectOptions, OptionsError> {
    let of_url = |url: &Secret, error| {
        let url = url.expose();
        // The parser's error could repeat the URL, which may hold a password.
        let options = PgConnectOptions::from_str(url).map_err(|_| error)?;
        Ok((options, says_how(url)))
    };
    let (options, says_how) = match (&settings.url, &settings.secret) {
        (None, None) => return Err(OptionsError::Missing),
        (Some(url), None) => of_url(url, OptionsError::Url)?,
        (url, Some(secret)) if secret.expose().trim_start().starts_with('{') => {
            let managed: Managed = serde_json::from_str(secret.expose()).map_err(|_| OptionsError::Secret)?;
            let (options, says_how) = if let Some(url) = url {
                of_url(url, OptionsError::Url)?
            } else {
                let host = managed.host.as_deref().ok_or(OptionsError::Host)?;
                let options = PgConnectOptions::new_without_pgpass().host(host).port(managed.port.unwrap_or(5432));
                (options.database(managed.dbname.as_deref().unwrap_or("postgres")), false)
            };
            (options.username(&managed.username).password(&managed.password), says_how)
        }
        (_, Some(secret)) => of_url(secret, OptionsError::Secret)?,
    };
    let is_here = options.get_socket().is_some()
        || options.get_host() == "localhost"
        || options.get_host().parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let options = if says_how || is_here { options } else { options.ssl_mode(PgSslMode::VerifyFull) };
    Ok(match &settings.ca_pem {
        Some(pem) => options.ssl_root_cert_from_pem(pem.clone().into_bytes()),
        None => options,
    })
}

/// Whether a URL specifies the use of TLS: as a parameter, not within a password, a name or a fragment.
fn says_how(url: &str) -> bool {
    // Parsed like the driver parses it.
    Url::parse(url).is_ok_and(|url| url.query_pairs().any(|(name, _)| matches!(&*name, "sslmode" | "ssl-mode")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: Option<&str>, secret: Option<&str>) -> Result<PgConnectOptions, OptionsError> {
        options(&DatabaseSettings {
            url: url.map(Secret::new),
            secret: secret.map(Secret::new),
            ..DatabaseSettings::default()
        })
    }

    #[test]
    fn a_server_elsewhere_must_show_who_it_is() {
        let mode = |url: &str| read(Some(url), None).map(|options| format!("{:?}", options.get_ssl_mode()));
        assert_eq!(mode("postgres://me:pw@db.example/bio").as_deref(), Ok("VerifyFull"));
        assert_eq!(mode("postgres://me:pw@db.example/bio?sslmode=require").as_deref(), Ok("Require"));
        for password in ["sslmode=disable", "x%3Fsslmode=disable"] {
            let url = format!("postgres://me:{password}@db.example/bio?application_name=sslmode%3Ddisable");
            assert_eq!(mode(&url).as_deref(), Ok("VerifyFull"), "{password}");
        }
        for url in [
            "postgres://me:pw@db.example/bio#?sslmode=disable",
            "postgres://me:pw@db.example/sslmode=disable",
            "postgres://me:pw@db.example/bio%3Fsslmode=disable",
            "postgres://sslmode=disable:pw@db.example/bio?x=%26sslmode=disable",
            "postgres://me:pw@db.example/bio?options=-csslmode=disable",
        ] {
            assert_eq!(mode(url).as_deref(), Ok("VerifyFull"), "{url}");
        }
        assert_eq!(mode("postgres://me:pw@db.example/bio?ssl%6dode=require").as_deref(), Ok("Require"));
        assert_eq!(mode("postgres://me@127.0.0.1/bio").as_deref(), Ok("Prefer"));
        assert_eq!(mode("postgres://postgres@localhost/db?host=/tmp/x").as_deref(), Ok("Prefer"));
    }

    #[test]
    fn a_managed_secret_is_enough_or_completes_a_url() {
        let whole =
            r#"{"engine":"postgres","host":"db.example","port":6432,"username":"u","password":"p/@","dbname":"bio"}"#;
        let options = read(None, Some(whole)).expect("whole");
        assert_eq!((options.get_host(), options.get_port(), options.get_username()), ("db.example", 6432, "u"));
        assert_eq!(options.get_database(), Some("bio"));
        let half = r#"{"username":"u","password":"p"}"#;
        let options = read(Some("postgres://db.example:5433/bio"), Some(half)).expect("both halves");
        assert_eq!((options.get_host(), options.get_port(), options.get_username()), ("db.example", 5433, "u"));
        assert_eq!(read(None, Some(half)).err(), Some(OptionsError::Host));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (url, secret, error) in [
            (None, None, OptionsError::Missing),
            (Some("postgres://u:hunter2@[/x"), None, OptionsError::Url),
            (None, Some("hunter2"), OptionsError::Secret),
            (None, Some(r#"{"password":"hunter2"}"#), OptionsError::Secret),
        ] {
            let found = read(url, secret).expect_err("wrong");
            assert_eq!(found, error);
            assert!(!found.to_string().contains("hunter2"));
        }
    }
}
