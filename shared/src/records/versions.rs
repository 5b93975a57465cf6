//! Versions of records: each (PMID, Version) has a separate newest payload, and the pointer of the record is the
//! highest version that is not deleted. Few records have more than one; only those have rows here.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{FromRow, PgConnection, PgExecutor, Row, postgres::PgRow};

use super::accept::noted;
use super::pointer::{self, Pointer, PointerStamp};
use super::{Advance, PointerUpdate};
use crate::archive::{Address, ETag, StoredPayload, VersionId};
use crate::core::{EVERY_VERSION, FileRank, Pmid, Precedence, RecordOrder, Sha256};
use crate::db::DbError;
use crate::pubmed::IntegrityNote;

/// The newest state of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionState {
    /// Address of its payload or tombstone.
    pub s3_uri: String,
    /// Hash of the payload; none when the version was deleted.
    pub content_hash: Option<Sha256>,
    /// When this archive received it.
    pub fetched_at: DateTime<Utc>,
    /// HTTP `ETag`, if it had one.
    pub api_etag: Option<String>,
    /// Whether its payload states that the article was retracted.
    pub retracted: bool,
    pub order: RecordOrder,
    /// The highest rank that arrived for it.
    pub seen: FileRank,
}

impl VersionState {
    /// Address of its object.
    pub fn address(&self) -> StoredPayload {
        StoredPayload::new(&self.s3_uri, self.content_hash)
    }

    /// The version of that object.
    pub fn stored_version(&self) -> Option<VersionId> {
        Address::version_in(&self.s3_uri)
    }

    /// A pointer to it that expects no existing row.
    pub fn to_pointer(&self, pmid: Pmid, object_etag: Option<&ETag>) -> PointerUpdate {
        PointerUpdate {
            pmid,
            s3_uri: self.s3_uri.clone(),
            object_etag: object_etag.cloned(),
            content_hash: self.content_hash,
            retracted: self.retracted,
            integrity: None,
            fetched_at: self.fetched_at,
            api_etag: self.api_etag.clone(),
            order: self.order.clone(),
            seen: self.seen,
            expected: None,
        }
    }
}

impl From<&Pointer> for VersionState {
    fn from(pointer: &Pointer) -> Self {
        Self {
            s3_uri: pointer.s3_uri.clone(),
            content_hash: pointer.content_hash,
            fetched_at: pointer.fetched_at,
            api_etag: pointer.api_etag.clone(),
            retracted: false,
            order: pointer.order.clone(),
            seen: pointer.seen,
        }
    }
}

/// All versions of one record by number; [`EVERY_VERSION`] is a deletion of all, including those without a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions(BTreeMap<i32, VersionState>);

impl Versions {
    /// The state that a payload of a version is compared with.
    pub fn held(&self, version: i32) -> Option<&VersionState> {
        self.0.get(&version).or_else(|| self.0.get(&EVERY_VERSION))
    }

    /// The highest version that is not deleted.
    pub fn newest(&self) -> Option<&VersionState> {
        self.0.values().rev().find(|state| !state.order.deleted)
    }

    /// Compares an arriving payload or deletion with what is held.
    pub fn compare(&self, order: &RecordOrder) -> Precedence {
        if order.version != EVERY_VERSION {
            return self.held(order.version).map_or(Precedence::Newer, |held| order.compare(&held.order, held.seen));
        }
        if self.0.get(&EVERY_VERSION).is_some_and(|all| order.is_same_position(&all.order)) {
            return Precedence::Same;
        }
        let is_newer = |state: &VersionState| order.compare(&state.order, state.seen) == Precedence::Newer;
        if self.0.is_empty() || self.0.values().any(is_newer) { Precedence::Newer } else { Precedence::Older }
    }

    /// Replaces the current state with a newer one. A deletion of all versions deletes each one that has nothing newer.
    pub fn apply(&mut self, mut state: VersionState) {
        let version = state.order.version;
        if version == EVERY_VERSION {
            for (number, held) in &mut self.0 {
                if state.order.compare(&held.order, held.seen) == Precedence::Newer {
                    let order = RecordOrder { version: *number, ..state.order.clone() };
                    *held = VersionState { order, seen: held.seen.max(state.seen), ..state.clone() };
                }
            }
        }
        if let Some(held) = self.0.get(&version) {
            state.seen = state.seen.max(held.seen);
        }
        self.0.insert(version, state);
    }

