//! Tools: what this deployment offers, each defined once. HTTP, MCP, the command line and the OpenAPI
//! document read the same catalogue.
//!
//! A fast tool returns its result at once; a job tool checks its parameters and submits a job, however it is called.

mod check;
mod checkpoint;
mod cost;
mod error;
mod filters;
mod get;
mod get_many;
mod ingest_files;
mod job;
mod listed;
mod normal;
mod params;
mod ping;
pub mod readable;
mod reading;
mod record;
mod search;
mod sync;
mod tool;

pub use cost::EstimatedCost;
pub use error::{FieldError, ToolError};
pub use filters::{DateType, Filters, Species};
pub use ingest_files::{IngestFilesInput, IngestFilesOutput};
pub use job::{CancelOutput, FailureView, JobView, allow_change, told, view};
pub use listed::ListingFault;
pub use normal::whole_number;
pub use params::{parse, understood};
pub use ping::Ping;
pub use record::{Include, MAX_CHARS, MIN_CHARS, Omitted, RecordView, Source, Summary};
pub use search::{SearchOutput, SearchParams, Sort};
pub use sync::{SyncIncrementalInput, SyncInput, SyncOutput};
pub use tool::{Action, Asked, Described, FastTool, Hints, JobTool, Kind, Tool, Toolbox, allow, output_schema};

/// Every tool, in the order it is listed in.
pub fn catalogue() -> Vec<Tool> {
    vec![
        Tool::fast::<ping::Ping>(),
        Tool::fast::<search::Search>(),
        Tool::fast::<get::Get>(),
        Tool::fast::<get_many::GetMany>(),
        Tool::job::<sync::Sync>(),
        Tool::job::<sync::SyncIncremental>(),
        Tool::job::<ingest_files::IngestFiles>(),
        Tool::fast::<checkpoint::Create>(),
        Tool::fast::<checkpoint::Get>(),
        Tool::fast::<checkpoint::List>(),
        Tool::fast::<checkpoint::Delete>(),
        Tool::fast::<checkpoint::Diff>(),
        Tool::fast::<job::JobGet>(),
        Tool::fast::<job::JobCancel>(),
    ]
}

/// The tool of a name, in either spelling: `pubmed.get` or `pubmed_get`.
pub fn find(name: &str) -> Option<Tool> {
    catalogue().into_iter().find(|tool| tool.name == name || tool.flat_name() == name)
}
