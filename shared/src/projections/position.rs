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
    /// Number of permanent purges: what was read before one may contain text of the purged record.
    purges: i64,
    /// Number before the first event of the log; lower ones belong to a log that was lost.
    before_log: i64,
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

    /// Position of the rebuild after this batch, if the batch is one of a rebuild.
    fn rebuilt_by(self, to: Self) -> Option<i64> {
        let is_rebuild = self.rebuilt_seq.is_some() && to.seq == self.seq;
        is_rebuild.then(|| to.rebuilt_seq.unwrap_or(to.seq))
    }

    /// Number of existing event numbers that are processed between this position and a later one.
    pub fn work_until(self, to: Self) -> i64 {
        let new = to.seq - self.seq.max(self.before_log);
        let again = self.rebuilt_seq.map_or(0, |rebuilt| {
            let upto = to.rebuilt_seq.unwrap_or(to.seq);
            (upto - rebuilt.max(self.before_log)).max(0)
        });
        new.max(0) + again
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
    Ok(sqlx::query_as(include_str!("position.sql")).bind(name).fetch_optional(db).await?)
}

/// Moves a position that is still `from`; returns false if another process has moved it, or a record was purged since.
/// A batch of a rebuild only needs the rebuild's position: otherwise two processes would discard each other's batches as
/// long as new events arrive.
/// Locks it until the transaction ends.
pub(super) async fn advance(tx: &mut PgConnection, name: &str, from: Position, to: Position) -> Result<bool, DbError> {
    if let Some(rebuilt_seq) = from.rebuilt_by(to) {
        let moved = sqlx::query(include_str!("advance_rebuild.sql"))
            .bind(name)
            .bind(from.rebuilt_seq)
            .bind(rebuilt_seq)
            .bind(from.rules)
            .bind(from.purges)
            .execute(tx)
            .await?;
        return Ok(moved.rows_affected() == 1);
    }
    let moved = sqlx::query(include_str!("advance.sql"))
        .bind(name)
        .bind(from.seq)
        .bind(from.rebuilt_seq)
        .bind(from.rules)
        .bind(to.seq)
        .bind(to.rebuilt_seq)
        .bind(from.purges)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_in_numbers_that_exist() {
        let at = |seq, rebuilt_seq| Position { seq, rebuilt_seq, rules: 1, purges: 0, before_log: 1_000 };
        assert_eq!(at(0, None).work_until(at(1_005, None)), 5, "the numbers of a lost log do not count");
        assert_eq!(at(1_005, None).work_until(at(1_009, None)), 4);
        assert_eq!(at(1_009, Some(0)).work_until(at(1_009, Some(1_003))), 3, "nor in a rebuild");
        assert_eq!(at(1_009, Some(1_003)).work_until(at(1_009, None)), 6, "the end of a rebuild");
        assert_eq!(at(1_009, Some(1_003)).work_until(at(1_011, Some(1_003))), 2, "new events during a rebuild");
        let empty = |rebuilt_seq| Position { before_log: i64::MAX, ..at(7, rebuilt_seq) };
        assert_eq!(empty(Some(0)).work_until(empty(None)), 0, "an empty log");
    }
}
