//! Commits the intents of a batch while the previous batch is stored, so that storing it waits for no commit.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::prepare::PreparedRecords;
use crate::archive::PendingObject;
use crate::core::UnitId;
use crate::db::DbError;
use crate::ingest::{Engine, UnitError};
use crate::records;

/// The intents of batches that are not stored yet.
#[derive(Clone, Debug, Default)]
pub struct Ahead(Arc<Mutex<HashSet<i64>>>);

impl Ahead {
    /// Commits the intent of a batch.
    pub async fn intend(
        &self,
        engine: &Engine,
        unit: Option<UnitId>,
        prepared: &mut PreparedRecords,
    ) -> Result<(), UnitError> {
        let pending_objects: Vec<&PendingObject> = prepared.pending_objects.iter().map(|one| &one.pending).collect();
        let intent = records::intend(&engine.db, unit, &pending_objects).await?;
        self.intents().extend(intent);
        prepared.intent = intent;
        Ok(())
    }

    /// Must be called before the objects of a batch are stored: its intent then stays until the batch is committed.
    pub fn will_store(&self, prepared: &PreparedRecords) {
        if let Some(intent) = prepared.intent {
            self.intents().remove(&intent);
        }
    }

    /// Deletes the intents of batches that will not be stored.
    pub async fn take_back(&self, engine: &Engine) -> Result<(), DbError> {
        let intents: Vec<i64> = self.intents().drain().collect();
        if intents.is_empty() {
            return Ok(());
        }
        let mut connection = engine.db.acquire().await?;
        records::forget_intents(&mut connection, &intents).await
    }

    fn intents(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
