//! Assesses which objects of a record can be trusted, and why the others cannot.
//!
//! An object is trusted if a row accepted its version with its payload, or if a committed intent names its bytes. Only
//! if the rows were lost altogether, or an operator requests it, objects are trusted without rows; then everything that
//! can be checked without them is checked.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

use crate::archive::{Envelope, EnvelopeError, ReadError, VersionId};
use crate::core::{Pmid, Sha256};
use crate::db::{self, DbError};
use crate::observability::chain;
use crate::pubmed::identity;
use crate::records::{self, Named};

/// Maximum time that an instant may be ahead of the database's clock, as for all stored data.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(1);

/// The latest instant that is not in the future.
pub(super) async fn latest(db: &PgPool) -> Result<DateTime<Utc>, DbError> {
    Ok(db::clock::now(db).await? + CLOCK_TOLERANCE)
}

/// What the rows state about the objects of some records.
pub(super) struct Assessor {
    named: HashMap<Pmid, Named>,
    intended: HashSet<(Pmid, Vec<u8>)>,
    latest: DateTime<Utc>,
    from_objects: bool,
}

/// The result of assessing an object.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It may become a row.
    Own(Envelope),
    /// A row names it, and the object differs from that row: damaged.
    Damaged,
    /// It was set aside before.
    Aside,
    /// This archive did not write it, or it cannot be trusted.
    Foreign(Option<Envelope>, String),
    /// A newer program wrote it.
    Newer(String),
}

impl Assessor {
    /// Reads the rows of these records. With `from_objects`, objects that no row names are trusted.
    pub(super) async fn of(db: &PgPool, pmids: &[Pmid], from_objects: bool) -> Result<Self, DbError> {
        // Read first: the commit that accepts the objects of an intent deletes it; the rows read below then name them.
        let intended = records::intended(db, pmids).await?;
        let named = records::named(db, pmids).await?;
        Ok(Self { named, intended, latest: latest(db).await?, from_objects })
    }

    /// The latest instant that is not in the future.
    pub(super) fn latest(&self) -> DateTime<Utc> {
        self.latest
    }

    /// Whether objects are trusted without rows.
    pub(super) fn is_from_objects(&self) -> bool {
        self.from_objects
    }

    /// Whether a row accepted a version.
    pub(super) fn accepts(&self, pmid: Pmid, version: &VersionId) -> bool {
        self.named.get(&pmid).is_some_and(|named| named.accepted.contains_key(version))
    }

    /// Whether a version was set aside.
    pub(super) fn is_aside(&self, pmid: Pmid, version: &VersionId) -> bool {
        self.named.get(&pmid).is_some_and(|named| named.aside.contains(version))
    }

    /// Whether a row names a version: it was decided already.
    pub(super) fn knows(&self, pmid: Pmid, version: &VersionId) -> bool {
        self.named.get(&pmid).is_some_and(|named| named.knows(version))
    }

    /// Whether the rows, or an intent, confirm a version with this payload.
    pub(super) fn vouches(&self, pmid: Pmid, version: &VersionId, bytes: Option<Sha256>) -> bool {
        self.named.get(&pmid).is_some_and(|named| named.accepted.contains_key(version))
            || bytes.is_some_and(|bytes| self.intended.contains(&(pmid, bytes.as_bytes().to_vec())))
    }

    /// Assesses an object by its version, the hash of its stored bytes and the result of reading them.
    pub(super) fn assess(
        &self,
        pmid: Pmid,
        version: &VersionId,
        bytes: Option<Sha256>,
        read: Result<Envelope, ReadError>,
    ) -> Verdict {
        let named = self.named.get(&pmid);
        let is_accepted = named.is_some_and(|named| named.accepted.contains_key(version));
        let envelope = match read {
            Ok(envelope) => envelope,
            Err(newer @ ReadError::Newer { .. }) => return Verdict::Newer(newer.to_string()),
            Err(_) if is_accepted => return Verdict::Damaged,
            Err(ReadError::Damaged { source, .. }) => return Verdict::Foreign(None, chain(&source)),
            Err(error) => return Verdict::Foreign(None, chain(&error)),
        };
        if is_accepted {
            let is_so = named.is_some_and(|named| named.accepts(version, envelope.content_hash()));
            return if is_so { Verdict::Own(envelope) } else { Verdict::Damaged };
        }
        if !self.from_objects && named.is_some_and(|named| named.aside.contains(version)) {
            return Verdict::Aside;
        }
        let is_intended = self.vouches(pmid, version, bytes);
        match self.fault(&envelope) {
            Some(fault) => Verdict::Foreign(Some(envelope), fault),
            None if is_intended || self.from_objects => Verdict::Own(envelope),
            None => Verdict::Foreign(Some(envelope), "no row and no intent refers to it".to_owned()),
        }
    }

    /// The detectable fault of an envelope that no row names.
    fn fault(&self, envelope: &Envelope) -> Option<String> {
        let order = &envelope.order;
        for (what, at) in [("as-of time", order.as_of), ("fetch time", envelope.fetched_at)] {
            if at > self.latest {
                return Some(format!("its {what} is in the future: {at}"));
            }
        }
        let xml = envelope.payload.xml()?;
        match identity::of_text(xml) {
            Ok(identity) if identity.version == order.version && identity.date_revised == order.date_revised => None,
            Ok(_) => Some("its version or date does not match its XML".to_owned()),
            Err(error) => Some(chain(&EnvelopeError::from(error))),
        }
    }
}
