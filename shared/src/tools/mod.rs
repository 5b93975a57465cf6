//! Tools: what this deployment offers, each defined once. HTTP, MCP, the command line and the OpenAPI document use the
//! same catalogue.
//!
//! A fast tool returns its result at once; a job tool checks its parameters and submits a job, however it is called.

mod chain;
mod check;
mod checkpoint;
mod cost;
mod error;
mod events;
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

pub use chain::{ToolSteps, checked_steps};
pub use cost::EstimatedCost;
pub use error::{FieldError, ToolError};
pub use events::{DEFAULT_EVENTS, EventPage, EventView, KINDS, MAX_EVENTS, NoticeView, events, kinds};
pub use filters::{DateType, Filters, Species};
pub use ingest_files::{IngestFilesInput, IngestFilesOutput};
pub use job::{CancelOutput, FailureView, JobView, allow_change, view, without_internals};
pub use listed::ListingFault;
pub use normal::whole_number;
pub use params::{parse, understood};
pub use ping::Ping;
pub use record::{Include, MAX_CHARS, MIN_CHARS, Omitted, RecordView, Source, Summary};
pub use search::{SearchOutput, SearchParams, Sort};
pub use sync::{SyncIncrementalInput, SyncInput, SyncOutput};
pub use tool::{
    Action, Annotations, FastTool, JobTool, Kind, Limit, SubmitContext, Tool, ToolSpec, Toolbox, allow, output_schema,
};

use crate::config::ToolLimit;

/// Generates the functions over all tools from one list.
macro_rules! tools {
    ($($kind:ident $tool:ty,)*) => {
        /// Every tool, in the order it is listed in.
        pub fn catalogue() -> Vec<Tool> {
            vec![$(Tool::$kind::<$tool>()),*]
        }

        /// The limits of tools that have one. Creates no schemas: programs that only read their settings need none.
        pub fn limits() -> Vec<ToolLimit> {
            [$(Limit::$kind::<$tool>()),*].into_iter().flatten().collect()
        }
    };
}

tools! {
    fast ping::Ping,
    fast search::Search,
    fast get::Get,
    fast get_many::GetMany,
    job sync::Sync,
    job sync::SyncIncremental,
    job ingest_files::IngestFiles,
    fast checkpoint::CheckpointCreate,
    fast checkpoint::CheckpointGet,
    fast checkpoint::CheckpointList,
    fast checkpoint::CheckpointDelete,
    fast checkpoint::CheckpointDiff,
    fast job::JobGet,
    fast job::JobCancel,
}

/// The tool with a name, in either spelling: `pubmed.get` or `pubmed_get`.
pub fn find(name: &str) -> Option<Tool> {
    catalogue().into_iter().find(|tool| tool.name == name || tool.flat_name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_of_a_limit_is_named_after_its_tool() {
        let limits = limits();
        assert!(limits.len() > 6, "{limits:?}");
        for limit in limits {
            let name = limit.tool.to_uppercase().replace('.', "_");
            assert_eq!(limit.variable, format!("BIO_MCP_TOOL_LIMIT_{name}"));
        }
    }
}
