//! `search`: searches PubMed.

use std::path::Path;
use std::time::Instant;

use serde_json::json;
use shared::config::Config;
use shared::pubmed::eutils::{Query, SearchRequest};

use crate::args::{Search, Sort};
use crate::data_dir::DataDir;
use crate::failure::{CliError, Exit};
use crate::session::{self, Session};
use crate::{out, waiting};

/// With an archive it shares the rate limit of all its workers; without one, it has its own.
pub async fn run(args: &Search, data_dir: Option<&Path>, config: Config, json: bool) -> Result<Exit, CliError> {
    let query = Query::parse(&args.term).map_err(|error| CliError::usage(error.to_string()))?;
    let Some(data_dir) = DataDir::of_search(data_dir, &config)? else {
        let client = session::lone_client(&config);
        return search(&client, args, &query, json).await;
    };
    let session = Session::open(config, data_dir).await?;
    let result = search(&session.impatient_client(), args, &query, json).await;
    session.close().await;
    result
}

async fn search(
    client: &shared::pubmed::eutils::Client,
    args: &Search,
    query: &Query,
    json: bool,
) -> Result<Exit, CliError> {
    let began = Instant::now();
    let sort = args.sort.map(|sort| match sort {
        Sort::Relevance => "relevance",
        Sort::PubDate => "pub_date",
        Sort::Author => "Author",
        Sort::Journal => "JournalName",
    });
    // A page that extends beyond the last result that NCBI returns would be truncated silently.
    let limit = args.limit.min(client.settings().cap.saturating_sub(args.offset));
    let request = SearchRequest { query, slice: None, start: args.offset, limit, sort };
    let page = waiting::for_ncbi(client.search(&request)).await?;
    if json {
        out::json(&json!({
            "query": query.as_str(), "query_translation": page.query_translation, "total_count": page.count,
            "returned_count": page.pmids.len(), "pmids": page.pmids, "warnings": page.warnings,
            "execution_time_ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        }))?;
        return Ok(Exit::Done);
    }
    out::note(format_args!("{}{}", out::counted(page.count, "record"), if page.count == 0 { "" } else { ":" }));
    for pmid in &page.pmids {
        out::line(&pmid.to_string())?;
    }
    if let Some(translation) = page.query_translation.filter(|translation| translation != query.as_str()) {
        out::note(format_args!("understood as: {}", out::plain(&translation)));
    }
    for warning in &page.warnings {
        out::note(format_args!("warning: {}", out::plain(warning)));
    }
    Ok(Exit::Done)
}
