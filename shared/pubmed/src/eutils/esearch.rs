//! ESearch: the number of results of a query, and their PMIDs.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::classify::{Expected, ResponseFault};
use super::client::{Client, ESEARCH};
use super::error::EutilsError;
use super::query::Query;
use super::slice::Slice;
use bio_mcp_core::Pmid;

/// How often a list is requested before a mismatch with its count is reported.
const LISTINGS: u32 = 3;

/// Maximum number of PMIDs listed twice whose index entries are counted. More of them are not a fault of single
/// records.
const MAX_PROBES: usize = 10;

/// A request for one page of results.
#[derive(Clone, Debug)]
pub struct SearchRequest<'a> {
    pub query: &'a Query,
    /// Restricts the query.
    pub slice: Option<&'a Slice>,
    /// Offset of the first result, from 0.
    pub start: u32,
    /// Maximum number of results; 0 only counts.
    pub limit: u32,
    /// `relevance`, `pub_date`, `Author`, `JournalName`; NCBI's own order if not given.
    pub sort: Option<&'a str>,
}

/// A page of results; with `count` 0 there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchPage {
    /// Total number of results.
    pub count: u64,
    /// Results of this page.
    pub pmids: Vec<Pmid>,
    /// How PubMed understood the query.
    pub query_translation: Option<String>,
    /// What it ignored or did not find: words of the query, as data.
    pub warnings: Vec<String>,
}

/// The results of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// All results.
    Complete {
        pmids: BTreeSet<Pmid>,
        /// As counted by the server: too high if its index contains a PMID twice.
        counted: u64,
    },
    /// More than a search returns: the slice must be halved.
    TooMany(u64),
    /// Fewer than counted in every attempt.
    Short {
        /// Results of the longest list.
        pmids: BTreeSet<Pmid>,
        /// The count of that list.
        counted: u64,
    },
}

/// The pages of one list.
struct Pages {
    pmids: BTreeSet<Pmid>,
    /// PMIDs listed more than once.
    repeated: BTreeSet<Pmid>,
    counted: u64,
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
    #[serde(default, rename = "ERROR", alias = "error")]
    error: Option<Value>,
    #[serde(default)]
    errorlist: Value,
    #[serde(default)]
    warninglist: Value,
}

impl Client {
    /// One page of a search. A page shorter than expected from its count is requested again.
    pub async fn search(&self, request: &SearchRequest<'_>) -> Result<SearchPage, EutilsError> {
        self.search_page(request, |page, due| match (distinct(page) as u64).cmp(&due) {
            Ordering::Equal => Ok(()),
            Ordering::Less => Err(ResponseFault::ShortPage),
            Ordering::Greater => Err(ResponseFault::Unexpected),
        })
        .await
    }

    /// Every result of a query within a slice, or how many there are when they are too many.
    ///
    /// All counted results must be listed: a list that does not match its count, or changes between its pages, is
    /// requested again a few times. A PMID that is listed twice counts once, unless a search for it alone also counts
    /// it twice.
    pub async fn list(&self, query: &Query, slice: &Slice) -> Result<Listing, EutilsError> {
        let mut longest: Option<Pages> = None;
        for listing in 1..=LISTINGS {
            let pages = match self.pages(query, slice).await? {
                Ok(pages) => pages,
                Err(count) => return Ok(Listing::TooMany(count)),
            };
            let mut listed = pages.pmids.len() as u64;
            if listed < pages.counted && !pages.repeated.is_empty() {
                listed += self.repetitions(query, slice, &pages.repeated).await?;
            }
            if listed >= pages.counted {
                return Ok(Listing::Complete {
                    counted: pages.counted.max(pages.pmids.len() as u64),
                    pmids: pages.pmids,
                });
            }
            if longest.as_ref().is_none_or(|longest| longest.pmids.len() <= pages.pmids.len()) {
                longest = Some(pages);
            }
            if listing < LISTINGS {
                tokio::time::sleep(self.full_jitter(listing)).await;
            }
        }
        let Pages { pmids, counted, .. } = longest.ok_or(EutilsError::Incomplete)?;
        Ok(Listing::Short { pmids, counted })
    }

    /// The pages of a slice, or its number of results if these are too many.
    async fn pages(&self, query: &Query, slice: &Slice) -> Result<Result<Pages, u64>, EutilsError> {
        let settings = self.settings.clone();
        let mut request =
            SearchRequest { query, slice: Some(slice), start: 0, limit: settings.page.min(settings.cap), sort: None };
        let mut pages = Pages { pmids: BTreeSet::new(), repeated: BTreeSet::new(), counted: 0 };
        loop {
            let page = self
                .search_page(&request, |page, due| {
                    if distinct(page) as u64 > due { Err(ResponseFault::Unexpected) } else { Ok(()) }
                })
                .await?;
            if page.count > u64::from(settings.cap) {
                return Ok(Err(page.count));
            }
            // Pages of a list that changed between them: what is wanting shows in the sum.
            pages.counted = pages.counted.max(page.count);
            for pmid in page.pmids {
                if !pages.pmids.insert(pmid) {
                    pages.repeated.insert(pmid);
                }
            }
            if u64::from(request.start) + u64::from(request.limit) >= pages.counted {
                return Ok(Ok(pages));
            }
            // By the requested number, not by that of the results: withdrawn ids shorten pages.
            request.start += request.limit;
            // NCBI silently cuts a page that extends beyond the cap.
            request.limit = request.limit.min(settings.cap - request.start);
        }
    }

    /// How many results a query has within a slice.
    pub async fn count(&self, query: &Query, slice: &Slice) -> Result<u64, EutilsError> {
        Ok(self.search(&SearchRequest { query, slice: Some(slice), start: 0, limit: 0, sort: None }).await?.count)
    }

