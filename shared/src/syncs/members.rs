//! Which records belong to which query.

use sqlx::PgConnection;

use crate::core::Pmid;
use crate::db::DbError;

/// Maximum number of records that become members with one number: a page of the feed of a query does not split them.
const MEMBERS_PER_NUMBER: i64 = 100;

/// Makes records members of a query, at separate numbers of the event log: readers of earlier numbers do not see them,
/// readers of later numbers do. Writes nothing for records that are members already.
pub async fn add_members(db: &mut PgConnection, query_key: &str, pmids: &[Pmid]) -> Result<(), DbError> {
    if pmids.is_empty() {
        return Ok(());
    }
    let pmids: Vec<String> = pmids.iter().map(ToString::to_string).collect();
    sqlx::query(include_str!("add_members.sql"))
        .bind(query_key)
        .bind(pmids)
        .bind(MEMBERS_PER_NUMBER)
        .execute(db)
        .await?;
    Ok(())
}
