//! NCBI: who asks, where, and how much.

use super::reader::Reader;
use super::secret::Secret;

/// NCBI: who asks, where, and how much.
#[derive(Clone, Debug)]
pub struct PubmedSettings {
    /// `BIO_MCP_PUBMED_API_KEY`
    pub api_key: Option<Secret>,
    /// `BIO_MCP_PUBMED_EMAIL`
    pub email: Option<String>,
    /// `BIO_MCP_PUBMED_TOOL`
    pub tool: String,
    /// `BIO_MCP_PUBMED_BASE_URL`: where the E-utilities are.
    pub base_url: String,
    /// `BIO_MCP_PUBMED_FILES_URL`: where the folders of bulk files are.
    pub files_url: String,
    /// `BIO_MCP_PUBMED_REQUESTS_PER_SECOND`: more than NCBI's usual limit, by arrangement.
    pub requests_per_second: Option<u32>,
    /// `BIO_MCP_SYNC_MAX_RECORDS`: a sync of more is refused.
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
    if api_key.is_some() && !is_private(&base_url) {
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

/// Whether what is sent to an address stays unread on its way: by TLS, or on this machine.
fn is_private(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return true };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_private;

    #[test]
    fn a_key_goes_over_tls_or_stays_here() {
        for url in ["https://x.example/", "http://localhost:8080/x", "http://127.0.0.1:1/", "http://[::1]:1/x"] {
            assert!(is_private(url), "{url}");
        }
        for url in [
            "http://x.example/",
            "http://127.0.0.1.example/",
            "http://localhost@x.example/",
            "http://10.0.0.1/",
            "http://",
        ] {
            assert!(!is_private(url), "{url}");
        }
    }
}
