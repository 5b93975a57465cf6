//! Classification of E-utilities responses. They fail with HTTP 200, 400, 429 and 5xx, as JSON, XML, HTML and plain
//! text, so a response is accepted only if it proves to be complete.

use std::fmt;

use crate::markup::{self, Markup, Scan};

/// The expected kind of response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// JSON of ESearch.
    Search,
    /// A `PubmedArticleSet` of EFetch.
    Records,
    /// An `eInfoResult` of EInfo.
    Info,
}

/// Why a response is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFault {
    /// The connection failed or broke.
    Network,
    Timeout,
    Empty,
    /// Too many requests.
    Throttled,
    /// An HTTP status from 500 on.
    Server(u16),
    /// An unknown HTTP status below 500.
    Status(u16),
    /// A redirect; never followed, because the body holds the key.
    Redirect,
    /// An HTML page in place of data.
    Html,
    /// The error text of the routing layer.
    Outage,
    /// A prolog without a document.
    PrologOnly,
    /// The document ends early.
    Truncated,
    /// The backend reported a failure.
    Backend,
    /// The search failed without a reason: the query may be the cause.
    Search,
    /// NCBI rejected the query itself.
    Query,
    /// Beyond the 9,999th result.
    OverCap,
    BadKey,
    /// NCBI recognised none of the requested ids.
    NoIds,
    /// A set with none of the requested records, not even those known to exist.
    NoRecords,
    /// The request line is too long.
    UriTooLong,
    /// The server does not have the requested utility.
    NoProgram,
    /// Another kind of response than requested.
    Unexpected,
    /// Not the requested page, or fewer results than it should have.
    ShortPage,
}

impl ResponseFault {
    /// Whether a retry may help.
    pub fn is_transient(self) -> bool {
        !matches!(self, Self::OverCap | Self::BadKey | Self::UriTooLong | Self::NoProgram)
    }

    /// Whether it indicates an outage of NCBI, rather than a fault of the request.
    pub fn is_outage(self) -> bool {
        self.is_transient() && !matches!(self, Self::Throttled | Self::Query | Self::ShortPage)
    }
}

impl fmt::Display for ResponseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network => "the connection failed",
            Self::Timeout => "no response in time",
            Self::Empty => "an empty response",
            Self::Throttled => "too many requests",
            Self::Server(status) => return write!(f, "HTTP status {status}"),
            Self::Status(status) => return write!(f, "unexpected HTTP status {status}"),
            Self::Redirect => "a redirect",
            Self::Html => "an HTML page instead of data",
            Self::Outage => "the routing layer is down",
            Self::PrologOnly => "a document without content",
            Self::Truncated => "a truncated response",
            Self::Backend => "a backend error",
            Self::Search => "its search backend failed",
            Self::Query => "the query cannot be searched for",
            Self::OverCap => "beyond the last result that a search returns",
            Self::BadKey => "the API key is refused",
            Self::NoIds => "no valid id in the list",
            Self::NoRecords => "none of the requested records, not even those known to exist",
            Self::UriTooLong => "the request line is too long",
            Self::NoProgram => "the server does not have this endpoint",
            Self::Unexpected => "something other than what was requested",
            Self::ShortPage => "fewer results than it counted",
        })
    }
}

