//! Storing records: what happens when an object is already there.

use super::store::{Condition, ETag, Key, Put, StoreError, Stored, VersionId};
use futures_util::{FutureExt, StreamExt, stream};

use super::{Archive, Envelope, ReadError};
use crate::words::{FileRank, Pmid, Precedence, RecordOrder, Sha256};

/// Conflicts with other writers that are settled at once.
const CONCURRENT_CONFLICTS: usize = 64;

/// How often a put that meets another writer looks again before it gives up.
const ATTEMPTS: usize = 8;

/// A record ready to be stored.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The record.
    pub pmid: Pmid,
    /// Where it goes.
    pub key: Key,
    /// Its encoded envelope.
    pub bytes: Vec<u8>,
    /// Hash of the payload, none for a tombstone.
    pub content_hash: Option<Sha256>,
    /// Whether its payload says that the article was retracted.
    pub retracted: bool,
    /// Its order.
    pub order: RecordOrder,
    /// The highest rank that arrived for its version, its own included.
    pub seen: FileRank,
    /// The object the pointer row knows under this key, if there is a row.
    pub known: Option<ETag>,
}

/// A version in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVersion {
    /// Its id.
    pub version: VersionId,
    /// Its `ETag`.
    pub etag: ETag,
}

/// What a put led to.
#[derive(Clone, Debug)]
pub enum PutOutcome {
    /// The draft is the newest version now.
    Stored(StoredVersion),
    /// The store already held the same payload or a newer one, which no pointer knows yet: an
    /// earlier run stored it and died before its rows were committed. It becomes the pointer.
    Adopted(Box<Envelope>, StoredVersion),
}

impl From<Stored> for PutOutcome {
    fn from(stored: Stored) -> Self {
        Self::Stored(StoredVersion { version: stored.version, etag: stored.etag })
    }
}

impl Archive {
    /// Stores a batch of records (distinct PMIDs), answering in the same order. Every `Ok` is on
    /// stable storage. No extra request is made when no other process wrote.
    pub async fn put_records(&self, drafts: &[Draft]) -> Vec<Result<PutOutcome, ReadError>> {
        let puts: Vec<Put<'_>> = drafts.iter().map(put_of).collect();
        let answers = self.store.put_batch(&puts).await;
        let mut outcomes: Vec<Option<Result<PutOutcome, ReadError>>> = Vec::with_capacity(answers.len());
        let mut conflicts = Vec::new();
        for ((n, answer), (put, draft)) in answers.into_iter().enumerate().zip(puts.into_iter().zip(drafts)) {
            outcomes.push(match answer {
                Ok(stored) => Some(Ok(stored.into())),
                Err(StoreError::Precondition) => {
                    conflicts.push(self.settle(put, draft).map(move |outcome| (n, outcome)));
                    None
                }
                Err(error) => Some(Err(error.into())),
            });
        }
        let mut settled = stream::iter(conflicts).buffer_unordered(CONCURRENT_CONFLICTS);
        while let Some((n, outcome)) = settled.next().await {
            outcomes[n] = Some(outcome);
        }
        outcomes.into_iter().map(|outcome| outcome.expect("stored, failed or settled")).collect()
    }

