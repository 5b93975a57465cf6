//! Which URLs are trusted, and over which transport.

use std::net::IpAddr;

/// Whether data read from a URL can be trusted: over TLS, or from this machine.
pub fn is_safe_url(url: &str) -> bool {
    match split(url) {
        Some(("https", host)) => !host.is_empty(),
        Some(("http", host)) => is_here(&host),
        _ => false,
    }
}

/// Whether a URL points to this machine or to a private network, as for emulators of AWS: loopback, a private or
/// link-local address, a name without dots, or a domain that no public resolver knows.
pub fn is_local_url(url: &str) -> bool {
    let Some(("http" | "https", host)) = split(url) else { return false };
    if is_here(&host) {
        return true;
    }
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_private() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(mapped) => mapped.is_private() || mapped.is_link_local(),
            None => address.is_unique_local() || address.is_unicast_link_local(),
        },
        // A host that only resembles a number could be parsed as another address.
        Err(_) => {
            let is_name = |name: &str| {
                !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
                    && name.starts_with(|c: char| c.is_ascii_alphabetic())
            };
            let private = [".internal", ".local", ".localhost", ".home.arpa", ".test"];
            let host = host.to_ascii_lowercase();
            match private.iter().find_map(|domain| host.strip_suffix(domain)) {
                Some(name) => name.split('.').all(is_name),
                None => is_name(&host),
            }
        }
    }
}

/// Whether data sent to a URL cannot be read in transit: over TLS, or on this machine. The URL is parsed as the HTTP
/// client parses it: some spellings look like one host and lead to another.
pub fn stays_unread(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => true,
        ("http", Some(host)) => is_here(host.trim_matches(['[', ']'])),
        _ => false,
    }
}

/// Scheme and host of a URL; none if it contains credentials, or a backslash, which some parsers treat as a slash.
fn split(url: &str) -> Option<(&str, String)> {
    if url.contains(['@', '\\']) || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => authority.split(':').next().unwrap_or_default(),
    };
    Some((scheme, host.to_owned()))
}

fn is_here(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_and_this_machine_are_safe() {
        for safe in
            ["https://sqs.us-east-1.amazonaws.com/1/q", "http://127.0.0.1:4566/q", "http://[::1]/", "http://localhost"]
        {
            assert!(is_safe_url(safe), "{safe}");
        }
        for not in
            ["http://10.0.0.5/q", "https://", "ftp://127.0.0.1", "http://127.0.0.1@evil.example/", "localhost", ""]
        {
            assert!(!is_safe_url(not), "{not}");
        }
    }

    #[test]
    fn a_key_goes_over_tls_or_stays_here() {
        for url in [
            "https://x.example/",
            "HTTPS://x.example/",
            "http://localhost:8080/x",
            "http://127.0.0.1:1/",
            "http://[::1]:1/x",
            "http://me@127.0.0.1/",
            "http://2130706433/",
        ] {
            assert!(stays_unread(url), "{url}");
        }
        for url in [
            "http://x.example/",
            "HTTP://x.example/",
            "http://127.0.0.1.example/",
            "http://localhost@x.example/",
            "http://x.example\\@127.0.0.1/",
            "http://x.example\\@localhost/",
            "http:\\\\x.example/",
            "http://10.0.0.1/",
            "http://169.254.169.254/",
            "http://[::ffff:10.0.0.1]/",
            "http://",
            "ftp://127.0.0.1/",
        ] {
            assert!(!stays_unread(url), "{url}");
        }
    }

    #[test]
    fn private_networks_are_local_and_the_internet_is_not() {
        for local in [
            "http://172.17.0.1:4566/000000000000/jobs",
            "http://10.1.2.3/q",
            "http://192.168.0.9:9324/q",
            "http://169.254.1.1/q",
            "http://[fd00::1]:4566/q",
            "http://[::ffff:10.0.0.1]/q",
            "http://host.docker.internal:4566/q",
            "http://sqs.us-east-1.localhost:4566/q",
            "http://localstack:4566/q",
            "https://127.0.0.1/q",
        ] {
            assert!(is_local_url(local), "{local}");
        }
        for not in [
            "http://172.32.0.1/q",
            "http://8.8.8.8/q",
            "http://sqs.us-east-1.amazonaws.com/q",
            "http://2130706433/q",
            "http://0x7f000001/q",
            "http://host.docker.internal.evil.example/q",
            "http://me@10.0.0.1/q",
            "http://[2001:db8::1]/q",
            "http://.internal/q",
            "http:///q",
            "ftp://10.0.0.1/q",
        ] {
            assert!(!is_local_url(not), "{not}");
        }
    }
}
