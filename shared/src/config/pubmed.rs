//! Settings of NCBI: identification, URLs, limits.

use super::address::stays_unread;
use super::reader::Reader;
use crate::core::Secret;

#[derive(Clone, Debug)]
pub struct PubmedSettings {
    /// `BIO_MCP_PUBMED_API_KEY`
    pub api_key: Option<Secret>,
    /// `BIO_MCP_PUBMED_EMAIL`
    pub email: Option<String>,
    /// `BIO_MCP_PUBMED_TOOL`
    pub tool: String,
    /// `BIO_MCP_PUBMED_BASE_URL`: URL of the E-utilities.
    pub base_url: String,
    /// `BIO_MCP_PUBMED_FILES_URL`: URL of the folders of bulk files.
    pub files_url: String,
    /// `BIO_MCP_PUBMED_REQUESTS_PER_SECOND`: a higher rate than NCBI's usual limit, by arrangement.
    pub requests_per_second: Option<u32>,
    /// `BIO_MCP_SYNC_MAX_RECORDS`: a sync of more records is refused.
    pub max_records: i64,
}

pub(super) fn read<F: Fn(&str) -> Option<String>>(env: &mut Reader<F>) -> PubmedSettings {
    let mut url = |name: &str, default: &str| {
        let text = env.text(name).unwrap_or_else(|| default.to_owned());
        if !text.starts_with("https://") && !text.starts_with("http://") {
            env.errors.push(format!("{name} must start with https:// or http://"));
        }
        text
    };
    let base_url = url("BIO_MCP_PUBMED_BASE_URL", "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/");
    let files_url = url("BIO_MCP_PUBMED_FILES_URL", "https://ftp.ncbi.nlm.nih.gov/pubmed/");
    let email = env.text("BIO_MCP_PUBMED_EMAIL");
    if email.as_deref().is_some_and(|email| !email.contains('@') || email.contains(char::is_whitespace)) {
        env.errors.push("BIO_MCP_PUBMED_EMAIL must be an e-mail address".to_owned());
    }
    let tool = env.text("BIO_MCP_PUBMED_TOOL").unwrap_or_else(|| "bio-mcp".to_owned());
    if tool.contains(char::is_whitespace) {
        env.errors.push("BIO_MCP_PUBMED_TOOL must hold no spaces".to_owned());
    }
    let api_key = env.text("BIO_MCP_PUBMED_API_KEY").map(Secret::new);
    if api_key.is_some() && !stays_unread(&base_url) {
        env.errors.push(
            "BIO_MCP_PUBMED_API_KEY would be sent over the network unencrypted: BIO_MCP_PUBMED_BASE_URL must start with \
             https:// unless it is an address of this machine"
                .to_owned(),
        );
    }
    PubmedSettings {
        api_key,
        email,
        tool,
        base_url,
        files_url,
        requests_per_second: match env.number("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", 0, 0, 10_000) {
            0 => None,
            requests => Some(requests),
        },
        max_records: env.number("BIO_MCP_SYNC_MAX_RECORDS", 1_000_000, 1, 100_000_000),
    }
}
