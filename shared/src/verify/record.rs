//! A record according to its objects: each version is read once and assessed.

use super::VerifyError;
use super::assess::{Assessor, Verdict};
use super::check::is_alone;
use crate::archive::{Archive, Condition, ETag, Envelope, Key, Put, StoreError, VersionId};
use crate::core::{Pmid, Sha256};
use crate::pubmed::is_retracted;
use crate::records::{FoundVersions, Pointer, SetAside, VersionState, Versions};

/// A record according to its objects.
pub(super) struct Record {
    pub(super) found: FoundVersions,
    /// Versions that cannot be trusted.
    pub(super) aside: Vec<SetAside>,
    /// Whether every version was read and either trusted or set aside, and the newest is that of the pointer.
    pub(super) is_whole: bool,
    pub(super) is_rewritten: bool,
    /// Whether an existing version could not be read, or was written by a newer program: the state of the record is
    /// unknown.
    pub(super) is_unreadable: bool,
}

/// The object under the plain key.
#[derive(Default)]
struct Newest {
    /// There is no newest object, but there are older versions.
    is_absent: bool,
    etag: Option<ETag>,
    version: Option<VersionId>,
    is_own: bool,
    /// It is an envelope of this record, trusted or not.
    is_envelope: bool,
}

/// Versions of a record, sorted by how they can be used.
#[derive(Default)]
struct Sorted {
    states: Vec<VersionState>,
    aside: Vec<SetAside>,
    /// Envelopes among those set aside.
    foreign: Vec<(String, Envelope)>,
    /// How many were set aside before.
    known: usize,
}

