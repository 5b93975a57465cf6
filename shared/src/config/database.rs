//! Settings of the database.

use std::collections::BTreeMap;

use super::DATABASE_URL;
use super::pem;
use super::reader::Reader;
use crate::core::Secret;
use crate::db::DatabaseSettings;

pub(super) fn read<F: Fn(&str) -> Option<String>>(
    env: &mut Reader<F>,
    secrets: &BTreeMap<&'static str, Secret>,
) -> DatabaseSettings {
    let url = env.text(DATABASE_URL);
    let is_url = |text: &str| text.starts_with("postgres://") || text.starts_with("postgresql://");
    // The JSON text of a managed secret is accepted too.
    if url.as_deref().is_some_and(|url| !is_url(url) && !url.starts_with('{')) {
        env.errors.push(format!("{DATABASE_URL} must start with postgres://, or be the JSON of a managed secret"));
    }
    let (url, as_secret) = match url {
        Some(json) if json.starts_with('{') => (None, Some(json)),
        url => (url, None),
    };
    let ca_pem = env.text("BIO_MCP_DATABASE_CA_PEM").and_then(|text| {
        let pem = pem::certificates(&text);
        if pem.is_none() {
            let message = "BIO_MCP_DATABASE_CA_PEM must be certificates in PEM, also on one line, or the base64 of one";
            env.errors.push(message.to_owned());
        }
        pem
    });
    DatabaseSettings {
        url: url.map(Secret::new),
        secret: secrets.get(DATABASE_URL).cloned().or(as_secret.map(Secret::new)),
        role: env.text("BIO_MCP_DATABASE_ROLE").map(Secret::new),
        ca_pem,
        pool: env.number("BIO_MCP_DATABASE_POOL", 2, 1, 100),
    }
}
