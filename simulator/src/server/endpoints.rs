//! The responses of each E-utility to the parameters of a request.

use chrono::NaiveDate;

use super::{HttpResponse, JSON, Params, Shared, XML, lock, respond};
use crate::corpus::{Entry, Listed};
use crate::faults::Fault;
use crate::query::{Field, Query, day};
use crate::responses::{self, Found};

fn number(params: &Params, name: &str, default: usize) -> usize {
    params.get(name).and_then(|text| text.trim().parse().ok()).unwrap_or(default)
}

fn is_pubmed(params: &Params) -> bool {
    params.get("db").is_some_and(|db| db == "pubmed")
}

/// Removes one result for the failure `Short`.
fn shorten(fault: Option<Fault>, pmids: &mut Vec<u32>) {
    if fault == Some(Fault::Short) && !pmids.is_empty() {
        let at = usize::try_from(crate::mix(pmids.len() as u64)).unwrap_or(0) % pmids.len();
        pmids.remove(at);
    }
}

pub(super) fn esearch(shared: &Shared, params: &Params, fault: Option<Fault>) -> HttpResponse {
    let json = params.get("retmode").is_some_and(|mode| mode == "json");
    let failed = |text: &str| {
        if json {
            respond(200, JSON, responses::esearch_error(text))
        } else {
            respond(200, XML, format!("<?xml version=\"1.0\"?><eSearchResult><ERROR>{text}</ERROR></eSearchResult>"))
        }
    };
    if !is_pubmed(params) {
        return failed("Invalid db name specified: ");
    }
    let Some(term) = params.get("term").filter(|term| !term.trim().is_empty()) else {
        return failed("Empty term and query_key - nothing todo");
    };
    let start = number(params, "retstart", 0);
    let cap = shared.options.cap;
    if start >= cap {
        let last = cap - 1;
        return failed(&format!(
            "Search Backend failed: Exception:\n'retstart' cannot be larger than {last}. For PubMed, ESearch can only retrieve \
             the first {cap} records matching the query."
        ));
    }
    let web_env = params.get("WebEnv").map(String::as_str);
    let corpus = lock(&shared.corpus);
    let (mut found, mut unknown): (Vec<u32>, Vec<String>) = if let (Some(web_env), Some(key)) =
        (web_env, params.get("query_key"))
    {
        match lock(&shared.history).read(web_env, key) {
            Some(pmids) => (pmids.to_vec(), Vec::new()),
            None => return failed(&format!("Unable to obtain query #{key}")),
        }
    } else {
        let Some((query, unknown)) = Query::parse(term, &corpus) else { return failed("Search Backend failed") };
        let query = match narrowed(query, params, corpus.today) {
            Ok(query) => query,
            // Empty dates find nothing.
            Err(()) => Query::Topic(0),
        };
        let found = corpus.entries.iter().rev().filter(|(pmid, entry)| entry.is_indexed && query.finds(**pmid, entry));
        let entries = |(pmid, entry): (&u32, &Entry)| vec![*pmid; 1 + usize::from(entry.listed == Listed::Twice)];
        (found.flat_map(entries).collect(), unknown)
    };
    match fault {
        Some(Fault::Nothing) => {
            found.clear();
            unknown.push(term.clone());
        }
        // Selected by PMID, so that it is the same half on every page.
        Some(Fault::Half) => found.retain(|pmid| crate::mix(u64::from(*pmid)) & 1 == 0),
        _ => {}
    }
    if params.get("sort").is_some_and(|sort| sort == "pub_date") {
        found.sort_by_key(|pmid| std::cmp::Reverse(corpus.entries.get(pmid).map(|entry| entry.entered)));
    }
    let end = found.len().min(cap).min(start.saturating_add(number(params, "retmax", 20).min(cap)));
    let mut page = found.get(start..end).unwrap_or_default().to_vec();
    page.retain(|pmid| corpus.entries.get(pmid).is_none_or(|entry| entry.listed != Listed::Never));
    shorten(fault, &mut page);
    if let (Some(Fault::Duplicate), [first, .., last]) = (fault, page.as_mut_slice()) {
        *last = *first;
    }
    let keeps = params.get("usehistory").is_some_and(|value| value == "y") && !params.contains_key("query_key");
    let count = found.len() + usize::from(fault == Some(Fault::Drift));
    let session = keeps.then(|| lock(&shared.history).keep(web_env, found));
    let only_count = params.get("rettype").is_some_and(|kind| kind == "count");
    let found = Found { count, start, page: &page, translation: term, unknown: &unknown, session };
    if json { respond(200, JSON, found.json(only_count)) } else { respond(200, XML, found.xml(only_count)) }
}

