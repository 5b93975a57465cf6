//! What can be asked on the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use shared::words::Pmid;

/// An archive of PubMed on your machine: every record exactly as NLM published it, every revision
/// kept, every deletion and retraction known.
#[derive(Debug, Parser)]
#[command(
    name = "bio-mcp",
    version,
    after_help = "First steps:
  bio-mcp demo                             see it work on sample files, in under two minutes
  bio-mcp ingest pubmed26n0001.xml.gz      archive a file of PubMed records
  bio-mcp get 31452104                     read a record
  bio-mcp parse pubmed26n0001.xml.gz       PubMed XML to JSON, no archive needed

Exit codes:
  0    done
  1    the job failed, or `verify` found problems
  2    wrong usage, settings or input file
  3    there is no such archive, record or job
  4    the database or the disk is not available now: fix it or try again
  5    done, but some records went to quarantine
  130  interrupted; run the same command again to go on

Every setting is an environment variable; see .env.example.
Courtesy of the U.S. National Library of Medicine; the data may not be the most current."
)]
pub struct Args {
    /// Where everything is kept [default: .bio-mcp in this folder or one above]
    #[arg(long, global = true, env = "BIO_MCP_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// How results are printed
    #[arg(long, global = true, env = "BIO_MCP_OUTPUT", value_enum, default_value = "human")]
    pub output: Output,

    /// Log what happens to standard error
    #[arg(long, short, global = true)]
    pub verbose: bool,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Human,
    /// For scripts: JSON on standard output
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole thing on sample files, or on a file of yours
    Demo {
        /// A PubMed file to use instead of the sample
        file: Option<PathBuf>,
    },
    /// Archive files of PubMed records (.xml, .xml.gz; baseline, update or EFetch output)
    ///
    /// Submits a job and works on it while showing its progress. Interrupted or killed at any
    /// moment, the same command goes on where it stopped. An .md5 file next to a file is checked.
    Ingest(Ingest),
    /// Print the typed records of PubMed files as JSON, one a line; needs no archive
    Parse(Parse),
    /// Print a record
    Get(Get),
    /// Show every accepted change of a record
    History {
        /// The record
        pmid: Pmid,
    },
    /// Show what changed in a record, field by field
    Diff {
        /// The record
        pmid: Pmid,
        /// Compare with this change (number from `history`) instead of the one before the last
        #[arg(long, value_name = "SEQ")]
        from: Option<i64>,
        /// Compare this change instead of the last
        #[arg(long, value_name = "SEQ")]
        to: Option<i64>,
    },
    /// Write all live records as NDJSON, zstd-compressed
    Export(Export),
    /// Show what is in the archive and what is going on
    Status,
    /// Work on queued jobs until stopped
    Worker(Work),
    /// List, show, follow and cancel jobs
    #[command(subcommand)]
    Jobs(Jobs),
    /// See records that could not be archived
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Check every pointer, object, hash and history row
    Verify {
        /// Rebuild what is wrong from the archive's objects
        #[arg(long)]
        repair: bool,
    },
    /// The private Postgres
    #[command(subcommand)]
    Db(Db),
}

/// Arguments of `ingest`.
#[derive(Debug, clap::Args)]
pub struct Ingest {
    /// The files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Submit the job and return; a `worker` does it
    #[arg(long)]
    pub detach: bool,
    /// Take the records as of this time (RFC 3339) instead of the gzip modification time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub as_of: Option<chrono::DateTime<chrono::Utc>>,
    /// 0 to 10, higher first
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i16).range(0..=10))]
    pub priority: i16,
    /// Names this request: sending it again with the same key is the same job
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// Arguments of `parse`.
#[derive(Debug, clap::Args)]
pub struct Parse {
    /// The files (.xml, .xml.gz); `-` is standard input
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Threads [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
}

/// Arguments of `get`.
#[derive(Debug, clap::Args)]
pub struct Get {
    /// The record
    pub pmid: Pmid,
    /// The exact XML as archived
    #[arg(long, conflicts_with = "json")]
    pub xml: bool,
    /// The typed record
    #[arg(long)]
    pub json: bool,
    /// As the archive had it at this time (RFC 3339 or a date)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub as_of: Option<chrono::DateTime<chrono::Utc>>,
}

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// What each line holds
    #[arg(long, value_enum, default_value = "json")]
    pub format: ExportFormat,
    /// Where to write; standard output if not given
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// What an exported line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// The typed record
    Json,
    /// `{pmid, content_hash, xml}`: the exact payload
    Xml,
}

/// Arguments of `worker`.
#[derive(Debug, clap::Args)]
pub struct Work {
    /// Stop when no work is left
    #[arg(long)]
    pub once: bool,
}

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// List jobs, newest first
    List {
        /// Only those in this state (queued, running, succeeded, failed, cancelled)
        #[arg(long)]
        state: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=100))]
        limit: i64,
    },
    /// Show a job
    Show {
        /// The job
        job: shared::words::JobId,
    },
    /// Follow a job until it ends
    Watch {
        /// The job
        job: shared::words::JobId,
    },
    /// Cancel a job; running units stop at their next batch
    Cancel {
        /// The job
        job: shared::words::JobId,
    },
}

/// What to do with quarantined records.
#[derive(Debug, Subcommand)]
pub enum Quarantine {
    /// List them, newest first
    List {
        /// Only those of this job
        #[arg(long)]
        job: Option<shared::words::JobId>,
        /// At most so many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Print the bytes of one
    Show {
        /// Its number
        id: i64,
    },
}

/// What to do with the private Postgres.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Db {
    /// Start it and keep it running after commands end
    Start,
    /// Stop it
    Stop,
    /// Print its URL
    Url,
    /// Open psql on it
    Psql,
}

fn parse_time(text: &str) -> Result<chrono::DateTime<chrono::Utc>, String> {
    let date = || {
        let date = text.parse::<chrono::NaiveDate>().ok()?;
        date.and_hms_opt(0, 0, 0).map(|time| time.and_utc())
    };
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .ok()
        // Microseconds, as the database keeps it.
        .and_then(|time| chrono::DateTime::from_timestamp_micros(time.timestamp_micros()))
        .or_else(date)
        .ok_or_else(|| "give a time like 2026-11-22T12:00:00Z or a date like 2026-11-22".to_owned())
}
