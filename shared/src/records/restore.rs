//! Rebuilding rows from what the archive's objects say.

use sqlx::{PgConnection, PgPool};

use super::versions::put_versions;
use super::{Pointer, VersionState, Versions, pointer};
use crate::archive::ETag;
use crate::core::{Pmid, Sha256};
use crate::db::{self, DbError};

/// Rows that were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    pub pointers: u64,
    /// History rows.
    pub history: u64,
    pub events: u64,
    /// Rows of versions.
    pub versions: u64,
}

/// A record as its readable objects are.
#[derive(Clone, Debug)]
pub struct FoundVersions {
    pub pmid: Pmid,
    /// Every readable object, in the order in which they came.
    pub states: Vec<VersionState>,
    /// What they lead to.
    pub versions: Versions,
    /// `ETag` of the newest object; none if there is no object.
    pub object_etag: Option<ETag>,
    /// Whether the rows were lost, so that all of this is what the objects say of themselves.
    pub from_objects: bool,
}

impl FoundVersions {
    /// What the pointer is to be: the highest version that is not deleted, else the last tombstone.
    pub fn pointer(&self) -> Option<&VersionState> {
        let tombstones = || self.states.iter().rev().filter(|state| state.order.deleted);
        let held = |state: &&VersionState| self.versions.iter().any(|(_, held)| held.s3_uri == state.s3_uri);
        self.versions.newest().or_else(|| tombstones().find(held))
    }

    /// An object was stored again: its new address.
    pub fn moved(&mut self, state: &VersionState, s3_uri: &str, etag: &ETag) {
        self.versions.moved(state.order.version, s3_uri);
        self.states.push(VersionState { s3_uri: s3_uri.to_owned(), ..state.clone() });
        self.object_etag = Some(etag.clone());
    }
}

/// Makes the rows of one record agree with its readable objects: the pointer is what they lead to, each payload has a
/// history row, each version its row where there are several, and the pointer is the last event. A record
/// without any event gets one for each object, accepted when that was fetched.
pub async fn restore(
    db: &mut PgConnection,
    existing: Option<&Pointer>,
    found: &FoundVersions,
) -> Result<Restored, DbError> {
    let mut restored = Restored::default();
    let Some(mut newest) = found.pointer().cloned() else { return Ok(restored) };
    // The same payload arrived again with a newer order, of which no object knows.
    if let Some(pointer) = existing.filter(|held| held.content_hash == newest.content_hash && !held.is_ahead)
        && !pointer.is_behind(&newest.order)
    {
        newest.order = pointer.order.clone();
        newest.seen = newest.seen.max(pointer.seen);
    }
    let pmid = found.pmid.to_string();
    let known: bool = sqlx::query_scalar("select exists (select from archive_events where pmid = $1)")
        .bind(&pmid)
        .fetch_one(&mut *db)
        .await?;
    let addresses: Vec<String> = found.states.iter().map(|state| state.s3_uri.clone()).collect();
    let others = found.states.iter().filter(|state| state.s3_uri != newest.s3_uri);
    for state in others.chain([&newest]) {
        let hash = state.content_hash.map(Sha256::to_hex);
        if let Some(hash) = &hash {
            restored.history += sqlx::query(include_str!("restore_history.sql"))
                .bind(&pmid)
                .bind(hash)
                .bind(&state.s3_uri)
                .bind(state.fetched_at)
                .bind(&addresses)
                .bind(state.retracted)
                .execute(&mut *db)
                .await?
                .rows_affected();
        }
        // Beside recorded events only the newest may be missing: an older version without one was never
        // accepted, and must not seem to be the last change now.
        if known && state.s3_uri != newest.s3_uri {
            continue;
        }
        restored.events += sqlx::query(include_str!("restore_event.sql"))
            .bind(&pmid)
            .bind(if state.order.deleted { "deleted" } else { "archived" })
            .bind(&hash)
            .bind(&state.s3_uri)
            .bind(state.fetched_at)
            .bind(state.order.version)
            .execute(&mut *db)
            .await?
            .rows_affected();
    }
    let is_right = existing.is_some_and(|pointer| {
        (&pointer.s3_uri, pointer.content_hash, &pointer.object_etag)
            == (&newest.s3_uri, newest.content_hash, &found.object_etag)
            && !pointer.is_behind(&newest.order)
    });
    if !is_right {
        let row = newest.to_pointer(found.pmid, found.object_etag.as_ref());
        restored.pointers += pointer::written_by(include_str!("restore_pointer.sql"), &row)
            .bind(found.from_objects)
            .execute(&mut *db)
            .await?
            .rows_affected();
    }
    if found.versions.is_needed() {
        restored.versions += put_versions(db, found.pmid, &found.versions).await?;
    }
    Ok(restored)
}

/// Where a repair that was stopped goes on: the last key whose record is done.
pub async fn repair_cursor(db: &PgPool) -> Result<Option<String>, DbError> {
    Ok(sqlx::query_scalar("select cursor from maintenance where name = 'repair'").fetch_optional(db).await?)
}

/// Whether the repair that was stopped believed objects on their own word.
pub async fn repairs_from_objects(db: &PgPool) -> Result<bool, DbError> {
    let sql = "select exists (select from maintenance where name = 'repair_from_objects')";
    Ok(sqlx::query_scalar(sql).fetch_one(db).await?)
}

/// Notes how far a repair is and whether it believes objects on their own word, or that it is over.
pub async fn save_repair_cursor(db: &mut PgConnection, key: Option<&str>, from_objects: bool) -> Result<(), DbError> {
    let sql = match key {
        Some(_) => {
            "insert into maintenance (name, cursor) values ('repair', $1) \
             on conflict (name) do update set cursor = excluded.cursor, updated_at = now()"
        }
        None => "delete from maintenance where name = 'repair' and $1::text is null",
    };
    sqlx::query(sql).bind(key).execute(&mut *db).await?;
    let sql = if key.is_some() && from_objects {
        "insert into maintenance (name, cursor) values ('repair_from_objects', '') on conflict do nothing"
    } else {
        "delete from maintenance where name = 'repair_from_objects'"
    };
    sqlx::query(sql).execute(db).await?;
    Ok(())
}

/// Marks a record whose object is gone or damaged, with no readable version left: the next time its
/// payload arrives it is stored again instead of being taken for unchanged.
pub async fn mark_lost(db: &PgPool, pmid: Pmid, s3_uri: &str) -> Result<(), DbError> {
    let mut tx = db::begin(db).await?;
    sqlx::query("update pubmed_archive set object_etag = '' where pmid = $1 and s3_uri = $2")
        .bind(pmid.to_string())
        .bind(s3_uri)
        .execute(&mut *tx)
        .await?;
    sqlx::query("delete from pubmed_archive_history where pmid = $1 and s3_uri = $2")
        .bind(pmid.to_string())
        .bind(s3_uri)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// Records whose rows contradict each other, with what is wrong: a live pointer without history,
/// without an event, or that is not the last event.
pub async fn inconsistent(db: &PgPool, limit: i64) -> Result<Vec<(Pmid, String)>, DbError> {
    // Looks at every row: on a large archive that takes longer than any other statement may.
    let mut patient = db::patient(db).await?;
    let rows: Vec<(String, String)> =
        sqlx::query_as(include_str!("inconsistent.sql")).bind(limit).fetch_all(&mut *patient).await?;
    Ok(rows.into_iter().filter_map(|(pmid, what)| Some((Pmid::parse(&pmid).ok()?, what))).collect())
}
