//! What can be asked on the command line.

mod jobs;
mod reading;
mod upstream;
mod values;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use shared::words::{Pmid, Role};

pub use jobs::{Jobs, Quarantine, Work};
pub use reading::{Events, Export, ExportFormat, Get, MarkupArg, Parse};
pub use upstream::{Search, Sort, Sync, Topics};
use values::parse_time;

use crate::listen::Address;

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
    /// Where everything is kept [default: .bio-mcp in this folder or one above, if you made it or named it once]
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
    /// Address and port; another address than loopback needs BIO_MCP_AUTH=bearer. Or unix:PATH, a socket that
    /// only you can connect to: every user of this machine reaches a port on loopback
    #[arg(long, env = "BIO_MCP_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT|unix:PATH")]
    pub listen: Address,
}

/// Tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token: give it to a client, and its hash to the server
    New {
        /// Stands for who has it in jobs
        #[arg(long)]
        name: Option<String>,
        /// What it may do: read (fast tools), submit (also jobs and own checkpoints) or admin
        #[arg(long, default_value = "submit", value_parser = values::parse_role)]
        role: Role,
    },
}

/// What to do with deleted checkpoints.
#[derive(Debug, Subcommand)]
pub enum Checkpoints {
    /// List checkpoints that were deleted in the last thirty days
    Deleted,
    /// Restore a deleted checkpoint
    Restore {
        /// Its id
        checkpoint_id: String,
    },
}

/// What to do with readers of the event log.
#[derive(Debug, Subcommand)]
pub enum Projections {
    /// Show how far each is
    Status,
    /// Read what is new, until nothing is left
    CatchUp,
    /// Read the whole log again, and write what follows from it in place of what is there; readers see no gap meanwhile
    Rebuild {
        /// Which one
        name: String,
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
    /// Deleted checkpoints, which can be restored for thirty days
    #[command(subcommand)]
    Checkpoints(Checkpoints),
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
    /// Print what changed in the archive, in the order in which it was accepted
    ///
    /// Each change once: a record is new, revised, retracted, corrected, of concern or deleted, or its retraction was
    /// withdrawn. A change may be of several kinds.
    Events(Events),
    /// Readers of the event log, such as the change feed: how far they are, read on, read again from the start
    #[command(subcommand)]
    Projections(Projections),
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
        /// A job that follows when the one before has succeeded, as {"tool": …, "params": {…}}; up to 8
        #[arg(long, value_name = "STEP")]
        then: Vec<String>,
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
        /// Believe objects that no row names: after the database was set back to an earlier state
        #[arg(long, requires = "repair")]
        from_objects: bool,
    },
    /// Take a record out: writes a tombstone, with the reason
    Purge(Purge),
    /// The private Postgres
    #[command(subcommand)]
    Db(Db),
    /// E-utilities of your own on loopback, over constructed records
    Simulator(Simulator),
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
