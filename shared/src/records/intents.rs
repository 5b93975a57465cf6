//! Intents: each object is named by a committed row before it is stored. An object in the store that no row names was
//! not written by this archive.

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, PgPool, Row};

use super::{FoundVersions, VersionState};
use crate::archive::{Address, ObjectStatus, PendingObject, VersionId};
use crate::core::{JobId, Pmid, Sha256, UnitId};
use crate::db::DbError;

/// Commits that objects are about to be stored, and returns the number of the intent.
pub async fn intend(
    db: &PgPool,
    unit: Option<UnitId>,
    pending_objects: &[&PendingObject],
) -> Result<Option<i64>, DbError> {
    if pending_objects.is_empty() {
        return Ok(None);
    }
    let mut hashes = Vec::with_capacity(pending_objects.len() * 32);
    for pending in pending_objects {
        hashes.extend_from_slice(pending.bytes_hash.as_bytes());
    }
    let id =
        sqlx::query_scalar("insert into archive_intents (unit_id, pmids, hashes) values ($1, $2, $3) returning id")
            .bind(unit.map(|unit| unit.0))
            .bind(pending_objects.iter().map(|pending| number(pending.pmid)).collect::<Vec<_>>())
            .bind(hashes)
            .fetch_one(db)
            .await?;
    Ok(Some(id))
}

/// Deletes intents, in the transaction that writes the rows of their objects.
pub async fn forget_intents(db: &mut PgConnection, intents: &[i64]) -> Result<(), DbError> {
    if !intents.is_empty() {
        sqlx::query("delete from archive_intents where id = any ($1)").bind(intents).execute(db).await?;
    }
    Ok(())
}

/// The status of one object according to the rows.
pub async fn object_status(
    db: &PgPool,
    pmid: Pmid,
    version: &VersionId,
    bytes: Sha256,
) -> Result<ObjectStatus, DbError> {
    let row = sqlx::query(include_str!("object_status.sql"))
        .bind(number(pmid))
        .bind(bytes.as_bytes().to_vec())
        .bind(pmid.to_string())
        .bind(version.as_str())
        .fetch_one(db)
        .await?;
    Ok(ObjectStatus {
        is_intended: row.try_get("is_intended")?,
        is_pointer: row.try_get("is_pointer")?,
        latest: row.try_get("latest")?,
    })
}

/// Hashes of the objects that intents of these records name.
pub async fn intended(db: &PgPool, pmids: &[Pmid]) -> Result<HashSet<(Pmid, Vec<u8>)>, DbError> {
    let numbers: Vec<i32> = pmids.iter().map(|pmid| number(*pmid)).collect();
    let rows = sqlx::query(include_str!("intended.sql")).bind(numbers).fetch_all(db).await?;
    let mut found = HashSet::with_capacity(rows.len());
    for row in rows {
        let pmid: i32 = row.try_get(0)?;
        if let Some(pmid) = u32::try_from(pmid).ok().and_then(|pmid| Pmid::new(pmid).ok()) {
            found.insert((pmid, row.try_get(1)?));
        }
    }
    Ok(found)
}

/// Hashes of the objects of records named by intents of units that have not ended, with their job: such an object has
/// no row yet because the unit is still running, or will run again.
pub async fn unfinished(db: &PgPool, pmids: &[Pmid]) -> Result<HashMap<(Pmid, Vec<u8>), JobId>, DbError> {
    let numbers: Vec<i32> = pmids.iter().map(|pmid| number(*pmid)).collect();
    let rows = sqlx::query(include_str!("unfinished.sql")).bind(numbers).fetch_all(db).await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let pmid: i32 = row.try_get(0)?;
        if let Some(pmid) = u32::try_from(pmid).ok().and_then(|pmid| Pmid::new(pmid).ok()) {
            found.insert((pmid, row.try_get(1)?), JobId(row.try_get(2)?));
        }
    }
    Ok(found)
}

fn number(pmid: Pmid) -> i32 {
    i32::try_from(pmid.get()).expect("a PMID has nine digits")
}

/// An object version that did not become a pointer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, sqlx::FromRow)]
pub struct SetAside {
    /// The record under whose key it is stored.
    pub pmid: String,
    /// Its address.
    pub s3_uri: String,
    pub reason: String,
}

