//! ESearch: how many results a query has, and which.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::classify::{Expected, Fault};
use super::client::Client;
use super::error::EutilsError;
use super::query::Query;
use super::walk::Slice;
use crate::words::Pmid;

/// How often a list is begun anew when its session expires or its pages do not add up.
const RESTARTS: u32 = 4;

/// One page of results to ask for.
#[derive(Clone, Debug)]
pub struct SearchRequest<'a> {
    /// The query.
    pub query: &'a Query,
    /// Narrows it.
    pub slice: Option<&'a Slice>,
    /// The first result wanted, from 0.
    pub start: u32,
    /// How many are wanted; 0 only counts.
    pub limit: u32,
    /// `relevance`, `pub_date`, `Author`, `JournalName`; NCBI's own order if not given.
    pub sort: Option<&'a str>,
}

/// A page of results; with `count` 0 there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchPage {
    /// Results in all.
    pub count: u64,
    /// Those of this page.
    pub pmids: Vec<Pmid>,
    /// How PubMed understood the query.
    pub query_translation: Option<String>,
    /// What it ignored or did not find: words of the query, as data.
    pub warnings: Vec<String>,
    session: Option<Session>,
}

/// A search that the history server keeps for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    web_env: String,
    query_key: String,
}

/// The results of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Every one.
    Complete(BTreeSet<Pmid>),
    /// More than a search hands out: to be halved.
    TooMany(u64),
}

#[derive(Deserialize)]
struct Wire {
    esearchresult: WireResult,
}

#[derive(Deserialize)]
struct WireResult {
    count: String,
    #[serde(default)]
    retstart: Option<String>,
    #[serde(default)]
    idlist: Vec<String>,
    #[serde(default)]
    querytranslation: Option<String>,
    #[serde(default)]
    querykey: Option<String>,
    #[serde(default)]
    webenv: Option<String>,
    #[serde(default, rename = "ERROR", alias = "error")]
    error: Option<Value>,
    #[serde(default)]
    errorlist: Value,
    #[serde(default)]
    warninglist: Value,
}

impl Client {
    /// One page of a search.
    pub async fn search(&self, request: &SearchRequest<'_>) -> Result<SearchPage, EutilsError> {
        self.search_page(request, None, false).await
    }

    /// Every result of a query within a slice, or how many there are when they are too many.
    ///
    /// Later pages are read from the history server's snapshot of the first, so that nothing moves
    /// between them. What was counted must be listed: a page cut short is asked for again, and a
    /// list whose pages do not add up is begun anew.
    pub async fn list(&self, query: &Query, slice: &Slice) -> Result<Listing, EutilsError> {
        let settings = self.settings.clone();
        'anew: for _ in 0..RESTARTS {
            let mut request = SearchRequest {
                query,
                slice: Some(slice),
                start: 0,
                limit: settings.page.min(settings.cap),
                sort: None,
            };
            let first = match self.search_page(&request, None, true).await {
                // The history server could not even keep it.
                Err(EutilsError::Refused { fault: Fault::SessionGone }) => continue,
                first => first?,
            };
            if first.count > u64::from(settings.cap) {
                return Ok(Listing::TooMany(first.count));
            }
            let count = first.count;
            let mut pmids: BTreeSet<Pmid> = first.pmids.into_iter().collect();
            while u64::from(request.start) + u64::from(request.limit) < count {
                // By what was asked for, not by what came: withdrawn ids shorten pages.
                request.start += request.limit;
                // A page across the cap would be cut silently.
                request.limit = request.limit.min(settings.cap - request.start);
                let page = match self.search_page(&request, first.session.as_ref(), true).await {
                    Err(EutilsError::Refused { fault: Fault::SessionGone }) => continue 'anew,
                    page => page?,
                };
                if page.count != count {
                    continue 'anew;
                }
                pmids.extend(page.pmids);
            }
            if pmids.len() as u64 == count {
                return Ok(Listing::Complete(pmids));
            }
        }
        Err(EutilsError::Incomplete)
    }

    async fn search_page(
        &self,
        request: &SearchRequest<'_>,
        session: Option<&Session>,
        keep: bool,
    ) -> Result<SearchPage, EutilsError> {
        let (start, limit) = (request.start.to_string(), request.limit.to_string());
        let term = match (session, request.slice) {
            (Some(session), _) => format!("#{}", session.query_key),
            (None, Some(slice)) => slice.term(request.query),
            (None, None) => request.query.as_str().to_owned(),
        };
        let dates = request.slice.and_then(Slice::dates);
        let mut params = vec![("retmode", "json"), ("term", term.as_str()), ("retstart", &start), ("retmax", &limit)];
        if let Some(sort) = request.sort {
            params.push(("sort", sort));
        }
        if keep {
            params.push(("usehistory", "y"));
        }
        match session {
            // The snapshot is narrowed already.
            Some(session) => params.extend([("WebEnv", session.web_env.as_str()), ("query_key", &session.query_key)]),
            None => {
                if let Some((field, from, to)) = &dates {
                    params.extend([("datetype", *field), ("mindate", from), ("maxdate", to)]);
                }
            }
        }
        let cap = self.settings.cap;
        let page = self
            .call("esearch.fcgi", &params, Expected::Search, |answer| {
                let page = parse(&answer.body, request.start)?;
                let reachable = page.count.min(u64::from(cap)).saturating_sub(u64::from(request.start));
                let due = reachable.min(u64::from(request.limit));
                match (page.pmids.len() as u64).cmp(&due) {
                    std::cmp::Ordering::Equal => Ok(page),
                    std::cmp::Ordering::Less => Err(Fault::ShortPage),
                    std::cmp::Ordering::Greater => Err(Fault::Unexpected),
                }
            })
            .await?;
        Ok(page)
    }
}

