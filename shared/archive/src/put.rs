//! Storing records, and resolving conflicts with existing objects.

use futures_util::{FutureExt, StreamExt, stream};

use super::registry::{ObjectRegistry, ObjectStatus};
use super::store::{Condition, ETag, Key, Object, Put, StoreError, Stored, VersionId};
use super::{ATTEMPTS, Archive, Envelope, ReadError};
use bio_mcp_core::{FileRank, Pmid, Precedence, RecordOrder, Sha256, chain};

/// Conflicts with other writers that are resolved at the same time.
const MAX_CONCURRENT_CONFLICTS: usize = 64;

/// A record that is ready to be stored.
#[derive(Clone, Debug)]
pub struct PendingObject {
    pub pmid: Pmid,
    pub key: Key,
    /// Its encoded envelope.
    pub bytes: Vec<u8>,
    /// SHA-256 of these bytes, by which intents refer to them.
    pub bytes_hash: Sha256,
    /// Hash of the payload, none for a tombstone.
    pub content_hash: Option<Sha256>,
    /// Whether its payload states that the article was retracted.
    pub retracted: bool,
    pub order: RecordOrder,
    /// The highest rank that arrived for its version, including its own.
    pub seen: FileRank,
    /// What the pointer row records of the object under this key.
    pub known: Known,
}

/// State of the object under a key according to its pointer row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// There is no row.
    Nothing,
    /// The object is lost: the current one is read before a new one is stored.
    Lost,
    /// `ETag` of the object.
    Object(ETag),
}

impl Known {
    /// The condition for storing an object without reading the current one.
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
    pub version: VersionId,
    pub etag: ETag,
}

/// Result of a put.
#[derive(Debug)]
pub enum PutOutcome {
    /// The object is now the newest version; it replaced these versions, which this archive wrote without a pointer to
    /// them.
    Stored(StoredVersion, Vec<VersionId>),
    /// The store already had the same payload or a newer one, which a committed intent or the pointer names: an earlier
    /// run stored it and ended before its rows were committed, or another worker was faster. It becomes the pointer.
    Adopted(Box<Envelope>, StoredVersion),
    /// The key has an object of a newer program: it remains, and nothing was stored.
    Newer(ReadError),
}

/// Result of storing several versions.
#[derive(Debug, Default)]
pub struct PutInOrder {
    /// Stored version of each object.
    pub stored: Vec<StoredVersion>,
    /// Versions under the key that this archive wrote before, without a pointer to them.
    pub superseded: Vec<VersionId>,
}

impl From<Stored> for StoredVersion {
    fn from(stored: Stored) -> Self {
        Self { version: stored.version, etag: stored.etag }
    }
}

