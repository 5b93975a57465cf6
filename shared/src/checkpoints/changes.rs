//! What is different between two checkpoints.

use sqlx::{FromRow, PgPool};

use super::Checkpoint;
use crate::db::DbError;

/// Records that changed in one way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedRecords {
    pub total: i64,
    /// The first of them, by number.
    pub pmids: Vec<String>,
}

/// From one checkpoint to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointChanges {
    /// Not in the first.
    pub added: ChangedRecords,
    /// In both with different payloads.
    pub revised: ChangedRecords,
    /// Not in the second.
    pub deleted: ChangedRecords,
    /// Added or revised, and saying now but not before that the article was retracted.
    pub retracted: ChangedRecords,
    /// Added or revised, but archived before it was noted whether a payload says so.
    pub unknown: ChangedRecords,
}

#[derive(FromRow)]
struct Row {
    change: String,
    total: i64,
    pmids: Vec<String>,
}

/// Compares two checkpoints; of each kind of change at most `limit` records are named. Of the same queries only
/// what the log says between the two is read, else everything that either holds.
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
