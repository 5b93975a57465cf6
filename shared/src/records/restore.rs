//! Rebuilds rows from the archive's objects.

use sqlx::{PgConnection, PgPool};

use super::versions::put_versions;
use super::{Pointer, VersionState, Versions, pointer};
use crate::archive::ETag;
use crate::core::{Pmid, Sha256};
use crate::db::{self, DbError};

/// Numbers of rows that were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    pub pointers: u64,
    pub history: u64,
    pub events: u64,
    /// Rows of record versions.
    pub versions: u64,
}

/// A record according to its readable objects.
#[derive(Clone, Debug)]
pub struct FoundVersions {
    pub pmid: Pmid,
    /// Every readable object, in the order of arrival.
    pub states: Vec<VersionState>,
    /// The versions that result from them.
    pub versions: Versions,
    /// `ETag` of the newest object; none if there is no object.
    pub object_etag: Option<ETag>,
    /// Whether the rows were lost, so that the objects are the only source.
    pub from_objects: bool,
}

impl FoundVersions {
    /// The state for the pointer: the highest version that is not deleted, else the last tombstone.
    pub fn pointer(&self) -> Option<&VersionState> {
        let tombstones = || self.states.iter().rev().filter(|state| state.order.deleted);
        let held = |state: &&VersionState| self.versions.iter().any(|(_, held)| held.s3_uri == state.s3_uri);
        self.versions.newest().or_else(|| tombstones().find(held))
    }

    /// Sets the new address of an object that was stored again.
    pub fn moved(&mut self, state: &VersionState, s3_uri: &str, etag: &ETag) {
        self.versions.moved(state.order.version, s3_uri);
        self.states.push(VersionState { s3_uri: s3_uri.to_owned(), ..state.clone() });
        self.object_etag = Some(etag.clone());
    }
}

/// Makes the rows of one record match its readable objects: the pointer results from them, each payload has a history
/// row, each version has a row if there are several, and the last event is that of the pointer. A record without events
/// gets one for each object, accepted when that was fetched.
pub async fn restore(
    db: &mut PgConnection,
    existing: Option<&Pointer>,
    found: &FoundVersions,
) -> Result<Restored, DbError> {
    let mut restored = Restored::default();
    let Some(mut newest) = found.pointer().cloned() else { return Ok(restored) };
    // The same payload arrived again with a newer order, which no object contains.
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
        // If there are events, only the newest may be missing: an older version without one was never accepted, and
        // must not become the last change now.
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

/// Where an interrupted repair resumes: the last key whose record is done.
pub async fn repair_cursor(db: &PgPool) -> Result<Option<String>, DbError> {
    Ok(sqlx::query_scalar("select cursor from maintenance where name = 'repair'").fetch_optional(db).await?)
}

/// Whether the interrupted repair trusted objects without rows.
pub async fn repairs_from_objects(db: &PgPool) -> Result<bool, DbError> {
    let sql = "select exists (select from maintenance where name = 'repair_from_objects')";
    Ok(sqlx::query_scalar(sql).fetch_one(db).await?)
}

/// Saves the position of a repair and whether it trusts objects without rows; without a key, that it is finished.
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

/// Marks a record whose object is lost or damaged, with no readable version left: the next time its payload arrives, it
/// is stored again instead of being skipped as unchanged.
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
    // Reads every row: on a large archive this exceeds the time limit of other statements.
    let mut patient = db::patient(db).await?;
    let rows: Vec<(String, String)> =
        sqlx::query_as(include_str!("inconsistent.sql")).bind(limit).fetch_all(&mut *patient).await?;
    Ok(rows.into_iter().filter_map(|(pmid, what)| Some((Pmid::parse(&pmid).ok()?, what))).collect())
}
