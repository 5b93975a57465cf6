//! Parameters of the tools, validated and with defaults filled in.

use serde::{Deserialize, Serialize};

use crate::core::Pmid;
use crate::pubmed::eutils::{InvalidQuery, Query};

/// Default number of days that a window begins before its watermark.
pub const OVERLAP_DAYS: u32 = 5;

const MAX_OVERLAP_DAYS: u32 = 30;
const MAX_KEY_CHARS: usize = 128;

/// Parameters of `pubmed.sync`: a query or PMIDs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncParams {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The PMIDs, ascending and distinct.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pmids: Vec<Pmid>,
    /// The key that the records become members of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_key: Option<String>,
    /// Maximum number of records of the query, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}

/// Parameters of `pubmed.sync.incremental`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncrementalParams {
    pub query: String,
    /// The key of the query.
    pub query_key: String,
    /// Number of days that the windows begin before the watermark.
    pub overlap_days: u32,
    /// Maximum number of records; the next run continues after them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}

/// A parameter is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ParamError {
    pub field: &'static str,
    pub reason: String,
}

impl ParamError {
    fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}

impl From<InvalidQuery> for ParamError {
    fn from(error: InvalidQuery) -> Self {
        Self::new("query", error.to_string())
    }
}

impl SyncParams {
    /// A sync of a query.
    pub fn of_query(query: &str, query_key: Option<&str>, limit: Option<i64>) -> Result<Self, ParamError> {
        let query = Query::parse(query)?;
        check_limit(limit)?;
        let query_key = Some(key(query_key, &query)?);
        Ok(Self { query: Some(query.as_str().to_owned()), pmids: Vec::new(), query_key, limit })
    }

    /// A sync of PMIDs.
    pub fn of_pmids(mut pmids: Vec<Pmid>, query_key: Option<&str>) -> Result<Self, ParamError> {
        if pmids.is_empty() {
            return Err(ParamError::new("pmids", "must not be empty"));
        }
        pmids.sort_unstable();
        pmids.dedup();
        let query_key = query_key.map(check_key).transpose()?;
        Ok(Self { query: None, pmids, query_key, limit: None })
    }

    /// Maximum number of records that it stores; none for a query without a limit.
    pub fn records_at_most(&self) -> Option<i64> {
        if self.query.is_some() { self.limit } else { i64::try_from(self.pmids.len()).ok() }
    }
}

impl IncrementalParams {
    /// An incremental sync of a query.
    pub fn new(
        query: &str,
        query_key: Option<&str>,
        overlap_days: Option<u32>,
        limit: Option<i64>,
    ) -> Result<Self, ParamError> {
        let query = Query::parse(query)?;
        check_limit(limit)?;
        let overlap_days = overlap_days.unwrap_or(OVERLAP_DAYS);
        if overlap_days > MAX_OVERLAP_DAYS {
            return Err(ParamError::new("overlap_days", format!("must be 0 to {MAX_OVERLAP_DAYS}")));
        }
        let query_key = key(query_key, &query)?;
        Ok(Self { query: query.as_str().to_owned(), query_key, overlap_days, limit })
    }
}

fn check_limit(limit: Option<i64>) -> Result<(), ParamError> {
    if limit.is_some_and(|limit| limit < 1) { Err(ParamError::new("limit", "must be at least 1")) } else { Ok(()) }
}

fn key(given: Option<&str>, query: &Query) -> Result<String, ParamError> {
    given.map_or_else(|| Ok(query.default_key()), check_key)
}

fn check_key(text: &str) -> Result<String, ParamError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > MAX_KEY_CHARS || text.chars().any(char::is_control) {
        return Err(ParamError::new(
            "query_key",
            format!("must be 1 to {MAX_KEY_CHARS} characters without control characters"),
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_parameters_are_named() {
        let field = |error: Option<ParamError>| error.map(|error| error.field);
        assert_eq!(field(SyncParams::of_query(" ", None, None).err()), Some("query"));
        assert_eq!(field(SyncParams::of_query("a", None, Some(0)).err()), Some("limit"));
        assert_eq!(field(SyncParams::of_query("a", Some("\u{7}"), None).err()), Some("query_key"));
        assert_eq!(field(SyncParams::of_pmids(vec![], None).err()), Some("pmids"));
        assert_eq!(field(IncrementalParams::new("a", None, Some(31), None).err()), Some("overlap_days"));
        assert_eq!(field(IncrementalParams::new("a", None, Some(0), Some(1)).err()), None);
    }

    #[test]
    fn the_same_request_has_the_same_parameters() {
        let pmid = |n| Pmid::new(n).expect("a PMID");
        let one = SyncParams::of_pmids(vec![pmid(3), pmid(1), pmid(3)], None).expect("fine");
        assert_eq!(one.pmids, [pmid(1), pmid(3)]);
        assert_eq!(SyncParams::of_query(" a ", None, None), SyncParams::of_query("a", None, None));
    }
}
