//! What is asked of NCBI: searches, syncs and topics.

use clap::{Subcommand, ValueEnum};

use super::values::{parse_day, parse_interval};

/// Arguments of `search`.
#[derive(Debug, clap::Args)]
pub struct Search {
    /// The query, in PubMed's language
    pub term: String,
    /// Results to print
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub limit: u32,
    /// Results to pass over
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=9_998))]
    pub offset: u32,
    /// Their order
    #[arg(long, value_enum)]
    pub sort: Option<Sort>,
}

/// The order of search results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Best match first
    Relevance,
    /// Newest publication first
    PubDate,
    /// By first author
    Author,
    /// By journal
    Journal,
}

/// Arguments of `sync`.
#[derive(Debug, clap::Args)]
pub struct Sync {
    /// The query, in PubMed's language
    #[arg(required_unless_present_any = ["pmids", "query_key"])]
    pub query: Option<String>,
    /// The records instead of a query: PMIDs separated by commas or spaces; `-` reads them from standard input
    #[arg(long, num_args = 1.., value_delimiter = ',', conflicts_with_all = ["query", "incremental", "limit"], value_name = "PMID")]
    pub pmids: Vec<String>,
    /// Only what was added or changed since the last such run
    #[arg(long)]
    pub incremental: bool,
    /// Names the query; derived from it if not given
    #[arg(long, value_name = "KEY")]
    pub query_key: Option<String>,
    /// Moves the watermarks of the query to this day (UTC) first
    #[arg(long, value_name = "DATE", requires = "incremental", conflicts_with = "idempotency_key", value_parser = parse_day)]
    pub from: Option<chrono::NaiveDate>,
    /// Days to look back behind the watermarks [default: 5]
    #[arg(long, value_name = "DAYS", requires = "incremental", value_parser = clap::value_parser!(u32).range(0..=30))]
    pub overlap_days: Option<u32>,
    /// At most so many records; an incremental run goes on behind them next time
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    pub limit: Option<i64>,
    /// Say what it would take and write nothing
    #[arg(long, conflicts_with = "detach")]
    pub dry_run: bool,
    /// Submit the job and return; a `worker` or `up` does it
    #[arg(long)]
    pub detach: bool,
    /// 0 to 10, higher first
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i16).range(0..=10))]
    pub priority: i16,
    /// Names this request: sending it again with the same key is the same job
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// What to do with topics.
#[derive(Debug, Subcommand)]
pub enum Topics {
    /// Sync a query by itself from now on, or change how often
    Add {
        /// The query, in PubMed's language
        query: String,
        /// Names the query; derived from it if not given
        #[arg(long, value_name = "KEY")]
        query_key: Option<String>,
        /// How often, like 6h, 30m or 7d; a new one every 24h if not given, one that is there as before
        #[arg(long, value_parser = parse_interval)]
        every: Option<i32>,
        /// Priority of its jobs, 0 to 10, higher first; 0, or as before
        #[arg(long, value_parser = clap::value_parser!(i16).range(0..=10))]
        priority: Option<i16>,
    },
    /// List them
    List,
    /// End one; its records and watermarks stay
    Rm {
        /// Its key
        query_key: String,
    },
    /// Free a key for another query; its watermarks, members and deleted checkpoints go, archived records stay
    Unbind {
        /// The key
        query_key: String,
    },
}
