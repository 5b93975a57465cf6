//! Storing records: what happens when an object is already there.

use super::store::{Condition, ETag, Key, Put, StoreError, Stored, VersionId};
use super::{Archive, Envelope, ReadError};
use crate::words::{Pmid, RecordOrder, Sha256};

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
    /// stable storage. No extra request is made when nobody else wrote.
    pub async fn put_records(&self, drafts: &[Draft]) -> Vec<Result<PutOutcome, ReadError>> {
        let puts: Vec<Put<'_>> = drafts.iter().map(put_of).collect();
        let answers = self.store.put_batch(&puts).await;
        let mut outcomes = Vec::with_capacity(answers.len());
        for ((answer, put), draft) in answers.into_iter().zip(puts).zip(drafts) {
            outcomes.push(match answer {
                Ok(stored) => Ok(stored.into()),
                Err(StoreError::Precondition) => self.settle(put, draft).await,
                Err(error) => Err(error.into()),
            });
        }
        outcomes
    }

    /// Somebody else's object is under the key: adopt it if it is the same or newer, else replace
    /// exactly that one.
    async fn settle(&self, mut put: Put<'_>, draft: &Draft) -> Result<PutOutcome, ReadError> {
        for _ in 0..ATTEMPTS {
            put.condition = match self.envelope_at(&put.key, None).await {
                Ok((there, at)) => {
                    let same = there.content_hash() == draft.content_hash
                        && (draft.content_hash.is_some() || there.order.is_same_place(&draft.order));
                    if same || draft.order.is_older_than(&there.order) {
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
        Err(StoreError::Unavailable {
            action: "settling concurrent writes of",
            path: put.key.to_string(),
            source: std::io::Error::other("another writer was faster every time"),
        }
        .into())
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