    /// Advances the order of an archived payload; false if nothing changed.
    pub fn advance(&mut self, advance: &Advance) -> bool {
        let Some(held) = self.0.get_mut(&advance.order.version) else { return false };
        let Some((order, seen)) = advance.of(&held.order, held.seen) else { return false };
        held.order = order;
        held.seen = seen;
        true
    }

    /// Sets the new address of a version's object: the same bytes were stored again.
    pub fn moved(&mut self, version: i32, s3_uri: &str) {
        if let Some(state) = self.0.get_mut(&version) {
            s3_uri.clone_into(&mut state.s3_uri);
        }
    }

    /// The state of exactly this version.
    pub fn get(&self, version: i32) -> Option<&VersionState> {
        self.0.get(&version)
    }

    /// Versions and their states, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &VersionState)> {
        self.0.iter().map(|(version, state)| (*version, state))
    }

    /// The versions that result from states, applied in the order of arrival.
    pub fn fold(states: impl IntoIterator<Item = VersionState>) -> Self {
        let mut versions = Self::default();
        for state in states {
            // The same bytes stored again are the same state at another address.
            let held = versions.get(state.order.version);
            let is_same = held.is_some_and(|held| held.order == state.order && held.content_hash == state.content_hash);
            // If nothing distinguishes two payloads, the later one is current, as when they arrived.
            if is_same || versions.compare(&state.order) != Precedence::Older {
                versions.apply(state);
            }
        }
        versions
    }

    /// Whether the record needs separate rows: it has a version other than the first.
    pub fn is_needed(&self) -> bool {
        self.0.keys().any(|version| *version != 1)
    }
}

struct VersionRow(Pmid, i32, VersionState);

impl FromRow<'_, PgRow> for VersionRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let bad = |column: &str, source: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source,
        };
        let version = row.try_get("version")?;
        let hash: Option<&str> = row.try_get("content_hash")?;
        let order = RecordOrder {
            version,
            date_revised: row.try_get::<Option<NaiveDate>, _>("date_revised")?,
            as_of: row.try_get("as_of")?,
            file_number: row.try_get("file_number")?,
            position: row.try_get("position")?,
            file_id: row.try_get("file_id")?,
            deleted: row.try_get::<Option<DateTime<Utc>>, _>("deleted_at")?.is_some(),
        };
        let state = VersionState {
            s3_uri: row.try_get("s3_uri")?,
            content_hash: hash.map(Sha256::parse).transpose().map_err(|e| bad("content_hash", e.into()))?,
            fetched_at: row.try_get("fetched_at")?,
            api_etag: row.try_get("api_etag")?,
            retracted: row.try_get("retracted")?,
            order,
            seen: FileRank { file_number: row.try_get("rank_file")?, position: row.try_get("rank_position")? },
        };
        Ok(Self(Pmid::parse(row.try_get("pmid")?).map_err(|e| bad("pmid", e.into()))?, version, state))
    }
}

/// The versions of those of `pmids` that have rows here.
pub async fn versions_of(db: impl PgExecutor<'_>, pmids: &[Pmid]) -> Result<HashMap<Pmid, Versions>, DbError> {
    let texts: Vec<String> = pmids.iter().map(ToString::to_string).collect();
    let sql = "select * from pubmed_archive_versions where pmid = any ($1)";
    let rows: Vec<VersionRow> = sqlx::query_as(sql).bind(texts).fetch_all(db).await?;
    let mut found: HashMap<Pmid, Versions> = HashMap::new();
    for VersionRow(pmid, version, state) in rows {
        found.entry(pmid).or_default().0.insert(version, state);
    }
    Ok(found)
}

/// A change made by one object.
#[derive(Clone, Debug)]
pub struct VersionEvent {
    pub version: i32,
    /// Hash of its payload; none for a deletion.
    pub content_hash: Option<Sha256>,
    /// Address of the object.
    pub s3_uri: String,
    /// Integrity that its payload states, if it was read.
    pub integrity: Option<IntegrityNote>,
}

