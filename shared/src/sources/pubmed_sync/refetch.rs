//! Fetches PMIDs until each was returned, or was absent in two conclusive responses.
//!
//! EFetch returns an empty set for PMIDs that do not exist, and also while its backend is down. So an absence counts
//! only in a response that contains some requested record; if there is no other record to request, records known to
//! exist are requested as controls.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use sqlx::PgPool;

use crate::core::{Pmid, clock};
use crate::db::DbError;
use crate::pubmed::eutils::{Client, EutilsError, RecordSet, ResponseFault, Returned, WELL_KNOWN};
use crate::records;

/// Controls per request. More than one, because a record may have been withdrawn without the archive knowing it.
pub const CONTROLS: usize = 3;

/// Conclusive absences after which a record is missing.
const MIN_ABSENCES: usize = 2;

/// The responses for some PMIDs: each is in one of the sets, or absent.
pub struct Fetched {
    pub sets: Vec<Set>,
    pub absent: Vec<Pmid>,
    /// PMIDs that were absent in one conclusive response.
    absent_once: BTreeSet<Pmid>,
    /// Whether a record without a readable PMID was returned, which may be one of the absent ones.
    has_unidentified: bool,
}

/// Records, and the bytes that contain them.
pub struct Set {
    pub bytes: Vec<u8>,
    pub returned: Vec<Returned>,
    pub as_of: DateTime<Utc>,
    pub etag: Option<String>,
}

/// PMIDs that exist as far as this archive knows, and some that always exist.
pub async fn controls(db: &PgPool) -> Result<Vec<Pmid>, DbError> {
    let known = records::some_live(db, i64::try_from(CONTROLS).unwrap_or(1)).await?;
    Ok(known.into_iter().chain(WELL_KNOWN.iter().filter_map(|pmid| Pmid::new(*pmid).ok())).collect())
}

/// Fetches PMIDs once.
pub fn fetch_once<'a>(
    client: &'a Client,
    pmids: &'a [Pmid],
    max_record_bytes: usize,
) -> BoxFuture<'a, Result<Fetched, EutilsError>> {
    Box::pin(async move {
        match client.fetch(pmids, None, max_record_bytes).await {
            Ok(set) if pmids.len() == 1 && has_unidentified(&set) => {
                Ok(Fetched::complete(attributed_to(set, pmids[0])))
            }
            Ok(set) => Ok(Fetched::of(set)),
            // A few very large records: requests fewer at a time.
            Err(
                EutilsError::TooLarge { .. }
                | EutilsError::Unavailable { fault: ResponseFault::Timeout | ResponseFault::Truncated, .. }
                | EutilsError::Deadline { fault: ResponseFault::Timeout | ResponseFault::Truncated, .. },
            ) if pmids.len() > 1 => {
                let (left, right) = pmids.split_at(pmids.len() / 2);
                let mut fetched = fetch_once(client, left, max_record_bytes).await?;
                fetched.extend(fetch_once(client, right, max_record_bytes).await?);
                Ok(fetched)
            }
            Err(EutilsError::TooLarge { limit_bytes }) => {
                let reason = format!("larger than {limit_bytes} bytes");
                let returned = vec![Returned::Bad { range: 0..0, pmid: Some(pmids[0]), reason }];
                Ok(Fetched::complete(Set { bytes: Vec::new(), returned, as_of: clock::now(), etag: None }))
            }
            Err(error) => Err(error),
        }
    })
}

impl Fetched {
    fn complete(set: Set) -> Self {
        Self { sets: vec![set], absent: Vec::new(), absent_once: BTreeSet::new(), has_unidentified: false }
    }

    fn of(set: RecordSet) -> Self {
        let absent = set.absent.clone();
        let absent_once = if set.is_proof { absent.iter().copied().collect() } else { BTreeSet::new() };
        let has_unidentified = has_unidentified(&set);
        Self { sets: vec![identified(set)], absent, absent_once, has_unidentified }
    }

    fn extend(&mut self, other: Self) {
        self.sets.extend(other.sets);
        self.absent.extend(other.absent);
        self.absent_once.extend(other.absent_once);
        self.has_unidentified |= other.has_unidentified;
    }

    /// A record that was returned intact.
    pub fn a_record(&self) -> Option<Pmid> {
        let mut all = self.sets.iter().flat_map(|set| &set.returned);
        all.find_map(|one| match one {
            Returned::Record { identity, .. } => Some(identity.pmid),
            Returned::Bad { .. } => None,
        })
    }

    /// Whether absent records may still be returned.
    pub fn is_open(&self) -> bool {
        !self.absent.is_empty()
    }

    /// Fetches absent records until they are returned, or were absent often enough: a response may omit records without
    /// a reason.
    pub fn refetch_missing<'a>(
        &'a mut self,
        client: &'a Client,
        controls: &'a [Pmid],
        max_record_bytes: usize,
    ) -> BoxFuture<'a, Result<(), EutilsError>> {
        Box::pin(async move {
            let mut missing = Vec::new();
            let mut requests = 0;
            while self.is_open() {
                let absent = std::mem::take(&mut self.absent);
                let proven = std::mem::take(&mut self.absent_once);
                // With controls, every response is conclusive.
                let again = client.fetch(&absent, Some(controls), max_record_bytes).await?;
                self.extend(Self::of(again));
                requests += 1;
                let is_over = |pmid: &Pmid| requests >= MIN_ABSENCES || proven.contains(pmid);
                let (over, open): (Vec<Pmid>, Vec<Pmid>) = self.absent.iter().partition(|pmid| is_over(pmid));
                missing.extend(over);
                self.absent = open;
            }
            self.absent = missing;
            if self.has_unidentified {
                self.refetch_singly(client, controls, max_record_bytes).await?;
            }
            Ok(())
        })
    }

    /// Fetches each absent record alone: a record without a readable PMID that is returned then is that one.
    async fn refetch_singly(
        &mut self,
        client: &Client,
        controls: &[Pmid],
        max_record_bytes: usize,
    ) -> Result<(), EutilsError> {
        for pmid in std::mem::take(&mut self.absent) {
            let set = client.fetch(&[pmid], Some(controls), max_record_bytes).await?;
            if set.returned.is_empty() {
                self.absent.push(pmid);
            } else {
                self.sets.push(attributed_to(set, pmid));
            }
        }
        Ok(())
    }
}

fn has_unidentified(set: &RecordSet) -> bool {
    set.returned.iter().any(|one| one.pmid().is_none())
}

/// A set without the records whose PMID cannot be read.
fn identified(mut set: RecordSet) -> Set {
    set.returned.retain(|one| one.pmid().is_some());
    Set { bytes: set.bytes, returned: set.returned, as_of: set.as_of, etag: set.etag }
}

/// The set of one PMID: its record if that was returned, else everything that was returned.
fn attributed_to(mut set: RecordSet, requested: Pmid) -> Set {
    if set.returned.iter().any(|one| matches!(one, Returned::Record { .. })) {
        set.returned.retain(|one| matches!(one, Returned::Record { .. }));
    }
    set.returned.truncate(1);
    for one in &mut set.returned {
        if let Returned::Bad { pmid, .. } = one {
            *pmid = Some(requested);
        }
    }
    Set { bytes: set.bytes, returned: set.returned, as_of: set.as_of, etag: set.etag }
}
