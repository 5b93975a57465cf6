//! Arguments of commands about NCBI: searches, syncs and topics.

use clap::{Subcommand, ValueEnum};

use super::values::{parse_day, parse_interval};

/// Arguments of `search`.
#[derive(Debug, clap::Args)]
pub struct Search {
    /// PubMed query
    pub term: String,
    /// Maximum number of results
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub limit: u32,
    /// Number of results to skip
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=9_998))]
    pub offset: u32,
    /// Sort order
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
    /// PubMed query
    #[arg(required_unless_present_any = ["pmids", "query_key"])]
    pub query: Option<String>,
    /// Records instead of a query: PMIDs separated by commas or spaces; `-` reads them from standard input
    #[arg(long, num_args = 1.., value_delimiter = ',', conflicts_with_all = ["query", "incremental", "limit"], value_name = "PMID")]
    pub pmids: Vec<String>,
    /// Only records added or changed since the last incremental run
    #[arg(long)]
    pub incremental: bool,
    /// Key of the query [default: derived from the query]
    #[arg(long, value_name = "KEY")]
    pub query_key: Option<String>,
    /// Move the watermarks of the query to this day (UTC) first
    #[arg(long, value_name = "DATE", requires = "incremental", conflicts_with = "idempotency_key", value_parser = parse_day)]
    pub from: Option<chrono::NaiveDate>,
    /// Days before the watermarks to list again [default: 5]
    #[arg(long, value_name = "DAYS", requires = "incremental", value_parser = clap::value_parser!(u32).range(0..=30))]
    pub overlap_days: Option<u32>,
    /// Maximum number of records; the next incremental run continues after them
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    pub limit: Option<i64>,
    /// Print an estimate and write nothing
    #[arg(long, conflicts_with = "detach")]
    pub dry_run: bool,
    /// Submit the job and return; a `worker` or `up` runs it
    #[arg(long)]
    pub detach: bool,
    /// Priority, 0 to 10; higher runs first
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i16).range(0..=10))]
    pub priority: i16,
    /// Idempotency key: a repeated request with the same key returns the same job
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// What to do with topics.
#[derive(Debug, Subcommand)]
pub enum Topics {
    /// Sync a query on a schedule, or change its schedule
    Add {
        /// PubMed query
        query: String,
        /// Key of the query [default: derived from the query]
        #[arg(long, value_name = "KEY")]
        query_key: Option<String>,
        /// Interval, such as 6h, 30m or 7d [default: 24h, or unchanged for an existing topic]
        #[arg(long, value_parser = parse_interval)]
        every: Option<i32>,
        /// Priority of its jobs, 0 to 10; higher runs first [default: 0, or unchanged for an existing topic]
        #[arg(long, value_parser = clap::value_parser!(i16).range(0..=10))]
        priority: Option<i16>,
    },
    /// List topics
    List,
    /// Remove a topic; its records and watermarks remain
    Rm {
        /// Key of the topic
        query_key: String,
    },
    /// Free a key for another query: deletes its watermarks, members and deleted checkpoints; archived records remain
    Unbind {
        /// Key to free
        query_key: String,
    },
}