/// Saves versions that this archive wrote and that a newer payload superseded.
pub async fn put_aside_own(db: &mut PgConnection, versions: &[(Pmid, String)]) -> Result<(), DbError> {
    let rows = versions.iter().map(|(pmid, s3_uri)| SetAside {
        pmid: pmid.to_string(),
        s3_uri: s3_uri.clone(),
        reason: "a newer payload overtook it".to_owned(),
    });
    put_aside(db, &rows.collect::<Vec<_>>(), true).await.map(|_| ())
}

/// Saves versions that must not become pointers; returns how many were not known before.
pub async fn put_aside(db: &mut PgConnection, rows: &[SetAside], is_own: bool) -> Result<u64, DbError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let version =
        |row: &SetAside| Address::version_in(&row.s3_uri).map(|version| version.to_string()).unwrap_or_default();
    let sql = "insert into archive_set_aside (pmid, version_id, s3_uri, is_own, reason) \
               select pmid, version_id, s3_uri, $4, reason \
               from unnest($1::text[], $2::text[], $3::text[], $5::text[]) as t (pmid, version_id, s3_uri, reason) \
               on conflict do nothing";
    let written = sqlx::query(sql)
        .bind(rows.iter().map(|row| row.pmid.clone()).collect::<Vec<_>>())
        .bind(rows.iter().map(version).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.s3_uri.clone()).collect::<Vec<_>>())
        .bind(is_own)
        .bind(rows.iter().map(|row| row.reason.clone()).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(written.rows_affected())
}

/// Removes versions that are accepted after all from those set aside.
pub async fn take_back(db: &mut PgConnection, found: &FoundVersions) -> Result<(), DbError> {
    let versions = found.states.iter().filter_map(VersionState::stored_version).map(|version| version.to_string());
    sqlx::query("delete from archive_set_aside where pmid = $1 and version_id = any ($2)")
        .bind(found.pmid.to_string())
        .bind(versions.collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(())
}

/// Versions that were set aside because this archive did not write them, and their total number.
pub async fn foreign(db: &PgPool, limit: i64) -> Result<(Vec<SetAside>, i64), DbError> {
    let sql = "select pmid, s3_uri, reason from archive_set_aside where not is_own order by found_at, s3_uri limit $1";
    let listed = sqlx::query_as(sql).bind(limit).fetch_all(db).await?;
    let count = sqlx::query_scalar("select count(*) from archive_set_aside where not is_own").fetch_one(db).await?;
    Ok((listed, count))
}

/// The versions of one record that rows name.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// Accepted versions, with the hashes of their payloads; none for a deletion.
    pub accepted: HashMap<VersionId, Option<String>>,
    /// Versions that did not become pointers.
    pub aside: HashSet<VersionId>,
}

impl Named {
    /// Whether a row accepted this version with this payload.
    pub fn accepts(&self, version: &VersionId, content_hash: Option<Sha256>) -> bool {
        self.accepted.get(version).is_some_and(|hash| *hash == content_hash.map(Sha256::to_hex))
    }

    /// Whether any row names this version.
    pub fn knows(&self, version: &VersionId) -> bool {
        self.accepted.contains_key(version) || self.aside.contains(version)
    }
}

/// The versions that rows name, for those of `pmids` that have any.
pub async fn named(db: &PgPool, pmids: &[Pmid]) -> Result<HashMap<Pmid, Named>, DbError> {
    let texts: Vec<String> = pmids.iter().map(ToString::to_string).collect();
    let rows = sqlx::query(include_str!("named.sql")).bind(texts).fetch_all(db).await?;
    let mut found: HashMap<Pmid, Named> = HashMap::new();
    for row in rows {
        let (pmid, s3_uri): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        let (Ok(pmid), Some(version)) = (Pmid::parse(pmid), Address::version_in(s3_uri)) else { continue };
        let named = found.entry(pmid).or_default();
        if row.try_get(3)? {
            named.aside.insert(version);
        } else {
            named.accepted.insert(version, row.try_get(2)?);
        }
    }
    Ok(found)
}

/// Whether no record was ever accepted, according to the rows.
pub async fn is_empty(db: &PgPool) -> Result<bool, DbError> {
    let sql = "select not exists (select from archive_events) and not exists (select from pubmed_archive)";
    Ok(sqlx::query_scalar(sql).fetch_one(db).await?)
}
