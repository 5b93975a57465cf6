//! Names what a batch stores while the batch before is stored, so that storing it waits for no commit.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::prepare::PreparedRecords;
use crate::archive::PendingObject;
use crate::core::UnitId;
use crate::db::DbError;
use crate::ingest::{Engine, UnitError};
use crate::records;

/// The intents of batches that were not stored so far.
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

    /// To be called before the objects of a batch are stored: from here on its intent stays until it is committed.
    pub fn will_store(&self, prepared: &PreparedRecords) {
        if let Some(intent) = prepared.intent {
            self.intents().remove(&intent);
        }
    }

    /// Takes the intents of batches back that are not going to be stored: they name nothing.
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