/// Checks a response; `Ok` means that it is complete and of the expected kind.
pub fn classify(expected: Expected, status: u16, body: &[u8]) -> Result<(), ResponseFault> {
    let body = body.trim_ascii();
    let head = &body[..body.len().min(1024)];
    // Only a bare error object: a record or a query may contain the same words.
    if status == 429 || (is_error_object(head) && holds(head, "API rate limit exceeded")) {
        return Err(ResponseFault::Throttled);
    }
    if status >= 500 {
        return Err(ResponseFault::Server(status));
    }
    if (300..400).contains(&status) {
        return Err(ResponseFault::Redirect);
    }
    if status == 414 {
        return Err(ResponseFault::UriTooLong);
    }
    // Servers other than NCBI's may lack EInfo; for a search, 404 is an outage.
    if status == 404 && expected == Expected::Info {
        return Err(ResponseFault::NoProgram);
    }
    if body.is_empty() {
        return Err(ResponseFault::Empty);
    }
    if is_error_object(head) {
        // Other errors of the gateway contain the caller's address or key too.
        let is_key = holds(head, "API key invalid") || (holds(head, "invalid") && holds(head, "\"type\":\"api\""));
        return Err(if is_key { ResponseFault::BadKey } else { ResponseFault::Backend });
    }
    if starts(head, "<!doctype html") || starts(head, "<html") {
        return Err(ResponseFault::Html);
    }
    if !head.starts_with(b"<") && !head.starts_with(b"{") {
        let is_outage = holds(head, "Unable to route request") || holds(head, "unavailable");
        return Err(if is_outage { ResponseFault::Outage } else { ResponseFault::Unexpected });
    }
    match expected {
        Expected::Search => search(status, body),
        Expected::Records => document(status, body, "PubmedArticleSet"),
        // Checked for EInfo only: records may contain the same text.
        Expected::Info if between(body, b"<ERROR>", b"</ERROR>").is_some() => Err(xml_failure(status, body)),
        Expected::Info => document(status, body, "eInfoResult"),
    }
}

fn search(status: u16, body: &[u8]) -> Result<(), ResponseFault> {
    if body.starts_with(b"<") {
        return Err(xml_failure(status, body));
    }
    // Before parsing: the JSON around an error is often invalid.
    if let Some(text) = error_text(body) {
        return Err(said(&text));
    }
    if status != 200 {
        return Err(ResponseFault::Status(status));
    }
    if !body.ends_with(b"}") {
        return Err(ResponseFault::Truncated);
    }
    Ok(())
}

/// Checks for a complete XML document with this root.
fn document(status: u16, body: &[u8], name: &str) -> Result<(), ResponseFault> {
    if body.starts_with(b"{") {
        return Err(error_text(body).map_or(ResponseFault::Unexpected, |text| said(&text)));
    }
    if status != 200 || root(body).is_none_or(|root| root != name.as_bytes()) {
        return Err(xml_failure(status, body));
    }
    let ends = [format!("</{name}>"), format!("<{name}/>"), format!("<{name} />")];
    if !ends.iter().any(|end| body.ends_with(end.as_bytes())) {
        return Err(ResponseFault::Truncated);
    }
    Ok(())
}

/// The fault of an XML document other than the expected one.
fn xml_failure(status: u16, body: &[u8]) -> ResponseFault {
    let Some(_) = root(body) else { return ResponseFault::PrologOnly };
    let text = between(body, b"<ERROR>", b"</ERROR>");
    match text {
        Some(text) => said(&String::from_utf8_lossy(text)),
        None if status != 200 => ResponseFault::Status(status),
        None => ResponseFault::Unexpected,
    }
}

/// NCBI's messages, in lower case, about a query that it cannot search for. Only these are errors of the caller: any
/// other text of an `ERROR` is an outage, and retried like a 502. A message missing here therefore never blames a valid
/// query.
const COMPLAINTS: [&str; 9] = [
    "empty term",
    "phrasenotfound",
    "phrase not found",
    "fieldnotfound",
    "field not found",
    "unbalanced paren",
    "unmatched paren",
    "invalid date",
    "query syntax",
];

/// Words of server failures: a text with one of them is not a complaint about the query.
const TROUBLES: [&str; 4] = ["exception", "status:", "connection", "txclient"];

/// The meaning of the text of an `ERROR`.
fn said(text: &str) -> ResponseFault {
    let text = text.trim().to_ascii_lowercase();
    let has = |word: &str| text.contains(word);
    if has("api rate limit") {
        ResponseFault::Throttled
    } else if has("api key invalid") {
        ResponseFault::BadKey
    } else if has("retstart") {
        ResponseFault::OverCap
    } else if has("id list is empty") || has("empty id list") || has("id parameter is empty") {
        ResponseFault::NoIds
    } else if TROUBLES.iter().any(|word| has(word)) {
        ResponseFault::Backend
    } else if COMPLAINTS.iter().any(|word| has(word)) {
        ResponseFault::Query
    } else if text.trim_end_matches(['.', ':']) == "search backend failed" {
        // The whole text is this only for a malformed query, or for any query while the backend is down.
        ResponseFault::Search
    } else {
        // C++ exception texts, relayed pages, services that cannot be reached: never proof of an empty result.
        ResponseFault::Backend
    }
}

