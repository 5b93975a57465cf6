//! Conformance tests of stores: ranges of objects, and objects whose bytes are streamed while they are stored.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use shared::archive::{ByteRange, Condition, ETag, Put, Store, StoreError, StreamPut, VersionId};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::sync::Notify;

use crate::store_conformance::{key, one, other_tag, put};

/// Larger than one part, and not a multiple of the part size.
pub const LARGE: usize = (20 << 20) + 7;

/// Part of the conformance suite.
pub(crate) async fn check(store: &Arc<dyn Store>) {
    a_range_is_all_of_it_or_an_error(&**store).await;
    a_range_is_one_of_its_version(&**store).await;
    a_stream_is_an_object_as_any(&**store).await;
    a_large_stream_arrives_whole(&**store).await;
    a_refused_stream_leaves_nothing(&**store).await;
    a_stream_that_breaks_off_leaves_nothing(&**store).await;
    one_stream_wins(store).await;
}

fn range(offset: u64, length: u64) -> ByteRange {
    ByteRange::new(offset, length).expect("a range")
}

async fn a_range_is_all_of_it_or_an_error(store: &dyn Store) {
    let at = "range/1.zst";
    let bytes: Vec<u8> = (0..1000_u32).flat_map(u32::to_le_bytes).collect();
    let (version, _) = one(store, put(at, &bytes, Condition::Absent)).await.expect("stored");
    for (offset, length) in [(0, 1), (0, 4000), (3999, 1), (17, 1234)] {
        let part = store.get_range(&key(at), &version, range(offset, length)).await.expect("there");
        let start = usize::try_from(offset).expect("small");
        assert_eq!(part, &bytes[start..start + usize::try_from(length).expect("small")], "{offset} {length}");
    }
    for (offset, length) in [(0, 4001), (3999, 2), (4000, 1), (5000, 10), (1 << 40, 1), (0, 1 << 40)] {
        let part = store.get_range(&key(at), &version, range(offset, length)).await;
        assert!(matches!(part, Err(StoreError::BeyondEnd { .. })), "{offset} {length}: {part:?}");
    }
    assert_eq!((ByteRange::new(0, 0), ByteRange::new(u64::MAX, 1)), (None, None));
}

async fn a_range_is_one_of_its_version(store: &dyn Store) {
    let at = "range/2.zst";
    let (old, etag) = one(store, put(at, b"the old bytes", Condition::Absent)).await.expect("stored");
    let part = async |version: &VersionId| store.get_range(&key(at), version, range(4, 3)).await;
    assert_eq!(part(&old).await.expect("there"), b"old");
    let (new, _) = one(store, put(at, b"the new bytes", Condition::Matches(etag))).await.expect("stored");
    for _ in 0..2 {
        assert_eq!(part(&old).await.expect("every version stays readable"), b"old");
        assert_eq!(part(&new).await.expect("there"), b"new");
    }
    for odd in ["nope", "../x", "a/b"] {
        let missing = part(&VersionId::parse(odd).expect("a version")).await;
        assert!(matches!(missing, Err(StoreError::NotFound(_))), "{odd}: {missing:?}");
    }
    let nowhere = store.get_range(&key("range/none.zst"), &old, range(0, 1)).await;
    assert!(matches!(nowhere, Err(StoreError::NotFound(_))), "{nowhere:?}");
    store.delete_version(&key(at), &old).await.expect("deleted");
    assert!(matches!(part(&old).await, Err(StoreError::NotFound(_))));
    assert_eq!(part(&new).await.expect("there"), b"new");
}

fn stream(at: &str, condition: Condition, max_bytes: usize) -> StreamPut {
    StreamPut { key: key(at), condition, max_bytes }
}

async fn a_stream_is_an_object_as_any(store: &dyn Store) {
    let at = "stream/1.xml.gz";
    let first = store.put_stream(&stream(at, Condition::Absent, 5), &mut &b"first"[..]).await.expect("stored");
    let object = store.get(&key(at), Some(&first.version), 5).await.expect("there");
    assert_eq!((&object.bytes[..], &object.version, &object.etag), (&b"first"[..], &first.version, &first.etag));
    let put = stream(at, Condition::Matches(first.etag), 100);
    let second = store.put_stream(&put, &mut &b"second"[..]).await.expect("stored");
    assert_eq!(store.get(&key(at), None, 6).await.expect("there").bytes, b"second");
    assert_eq!(store.get(&key(at), Some(&first.version), 6).await.expect("there").bytes, b"first");
    let head = store.head(&key(at)).await.expect("there");
    assert_eq!((head.version, head.etag.clone()), (second.version, second.etag));
    let again = Put {
        condition: Condition::Matches(head.etag),
        ..crate::store_conformance::put(at, b"third", Condition::Absent)
    };
    one(store, again).await.expect("stored");
    assert_eq!(store.versions(&key(at)).await.expect("listed").len(), 3);
    let empty = store.put_stream(&stream("stream/empty", Condition::Absent, 0), &mut &b""[..]).await.expect("stored");
    let object = store.get(&key("stream/empty"), Some(&empty.version), 0).await.expect("there");
    assert!(object.bytes.is_empty());
}

