//! The position of a projection: one row, changed only in the transaction that writes the rows of the events.

use sqlx::{FromRow, PgConnection, PgPool};

use super::Projection;
use crate::db::DbError;

/// The position of a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub(super) struct Position {
    /// Number of the last event whose rows are written.
    pub seq: i64,
    /// Position of a rebuild, while one is in progress.
    pub rebuilt_seq: Option<i64>,
    /// Version of the rules that wrote the rows.
    rules: i32,
}

impl Position {
    /// The position after new events up to a number were processed.
    pub fn read_up_to(self, seq: i64) -> Self {
        Self { seq, ..self }
    }

    /// The position after a rebuild has processed events up to a number; at the last one, the rebuild ends.
    pub fn rebuilt_up_to(self, seq: i64) -> Self {
        Self { rebuilt_seq: Some(seq).filter(|seq| *seq < self.seq), ..self }
    }
}

/// Returns the position of a projection, which starts at the first event. Starts a rebuild of rows of older rules.
/// Returns none if a program with newer rules has written rows: they are left to that program.
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

/// Moves a position that is still `from`; returns false if another process has moved it. Locks it until the transaction
/// ends.
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
    /// No projection has this name.
    #[error("unknown projection")]
    Unknown,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Requests a rebuild of a projection from the first event; the next run performs it. A rebuild in progress starts
/// again.
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
