//! Permanent purges: the rows of projections contain text of payloads.

use sqlx::PgConnection;

use super::changes;
use crate::db::DbError;

/// Removes what the projections contain of the text of a record, in the transaction that purges it. What another
/// process has prepared from earlier events is not written after this transaction: it is prepared again.
pub async fn forget(tx: &mut PgConnection, record_type: &str, record_id: &str) -> Result<(), DbError> {
    // Must be first: it waits for a batch that is being written, whose rows are then visible below.
    // A projection without a row is counted too: its first batch may be in preparation.
    let names: Vec<&str> = super::all().iter().map(|projection| projection.name()).collect();
    let sql = "insert into projections (name, rules, purges) select name, 0, 1 from unnest($1::text[]) as t (name) \
               on conflict (name) do update set purges = projections.purges + 1";
    sqlx::query(sql).bind(names).execute(&mut *tx).await?;
    changes::forget(tx, record_type, record_id).await
}
