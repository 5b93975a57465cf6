//! PMIDs that a run's search found, in the order of their slices.

use chrono::NaiveDate;
use sqlx::{FromRow, PgConnection, PgPool};

use super::plan::{FIELDS, SlicePosition};
use crate::core::{JobId, Pmid};
use crate::db::DbError;
use crate::pubmed::eutils::DateField;

/// A found PMID and the first slice it was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundPmid {
    pub pmid: Pmid,
    pub position: SlicePosition,
}

/// The columns of a slice: `walk`, `day`, `last_day`, `field`.
pub(super) type Columns = (i16, Option<NaiveDate>, Option<NaiveDate>, i16);

/// The columns of a slice.
pub(super) fn columns_of(position: SlicePosition) -> Columns {
    (position.stage, position.day, position.until, number(position.field))
}

/// The slice of these columns; none if the field is invalid.
pub(super) fn position_of((stage, day, until, field): Columns) -> Option<SlicePosition> {
    let field = FIELDS.into_iter().find(|known| number(*known) == field)?;
    Some(SlicePosition { stage, day, until, field })
}

#[derive(FromRow)]
struct Row {
    pmid: i32,
    walk: i16,
    day: Option<NaiveDate>,
    last_day: Option<NaiveDate>,
    field: i16,
}

/// Adds the PMIDs of a slice; a PMID that an earlier slice had stays in that one.
pub async fn insert_found(
    db: &mut PgConnection,
    job: JobId,
    position: SlicePosition,
    pmids: &[Pmid],
) -> Result<(), DbError> {
    let (walk, day, last_day, field) = columns_of(position);
    sqlx::query(
        "insert into sync_found (job_id, pmid, walk, day, last_day, field) \
         select $1, pmid, $3, $4, $5, $6 from unnest($2::integer[]) as t (pmid) order by pmid on conflict do nothing",
    )
    .bind(job.0)
    .bind(pmids.iter().map(|pmid| i32::try_from(pmid.get()).unwrap_or(i32::MAX)).collect::<Vec<_>>())
    .bind(walk)
    .bind(day)
    .bind(last_day)
    .bind(field)
    .execute(db)
    .await?;
    Ok(())
}

/// Number of distinct PMIDs found so far.
pub async fn count_found(db: &PgPool, job: JobId) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar("select count(*) from sync_found where job_id = $1").bind(job.0).fetch_one(db).await?)
}

/// Up to `limit` found PMIDs, in the order of slices and PMIDs.
pub async fn take_found(db: &PgPool, job: JobId, limit: i64) -> Result<Vec<FoundPmid>, DbError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select pmid, walk, day, last_day, field from sync_found where job_id = $1 \
         order by walk, day, last_day, pmid limit $2",
    )
    .bind(job.0)
    .bind(limit)
    .fetch_all(db)
    .await?;
    let found = rows.into_iter().filter_map(|row| {
        let pmid = Pmid::new(u32::try_from(row.pmid).ok()?).ok()?;
        Some(FoundPmid { pmid, position: position_of((row.walk, row.day, row.last_day, row.field))? })
    });
    Ok(found.collect())
}

/// Deletes the found PMIDs: they are planned into units, or the job has ended.
pub async fn forget_found(db: &mut PgConnection, job: JobId) -> Result<(), DbError> {
    sqlx::query("delete from sync_found where job_id = $1").bind(job.0).execute(db).await?;
    Ok(())
}

fn number(field: DateField) -> i16 {
    match field {
        DateField::Entry => 0,
        DateField::Modification => 1,
        DateField::Creation => 2,
    }
}
