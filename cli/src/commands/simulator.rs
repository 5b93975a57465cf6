//! `simulator`: local E-utilities with generated records.

use serde_json::json;
use shared::core::clock;
use simulator::{Corpus, Faults, Options, Spread};

use super::interrupted;
use crate::args;
use crate::failure::{CliError, Exit};
use crate::out;

/// The first PMID.
const FIRST: u32 = 30_000_001;

/// Days over which the records were added.
const DAYS: u32 = 3650;

/// Serves until stopped.
pub async fn run(args: &args::Simulator, json: bool) -> Result<Exit, CliError> {
    let today = shared::syncs::ncbi_day(clock::now());
    let mut corpus = Corpus::generated(today, FIRST, args.records, args.seed, Spread::Even(DAYS));
    let pmids: Vec<u32> = corpus.pmids().collect();
    for pmid in pmids {
        if let Some(entry) = corpus.entry(pmid) {
            entry.bytes = args.bytes;
        }
        if args.prerender {
            corpus.prerender(pmid);
        }
    }
    let options = Options {
        cap: usize::try_from(args.cap).unwrap_or(9_999),
        limit: (!args.unlimited).then_some((3, 10)),
        faults: Faults::seeded(args.seed, args.faults),
        port: args.port,
        ..Options::default()
    };
    let mut server = simulator::Simulator::start(corpus, options).await?;
    if json {
        out::json(&json!({ "base_url": server.eutils_url(), "files_url": server.files_url() }))?;
    } else {
        out::line(&format!("export BIO_MCP_PUBMED_BASE_URL={}", server.eutils_url()))?;
        out::line(&format!("export BIO_MCP_PUBMED_FILES_URL={}", server.files_url()))?;
        out::note(format_args!(
            "{}; the query `all` finds every record, `tenth` one in ten; press Ctrl-C to stop",
            out::counted(args.records, "generated record")
        ));
    }
    tokio::select! {
        () = server.serve() => {}
        () = interrupted() => {}
    }
    Ok(Exit::Done)
}