fn parse(body: &[u8], start: u32) -> Result<SearchPage, Fault> {
    let wire: Wire = serde_json::from_slice(&without_raw_controls(body)).map_err(|_| Fault::Unexpected)?;
    let result = wire.esearchresult;
    if result.error.is_some() {
        return Err(Fault::Backend);
    }
    let count = result.count.parse().map_err(|_| Fault::Unexpected)?;
    if result.retstart.is_some_and(|answered| answered != start.to_string()) {
        // Clamped to the last result that is handed out.
        return Err(Fault::ShortPage);
    }
    let pmids = result.idlist.iter().map(|id| Pmid::parse(id)).collect::<Result<_, _>>();
    let session = result.webenv.zip(result.querykey).map(|(web_env, query_key)| Session { web_env, query_key });
    Ok(SearchPage {
        count,
        pmids: pmids.map_err(|_| Fault::Unexpected)?,
        query_translation: result.querytranslation,
        warnings: warnings(&result.errorlist).chain(warnings(&result.warninglist)).collect(),
        session,
    })
}

/// Raw control characters inside strings make the JSON invalid; as white space they do no harm.
fn without_raw_controls(body: &[u8]) -> Vec<u8> {
    body.iter().map(|b| if *b < 0x20 { b' ' } else { *b }).collect()
}

/// The texts of `{"phrasesnotfound": ["x"], …}` as `phrases not found: x`.
fn warnings(list: &Value) -> impl Iterator<Item = String> {
    let texts = list.as_object().into_iter().flatten().flat_map(|(kind, values)| {
        let kind = match kind.as_str() {
            "phrasesnotfound" => "phrase not found: ",
            "fieldsnotfound" => "field not found: ",
            "phrasesignored" => "phrase ignored: ",
            "quotedphrasesnotfound" => "quoted phrase not found: ",
            _ => "",
        };
        values.as_array().into_iter().flatten().filter_map(move |text| Some(format!("{kind}{}", text.as_str()?)))
    });
    texts.collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_results_are_an_answer_and_nonsense_is_none() {
        let check = |json: &str, expected: Result<u64, Fault>| {
            assert_eq!(parse(json.as_bytes(), 0).map(|page| page.count), expected, "{json}");
        };
        check(r#"{"esearchresult":{"count":"0","retmax":"0","retstart":"0","idlist":[]}}"#, Ok(0));
        check(
            r#"{"esearchresult":{"count":"1","idlist":["12345"],"querytranslation":"a
b"}}"#,
            Ok(1),
        );
        check(r#"{"esearchresult":{"idlist":[]}}"#, Err(Fault::Unexpected));
        check(r#"{"esearchresult":{"count":"many","idlist":[]}}"#, Err(Fault::Unexpected));
        check(r#"{"esearchresult":{"count":"1","idlist":["../1"]}}"#, Err(Fault::Unexpected));
        check(r#"{"header":{}}"#, Err(Fault::Unexpected));
        check(r#"{"esearchresult":{"count":"0","idlist":[],"ERROR":"it failed"}}"#, Err(Fault::Backend));
        check(r#"{"esearchresult":{"count":"20000","retstart":"9998","idlist":["1"]}}"#, Err(Fault::ShortPage));
    }

    #[test]
    fn what_pubmed_ignored_is_told() {
        let json = r#"{"esearchresult":{"count":"0","idlist":[],"errorlist":{"phrasesnotfound":["zzz"],"fieldsnotfound":[]},
            "warninglist":{"phrasesignored":[],"outputmessages":["No items found."]}}}"#;
        assert_eq!(parse(json.as_bytes(), 0).expect("a page").warnings, ["phrase not found: zzz", "No items found."]);
    }
}
