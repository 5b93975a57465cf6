//! Layer 4: what this deployment does, on one screen.

pub mod pubmed_files;

use std::sync::Arc;

use crate::ingest::Pipeline;

/// Every pipeline of this deployment.
pub fn all(limits: pubmed_files::FileLimits) -> Arc<[Arc<dyn Pipeline>]> {
    Arc::new([Arc::new(pubmed_files::PubmedFiles::new(limits)) as Arc<dyn Pipeline>])
}
