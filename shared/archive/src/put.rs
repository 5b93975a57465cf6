//! Storing records: what happens when an object is already there.

use futures_util::{FutureExt, StreamExt, stream};

use super::books::{Books, Names};
use super::store::{Condition, ETag, Key, Object, Put, StoreError, Stored, VersionId};
use super::{ATTEMPTS, Archive, Envelope, ReadError};
use bio_mcp_core::{FileRank, Pmid, Precedence, RecordOrder, Sha256, chain};

/// Conflicts with other writers that are settled at once.
const CONCURRENT_CONFLICTS: usize = 64;

/// A record ready to be stored.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The record.
    pub pmid: Pmid,
    /// Where it goes.
    pub key: Key,
    /// Its encoded envelope.
    pub bytes: Vec<u8>,
    /// Their hash, by which an intent names them.
    pub bytes_hash: Sha256,
    /// Hash of the payload, none for a tombstone.
    pub content_hash: Option<Sha256>,
    /// Whether its payload says that the article was retracted.
    pub retracted: bool,
    /// Its order.
    pub order: RecordOrder,
    /// The highest rank that arrived for its version, its own included.
    pub seen: FileRank,
    /// What the pointer row records of the object under this key.
    pub known: Known,
}

/// What a pointer row records of the object under its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// There is no row.
    Nothing,
    /// The object is lost: the current one is read before anything is stored.
    Lost,
    /// `ETag` of the object.
    Object(ETag),
}