    /// Number of results of a slice that are further index entries of PMIDs listed twice. A PMID that is listed twice
    /// but has one entry takes the position of another result.
    async fn repetitions(&self, query: &Query, slice: &Slice, pmids: &BTreeSet<Pmid>) -> Result<u64, EutilsError> {
        let mut more = 0;
        for pmid in pmids.iter().take(MAX_PROBES) {
            let slice = slice.only(*pmid);
            let request = SearchRequest { query, slice: Some(&slice), start: 0, limit: self.settings.page, sort: None };
            // The count must match the list here too.
            let page = self.search_page(&request, |page, due| {
                if page.pmids.len() as u64 == due { Ok(()) } else { Err(ResponseFault::ShortPage) }
            });
            more += page.await?.count.saturating_sub(1);
        }
        tracing::warn!(pmids = pmids.len(), entries = more, "NCBI lists PMIDs twice");
        Ok(more)
    }

    async fn search_page(
        &self,
        request: &SearchRequest<'_>,
        accept: impl Fn(&SearchPage, u64) -> Result<(), ResponseFault>,
    ) -> Result<SearchPage, EutilsError> {
        let (start, limit) = (request.start.to_string(), request.limit.to_string());
        let term = request.slice.map_or_else(|| request.query.as_str().to_owned(), |slice| slice.term(request.query));
        let dates = request.slice.and_then(Slice::dates);
        let mut params = vec![("retmode", "json"), ("term", term.as_str()), ("retstart", &start), ("retmax", &limit)];
        if let Some(sort) = request.sort {
            params.push(("sort", sort));
        }
        if let Some((field, from, to)) = &dates {
            params.extend([("datetype", *field), ("mindate", from), ("maxdate", to)]);
        }
        let cap = self.settings.cap;
        self.call(ESEARCH, &params, Expected::Search, |response| {
            let page = parse(&response.body, request.start)?;
            let reachable = page.count.min(u64::from(cap)).saturating_sub(u64::from(request.start));
            accept(&page, reachable.min(u64::from(request.limit)))?;
            Ok(page)
        })
        .await
    }
}

/// Number of distinct PMIDs of a page.
fn distinct(page: &SearchPage) -> usize {
    page.pmids.iter().collect::<BTreeSet<_>>().len()
}

/// NCBI's messages for a search without results. With any other message it did not search.
const MESSAGES_OF_NOTHING: [&str; 3] = ["no items found", "restrictions achieved", "wildcard"];

fn parse(body: &[u8], start: u32) -> Result<SearchPage, ResponseFault> {
    let wire: Wire = serde_json::from_slice(&without_raw_controls(body)).map_err(|_| ResponseFault::Unexpected)?;
    let result = wire.esearchresult;
    if result.error.is_some() {
        return Err(ResponseFault::Backend);
    }
    let count = result.count.parse().map_err(|_| ResponseFault::Unexpected)?;
    if result.retstart.is_some_and(|returned| returned != start.to_string()) {
        // The offset was reduced to that of the last available result.
        return Err(ResponseFault::ShortPage);
    }
    let messages = result.warninglist["outputmessages"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let is_of_nothing = |text: &str| MESSAGES_OF_NOTHING.iter().any(|known| text.to_lowercase().contains(known));
    if count == 0 && !messages.into_iter().all(is_of_nothing) {
        return Err(ResponseFault::Backend);
    }
    let pmids = result.idlist.iter().map(|id| Pmid::parse(id)).collect::<Result<_, _>>();
    Ok(SearchPage {
        count,
        pmids: pmids.map_err(|_| ResponseFault::Unexpected)?,
        query_translation: result.querytranslation,
        warnings: warnings(&result.errorlist).chain(warnings(&result.warninglist)).collect(),
    })
}

/// Raw control characters inside strings make the JSON invalid; white space in their place is harmless.
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
    fn no_results_are_a_response_and_nonsense_is_none() {
        let check = |json: &str, expected: Result<u64, ResponseFault>| {
            assert_eq!(parse(json.as_bytes(), 0).map(|page| page.count), expected, "{json}");
        };
        check(r#"{"esearchresult":{"count":"0","retmax":"0","retstart":"0","idlist":[]}}"#, Ok(0));
        check(
            r#"{"esearchresult":{"count":"1","idlist":["12345"],"querytranslation":"a
b"}}"#,
            Ok(1),
        );
        check(r#"{"esearchresult":{"idlist":[]}}"#, Err(ResponseFault::Unexpected));
        check(r#"{"esearchresult":{"count":"many","idlist":[]}}"#, Err(ResponseFault::Unexpected));
        check(r#"{"esearchresult":{"count":"1","idlist":["../1"]}}"#, Err(ResponseFault::Unexpected));
        check(r#"{"header":{}}"#, Err(ResponseFault::Unexpected));
        check(r#"{"esearchresult":{"count":"0","idlist":[],"ERROR":"it failed"}}"#, Err(ResponseFault::Backend));
        check(
            r#"{"esearchresult":{"count":"0","idlist":[],"warninglist":{"outputmessages":["Unable to open connection to #1Srv"]}}}"#,
            Err(ResponseFault::Backend),
        );
        check(r#"{"esearchresult":{"count":"20000","retstart":"9998","idlist":["1"]}}"#, Err(ResponseFault::ShortPage));
    }

    #[test]
    fn what_pubmed_ignored_is_told() {
        let json = r#"{"esearchresult":{"count":"0","idlist":[],"errorlist":{"phrasesnotfound":["zzz"],"fieldsnotfound":[]},
            "warninglist":{"phrasesignored":[],"outputmessages":["No items found."]}}}"#;
        assert_eq!(parse(json.as_bytes(), 0).expect("a page").warnings, ["phrase not found: zzz", "No items found."]);
    }
}
