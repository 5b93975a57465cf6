//! The arguments of the command line.

mod jobs;
mod reading;
mod upstream;
mod values;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use shared::core::{Pmid, Role};

pub use jobs::{Jobs, Quarantine, Work};
pub use reading::{Events, Export, ExportFormat, Get, MarkupArg, Parse};
pub use upstream::{Search, Sort, Sync, Topics};
use values::parse_time;

use crate::listen::ListenAddress;

/// A verifiable archive of PubMed on your machine: every record exactly as NLM published it, with every
/// revision, deletion and retraction.
#[derive(Debug, Parser)]
#[command(
    name = "bio-mcp",
    version,
    after_help = "First steps:
  bio-mcp demo                             try it on sample files, in under two minutes
  bio-mcp ingest pubmed26n0001.xml.gz      archive a file of PubMed records, or a folder of them
  bio-mcp sync \"asthma AND 2026[dp]\"       archive the results of a PubMed query
  bio-mcp get 31452104                     read a record
  bio-mcp parse pubmed26n0001.xml.gz       PubMed XML to JSON, no archive needed

Exit codes:
  0    done
  1    the job failed, or `verify` found problems
  2    wrong usage, settings or input file
  3    archive, record or job not found
  4    the database, the disk or NCBI is unavailable: fix it or try again later
  5    done, but some records were quarantined or omitted; the output lists them
  130  interrupted; rerun the same command to resume
A closed pipe ends the output, not the command; its exit code still reports the result.

Every setting is an environment variable; see .env.example.
Courtesy of the U.S. National Library of Medicine; the data may not be the most current."
)]
pub struct Args {
    /// Data directory [default: .bio-mcp in this directory or a parent, if you created it or named it once]
    #[arg(long, global = true, env = "BIO_MCP_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Output format
    #[arg(long, global = true, env = "BIO_MCP_OUTPUT", value_enum, default_value = "human")]
    pub output: Output,

    /// Write log messages to standard error
    #[arg(long, short, global = true)]
    pub verbose: bool,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Where the HTTP server listens.
#[derive(Debug, clap::Args)]
pub struct Listen {
    /// Address and port; a non-loopback address requires BIO_MCP_AUTH=bearer. Or unix:PATH, a socket that
    /// only you can connect to; a loopback port is reachable by every user of this machine
    #[arg(long, env = "BIO_MCP_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT|unix:PATH")]
    pub listen: ListenAddress,
}

/// Tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Create a token for a client, and its hash for the server
    New {
        /// Recorded as the principal of its jobs
        #[arg(long)]
        name: Option<String>,
        /// Role: read (fast tools), submit (also jobs and own checkpoints) or admin
        #[arg(long, default_value = "submit", value_parser = values::parse_role)]
        role: Role,
    },
}

/// What to do with deleted checkpoints.
#[derive(Debug, Subcommand)]
pub enum Checkpoints {
    /// List checkpoints that were deleted in the last 30 days
    Deleted,
    /// Restore a deleted checkpoint
    Restore {
        /// Id of the checkpoint
        checkpoint_id: String,
    },
}