/// Reads each version of a record once.
pub(super) async fn read_record(
    archive: &Archive,
    assessor: &Assessor,
    key: &Key,
    versions: &[VersionId],
    pmid: Pmid,
    pointer: Option<&Pointer>,
) -> Result<Record, VerifyError> {
    let mut sorted = Sorted::default();
    let mut newest = Newest::default();
    let mut is_unreadable = false;
    // From the oldest on: if the same payload is stored twice, the later address is used.
    for (n, version) in versions.iter().enumerate().rev() {
        let mut read = archive.object(key, (n > 0).then_some(version)).await;
        if n == 0 && matches!(read, Err(StoreError::NotFound(_))) {
            newest.is_absent = true;
            read = archive.object(key, Some(version)).await;
        }
        let is_newest = n == 0 && !newest.is_absent;
        let (version, bytes, envelope) = match read {
            Ok(object) => {
                if is_newest {
                    newest.etag = Some(object.etag);
                }
                (object.version, Some(Sha256::of(&object.bytes)), archive.decode(key, &object.bytes))
            }
            Err(StoreError::NotFound(_)) => continue,
            Err(error) if error.is_bad_object() => (version.clone(), None, Err(error.into())),
            Err(_) if is_alone(archive).await => {
                is_unreadable = true;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let is_envelope = envelope.is_ok();
        let is_accepted = assessor.vouches(pmid, &version, bytes);
        let verdict = assessor.assess(pmid, &version, bytes, envelope);
        // An object of a newer program is never replaced.
        is_unreadable |= matches!(verdict, Verdict::Newer(_)) && (is_newest || is_accepted);
        if is_newest {
            newest.is_own = matches!(verdict, Verdict::Own(_));
            newest.is_envelope = is_envelope;
            newest.version = Some(version.clone());
        }
        sorted.take(pmid, archive.uri(key, &version), verdict, assessor);
    }
    if is_unreadable {
        let found = FoundVersions {
            pmid,
            states: sorted.states,
            versions: Versions::default(),
            object_etag: None,
            from_objects: false,
        };
        return Ok(Record { found, aside: Vec::new(), is_whole: false, is_rewritten: false, is_unreadable });
    }
    if newest.etag.is_none() && !newest.is_absent && !versions.is_empty() {
        newest.etag = match archive.store().head(key).await {
            Ok(head) => Some(head.etag),
            Err(StoreError::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        };
    }
    let is_held = |state: &VersionState, pointer: &Pointer| {
        state.content_hash == pointer.content_hash && state.order.version == pointer.order.version
    };
    let mut falls_back = pointer.is_some_and(|pointer| !sorted.states.iter().any(|state| is_held(state, pointer)));
    if let (true, Some(pointer)) = (falls_back, pointer) {
        falls_back = !sorted.believe_copy(pointer, assessor);
    }
    let is_all = sorted.states.len() + sorted.aside.len() + sorted.known == versions.len();
    let Sorted { mut states, aside, .. } = sorted;
    states.sort_by_key(|state| state.fetched_at);
    let folded = Versions::fold(states.clone());
    let mut found =
        FoundVersions { pmid, states, versions: folded, object_etag: newest.etag.clone(), from_objects: false };
    let pointed = found.pointer().and_then(VersionState::stored_version);
    found.from_objects = assessor.is_from_objects() && pointed.is_some_and(|version| !assessor.accepts(pmid, &version));
    // A damaged newest object stays until its payload arrives again: it is the only evidence of that payload.
    let may_replace =
        newest.is_own || newest.is_absent || if pointer.is_some() { !falls_back } else { newest.is_envelope };
    let is_rewritten = may_replace && make_newest(archive, key, &newest, &mut found).await?;
    let pointed = found.pointer().and_then(VersionState::stored_version);
    let is_whole = is_all && (is_rewritten || (pointed.is_some() && pointed == newest.version));
    Ok(Record { found, aside, is_whole, is_rewritten, is_unreadable })
}

impl Sorted {
    fn take(&mut self, pmid: Pmid, s3_uri: String, verdict: Verdict, assessor: &Assessor) {
        let reason = match verdict {
            Verdict::Own(envelope) => return self.states.push(state_of(s3_uri, envelope, assessor)),
            Verdict::Damaged => return,
            Verdict::Aside => {
                self.known += 1;
                return;
            }
            Verdict::Foreign(envelope, reason) => {
                self.foreign.extend(envelope.map(|envelope| (s3_uri.clone(), envelope)));
                reason
            }
            Verdict::Newer(reason) => reason,
        };
        self.aside.push(SetAside { pmid: pmid.to_string(), s3_uri, reason });
    }

    /// If the pointer's own version does not exist, as after its bucket was copied to another: an object with its
    /// payload, its times and an order that the pointer is not behind is a copy of it. Returns whether there is one.
    fn believe_copy(&mut self, pointer: &Pointer, assessor: &Assessor) -> bool {
        let is_copy = |(_, envelope): &(String, Envelope)| {
            envelope.content_hash() == pointer.content_hash
                && envelope.fetched_at == pointer.fetched_at
                && envelope.order.as_of <= assessor.latest()
                && !pointer.is_behind(&envelope.order)
        };
        let Some(at) = self.foreign.iter().position(is_copy) else { return false };
        let (s3_uri, envelope) = self.foreign.swap_remove(at);
        self.aside.retain(|aside| aside.s3_uri != s3_uri);
        self.states.push(state_of(s3_uri, envelope, assessor));
        true
    }
}

fn state_of(s3_uri: String, envelope: Envelope, assessor: &Assessor) -> VersionState {
    VersionState {
        s3_uri,
        content_hash: envelope.content_hash(),
        fetched_at: envelope.fetched_at,
        retracted: envelope.payload.xml().is_some_and(is_retracted),
        seen: envelope.order.rank(),
        order: envelope.order.not_after(assessor.latest(), envelope.fetched_at),
        api_etag: envelope.source.http_etag,
    }
}

/// Stores the envelope of the pointer again if another object, or none, is the newest under the key.
async fn make_newest(
    archive: &Archive,
    key: &Key,
    newest: &Newest,
    found: &mut FoundVersions,
) -> Result<bool, VerifyError> {
    let Some(pointer) = found.pointer().cloned() else { return Ok(false) };
    let version = pointer.stored_version();
    if version.is_some() && version == newest.version {
        return Ok(false);
    }
    let bytes = archive.object(key, version.as_ref()).await?.bytes;
    // No object is stored there, or no longer.
    let condition = newest.etag.clone().map_or(Condition::Absent, Condition::Matches);
    let put = Put { key: key.clone(), bytes: &bytes, condition, payload_hash: pointer.content_hash };
    let stored = archive.store().put_batch(&[put]).await.pop().expect("one put, one result")?;
    found.moved(&pointer, &archive.uri(key, &stored.version), &stored.etag);
    Ok(true)
}
