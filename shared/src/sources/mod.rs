//! Layer 5: what this deployment does.

pub mod operator;
pub mod pubmed_files;
pub mod pubmed_sync;
pub mod store_records;
pub mod topics;

use std::sync::Arc;

use async_trait::async_trait;

use crate::checkpoints;
use crate::db::DbError;
use crate::ingest::{Engine, Pipeline, Upkeep};

/// Every pipeline of this deployment.
pub fn all(files: pubmed_files::FileSettings, sources: &pubmed_sync::Sources) -> Arc<[Arc<dyn Pipeline>]> {
    Arc::new([
        Arc::new(pubmed_files::PubmedFiles::new(files)) as Arc<dyn Pipeline>,
        Arc::new(pubmed_sync::PubmedSync(sources.clone())),
        Arc::new(pubmed_sync::PubmedSyncIncremental(sources.clone())),
    ])
}

/// Maintenance by each sweep of this deployment, in addition to the engine's.
pub fn upkeep() -> Arc<[Arc<dyn Upkeep>]> {
    Arc::new([Arc::new(pubmed_sync::SyncClocks) as Arc<dyn Upkeep>, Arc::new(Checkpoints)])
}

/// Removes checkpoints that were deleted long ago.
struct Checkpoints;

#[async_trait]
impl Upkeep for Checkpoints {
    async fn sweep(&self, engine: &Engine) -> Result<usize, DbError> {
        checkpoints::expire(&engine.db).await.map(|_| 0)
    }
}