/// A query restricted by `datetype` and `mindate`, `maxdate` or `reldate`.
fn narrowed(query: Query, params: &Params, today: NaiveDate) -> Result<Query, ()> {
    let field = Field::named(params.get("datetype").map_or("pdat", String::as_str)).ok_or(())?;
    let dates = match (params.get("mindate"), params.get("maxdate"), params.get("reldate")) {
        (Some(from), Some(to), _) => (day(from, false).ok_or(())?, day(to, true).ok_or(())?),
        (None, None, Some(days)) => (today - chrono::Days::new(days.parse().map_err(|_| ())?), today),
        (None, None, None) => return Ok(query),
        // Both must be given.
        _ => return Err(()),
    };
    Ok(Query::And(Box::new(query), Box::new(Query::Dates(field, dates.0, dates.1))))
}

/// The PMIDs of a request: from `id`, or from a session, truncated at the cap.
fn named(shared: &Shared, params: &Params) -> Result<Vec<u32>, Box<HttpResponse>> {
    if let (Some(web_env), Some(key)) = (params.get("WebEnv"), params.get("query_key")) {
        let start = number(params, "retstart", 0);
        let cap = shared.options.cap;
        if start >= cap {
            let text = format!("Search Backend failed: 'retstart' cannot be larger than {}", cap - 1);
            return Err(respond(400, XML, responses::efetch_error(&text)).into());
        }
        let history = lock(&shared.history);
        let Some(pmids) = history.read(web_env, key) else {
            return Err(respond(200, XML, responses::efetch_error(&format!("Unable to obtain query #{key}"))).into());
        };
        // A page across the cap is truncated silently, as at NCBI.
        let end = pmids.len().min(cap).min(start.saturating_add(number(params, "retmax", cap).min(cap)));
        return Ok(pmids.get(start..end).unwrap_or_default().to_vec());
    }
    let ids = params.get("id").map(String::as_str).unwrap_or_default();
    let pmids: Vec<u32> = ids.split(',').filter_map(|id| id.trim().parse().ok()).filter(|id| *id > 0).collect();
    if pmids.is_empty() {
        return Err(
            respond(400, XML, responses::efetch_error("ID list is empty! Possibly it has no correct IDs.")).into()
        );
    }
    Ok(pmids)
}

pub(super) fn efetch(shared: &Shared, params: &Params, fault: Option<Fault>) -> HttpResponse {
    if !is_pubmed(params) {
        return respond(200, XML, responses::efetch_error("Invalid db name specified: "));
    }
    match named(shared, params) {
        Err(failed) => *failed,
        Ok(mut pmids) => {
            shorten(fault, &mut pmids);
            if fault == Some(Fault::NoRecords) {
                pmids.clear();
            }
            let body = responses::record_set(&lock(&shared.corpus), &pmids);
            respond(200, XML, body)
        }
    }
}

pub(super) fn esummary(shared: &Shared, params: &Params) -> HttpResponse {
    let pmids = match named(shared, params) {
        Ok(pmids) => pmids,
        Err(_) if params.contains_key("WebEnv") => {
            return respond(200, JSON, "{\"esummaryresult\":[\"Unable to obtain query #1\"]}");
        }
        Err(failed) => return *failed,
    };
    if pmids.len() > 500 {
        let body = "{\"header\":{\"type\":\"esummary\",\"version\":\"0.3\"},\"error\":\"Too many UIDs in request. Maximum number of UIDs is 500 for JSON format output.\"}";
        return respond(200, JSON, body);
    }
    respond(200, JSON, responses::summaries(&lock(&shared.corpus), &pmids).to_string())
}

pub(super) fn epost(shared: &Shared, params: &Params) -> HttpResponse {
    let ids = params.get("id").map(String::as_str).unwrap_or_default();
    if ids.trim().is_empty() {
        return respond(200, XML, responses::epost_error("Empty ID list; Nothing to store"));
    }
    let good: Vec<u32> = ids.split(',').filter_map(|id| id.trim().parse().ok()).collect();
    if good.is_empty() {
        return respond(
            200,
            XML,
            responses::epost_error(
                "Some IDs have invalid value and were omitted. Maximum ID value 18446744073709551615",
            ),
        );
    }
    let web_env = params.get("WebEnv").map(String::as_str);
    let (web_env, key) = lock(&shared.history).keep(web_env, good);
    respond(200, XML, responses::posted(&web_env, key))
}
