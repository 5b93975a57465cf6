//! Moving pointers: the rows of a batch of stored objects.
//!
//! Whether a payload is newer is decided only by [`RecordOrder::compare`]. The statements here change a pointer only
//! while its row is the one that was compared; a pointer that has moved is read again under its lock and compared
//! again. So a pointer never moves back, even if two workers race.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use super::pointer::{self, PointerStamp};
use crate::archive::ETag;
use crate::core::{FileRank, Pmid, Precedence, RecordOrder, Sha256};
use crate::db::DbError;
use crate::pubmed::{IntegrityNote, NOTE_RULES};

/// A stored version that is to become the pointer of its PMID.
#[derive(Clone, Debug)]
pub struct PointerUpdate {
    pub pmid: Pmid,
    /// Address of the version.
    pub s3_uri: String,
    /// Its `ETag` in the store; none if the object is known to be lost.
    pub object_etag: Option<ETag>,
    /// Hash of its payload, none for a tombstone.
    pub content_hash: Option<Sha256>,
    /// Whether its payload states that the article was retracted.
    pub retracted: bool,
    /// Integrity that its payload states, if it was read.
    pub integrity: Option<IntegrityNote>,
    /// When this archive received it.
    pub fetched_at: DateTime<Utc>,
    /// HTTP `ETag`, if it had one.
    pub api_etag: Option<String>,
    pub order: RecordOrder,
    /// The highest rank that arrived for its version, including its own.
    pub seen: FileRank,
    /// The pointer that it was compared with; none if there was no pointer.
    pub expected: Option<PointerStamp>,
}

/// The result of accepting a batch.
#[derive(Clone, Debug, Default)]
pub struct AcceptResult {
    /// Records whose pointer was moved.
    pub accepted: HashSet<Pmid>,
    /// Records for which a newer payload arrived in the meantime.
    pub older: HashSet<Pmid>,
    /// Records whose pointer another worker moved to the same object.
    pub same: HashSet<Pmid>,
    /// Records that got separate versions in the meantime: nothing was written for them; decide again.
    pub undecided: Vec<Pmid>,
}

/// Maximum number of rounds in which moved pointers are compared again. They are locked by then, so only rows that were
/// inserted in between need another round.
const ROUNDS: usize = 4;

/// Locks pointers in the order that every transaction uses. Must be called before a transaction changes pointers in
/// more than one statement.
pub async fn lock_pointers(db: &mut PgConnection, pmids: &[Pmid]) -> Result<(), DbError> {
    pointer::lookup_locked(db, pmids).await.map(|_| ())
}

/// Writes pointer, history and event of each row (distinct PMIDs, records without separate versions).
///
/// Must be the last rows written before the counters of the unit: the numbering of events is locked from here to the
/// commit.
pub async fn accept(db: &mut PgConnection, rows: &[PointerUpdate]) -> Result<AcceptResult, DbError> {
    let mut accepts = AcceptResult::default();
    let mut open: Vec<PointerUpdate> = rows.to_vec();
    for _ in 0..ROUNDS {
        if open.is_empty() {
            return Ok(accepts);
        }
        let written = write(db, &open).await?;
        open.retain(|row| !written.contains(&row.pmid));
        accepts.accepted.extend(written);
        if open.is_empty() {
            return Ok(accepts);
        }
        let pmids: Vec<Pmid> = open.iter().map(|row| row.pmid).collect();
        let now = pointer::lookup_locked(db, &pmids).await?;
        open.retain_mut(|row| {
            let Some(pointer) = now.get(&row.pmid) else {
                row.expected = None;
                return true;
            };
            if pointer.s3_uri == row.s3_uri {
                accepts.same.insert(row.pmid);
                return false;
            }
            if pointer.versioned || pointer.order.version != row.order.version {
                accepts.undecided.push(row.pmid);
                return false;
            }
            if row.order.compare(&pointer.order, pointer.seen) != Precedence::Newer {
                accepts.older.insert(row.pmid);
                return false;
            }
            row.seen = row.seen.max(pointer.seen);
            row.expected = Some(pointer.stamp());
            true
        });
    }
    accepts.undecided.extend(open.iter().map(|row| row.pmid));
    Ok(accepts)
}