/// A reader that generates bytes.
pub struct Made {
    at: usize,
    length: usize,
}

impl Made {
    /// A reader of `length` bytes.
    pub fn new(length: usize) -> Self {
        Self { at: 0, length }
    }

    fn byte(at: usize) -> u8 {
        u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 0xff).expect("eight bits")
    }
}

impl AsyncRead for Made {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        // Always fewer bytes than requested.
        let count = buffer.remaining().min(9_999).min(self.length - self.at);
        for at in self.at..self.at + count {
            buffer.put_slice(&[Self::byte(at)]);
        }
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

async fn a_large_stream_arrives_whole(store: &dyn Store) {
    // Also a multiple of the part size.
    for length in [LARGE, 16 << 20] {
        let at = format!("stream/large-{length}");
        let put = stream(&at, Condition::Absent, length);
        let stored = store.put_stream(&put, &mut Made::new(length)).await.expect("stored");
        let object = store.get(&key(&at), Some(&stored.version), length).await.expect("there");
        assert_eq!((object.bytes.len(), object.etag), (length, stored.etag));
        assert!(object.bytes.iter().enumerate().all(|(at, byte)| *byte == Made::byte(at)), "{length}");
        let part = store.get_range(&key(&at), &stored.version, range((8 << 20) - 1, 2)).await.expect("there");
        assert_eq!(part, [Made::byte((8 << 20) - 1), Made::byte(8 << 20)]);
    }
}

async fn a_refused_stream_leaves_nothing(store: &dyn Store) {
    for length in [10, LARGE] {
        let at = format!("stream/refused-{length}");
        let made = || Made::new(length);
        let too_large = store.put_stream(&stream(&at, Condition::Absent, length - 1), &mut made()).await;
        assert!(matches!(too_large, Err(StoreError::BodyTooLarge { .. })), "{too_large:?}");
        let absent = store.put_stream(&stream(&at, Condition::Matches(other_tag()), length), &mut made()).await;
        assert!(matches!(absent, Err(StoreError::Precondition)), "{absent:?}");
        assert!(matches!(store.head(&key(&at)).await, Err(StoreError::NotFound(_))), "a refused put leaves nothing");
        let (version, _) = one(store, put(&at, b"there", Condition::Absent)).await.expect("stored");
        for condition in [Condition::Absent, Condition::Matches(other_tag())] {
            let refused = store.put_stream(&stream(&at, condition, length), &mut made()).await;
            assert!(matches!(refused, Err(StoreError::Precondition)), "{refused:?}");
        }
        assert_eq!(store.versions(&key(&at)).await.expect("listed"), [version]);
        assert_eq!(store.get(&key(&at), None, 5).await.expect("there").bytes, b"there");
    }
}

/// A reader that fails, or never returns bytes; `is_read` is notified when it is read.
struct Broken {
    comes: bool,
    is_read: Arc<Notify>,
}

impl Broken {
    fn new(comes: bool) -> Self {
        Self { comes, is_read: Arc::default() }
    }
}

impl AsyncRead for Broken {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        self.is_read.notify_one();
        if self.comes { Poll::Ready(Err(std::io::Error::other("it broke off"))) } else { Poll::Pending }
    }
}

async fn a_stream_that_breaks_off_leaves_nothing(store: &dyn Store) {
    for length in [10, LARGE] {
        let at = format!("stream/broken-{length}");
        let put = stream(&at, Condition::Absent, usize::MAX);
        let mut body = Made::new(length).chain(Broken::new(true));
        let broken = store.put_stream(&put, &mut body).await;
        assert!(matches!(broken, Err(StoreError::Body { .. })), "{broken:?}");
        assert!(matches!(store.head(&key(&at)).await, Err(StoreError::NotFound(_))));
    }
    // The caller is cancelled: before anything is sent, and while parts are sent.
    for length in [1000, LARGE] {
        let at = format!("stream/given-up-{length}");
        let put = stream(&at, Condition::Absent, usize::MAX);
        let end = Broken::new(false);
        let is_read = end.is_read.clone();
        let mut body = Made::new(length).chain(end);
        tokio::select! {
            stored = store.put_stream(&put, &mut body) => panic!("its content never ends: {stored:?}"),
            () = is_read.notified() => {}
        }
        assert!(matches!(store.head(&put.key).await, Err(StoreError::NotFound(_))));
    }
}

async fn one_stream_wins(store: &Arc<dyn Store>) {
    let at = "stream/race";
    let mut expected: Option<ETag> = None;
    for round in 0..2 {
        let condition = expected.take().map_or(Condition::Absent, Condition::Matches);
        let writers: Vec<_> = (0..8)
            .map(|n| {
                let (store, put) = (store.clone(), stream(at, condition.clone(), 100));
                let bytes = format!("writer {n} of round {round}");
                tokio::spawn(async move { store.put_stream(&put, &mut bytes.as_bytes()).await.ok() })
            })
            .collect();
        let mut winners = Vec::new();
        for writer in writers {
            winners.extend(writer.await.expect("no panic"));
        }
        assert_eq!(winners.len(), 1, "a conditional put has one winner");
        expected = winners.pop().map(|stored| stored.etag);
    }
}
