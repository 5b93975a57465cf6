//! Which records belong to which query.

use sqlx::PgConnection;

use crate::db::DbError;
use crate::words::Pmid;

/// Makes records members of a query, from a number of the event log of their own: who read the log
/// before does not see them, who reads it later does. Nothing is written for those that are members
/// already.
pub async fn add_members(db: &mut PgConnection, query_key: &str, pmids: &[Pmid]) -> Result<(), DbError> {
    if pmids.is_empty() {
        return Ok(());
    }
    let pmids: Vec<String> = pmids.iter().map(ToString::to_string).collect();
    sqlx::query(
        "with new as materialized ( \
             select pmid from unnest($2::text[]) as t (pmid) \
             where not exists (select from query_members m where m.query_key = $1 and m.pmid = t.pmid) \
         ), number as ( \
             update archive_event_counter set last_seq = last_seq + 1 where exists (select from new) returning last_seq \
         ) \
         insert into query_members (query_key, pmid, first_seq) \
         select $1, pmid, last_seq from new cross join number order by pmid on conflict do nothing",
    )
    .bind(query_key)
    .bind(pmids)
    .execute(db)
    .await?;
    Ok(())
}