async fn write(db: &mut PgConnection, rows: &[PointerUpdate]) -> Result<HashSet<Pmid>, DbError> {
    let expected = |row: &PointerUpdate| row.expected.clone();
    let accepted = sqlx::query(include_str!("accept.sql"))
        .bind(column(rows, |r| r.pmid.to_string()))
        .bind(column(rows, |r| r.s3_uri.clone()))
        .bind(column(rows, |r| r.content_hash.map(Sha256::to_hex)))
        .bind(column(rows, |r| r.fetched_at))
        .bind(column(rows, |r| r.api_etag.clone()))
        .bind(column(rows, |r| pointer::column_of(r.object_etag.as_ref()).to_owned()))
        .bind(column(rows, |r| r.order.version))
        .bind(column::<_, Option<NaiveDate>>(rows, |r| r.order.date_revised))
        .bind(column(rows, |r| r.order.as_of))
        .bind(column(rows, |r| r.order.file_number))
        .bind(column(rows, |r| r.order.position))
        .bind(column(rows, |r| r.order.file_id.clone()))
        .bind(column(rows, |r| r.seen.file_number))
        .bind(column(rows, |r| r.seen.position))
        .bind(column(rows, |r| r.order.deleted))
        .bind(column(rows, |r| r.retracted))
        .bind(column(rows, |r| expected(r).map(|stamp| stamp.s3_uri)))
        .bind(column(rows, |r| expected(r).map(|stamp| stamp.as_of)))
        .bind(column(rows, |r| noted(r.integrity.as_ref()).0))
        .bind(rows.iter().map(|r| noted(r.integrity.as_ref()).1).collect::<Vec<_>>())
        .fetch_all(db)
        .await?;
    pmids(&accepted)
}

/// The noted integrity of a payload: the version of the rules that read it, and what it states, if anything.
pub(super) fn noted(note: Option<&IntegrityNote>) -> (Option<i16>, Option<Json<&IntegrityNote>>) {
    (note.map(|_| NOTE_RULES), note.filter(|note| **note != IntegrityNote::default()).map(Json))
}

/// An archived payload that arrived again: only its order and the highest rank advance.
#[derive(Clone, Debug)]
pub struct Advance {
    pub pmid: Pmid,
    /// The order that arrived.
    pub order: RecordOrder,
    /// Whether the payload is the archived one in this or another spelling; otherwise only the rank may advance.
    pub same_payload: bool,
}

impl Advance {
    /// The new order and rank of a pointer with this order and rank; none if they do not change.
    pub fn of(&self, held: &RecordOrder, seen: FileRank) -> Option<(RecordOrder, FileRank)> {
        if self.order.version != held.version {
            return None;
        }
        let advances = self.same_payload
            && self.order.deleted == held.deleted
            && self.order.compare(held, seen) == Precedence::Newer;
        let order = if advances { self.order.clone() } else { held.clone() };
        let rank = seen.max(self.order.rank());
        (order != *held || rank != seen).then_some((order, rank))
    }
}

/// Advances the order columns of pointers (distinct PMIDs); writes no object, history or event. A pointer that changed
/// in the meantime is compared in its current state.
pub async fn advance(db: &mut PgConnection, rows: &[Advance]) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let all: Vec<Pmid> = rows.iter().map(|row| row.pmid).collect();
    let now = pointer::lookup_locked(db, &all).await?;
    let moved: Vec<(Pmid, RecordOrder, FileRank)> = rows
        .iter()
        .filter_map(|row| {
            let pointer = now.get(&row.pmid).filter(|pointer| !pointer.versioned)?;
            let (order, seen) = row.of(&pointer.order, pointer.seen)?;
            Some((row.pmid, order, seen))
        })
        .collect();
    if moved.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("advance.sql"))
        .bind(column(&moved, |r| r.0.to_string()))
        .bind(column::<_, Option<NaiveDate>>(&moved, |r| r.1.date_revised))
        .bind(column(&moved, |r| r.1.as_of))
        .bind(column(&moved, |r| r.1.file_number))
        .bind(column(&moved, |r| r.1.position))
        .bind(column(&moved, |r| r.1.file_id.clone()))
        .bind(column(&moved, |r| r.2.file_number))
        .bind(column(&moved, |r| r.2.position))
        .execute(db)
        .await?;
    Ok(())
}

fn pmids(rows: &[sqlx::postgres::PgRow]) -> Result<HashSet<Pmid>, DbError> {
    rows.iter()
        .map(|row| {
            let pmid: &str = row.try_get(0)?;
            Pmid::parse(pmid).map_err(|e| DbError::Refused(sqlx::Error::Decode(e.into())))
        })
        .collect()
}

fn column<R, T>(rows: &[R], get: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(get).collect()
}