impl Known {
    /// The condition for storing a draft without reading the current object.
    fn condition(&self) -> Option<Condition> {
        match self {
            Self::Nothing => Some(Condition::Absent),
            Self::Lost => None,
            Self::Object(etag) => Some(Condition::Matches(etag.clone())),
        }
    }
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
#[derive(Debug)]
pub enum PutOutcome {
    /// The draft is the newest version now; it lies above these versions, which this archive wrote and no pointer took.
    Stored(StoredVersion, Vec<VersionId>),
    /// The store already held the same payload or a newer one, which a committed intent or the pointer names: an earlier
    /// run stored it and died before its rows were committed, or another worker was faster. It becomes the pointer.
    Adopted(Box<Envelope>, StoredVersion),
    /// An object of a newer program lies there: it stays, and nothing was stored.
    Newer(ReadError),
}

/// What storing several versions led to.
#[derive(Debug, Default)]
pub struct PutInOrder {
    /// Where each draft is.
    pub stored: Vec<StoredVersion>,
    /// What this archive wrote under the key before, and no pointer took.
    pub superseded: Vec<VersionId>,
}

impl From<Stored> for StoredVersion {
    fn from(stored: Stored) -> Self {
        Self { version: stored.version, etag: stored.etag }
    }
}

impl Archive {
    /// Stores a batch of records (distinct PMIDs), answering in the same order. Every `Ok` is on
    /// stable storage. No extra request is made when no other process wrote.
    pub async fn put_records<B: Books>(&self, drafts: &[Draft], books: &B) -> Vec<Result<PutOutcome, B::Error>> {
        let mut outcomes: Vec<Option<Result<PutOutcome, B::Error>>> = drafts.iter().map(|_| None).collect();
        let conditions = drafts.iter().enumerate().filter_map(|(n, draft)| Some((n, draft.known.condition()?)));
        let (asked, puts): (Vec<usize>, Vec<Put<'_>>) =
            conditions.map(|(n, condition)| (n, put_of(&drafts[n], condition))).unzip();
        let answers = self.store.put_batch(&puts).await;
        for (n, answer) in asked.into_iter().zip(answers) {
            outcomes[n] = match answer {
                Ok(stored) => Some(Ok(PutOutcome::Stored(stored.into(), Vec::new()))),
                Err(StoreError::Precondition) => None,
                Err(error) => Some(Err(error.into())),
            };
        }
        let open = drafts.iter().enumerate().filter(|(n, _)| outcomes[*n].is_none());
        let conflicts: Vec<_> =
            open.map(|(n, draft)| self.settle(draft, books).map(move |outcome| (n, outcome))).collect();
        let mut settled = stream::iter(conflicts).buffer_unordered(CONCURRENT_CONFLICTS);
        while let Some((n, outcome)) = settled.next().await {
            outcomes[n] = Some(outcome);
        }
        outcomes.into_iter().map(|outcome| outcome.expect("stored, failed or settled")).collect()
    }

    /// Stores several versions of one record one after the other, so that the last one is the newest. What an earlier
    /// attempt that was killed stored already is not stored again.
    pub async fn put_in_order<B: Books>(&self, drafts: &[Draft], books: &B) -> Result<PutInOrder, B::Error> {
        let mut done = PutInOrder::default();
        let Some(first) = drafts.first() else { return Ok(done) };
        let key = &first.key;
        let mut condition = first.known.condition();
        for (n, draft) in drafts.iter().enumerate() {
            let mut attempts = 0;
            let at = loop {
                if let Some(condition) = condition.clone() {
                    let put = put_of(draft, condition);
                    match self.store.put_batch(&[put]).await.pop().expect("one put, one answer") {
                        Ok(stored) => break stored.into(),
                        Err(StoreError::Precondition) if attempts < ATTEMPTS => attempts += 1,
                        Err(StoreError::Precondition) => return Err(StoreError::Conflict(key.to_string()).into()),
                        Err(error) => return Err(error.into()),
                    }
                }
                let Some(newest) = self.newest(draft, books).await? else {
                    condition = Some(Condition::Absent);
                    continue;
                };
                condition = Some(Condition::Matches(newest.at.etag.clone()));
                if newest.is_draft(draft) {
                    break newest.at;
                }
                // The newest object is a later one of these: an earlier attempt came as far as there.
                if drafts[n + 1..].iter().any(|later| newest.is_draft(later))
                    && let Some(at) = self.find_draft(key, draft, books).await?
                {
                    break StoredVersion { etag: newest.at.etag, ..at };
                }
                self.tell_foreign(key, &newest);
                done.superseded = self.intended(draft, books).await?;
            };
            condition = Some(Condition::Matches(at.etag.clone()));
            done.stored.push(at);
        }
        done.superseded.retain(|version| done.stored.iter().all(|at| at.version != *version));
        Ok(done)
    }

    /// What the plain key of a draft holds, and what the rows say about it. An object of a newer program is an error.
    async fn newest<B: Books>(&self, draft: &Draft, books: &B) -> Result<Option<Found>, B::Error> {
        let bad = match self.object(&draft.key, None).await {
            Ok(object) => return self.read(draft, object, books).await.map(Some),
            Err(StoreError::NotFound(_)) => return Ok(None),
            Err(error) if error.is_bad_object() => error,
            Err(error) => return Err(error.into()),
        };
        self.found_bad(&draft.key, bad).await.map(Some).map_err(B::Error::from)
    }

    /// What is under a key and cannot be read, only replaced.
    async fn found_bad(&self, key: &Key, bad: StoreError) -> Result<Found, StoreError> {
        let head = self.store.head(key).await?;
        let at = StoredVersion { version: head.version, etag: head.etag };
        Ok(Found { at, envelope: Err(bad.into()), names: None })
    }

    async fn read<B: Books>(&self, draft: &Draft, object: Object, books: &B) -> Result<Found, B::Error> {
        match self.decode(&draft.key, &object.bytes) {
            Err(newer @ ReadError::Newer { .. }) => Err(newer.into()),
            envelope => self.found(draft, object, envelope, books).await,
        }
    }

    async fn found<B: Books>(
        &self,
        draft: &Draft,
        object: Object,
        envelope: Result<Envelope, ReadError>,
        books: &B,
    ) -> Result<Found, B::Error> {
        // After the object was read: what names it was committed before it was stored.
        let names = books.names(draft.pmid, &object.version, Sha256::of(&object.bytes)).await?;
        let at = StoredVersion { version: object.version, etag: object.etag };
        Ok(Found { at, envelope, names: Some(names) })
    }

    async fn find_draft<B: Books>(
        &self,
        key: &Key,
        draft: &Draft,
        books: &B,
    ) -> Result<Option<StoredVersion>, B::Error> {
        for version in self.store.versions(key).await? {
            match self.object(key, Some(&version)).await {
                Ok(object) => {
                    let found = self.read(draft, object, books).await?;
                    if found.is_draft(draft) {
                        return Ok(Some(found.at));
                    }
                }
                Err(StoreError::NotFound(_)) => {}
                Err(error) if error.is_bad_object() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The versions under a draft's key that intents name.
    async fn intended<B: Books>(&self, draft: &Draft, books: &B) -> Result<Vec<VersionId>, B::Error> {
        let mut intended = Vec::new();
        for version in self.store.versions(&draft.key).await? {
            match self.object(&draft.key, Some(&version)).await {
                Ok(object) => {
                    let names = books.names(draft.pmid, &version, Sha256::of(&object.bytes)).await?;
                    if names.is_intended && !names.is_pointer {
                        intended.push(version);
                    }
                }
                Err(StoreError::NotFound(_)) => {}
                Err(error) if error.is_bad_object() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(intended)
    }

    /// Another object is under the key. One that this archive wrote is adopted if it is the same or newer; any other is
    /// replaced, exactly that one, and stays readable as an older version. One of another version of the record is
    /// replaced too: its own writer commits or tries again.
    async fn settle<B: Books>(&self, draft: &Draft, books: &B) -> Result<PutOutcome, B::Error> {
        let key = &draft.key;
        let mut superseded = Vec::new();
        for _ in 0..ATTEMPTS {
            let condition = match self.object(key, None).await {
                Ok(object) => {
                    let envelope = match self.decode(key, &object.bytes) {
                        Err(newer @ ReadError::Newer { .. }) => return Ok(PutOutcome::Newer(newer)),
                        envelope => envelope,
                    };
                    let found = self.found(draft, object, envelope, books).await?;
                    let etag = found.at.etag.clone();
                    if found.is_as_new_as(draft)
                        && let Ok(there) = found.envelope
                    {
                        return Ok(PutOutcome::Adopted(Box::new(there), found.at));
                    }
                    self.tell_foreign(key, &found);
                    if found.names.is_some_and(|names| names.is_intended && !names.is_pointer) {
                        superseded.push(found.at.version);
                    }
                    Condition::Matches(etag)
                }
                Err(StoreError::NotFound(_)) => Condition::Absent,
                Err(error) if error.is_bad_object() => {
                    let found = self.found_bad(key, error).await?;
                    self.tell_foreign(key, &found);
                    Condition::Matches(found.at.etag)
                }
                Err(error) => return Err(error.into()),
            };
            let again = self.store.put_batch(&[put_of(draft, condition)]).await.pop();
            match again.expect("one put, one answer") {
                Ok(stored) => return Ok(PutOutcome::Stored(stored.into(), superseded)),
                Err(StoreError::Precondition) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict(key.to_string()).into())
    }

    /// Says that an object which no row names lay where this archive stores.
    fn tell_foreign(&self, key: &Key, found: &Found) {
        if found.names.is_some_and(|names| names.is_intended || names.is_pointer) {
            return;
        }
        let reason = match &found.envelope {
            Ok(_) => "no intent and no pointer refers to it".to_owned(),
            Err(error) => chain(error),
        };
        let address = self.store.uri(key, &found.at.version);
        tracing::warn!(
            s3_uri = address,
            reason,
            "an object that this archive did not write was not adopted: it is an older version now"
        );
    }
}

/// What lies under a key.
struct Found {
    at: StoredVersion,
    envelope: Result<Envelope, ReadError>,
    /// What the rows say; nothing about bytes that could not be read.
    names: Option<Names>,
}

impl Found {
    /// The envelope, if this archive wrote it.
    fn own(&self) -> Option<&Envelope> {
        let envelope = self.envelope.as_ref().ok()?;
        self.names.is_some_and(|names| names.allow(envelope)).then_some(envelope)
    }

    /// Whether it is what a draft holds, stored by an earlier attempt.
    fn is_draft(&self, draft: &Draft) -> bool {
        self.own().is_some_and(|there| there.content_hash() == draft.content_hash && there.order == draft.order)
    }

    /// Whether it is the payload of a draft or a newer one of the same version.
    fn is_as_new_as(&self, draft: &Draft) -> bool {
        self.own().is_some_and(|there| {
            let same = there.content_hash() == draft.content_hash
                && (draft.content_hash.is_some() || there.order.is_same_position(&draft.order));
            let seen = draft.seen.max(there.order.rank());
            same || (there.order.version == draft.order.version
                && draft.order.compare(&there.order, seen) == Precedence::Older)
        })
    }
}

fn put_of(draft: &Draft, condition: Condition) -> Put<'_> {
    Put { key: draft.key.clone(), bytes: &draft.bytes, condition, payload_hash: draft.content_hash }
}
