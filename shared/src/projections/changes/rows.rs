//! Rows of the feed.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::kinds::{ChangeKind, RecordState};
use super::{Event, status};
use crate::db::DbError;
use crate::projections::ProjectionRows;
use crate::pubmed::article::NotedEvidence;
use crate::pubmed::{IntegrityNote, IntegrityStatus, Notice};

/// Integrity of a row in addition to its status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Details {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<NotedEvidence>,
}

/// The note in the columns of a row; none if they are null.
pub(super) fn note(integrity: Option<&str>, details: Option<Json<Details>>) -> Option<IntegrityNote> {
    let Details { notices, evidence } = details.map(|details| details.0).unwrap_or_default();
    integrity.map(|text| IntegrityNote { status: status(text), notices, evidence })
}

/// A row.
pub(super) struct ChangeRow {
    seq: i64,
    kind: ChangeKind,
    record_type: String,
    record_id: String,
    integrity: Option<IntegrityStatus>,
    details: Option<Details>,
}

impl ChangeRow {
    /// The row of an event and one of its kinds, with the state of the record after it.
    pub fn of(event: &Event, kind: ChangeKind, after: &RecordState) -> Self {
        let note = match after {
            RecordState::Live(live) => live.integrity.as_ref(),
            RecordState::Absent | RecordState::Deleted => None,
        };
        let details = note.map(|note| Details { notices: note.notices.clone(), evidence: note.evidence.clone() });
        Self {
            seq: event.seq,
            kind,
            record_type: event.record_type.clone(),
            record_id: event.record_id.clone(),
            integrity: note.map(|note| note.status),
            details: details.filter(|details| *details != Details::default()),
        }
    }
}

/// The rows of a batch of events.
pub(super) struct ChangeRows {
    pub after: i64,
    pub upto: i64,
    pub rows: Vec<ChangeRow>,
}

#[async_trait]
impl ProjectionRows for ChangeRows {
    async fn write(&self, tx: &mut PgConnection) -> Result<(), DbError> {
        let sql = "delete from changes where seq > $1 and seq <= $2";
        sqlx::query(sql).bind(self.after).bind(self.upto).execute(&mut *tx).await?;
        sqlx::query(include_str!("insert.sql"))
            .bind(self.rows.iter().map(|row| row.seq).collect::<Vec<_>>())
            .bind(self.rows.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>())
            .bind(self.rows.iter().map(|row| row.record_type.as_str()).collect::<Vec<_>>())
            .bind(self.rows.iter().map(|row| row.record_id.as_str()).collect::<Vec<_>>())
            .bind(self.rows.iter().map(|row| row.integrity.map(IntegrityStatus::as_str)).collect::<Vec<_>>())
            .bind(self.rows.iter().map(|row| row.details.as_ref().map(Json)).collect::<Vec<_>>())
            .execute(tx)
            .await?;
        Ok(())
    }
}