/// The text after `"ERROR":"` (ESearch) or `"error":"`, if either is a key near the start.
fn error_text(body: &[u8]) -> Option<String> {
    let head = &body[..body.len().min(4096)];
    let lower = head.to_ascii_lowercase();
    // Results precede any text that may be copied from the query.
    let limit = find(&lower, b"\"idlist\"").unwrap_or(lower.len());
    let at = find(&lower[..limit], b"\"error\"")?;
    let rest = &head[at + b"\"error\"".len()..];
    let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = rest.iter().position(|b| *b == b'"').unwrap_or(rest.len());
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}

fn is_error_object(head: &[u8]) -> bool {
    head.strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"error\""))
}

/// The name of the root element, after prolog, DOCTYPE and comments.
fn root(body: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        at += find(&body[at..], b"<")?;
        match markup::scan(body, at) {
            Scan::Found(Markup::Open(name) | Markup::Empty(name), _) => return Some(&body[name]),
            Scan::Found(Markup::Close(_), _) => return None,
            Scan::Found(_, end) => at = end,
            _ => return None,
        }
    }
}

fn between<'a>(body: &'a [u8], open: &[u8], close: &[u8]) -> Option<&'a [u8]> {
    let start = find(body, open)? + open.len();
    let end = find(&body[start..], close).map_or(body.len(), |length| start + length);
    Some(&body[start..end])
}

fn find(body: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(body, what)
}

fn holds(head: &[u8], what: &str) -> bool {
    find(&head.to_ascii_lowercase(), what.to_ascii_lowercase().as_bytes()).is_some()
}

