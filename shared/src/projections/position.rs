//! How far a projection is: one row, changed only in the transaction that writes what follows from the events.

use sqlx::{FromRow, PgConnection, PgPool};

use super::Projection;
use crate::db::DbError;

/// Where a projection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub(super) struct Position {
    /// What follows from every event up to this number is written.
    pub seq: i64,
    /// How far a rebuild is, while one is under way.
    pub rebuilt_seq: Option<i64>,
    /// By which rules events were read.
    rules: i32,
}

impl Position {
    /// The position after events up to a number were read behind the end.
    pub fn read_up_to(self, seq: i64) -> Self {
        Self { seq, ..self }
    }

    /// The position after events up to a number were read again; at the end the rebuild is over.
    pub fn rebuilt_up_to(self, seq: i64) -> Self {
        Self { rebuilt_seq: Some(seq).filter(|seq| *seq < self.seq), ..self }
    }
}

/// Where a projection is; it begins at the first event. Rows that were read by older rules are to be rebuilt. Nothing
/// where a program with newer rules has read: this one leaves the log to that.
pub(super) async fn position(db: &PgPool, projection: &dyn Projection) -> Result<Option<Position>, DbError> {
    let mut found = one(db, projection.name()).await?;
    if found.is_none_or(|found| found.rules < projection.rules()) {
        let sql = include_str!("begin_rules.sql");
        sqlx::query(sql).bind(projection.name()).bind(projection.rules()).execute(db).await?;
        found = one(db, projection.name()).await?;
    }
    Ok(found.filter(|found| found.rules <= projection.rules()))
}

async fn one(db: &PgPool, name: &str) -> Result<Option<Position>, DbError> {
    let sql = "select seq, rebuilt_seq, rules from projections where name = $1";
    Ok(sqlx::query_as(sql).bind(name).fetch_optional(db).await?)
}

/// Moves a position that is still `from`; false where another process has moved it. Locks it until the transaction ends.
pub(super) async fn advance(tx: &mut PgConnection, name: &str, from: Position, to: Position) -> Result<bool, DbError> {
    let moved = sqlx::query(include_str!("advance.sql"))
        .bind(name)
        .bind(from.seq)
        .bind(from.rebuilt_seq)
        .bind(from.rules)
        .bind(to.seq)
        .bind(to.rebuilt_seq)
        .execute(tx)
        .await?;
    Ok(moved.rows_affected() == 1)
}

/// A rebuild could not be started.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// It has another name.
    #[error("unknown projection")]
    Unknown,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Has a projection read again from the first event; the next run does it. One that is under way starts again.
pub async fn rebuild(
    db: &PgPool,
    projections: &[std::sync::Arc<dyn Projection>],
    name: &str,
) -> Result<(), RebuildError> {
    let projection = projections.iter().find(|one| one.name() == name).ok_or(RebuildError::Unknown)?;
    position(db, projection.as_ref()).await?;
    sqlx::query("update projections set rebuilt_seq = 0, updated_at = clock_timestamp() where name = $1 and seq > 0")
        .bind(name)
        .execute(db)
        .await
        .map_err(DbError::from)?;
    Ok(())
}
