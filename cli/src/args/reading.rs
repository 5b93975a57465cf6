//! Arguments of commands that read: files, archived records and exports.

use std::path::PathBuf;

use clap::ValueEnum;

use shared::projections::changes::ChangeKind;

use super::values::{parse_kind, parse_time};
use crate::record_name::RecordName;

/// Arguments of `parse`.
#[derive(Debug, clap::Args)]
pub struct Parse {
    /// Files (.xml, .xml.gz), or folders of files; `-` is standard input, plain or gzip
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Also print deletions, in the order of the file: {"kind":"deletion","pmid":…,"version":…}
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1,
          require_equals = true, action = clap::ArgAction::Set)]
    pub deletions: bool,
    /// Number of threads [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// Format of texts
    #[arg(long, value_enum, default_value = "text")]
    pub markup: MarkupArg,
}

/// The format of texts of the typed record.
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
    /// PMIDs, or PMID.VERSION for one version
    #[arg(required = true, value_delimiter = ',', value_name = "PMID[.VERSION]")]
    pub records: Vec<RecordName>,
    /// Print the exact XML as archived
    #[arg(long, conflicts_with = "json")]
    pub xml: bool,
    /// Print typed records with their provenance, one per line; the same as --output json
    #[arg(long)]
    pub json: bool,
    /// How texts of the typed record are given out
    #[arg(long, value_enum, default_value = "text", conflicts_with = "xml")]
    pub markup: MarkupArg,
    /// Print records as archived at this time (RFC 3339 or a date)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub as_of: Option<chrono::DateTime<chrono::Utc>>,
}

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// Content of each line
    #[arg(long, value_enum, default_value = "json")]
    pub format: ExportFormat,
    /// Output file, compressed if its name ends in .gz or .zst [default: standard output, uncompressed]
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
    /// Only changes after this event (an export prints its last event), with deletions as lines
    #[arg(long, value_name = "EVENT", conflicts_with_all = ["pmids", "pmids_file", "checkpoint"],
          value_parser = clap::value_parser!(i64).range(0..))]
    pub since: Option<i64>,
    /// Start again instead of resuming an interrupted export to the same file
    #[arg(long, requires = "out")]
    pub restart: bool,
}

/// Arguments of `events`.
#[derive(Debug, clap::Args)]
pub struct Events {
    /// Only changes after this event (a run prints its last event)
    #[arg(long, value_name = "EVENT", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub after: i64,
    /// Only changes of these kinds, separated by commas: new, revised, retracted, retraction_withdrawn, corrected, concern,
    /// deleted
    #[arg(long, value_delimiter = ',', value_name = "KIND", value_parser = parse_kind)]
    pub kinds: Vec<ChangeKind>,
    /// Only changes of records of this query; a record is new when it became a member
    #[arg(long, value_name = "KEY")]
    pub query_key: Option<String>,
    /// Maximum number of changes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Wait for further changes until stopped
    #[arg(long)]
    pub follow: bool,
    /// Print changes as JSON, one per line; the same as --output json
    #[arg(long)]
    pub json: bool,
}

/// What an exported line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
pub enum ExportFormat {
    /// The typed record
    Json,
    /// `{pmid, content_hash, xml}`: the exact payload
    Xml,
}
