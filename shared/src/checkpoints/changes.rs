//! The differences between two checkpoints.

use sqlx::{FromRow, PgPool};

use super::Checkpoint;
use crate::db::DbError;

/// Records that changed in one way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedRecords {
    pub total: i64,
    /// The first PMIDs, in numeric order.
    pub pmids: Vec<String>,
}

/// The differences from one checkpoint to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointChanges {
    /// Not in the first checkpoint.
    pub added: ChangedRecords,
    /// In both with different payloads.
    pub revised: ChangedRecords,
    /// Not in the second checkpoint.
    pub deleted: ChangedRecords,
    /// Added or revised records that state now, but did not before, that the article was retracted.
    pub retracted: ChangedRecords,
    /// Added or revised records that were archived before retractions were noted.
    pub unknown: ChangedRecords,
}

#[derive(FromRow)]
struct Row {
    change: String,
    total: i64,
    pmids: Vec<String>,
}

/// Compares two checkpoints; lists at most `limit` records of each kind of change. For the same queries, reads only the
/// events between the two checkpoints; otherwise reads all records of both.
pub async fn changes(
    db: &PgPool,
    from: &Checkpoint,
    to: &Checkpoint,
    limit: i32,
) -> Result<CheckpointChanges, DbError> {
    let sql = if from.primary_queries == to.primary_queries {
        concat!(include_str!("changes_of_same.sql"), include_str!("changes.sql"))
    } else {
        concat!(include_str!("changes_of_others.sql"), include_str!("changes.sql"))
    };
    let rows: Vec<Row> = sqlx::query_as(sql)
        .bind(from.seq)
        .bind(&from.primary_queries)
        .bind(to.seq)
        .bind(&to.primary_queries)
        .bind(limit)
        .fetch_all(db)
        .await?;
    let mut changes = CheckpointChanges::default();
    for Row { change, total, pmids } in rows {
        let place = match change.as_str() {
            "added" => &mut changes.added,
            "revised" => &mut changes.revised,
            "deleted" => &mut changes.deleted,
            "retracted" => &mut changes.retracted,
            _ => &mut changes.unknown,
        };
        *place = ChangedRecords { total, pmids };
    }
    Ok(changes)
}
