//! What can be asked on the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use shared::words::Pmid;

use crate::record_name::RecordName;

/// An archive of PubMed on your machine: every record exactly as NLM published it, every revision
/// kept, every deletion and retraction known.
#[derive(Debug, Parser)]
#[command(
    name = "bio-mcp",
    version,
    after_help = "First steps:
  bio-mcp demo                             see it work on sample files, in under two minutes
  bio-mcp ingest pubmed26n0001.xml.gz      archive a file of PubMed records, or a folder of them
  bio-mcp sync \"asthma AND 2026[dp]\"       archive what a PubMed query finds
  bio-mcp get 31452104                     read a record
  bio-mcp parse pubmed26n0001.xml.gz       PubMed XML to JSON, no archive needed

Exit codes:
  0    done
  1    the job failed, or `verify` found problems
  2    wrong usage, settings or input file
  3    there is no such archive, record or job
  4    the database, the disk or NCBI is not available now: fix it or try again
  5    done, but some records went to quarantine, or were left out and named
  130  interrupted; rerun the same command to resume
A closed pipe ends the output, not the command: its exit code still says how it went.

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

/// Where the HTTP server listens.
#[derive(Debug, clap::Args)]
pub struct Listen {
    /// Address and port; another address than loopback needs BIO_MCP_AUTH=bearer
    #[arg(long, env = "BIO_MCP_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub listen: std::net::SocketAddr,
}

/// Tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token: give it to a client, and its hash to the server
    New {
        /// Stands for who has it in jobs
        #[arg(long)]
        name: Option<String>,
    },
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
        /// Search and sync a few records of the real NCBI instead
        #[arg(long, conflicts_with = "file")]
        live: bool,
    },
    /// Archive files of PubMed records (.xml, .xml.gz; baseline, update or EFetch output)
    ///
    /// Submits a job and works on it while showing its progress. Interrupted or killed at any moment,
    /// rerun the same command to resume. Of a folder its .xml and .xml.gz files are taken, not those in
    /// folders below. An .md5 file next to a file is checked; .md5 files that are named are not records
    /// and are passed over. A file that cannot be read or has another sum is named, the others are
    /// archived, and the exit code is 2. The name of a baseline or update file that is not here is fetched from NCBI.
    Ingest(Ingest),
    /// Search PubMed; needs no archive
    Search(Search),
    /// Archive what a PubMed query finds, or named records, from NCBI
    ///
    /// With --incremental, only what was added or changed since the last such run of the query.
    /// Interrupted or killed, rerun the same command to resume.
    Sync(Sync),
    /// Queries that `up` syncs by themselves
    #[command(subcommand)]
    Topics(Topics),
    /// Print the typed records of PubMed files as JSON, one a line; needs no archive
    ///
    /// A file that cannot be read to its end is named on standard error, the others are read all the
    /// same, and the exit code is 2.
    Parse(Parse),
    /// Print records
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
    /// Write live records as NDJSON: all, those of a query, of a list or of a checkpoint, or what changed
    ///
    /// A file is compressed by its name: .gz, .zst, or not at all. It appears when it is complete; an
    /// interrupted export is resumed by the same command, with the same result. Records whose object is
    /// missing or damaged are left out and named, and the exit code is 5.
    Export(Export),
    /// Show what is in the archive and what is going on
    Status,
    /// Run everything until stopped: the HTTP server, workers, sweep, topics that are due
    Up(Listen),
    /// Answer over HTTP until stopped; workers run elsewhere
    Serve(Listen),
    /// Answer an MCP client on standard input and output, and work on the jobs it submits
    Mcp,
    /// List the tools, or show one with its schemas
    Tools {
        /// Only this one
        name: Option<String>,
    },
    /// Call a tool as HTTP and MCP do; a tool that is a job is submitted
    Call {
        /// Its name, e.g. corpus.checkpoint.create
        tool: String,
        /// Its parameters as a JSON object; - reads them from standard input
        #[arg(default_value = "{}")]
        params: String,
    },
    /// Tokens that the HTTP server lets in
    #[command(subcommand)]
    Token(Token),
    /// Work on queued jobs until stopped
    Worker(Work),
    /// List, show, follow, cancel and retry jobs
    #[command(subcommand)]
    Jobs(Jobs),
    /// See records that could not be archived, and try them again
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Check every pointer, object, hash and history row
    Verify {
        /// Rebuild what is wrong from the archive's objects
        #[arg(long)]
        repair: bool,
    },
    /// Take a record out: writes a tombstone, with the reason
    Purge(Purge),
    /// The private Postgres
    #[command(subcommand)]
    Db(Db),
    /// E-utilities of your own on loopback, over constructed records
    Simulator(Simulator),
}

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
        /// How often, like 6h, 30m or 7d
        #[arg(long, default_value = "24h", value_parser = parse_interval)]
        every: i32,
        /// Priority of its jobs, 0 to 10, higher first
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i16).range(0..=10))]
        priority: i16,
    },
    /// List them
    List,
    /// End one; its records and watermarks stay
    Rm {
        /// Its key
        query_key: String,
    },
}

/// Arguments of `purge`.
#[derive(Debug, clap::Args)]
pub struct Purge {
    /// The record
    pub pmid: Pmid,
    /// Why; kept in the tombstone
    #[arg(long)]
    pub reason: String,
    /// Delete all stored versions too; this cannot be undone
    #[arg(long)]
    pub versions: bool,
}