/// Actions on projections of the event log.
#[derive(Debug, Subcommand)]
pub enum Projections {
    /// Show the position and the lag of each projection
    Status,
    /// Process new events until every projection is current
    CatchUp,
    /// Derive a projection again from the whole event log; readers see no gap meanwhile
    Rebuild {
        /// Name of the projection
        name: String,
    },
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people
    Human,
    /// JSON for scripts, on standard output
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Demonstrate the main commands on sample files or on your own file
    Demo {
        /// PubMed file to use instead of the samples
        file: Option<PathBuf>,
        /// Search and sync a few records from the real NCBI instead
        #[arg(long, conflicts_with = "file")]
        live: bool,
    },
    /// Archive files of PubMed records (.xml, .xml.gz; baseline, update or EFetch output)
    ///
    /// Submits a job and runs it, showing its progress. If interrupted or killed, rerun the same command to
    /// resume. From a folder, .xml and .xml.gz files are read, but not those in subfolders. A file with an
    /// .md5 file next to it is checked against it; .md5 files themselves are skipped. A file that cannot be
    /// read or has another checksum is reported, the other files are archived, and the exit code is 2. A
    /// baseline or update file that does not exist locally is fetched from NCBI by its name.
    Ingest(Ingest),
    /// Search PubMed (no archive needed)
    Search(Search),
    /// Archive the results of a PubMed query, or records by PMID, from NCBI
    ///
    /// With --incremental, only records added or changed since the last incremental run of the query. If
    /// interrupted or killed, rerun the same command to resume.
    Sync(Sync),
    /// Queries that `up` syncs on a schedule
    #[command(subcommand)]
    Topics(Topics),
    /// List and restore deleted checkpoints (for 30 days)
    #[command(subcommand)]
    Checkpoints(Checkpoints),
    /// Print the typed records of PubMed files as JSON, one per line (no archive needed)
    ///
    /// A file that cannot be read to its end is reported on standard error, the other files are still read,
    /// and the exit code is 2.
    Parse(Parse),
    /// Print records
    Get(Get),
    /// Show every accepted change to a record
    History {
        /// PMID of the record
        pmid: Pmid,
    },
    /// Show what changed in a record, field by field
    Diff {
        /// PMID of the record
        pmid: Pmid,
        /// Compare with this change (number from `history`) instead of the one before the last
        #[arg(long, value_name = "SEQ")]
        from: Option<i64>,
        /// Compare this change instead of the last
        #[arg(long, value_name = "SEQ")]
        to: Option<i64>,
    },
    /// Write live records as NDJSON: all, or those of a query, list or checkpoint, or only changes
    ///
    /// The file name selects the compression: .gz, .zst, or none. The file appears when it is complete; rerun
    /// the same command to resume an interrupted export, with the same result. Records whose object is
    /// missing or damaged are omitted and listed, and the exit code is 5.
    Export(Export),
    /// Print the changes of the archive, in the order in which they were accepted
    ///
    /// Each change is printed once. A change is of one or several kinds: the record is new, revised, retracted,
    /// corrected, of concern or deleted, or its retraction was withdrawn.
    Events(Events),
    /// List, run and rebuild projections of the event log, such as the change feed
    #[command(subcommand)]
    Projections(Projections),
    /// Show the contents of the archive and current activity
    Status,
    /// Run everything until stopped: HTTP server, workers, sweep and scheduled topics
    Up(Listen),
    /// Run only the HTTP server until stopped; workers run elsewhere
    Serve(Listen),
    /// Serve an MCP client on standard input and output, and run the jobs it submits
    Mcp,
    /// List the tools, or show one with its schemas
    Tools {
        /// Name of the tool to show
        name: Option<String>,
    },
    /// Call a tool as over HTTP or MCP; a job tool is submitted as a job
    Call {
        /// Name of the tool, e.g. corpus.checkpoint.create
        tool: String,
        /// Parameters as a JSON object; - reads them from standard input
        #[arg(default_value = "{}")]
        params: String,
        /// Step to submit when the previous job has succeeded, as {"tool": …, "params": {…}}; up to 8 steps
        #[arg(long, value_name = "STEP")]
        then: Vec<String>,
    },
    /// Create tokens for the HTTP server
    #[command(subcommand)]
    Token(Token),
    /// Run queued jobs until stopped
    Worker(Work),
    /// List, show, follow, cancel and retry jobs
    #[command(subcommand)]
    Jobs(Jobs),
    /// List, show and retry records that could not be archived
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Check every pointer, object, hash and history row
    Verify {
        /// Repair problems from the archive's objects
        #[arg(long)]
        repair: bool,
        /// Accept objects that no row refers to: for a database that was restored to an earlier state
        #[arg(long, requires = "repair")]
        from_objects: bool,
    },
    /// Remove a record: writes a tombstone with the reason
    Purge(Purge),
    /// Manage the private Postgres
    #[command(subcommand)]
    Db(Db),
    /// Run local E-utilities on loopback with generated records
    Simulator(Simulator),
}

/// Arguments of `purge`.
#[derive(Debug, clap::Args)]
pub struct Purge {
    /// PMID of the record
    pub pmid: Pmid,
    /// Reason, stored in the tombstone
    #[arg(long)]
    pub reason: String,
    /// Also delete all stored versions; this cannot be undone
    #[arg(long)]
    pub versions: bool,
}

/// Arguments of `simulator`.
#[derive(Debug, clap::Args)]
pub struct Simulator {
    /// Port; 0 selects any free port
    #[arg(long, default_value_t = 8091)]
    pub port: u16,
    /// Number of records; the query `all` finds every record, `tenth` one in ten
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    pub records: u32,
    /// Seed of the generated records and failures
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Approximate size of the XML of a record, in bytes
    #[arg(long, default_value_t = 0)]
    pub bytes: usize,
    /// Maximum number of results that a search returns
    #[arg(long, default_value_t = 9_999, value_parser = clap::value_parser!(u32).range(1..))]
    pub cap: u32,
    /// Number of requests per thousand that fail
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub faults: u64,
    /// Generate all records at startup, so that responses are immediate
    #[arg(long)]
    pub prerender: bool,
    /// Do not limit requests per second (default limit: 3, or 10 with the key `valid-key`)
    #[arg(long)]
    pub unlimited: bool,
}

/// Arguments of `ingest`.
#[derive(Debug, clap::Args)]
pub struct Ingest {
    /// Files, or folders of files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Submit the job and return; a `worker` runs it
    #[arg(long)]
    pub detach: bool,
    /// Treat the records as of this time (RFC 3339) instead of the gzip modification time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub as_of: Option<chrono::DateTime<chrono::Utc>>,
    /// Priority, 0 to 10; higher runs first
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i16).range(0..=10))]
    pub priority: i16,
    /// Idempotency key: a repeated request with the same key returns the same job
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// What to do with the private Postgres.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Db {
    /// Start it, and keep it running after commands end
    Start,
    /// Stop it
    Stop,
    /// Print its connection URL, which has all privileges of the owner
    Url,
    /// Open psql as its owner
    Psql,
    /// Migrate the schema of the private Postgres, or of BIO_MCP_DATABASE_URL as its owner, and create the
    /// role that programs log in as
    Migrate,
}
