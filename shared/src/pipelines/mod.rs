//! Layer 4: what this deployment does, on one screen.

pub mod archiving;
pub mod operator;
pub mod pubmed_files;
pub mod pubmed_sync;
pub mod topics;

use std::sync::Arc;

use crate::ingest::Pipeline;

/// Every pipeline of this deployment.
pub fn all(files: pubmed_files::FileSettings, sources: &pubmed_sync::Sources) -> Arc<[Arc<dyn Pipeline>]> {
    Arc::new([
        Arc::new(pubmed_files::PubmedFiles::new(files)) as Arc<dyn Pipeline>,
        Arc::new(pubmed_sync::PubmedSync(sources.clone())),
        Arc::new(pubmed_sync::PubmedSyncIncremental(sources.clone())),
    ])
}
