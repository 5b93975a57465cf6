//! Tools: what this deployment offers, each defined once. HTTP, MCP, the command line and the OpenAPI
//! document read the same catalogue.
//!
//! A fast tool answers at once; a job tool checks its parameters and submits a job, however it is called.

mod checkpoint;
mod error;
mod get;
mod ingest_files;
mod job;
mod listed;
mod params;
mod ping;
mod search;
mod sync;
mod tool;

pub use error::{FieldError, ToolError};
pub use get::GetOutput;
pub use ingest_files::{IngestFilesInput, IngestFilesOutput};
pub use job::{CancelOutput, JobView, view};
pub use listed::ListingFault;
pub use params::parse;
pub use ping::Ping;
pub use search::{SearchOutput, SearchParams, Sort};
pub use sync::{SyncIncrementalInput, SyncInput, SyncOutput};
pub use tool::{Action, Asked, Described, FastTool, Hints, JobTool, Kind, Tool, Toolbox, output_schema};

/// Every tool, in the order it is listed in.
pub fn catalogue() -> Vec<Tool> {
    vec![
        Tool::fast::<ping::Ping>(),
        Tool::fast::<search::Search>(),
        Tool::fast::<get::Get>(),
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