    /// Stores several versions of one record one after the other, so that the last one is the newest. What an earlier
    /// attempt that was killed stored already is not stored again.
    pub async fn put_in_order(&self, drafts: &[Draft]) -> Result<Vec<StoredVersion>, ReadError> {
        let Some(first) = drafts.first() else { return Ok(Vec::new()) };
        let key = &first.key;
        let mut condition = put_of(first).condition;
        let mut stored: Vec<StoredVersion> = Vec::with_capacity(drafts.len());
        for (n, draft) in drafts.iter().enumerate() {
            let put = |condition| Put { condition, ..put_of(draft) };
            let mut attempts = 0;
            let at = loop {
                match self.store.put_batch(&[put(condition.clone())]).await.pop().expect("one put, one answer") {
                    Ok(done) => break StoredVersion { version: done.version, etag: done.etag },
                    Err(StoreError::Precondition) if attempts < ATTEMPTS => attempts += 1,
                    Err(StoreError::Precondition) => return Err(busy(key).into()),
                    Err(error) => return Err(error.into()),
                }
                let newest = match self.store.head(key).await {
                    Ok(head) => head,
                    Err(StoreError::NotFound(_)) => {
                        condition = Condition::Absent;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                condition = Condition::Matches(newest.etag.clone());
                // The newest object is one of these: an earlier attempt came as far as there.
                let bytes = match self.store.get(key, Some(&newest.version)).await {
                    Ok(object) => object.bytes,
                    Err(StoreError::NotFound(_)) => continue,
                    Err(error) => return Err(error.into()),
                };
                let is_there = |draft: &Draft| self.is_draft(&bytes, draft);
                if is_there(draft) {
                    break StoredVersion { version: newest.version, etag: newest.etag };
                }
                if drafts[n + 1..].iter().any(is_there)
                    && let Some(at) = self.find_draft(key, draft).await?
                {
                    break StoredVersion { etag: newest.etag, ..at };
                }
            };
            condition = Condition::Matches(at.etag.clone());
            stored.push(at);
        }
        Ok(stored)
    }

    fn is_draft(&self, bytes: &[u8], draft: &Draft) -> bool {
        self.decode(&draft.key, bytes)
            .is_ok_and(|there| there.content_hash() == draft.content_hash && there.order == draft.order)
    }

    async fn find_draft(&self, key: &Key, draft: &Draft) -> Result<Option<StoredVersion>, ReadError> {
        for version in self.store.versions(key).await? {
            match self.store.get(key, Some(&version)).await {
                Ok(object) if self.is_draft(&object.bytes, draft) => {
                    return Ok(Some(StoredVersion { version: object.version, etag: object.etag }));
                }
                Ok(_) | Err(StoreError::NotFound(_) | StoreError::Damaged(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Another writer's object is under the key: adopt it if it is the same or newer, else replace
    /// exactly that one. One of another version is replaced: its versions stay readable, and its own writer commits
    /// or tries again.
    async fn settle(&self, mut put: Put<'_>, draft: &Draft) -> Result<PutOutcome, ReadError> {
        for _ in 0..ATTEMPTS {
            put.condition = match self.envelope_at(&put.key, None).await {
                Ok((there, at)) => {
                    let same = there.content_hash() == draft.content_hash
                        && (draft.content_hash.is_some() || there.order.is_same_position(&draft.order));
                    let is_newer = || {
                        let seen = draft.seen.max(there.order.rank());
                        there.order.version == draft.order.version
                            && draft.order.compare(&there.order, seen) == Precedence::Older
                    };
                    if same || is_newer() {
                        return Ok(PutOutcome::Adopted(Box::new(there), at));
                    }
                    Condition::Matches(at.etag)
                }
                Err(ReadError::Store(StoreError::NotFound(_))) => Condition::Absent,
                // A torn object never had a pointer: replace it.
                Err(ReadError::Damaged { .. }) => Condition::Matches(self.store.head(&put.key).await?.etag),
                Err(error) => return Err(error),
            };
            let again = self.store.put_batch(std::slice::from_ref(&put)).await.pop();
            match again.expect("one put, one answer") {
                Ok(stored) => return Ok(stored.into()),
                Err(StoreError::Precondition) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy(&put.key).into())
    }
}

fn busy(key: &Key) -> StoreError {
    StoreError::Unavailable {
        action: "settling concurrent writes of",
        path: key.to_string(),
        source: std::io::Error::other("another writer was faster every time"),
    }
}

fn put_of(draft: &Draft) -> Put<'_> {
    Put {
        key: draft.key.clone(),
        bytes: &draft.bytes,
        condition: draft.known.clone().map_or(Condition::Absent, Condition::Matches),
        payload_hash: draft.content_hash,
    }
}
