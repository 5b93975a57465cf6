//! Slices of a run that still have records without an outcome: the first one of each fetching unit, until the unit
//! completes. Units are identified by their number in the phase.

use sqlx::PgConnection;

use super::found::{Columns, columns_of, position_of};
use super::plan::SlicePosition;
use crate::core::JobId;
use crate::db::DbError;

/// Stores the first slice of each unit that has one, in the transaction that plans the units.
pub async fn open_slices(db: &mut PgConnection, job: JobId, slices: &[(i32, SlicePosition)]) -> Result<(), DbError> {
    if slices.is_empty() {
        return Ok(());
    }
    let columns: Vec<Columns> = slices.iter().map(|(_, position)| columns_of(*position)).collect();
    sqlx::query(include_str!("open_slices.sql"))
        .bind(job.0)
        .bind(slices.iter().map(|(unit_seq, _)| *unit_seq).collect::<Vec<_>>())
        .bind(columns.iter().map(|one| one.0).collect::<Vec<_>>())
        .bind(columns.iter().map(|one| one.1).collect::<Vec<_>>())
        .bind(columns.iter().map(|one| one.2).collect::<Vec<_>>())
        .bind(columns.iter().map(|one| one.3).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(())
}

/// Closes the slice of a unit that completes, and returns the first one of its run that is still open.
pub async fn close_slice(db: &mut PgConnection, job: JobId, unit_seq: i32) -> Result<Option<SlicePosition>, DbError> {
    let first: Option<Columns> =
        sqlx::query_as(include_str!("close_slice.sql")).bind(job.0).bind(unit_seq).fetch_optional(db).await?;
    Ok(first.and_then(position_of))
}