impl Archive {
    /// Stores a batch of records (distinct PMIDs) and returns results in the same order. Every `Ok` is on stable
    /// storage. Makes no additional request unless another process wrote.
    pub async fn put_records<B: ObjectRegistry>(
        &self,
        pending_objects: &[PendingObject],
        registry: &B,
    ) -> Vec<Result<PutOutcome, B::Error>> {
        let mut outcomes: Vec<Option<Result<PutOutcome, B::Error>>> = pending_objects.iter().map(|_| None).collect();
        let conditions =
            pending_objects.iter().enumerate().filter_map(|(n, pending)| Some((n, pending.known.condition()?)));
        let (tried, puts): (Vec<usize>, Vec<Put<'_>>) =
            conditions.map(|(n, condition)| (n, put_of(&pending_objects[n], condition))).unzip();
        let results = self.store.put_batch(&puts).await;
        for (n, result) in tried.into_iter().zip(results) {
            outcomes[n] = match result {
                Ok(stored) => Some(Ok(PutOutcome::Stored(stored.into(), Vec::new()))),
                Err(StoreError::Precondition) => None,
                Err(error) => Some(Err(error.into())),
            };
        }
        let open = pending_objects.iter().enumerate().filter(|(n, _)| outcomes[*n].is_none());
        let conflicts: Vec<_> = open
            .map(|(n, pending)| self.resolve_conflict(pending, registry).map(move |outcome| (n, outcome)))
            .collect();
        let mut resolved = stream::iter(conflicts).buffer_unordered(MAX_CONCURRENT_CONFLICTS);
        while let Some((n, outcome)) = resolved.next().await {
            outcomes[n] = Some(outcome);
        }
        outcomes.into_iter().map(|outcome| outcome.expect("stored, failed or resolved")).collect()
    }

    /// Stores several versions of one record one after the other, so that the last one is the newest. Versions that an
    /// interrupted earlier attempt stored are not stored again.
    pub async fn put_in_order<B: ObjectRegistry>(
        &self,
        pending_objects: &[PendingObject],
        registry: &B,
    ) -> Result<PutInOrder, B::Error> {
        let mut done = PutInOrder::default();
        let Some(first) = pending_objects.first() else { return Ok(done) };
        let key = &first.key;
        let mut condition = first.known.condition();
        for (n, pending) in pending_objects.iter().enumerate() {
            let mut attempts = 0;
            let at = loop {
                if let Some(condition) = condition.clone() {
                    let put = put_of(pending, condition);
                    match self.store.put_batch(&[put]).await.pop().expect("one put, one result") {
                        Ok(stored) => break stored.into(),
                        Err(StoreError::Precondition) if attempts < ATTEMPTS => attempts += 1,
                        Err(StoreError::Precondition) => return Err(StoreError::Conflict(key.to_string()).into()),
                        Err(error) => return Err(error.into()),
                    }
                }
                let Some(newest) = self.newest(pending, registry).await? else {
                    condition = Some(Condition::Absent);
                    continue;
                };
                condition = Some(Condition::Matches(newest.at.etag.clone()));
                if newest.holds(pending) {
                    break newest.at;
                }
                // The newest object is a later one of these: an earlier attempt got that far.
                if pending_objects[n + 1..].iter().any(|later| newest.holds(later))
                    && let Some(at) = self.find_stored(key, pending, registry).await?
                {
                    break StoredVersion { etag: newest.at.etag, ..at };
                }
                self.log_foreign(key, &newest);
                done.superseded = self.intended(pending, registry).await?;
            };
            condition = Some(Condition::Matches(at.etag.clone()));
            done.stored.push(at);
        }
        done.superseded.retain(|version| done.stored.iter().all(|at| at.version != *version));
        Ok(done)
    }

    /// The object under the plain key, and its state according to the rows. An object of a newer program is an error.
    async fn newest<B: ObjectRegistry>(
        &self,
        pending: &PendingObject,
        registry: &B,
    ) -> Result<Option<FoundObject>, B::Error> {
        let bad = match self.object(&pending.key, None).await {
            Ok(object) => return self.read(pending, object, registry).await.map(Some),
            Err(StoreError::NotFound(_)) => return Ok(None),
            Err(error) if error.is_bad_object() => error,
            Err(error) => return Err(error.into()),
        };
        self.found_bad(&pending.key, bad).await.map(Some).map_err(B::Error::from)
    }

    /// An object that cannot be read, only replaced.
    async fn found_bad(&self, key: &Key, bad: StoreError) -> Result<FoundObject, StoreError> {
        let head = self.store.head(key).await?;
        let at = StoredVersion { version: head.version, etag: head.etag };
        Ok(FoundObject { at, envelope: Err(bad.into()), status: None })
    }

    async fn read<B: ObjectRegistry>(
        &self,
        pending: &PendingObject,
        object: Object,
        registry: &B,
    ) -> Result<FoundObject, B::Error> {
        match self.decode(&pending.key, &object.bytes) {
            Err(newer @ ReadError::Newer { .. }) => Err(newer.into()),
            envelope => self.found(pending, object, envelope, registry).await,
        }
    }

    async fn found<B: ObjectRegistry>(
        &self,
        pending: &PendingObject,
        object: Object,
        envelope: Result<Envelope, ReadError>,
        registry: &B,
    ) -> Result<FoundObject, B::Error> {
        // Queried after the object was read: rows that name it were committed before it was stored.
        let status = registry.status(pending.pmid, &object.version, Sha256::of(&object.bytes)).await?;
        let at = StoredVersion { version: object.version, etag: object.etag };
        Ok(FoundObject { at, envelope, status: Some(status) })
    }

    async fn find_stored<B: ObjectRegistry>(
        &self,
        key: &Key,
        pending: &PendingObject,
        registry: &B,
    ) -> Result<Option<StoredVersion>, B::Error> {
        for version in self.store.versions(key).await? {
            match self.object(key, Some(&version)).await {
                Ok(object) => {
                    let found = self.read(pending, object, registry).await?;
                    if found.holds(pending) {
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

    /// Versions under an object's key that intents name.
    async fn intended<B: ObjectRegistry>(
        &self,
        pending: &PendingObject,
        registry: &B,
    ) -> Result<Vec<VersionId>, B::Error> {
        let mut intended = Vec::new();
        for version in self.store.versions(&pending.key).await? {
            match self.object(&pending.key, Some(&version)).await {
                Ok(object) => {
                    let status = registry.status(pending.pmid, &version, Sha256::of(&object.bytes)).await?;
                    if status.is_intended && !status.is_pointer {
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

    /// Resolves a conflict with another object under the key. An object of this archive is adopted if it is the same or
    /// newer; any other is replaced, on the condition that it is unchanged, and remains readable as an older version.
    /// An object of another version of the record is replaced too: its writer commits or retries.
    async fn resolve_conflict<B: ObjectRegistry>(
        &self,
        pending: &PendingObject,
        registry: &B,
    ) -> Result<PutOutcome, B::Error> {
        let key = &pending.key;
        let mut superseded = Vec::new();
        for _ in 0..ATTEMPTS {
            let condition = match self.object(key, None).await {
                Ok(object) => {
                    let envelope = match self.decode(key, &object.bytes) {
                        Err(newer @ ReadError::Newer { .. }) => return Ok(PutOutcome::Newer(newer)),
                        envelope => envelope,
                    };
                    let found = self.found(pending, object, envelope, registry).await?;
                    let etag = found.at.etag.clone();
                    if found.is_as_new_as(pending)
                        && let Ok(there) = found.envelope
                    {
                        return Ok(PutOutcome::Adopted(Box::new(there), found.at));
                    }
                    self.log_foreign(key, &found);
                    if found.status.is_some_and(|status| status.is_intended && !status.is_pointer) {
                        superseded.push(found.at.version);
                    }
                    Condition::Matches(etag)
                }
                Err(StoreError::NotFound(_)) => Condition::Absent,
                Err(error) if error.is_bad_object() => {
                    let found = self.found_bad(key, error).await?;
                    self.log_foreign(key, &found);
                    Condition::Matches(found.at.etag)
                }
                Err(error) => return Err(error.into()),
            };
            let again = self.store.put_batch(&[put_of(pending, condition)]).await.pop();
            match again.expect("one put, one result") {
                Ok(stored) => return Ok(PutOutcome::Stored(stored.into(), superseded)),
                Err(StoreError::Precondition) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict(key.to_string()).into())
    }

    /// Logs an object under a key of this archive that no row names.
    fn log_foreign(&self, key: &Key, found: &FoundObject) {
        if found.status.is_some_and(|status| status.is_intended || status.is_pointer) {
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

/// The object under a key.
struct FoundObject {
    at: StoredVersion,
    envelope: Result<Envelope, ReadError>,
    /// Its state according to the rows; none if its bytes could not be read.
    status: Option<ObjectStatus>,
}

impl FoundObject {
    /// The envelope, if this archive wrote it.
    fn own(&self) -> Option<&Envelope> {
        let envelope = self.envelope.as_ref().ok()?;
        self.status.is_some_and(|status| status.allow(envelope)).then_some(envelope)
    }

    /// Whether it is the pending object, stored by an earlier attempt.
    fn holds(&self, pending: &PendingObject) -> bool {
        self.own().is_some_and(|there| there.content_hash() == pending.content_hash && there.order == pending.order)
    }

    /// Whether it is the payload of the pending object or a newer one of the same version.
    fn is_as_new_as(&self, pending: &PendingObject) -> bool {
        self.own().is_some_and(|there| {
            let same = there.content_hash() == pending.content_hash
                && (pending.content_hash.is_some() || there.order.is_same_position(&pending.order));
            let seen = pending.seen.max(there.order.rank());
            same || (there.order.version == pending.order.version
                && pending.order.compare(&there.order, seen) == Precedence::Older)
        })
    }
}

fn put_of(pending: &PendingObject, condition: Condition) -> Put<'_> {
    Put { key: pending.key.clone(), bytes: &pending.bytes, condition, payload_hash: pending.content_hash }
}