/// The rows to write for one record with versions.
#[derive(Clone, Debug)]
pub struct VersionChange {
    pub pmid: Pmid,
    /// The pointer that the decision was based on; none if there was none.
    pub expected: Option<PointerStamp>,
    /// The new state of all versions.
    pub versions: Versions,
    /// The new pointer; none if only orders advanced.
    pub pointer: Option<PointerUpdate>,
    /// The payload that arrived, for history; none for a deletion.
    pub payload: Option<PointerUpdate>,
    /// Changes in order: the last one is the pointer.
    pub events: Vec<VersionEvent>,
}

/// Writes versions, pointers, history and events. Returns the records whose pointer moved since the decision: nothing
/// was written for those.
///
/// Like `accept` it must come last: it locks the numbering of events until the commit.
pub async fn accept_versions(db: &mut PgConnection, changes: &[VersionChange]) -> Result<Vec<Pmid>, DbError> {
    let mut undecided = Vec::new();
    for change in changes {
        let now = pointer::lookup_locked(db, &[change.pmid]).await?;
        if now.get(&change.pmid).map(Pointer::stamp) != change.expected {
            undecided.push(change.pmid);
            continue;
        }
        if !write_change(db, change).await? {
            undecided.push(change.pmid);
        }
    }
    Ok(undecided)
}

async fn write_change(db: &mut PgConnection, change: &VersionChange) -> Result<bool, DbError> {
    if let Some(pointer) = &change.pointer {
        let written = pointer::written_by(include_str!("put_pointer.sql"), pointer)
            .bind(change.expected.is_none())
            .execute(&mut *db)
            .await?;
        // Another worker inserted a first pointer at the same time.
        if written.rows_affected() == 0 {
            return Ok(false);
        }
    }
    put_versions(db, change.pmid, &change.versions).await?;
    if let Some(payload) = &change.payload {
        sqlx::query(
            "insert into pubmed_archive_history (pmid, content_hash, s3_uri, fetched_at, retracted) \
             values ($1, $2, $3, $4, $5) on conflict do nothing",
        )
        .bind(payload.pmid.to_string())
        .bind(payload.content_hash.map(Sha256::to_hex))
        .bind(&payload.s3_uri)
        .bind(payload.fetched_at)
        .bind(payload.retracted)
        .execute(&mut *db)
        .await?;
    }
    if !change.events.is_empty() {
        sqlx::query(include_str!("append_events.sql"))
            .bind(change.pmid.to_string())
            .bind(change.events.iter().map(|event| event.content_hash.map(Sha256::to_hex)).collect::<Vec<_>>())
            .bind(change.events.iter().map(|event| event.s3_uri.clone()).collect::<Vec<_>>())
            .bind(change.events.iter().map(|event| event.version).collect::<Vec<_>>())
            .bind(change.events.iter().map(|event| noted(event.integrity.as_ref()).0).collect::<Vec<_>>())
            .bind(change.events.iter().map(|event| noted(event.integrity.as_ref()).1).collect::<Vec<_>>())
            .execute(&mut *db)
            .await?;
    }
    Ok(true)
}

/// Writes the rows of a record's versions, except unchanged ones. Returns the number of rows written.
pub(super) async fn put_versions(db: &mut PgConnection, pmid: Pmid, versions: &Versions) -> Result<u64, DbError> {
    let rows: Vec<(i32, &VersionState)> = versions.iter().collect();
    let written = sqlx::query(include_str!("put_versions.sql"))
        .bind(pmid.to_string())
        .bind(rows.iter().map(|r| r.0).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.1.s3_uri.clone()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.1.content_hash.map(Sha256::to_hex)).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.1.fetched_at).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.1.api_etag.clone()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.1.retracted).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.1.order.date_revised).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.1.order.as_of).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.1.order.file_number).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.1.order.position).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.1.order.file_id.clone()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.1.seen.file_number).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.1.seen.position).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.1.order.deleted).collect::<Vec<_>>())
        .execute(&mut *db)
        .await?
        .rows_affected();
    let marked = sqlx::query("update pubmed_archive set versioned = true where pmid = $1 and not versioned")
        .bind(pmid.to_string())
        .execute(db)
        .await?
        .rows_affected();
    Ok(written + marked)
}