/// Arguments of `simulator`.
#[derive(Debug, clap::Args)]
pub struct Simulator {
    /// The port; any free one if 0
    #[arg(long, default_value_t = 8091)]
    pub port: u16,
    /// Records it has; `all` finds every one, `tenth` one in ten
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    pub records: u32,
    /// Makes other records, and other failures
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// About how many bytes of XML a record has
    #[arg(long, default_value_t = 0)]
    pub bytes: usize,
    /// The most results a search hands out
    #[arg(long, default_value_t = 9_999, value_parser = clap::value_parser!(u32).range(1..))]
    pub cap: u32,
    /// So many of a thousand requests fail
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub faults: u64,
    /// Writes all records beforehand, so that serving them takes no time
    #[arg(long)]
    pub prerender: bool,
    /// Allows any number of requests a second, instead of 3, or 10 with the key `valid-key`
    #[arg(long)]
    pub unlimited: bool,
}

/// Arguments of `ingest`.
#[derive(Debug, clap::Args)]
pub struct Ingest {
    /// The files, or folders of files
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
    /// The files (.xml, .xml.gz), or folders of files; `-` is standard input, plain or gzip
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Whether deletions are printed too, in the order of the file: {"kind":"deletion","pmid":…,"version":…}
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1,
          require_equals = true, action = clap::ArgAction::Set)]
    pub deletions: bool,
    /// Threads [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// How texts are given out
    #[arg(long, value_enum, default_value = "text")]
    pub markup: MarkupArg,
}

/// How texts of the typed record are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MarkupArg {
    /// Plain text, with Unicode superscripts and subscripts, or ^ and _
    Text,
    /// HTML: the tags sub, sup, i, b and u, everything else escaped
    Html,
}

impl From<MarkupArg> for shared::pubmed::TextForm {
    fn from(markup: MarkupArg) -> Self {
        match markup {
            MarkupArg::Text => Self::Plain,
            MarkupArg::Html => Self::Html,
        }
    }
}

/// Arguments of `get`.
#[derive(Debug, clap::Args)]
pub struct Get {
    /// The records: PMIDs, or PMID.VERSION for one version
    #[arg(required = true, value_delimiter = ',', value_name = "PMID[.VERSION]")]
    pub records: Vec<RecordName>,
    /// The exact XML as archived
    #[arg(long, conflicts_with = "json")]
    pub xml: bool,
    /// The typed record with where it comes from, one a line; the same as --output json
    #[arg(long)]
    pub json: bool,
    /// How texts of the typed record are given out
    #[arg(long, value_enum, default_value = "text", conflicts_with = "xml")]
    pub markup: MarkupArg,
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
    /// Where to write, gzip or zstd by its name; standard output, not compressed, if not given
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Only records of this query
    #[arg(long, value_name = "KEY", conflicts_with_all = ["pmids", "pmids_file", "checkpoint"])]
    pub query_key: Option<String>,
    /// Only these records: PMIDs separated by commas or spaces; `-` reads them from standard input
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "PMID")]
    pub pmids: Vec<String>,
    /// Only the records whose PMIDs are in this file
    #[arg(long, value_name = "FILE", conflicts_with = "pmids")]
    pub pmids_file: Option<PathBuf>,
    /// The records of this checkpoint, as they were then
    #[arg(long, value_name = "ID", conflicts_with_all = ["pmids", "pmids_file"])]
    pub checkpoint: Option<String>,
    /// Only what changed after this event (an export names the last one), with deletions as lines
    #[arg(long, value_name = "EVENT", conflicts_with_all = ["pmids", "pmids_file", "checkpoint"],
          value_parser = clap::value_parser!(i64).range(0..))]
    pub since: Option<i64>,
    /// Start again instead of resuming an interrupted export to the same file
    #[arg(long, requires = "out")]
    pub restart: bool,
}

/// What an exported line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
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
    /// Print a job's log
    Logs {
        /// The job
        job: shared::words::JobId,
        /// At most so many lines, the last ones
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// List the records that failed or were not returned
    Failures {
        /// The job
        job: shared::words::JobId,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Do again what failed, as a new job
    Retry {
        /// The job that ended
        job: shared::words::JobId,
        /// Submit the job and return; a `worker` or `up` does it
        #[arg(long)]
        detach: bool,
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
    /// Try to archive them again, with this version and its limits
    Retry {
        /// Their numbers
        #[arg(required_unless_present = "all")]
        ids: Vec<i64>,
        /// All of them
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

/// What to do with the private Postgres.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Db {
    /// Start it and keep it running after commands end
    Start,
    /// Stop it
    Stop,
    /// Print its URL, as its owner's: who logs in by it may do everything
    Url,
    /// Open psql on it, as its owner
    Psql,
    /// Bring the schema of the database up to date, also of one that BIO_MCP_DATABASE_URL names as its owner, and make the
    /// role that programs log in as
    Migrate,
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

fn parse_day(text: &str) -> Result<chrono::NaiveDate, String> {
    text.parse().map_err(|_| "give a date like 2026-11-22".to_owned())
}

/// Seconds of `6h`, `30m`, `7d` or `90s`; at least a minute.
fn parse_interval(text: &str) -> Result<i32, String> {
    let bad = || "give an interval like 30m, 6h or 7d, at least 1m".to_owned();
    let (digits, unit) = text.split_at(text.len().saturating_sub(1));
    let number: i32 = digits.parse().map_err(|_| bad())?;
    let secs = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    number.checked_mul(secs).filter(|secs| *secs >= 60).ok_or_else(bad)
}