fn starts(head: &[u8], what: &str) -> bool {
    head.len() >= what.len() && head[..what.len()].eq_ignore_ascii_case(what.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROLOG: &str =
        "<?xml version=\"1.0\" ?>\n<!DOCTYPE PubmedArticleSet PUBLIC \"-//NLM//DTD X//EN\" \"https://x.dtd\">\n";

    #[test]
    fn the_error_catalogue_in_its_order() {
        use Expected::{Records, Search};
        let check = |expected, status, body: &str, fault| {
            assert_eq!(classify(expected, status, body.as_bytes()), fault, "{status} {body}");
        };
        check(Search, 200, r#"{"header":{},"esearchresult":{"count":"0","idlist":[]}}"#, Ok(()));
        check(Records, 200, &format!("{PROLOG}<PubmedArticleSet></PubmedArticleSet>"), Ok(()));
        check(Records, 200, &format!("{PROLOG}<PubmedArticleSet/>\n"), Ok(()));
        let throttled = r#"{"error":"API rate limit exceeded","api-key":"192.0.2.1","count":"4","limit":"3"}"#;
        for expected in [Search, Records] {
            check(expected, 429, throttled, Err(ResponseFault::Throttled));
            check(expected, 200, throttled, Err(ResponseFault::Throttled));
            check(expected, 429, "<html>slow down", Err(ResponseFault::Throttled));
            check(expected, 502, "<html><title>Bad Gateway!</title>", Err(ResponseFault::Server(502)));
            check(expected, 503, "", Err(ResponseFault::Server(503)));
            check(expected, 200, "  <!DOCTYPE html><html>", Err(ResponseFault::Html));
            check(expected, 400, "<HTML><title>WWW Error 500 Diagnostic", Err(ResponseFault::Html));
            check(expected, 200, "", Err(ResponseFault::Empty));
            check(expected, 200, "Unable to route request!", Err(ResponseFault::Outage));
            check(expected, 302, "", Err(ResponseFault::Redirect));
            check(expected, 414, "<html>", Err(ResponseFault::UriTooLong));
            check(
                expected,
                400,
                r#"{"error":"API key invalid","api-key":"abc","type":"api","status":"unknown"}"#,
                Err(ResponseFault::BadKey),
            );
        }
        let gateway = r#"{"error":"error forwarding request","api-key":"192.0.2.1","type":"ip","status":"ok"}"#;
        check(Search, 200, gateway, Err(ResponseFault::Backend));
        check(Records, 400, gateway, Err(ResponseFault::Backend));
        check(Records, 200, PROLOG, Err(ResponseFault::PrologOnly));
        check(Records, 200, &format!("{PROLOG}<PubmedArticleSet><PubmedArticle>"), Err(ResponseFault::Truncated));
        let error = |text: &str| format!("<?xml version=\"1.0\"?><eFetchResult><ERROR>{text}</ERROR></eFetchResult>");
        check(Records, 200, &error("Unable to obtain query #1"), Err(ResponseFault::Backend));
        check(Records, 400, &error("ID list is empty! Possibly it has no correct IDs."), Err(ResponseFault::NoIds));
        check(Records, 200, &error("NCBI C++ Exception: CTxRawClient"), Err(ResponseFault::Backend));
        check(
            Records,
            400,
            &error("Error: CEFetchPApplication::proxy_stream(): Failed to connect"),
            Err(ResponseFault::Backend),
        );
        check(Records, 400, &error("Search Backend failed: retstart 9999 is too large"), Err(ResponseFault::OverCap));
        check(Records, 200, &error("Invalid db name specified: pub"), Err(ResponseFault::Backend));
        let info = |text: &str| format!("<?xml version=\"1.0\"?><eInfoResult>{text}</eInfoResult>");
        check(Expected::Info, 200, &info("<DbInfo></DbInfo>"), Ok(()));
        check(Expected::Info, 200, &info("<ERROR>Can not retrieve DbInfo</ERROR>"), Err(ResponseFault::Backend));
        check(Expected::Info, 404, "<!DOCTYPE html>", Err(ResponseFault::NoProgram));
        check(Records, 404, "<!DOCTYPE html>", Err(ResponseFault::Html));
        let json = |text: &str| format!("{{\"header\":{{}},\"esearchresult\":{{\"ERROR\":\"{text}\"}}}}");
        for outage in [
            "Unable to obtain query #1",
            "Status: 500",
            "Database is not supported: pubmed",
            "Unable to open connection to #1PubSrv",
            "Search Backend failed: Connection reset",
            "Search Backend failed: address table is empty",
            "Search Backend failed: NCBI C++ Exception: query syntax",
            "anything that was never seen before",
        ] {
            check(Search, 200, &json(outage), Err(ResponseFault::Backend));
            check(Search, 400, &json(outage), Err(ResponseFault::Backend));
        }
        for complaint in ["Empty term and query_key - nothing todo", "PhraseNotFound: zzz", "Invalid date range"] {
            check(Search, 200, &json(complaint), Err(ResponseFault::Query));
        }
        check(
            Search,
            200,
            &json("Search Backend failed: Exception:\n'retstart' cannot be larger than 9998"),
            Err(ResponseFault::OverCap),
        );
        check(Search, 200, &json("Search Backend failed"), Err(ResponseFault::Search));
        check(
            Search,
            200,
            r#"{"header":{"type":"esearch"},"esearchresult":{"count":"12","idl"#,
            Err(ResponseFault::Truncated),
        );
    }

    #[test]
    fn text_of_records_and_queries_is_not_taken_for_an_error() {
        let record = "<PubmedArticleSet><PubmedArticle>API rate limit exceeded \"error\":\"x\"<ERROR>no</ERROR></PubmedArticle></PubmedArticleSet>";
        assert_eq!(classify(Expected::Records, 200, record.as_bytes()), Ok(()));
        let echoed = r#"{"header":{},"esearchresult":{"count":"0","idlist":[],"querytranslation":"\"error\":\"API rate limit exceeded\""}}"#;
        assert_eq!(classify(Expected::Search, 200, echoed.as_bytes()), Ok(()));
    }

    #[test]
    fn a_response_cut_anywhere_is_never_a_response() {
        let whole = format!("{PROLOG}<PubmedArticleSet>\n<PubmedArticle><a/></PubmedArticle>\n</PubmedArticleSet>");
        for end in 0..whole.len() {
            assert!(classify(Expected::Records, 200, &whole.as_bytes()[..end]).is_err(), "{}", &whole[..end]);
        }
    }
}
