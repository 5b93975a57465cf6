//! Conformance tests of every store, run against each implementation.

use std::collections::HashSet;
use std::sync::Arc;

use shared::archive::{Address, Condition, ETag, Key, Put, Store, StoreError, VersionId};
use shared::core::Sha256;

use crate::store_parts;

pub fn key(text: &str) -> Key {
    Key::parse(text).expect("a key")
}

/// A put of these bytes.
pub(crate) fn put<'a>(at: &str, bytes: &'a [u8], condition: Condition) -> Put<'a> {
    Put { key: key(at), bytes, condition, payload_hash: Some(Sha256::of(bytes)) }
}

/// Performs one put.
pub(crate) async fn one(store: &dyn Store, put: Put<'_>) -> Result<(VersionId, ETag), StoreError> {
    let mut results = store.put_batch(&[put]).await;
    assert_eq!(results.len(), 1);
    results.pop().expect("one result").map(|stored| (stored.version, stored.etag))
}

/// A tag that no object has.
pub(crate) fn other_tag() -> ETag {
    ETag::parse("0").expect("a tag")
}

/// Runs the suite on an empty store.
pub async fn check(store: Arc<dyn Store>) {
    nothing_is_there(&*store).await;
    versions_stay(&*store).await;
    conditions_hold(&*store).await;
    batches_return_results_in_order(&*store).await;
    listings_are_ordered_and_paged(&*store).await;
    what_is_larger_than_asked_for_is_not_read(&*store).await;
    store_parts::check(&store).await;
    one_writer_wins(store.clone(), Condition::Absent, "race/absent.json.zst").await;
    let (_, etag) = one(&*store, put("race/match.json.zst", b"start", Condition::Absent)).await.expect("stored");
    one_writer_wins(store, Condition::Matches(etag), "race/match.json.zst").await;
}

async fn nothing_is_there(store: &dyn Store) {
    let nowhere = key("none/1.json.zst");
    assert!(matches!(store.get(&nowhere, None, usize::MAX).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.head(&nowhere).await, Err(StoreError::NotFound(_))));
    assert!(store.versions(&nowhere).await.expect("a response").is_empty());
    assert!(store.list("", None, 10).await.expect("a response").is_empty());
    assert!(store.put_batch(&[]).await.is_empty());
}

async fn versions_stay(store: &dyn Store) {
    let at = "a/pmid=1/1.json.zst";
    let (first, etag) = one(store, put(at, b"A", Condition::Absent)).await.expect("stored");
    let (second, etag) = one(store, put(at, b"B", Condition::Matches(etag))).await.expect("stored");
    // Storing earlier bytes again makes them the newest version again.
    let (third, etag) = one(store, put(at, b"A", Condition::Matches(etag))).await.expect("stored");
    let head = store.head(&key(at)).await.expect("there");
    assert_eq!((&head.version, &head.etag), (&third, &etag));
    assert!(head.payload_hash.is_none_or(|hash| hash == Sha256::of(b"A")));
    for (version, bytes) in [(&first, b"A"), (&second, b"B"), (&third, b"A")] {
        let object = store.get(&key(at), Some(version), usize::MAX).await.expect("every version stays readable");
        assert_eq!(object.bytes, bytes);
        assert_eq!(&object.version, version);
        let uri = store.uri(&key(at), version);
        assert!(uri.ends_with(&format!("{at}?versionId={version}")), "{uri}");
        let address = Address::parse(&uri).expect("an address");
        assert_eq!((address.version(), &address), (version, &store.root().address(&key(at), version)));
    }
    let all: HashSet<VersionId> = store.versions(&key(at)).await.expect("listed").into_iter().collect();
    assert_eq!(all, [first, second, third].into_iter().collect());
    assert_eq!(store.get(&key(at), None, usize::MAX).await.expect("there").bytes, b"A");
    for odd in ["nope", "../x", "a/b"] {
        let missing = store.get(&key(at), VersionId::parse(odd).as_ref(), usize::MAX).await;
        assert!(matches!(missing, Err(StoreError::NotFound(_))), "{odd}");
    }
}

async fn conditions_hold(store: &dyn Store) {
    let at = "b/2.json.zst";
    let nothing = Condition::Matches(other_tag());
    assert!(matches!(one(store, put(at, b"x", nothing)).await, Err(StoreError::Precondition)));
    assert!(matches!(store.head(&key(at)).await, Err(StoreError::NotFound(_))), "a refused put leaves nothing");
    let (_, old) = one(store, put(at, b"1", Condition::Absent)).await.expect("stored");
    assert!(matches!(one(store, put(at, b"2", Condition::Absent)).await, Err(StoreError::Precondition)));
    one(store, put(at, b"3", Condition::Matches(old.clone()))).await.expect("stored");
    assert!(matches!(one(store, put(at, b"4", Condition::Matches(old))).await, Err(StoreError::Precondition)));
    assert_eq!(store.get(&key(at), None, usize::MAX).await.expect("there").bytes, b"3");
    assert_eq!(store.versions(&key(at)).await.expect("listed").len(), 2);
}

async fn batches_return_results_in_order(store: &dyn Store) {
    let contents: Vec<String> = (0..50).map(|n| format!("bytes {n}")).collect();
    let puts: Vec<Put<'_>> = (0..50)
        .map(|n| {
            let condition = if n % 7 == 3 { Condition::Matches(other_tag()) } else { Condition::Absent };
            put(&format!("c/{n:03}.json.zst"), contents[n].as_bytes(), condition)
        })
        .collect();
    let results = store.put_batch(&puts).await;
    for (n, (put, result)) in puts.iter().zip(&results).enumerate() {
        match result {
            Ok(stored) => {
                assert_ne!(n % 7, 3);
                let object = store.get(&put.key, Some(&stored.version), usize::MAX).await.expect("there");
                assert_eq!(object.bytes, put.bytes);
            }
            Err(StoreError::Precondition) => assert_eq!(n % 7, 3),
            Err(other) => panic!("{other}"),
        }
    }
}

async fn listings_are_ordered_and_paged(store: &dyn Store) {
    // `.` sorts before `/`, which a traversal of directories easily gets wrong.
    let names =
        ["l/a.json.zst", "l/a/x.json.zst", "l/a0.json.zst", "l/b/1/2.json.zst", "l/b/1/3.json.zst", "m/1.json.zst"];
    for name in names {
        one(store, put(name, name.as_bytes(), Condition::Absent)).await.expect("stored");
    }
    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = store.list("l/", after.as_ref(), 2).await.expect("listed");
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        paged.extend(page);
    }
    assert_eq!(paged, names[..5].iter().map(|name| key(name)).collect::<Vec<_>>());
    assert_eq!(store.list("l/b/1/3", None, 10).await.expect("listed"), [key(names[4])]);
}

async fn what_is_larger_than_asked_for_is_not_read(store: &dyn Store) {
    let at = "large/1.json.zst";
    let (small, etag) = one(store, put(at, b"small", Condition::Absent)).await.expect("stored");
    let (large, _) = one(store, put(at, &[7; 1000], Condition::Matches(etag))).await.expect("stored");
    let is_too_large = |read| matches!(read, Err(StoreError::TooLarge { max_bytes: 999, .. }));
    assert!(is_too_large(store.get(&key(at), None, 999).await));
    assert!(is_too_large(store.get(&key(at), Some(&large), 999).await));
    assert_eq!(store.get(&key(at), None, 1000).await.expect("not too large").bytes, [7; 1000]);
    assert_eq!(store.get(&key(at), Some(&small), 999).await.expect("not too large").bytes, b"small");
    // An object without its bytes is still listed, and can be replaced.
    let head = store.head(&key(at)).await.expect("there");
    assert_eq!((&head.version, store.versions(&key(at)).await.expect("listed").len()), (&large, 2));
    one(store, put(at, b"again", Condition::Matches(head.etag))).await.expect("stored");
    assert_eq!(store.get(&key(at), None, 5).await.expect("not too large").bytes, b"again");
}

async fn one_writer_wins(store: Arc<dyn Store>, condition: Condition, at: &'static str) {
    let writers: Vec<_> = (0..32)
        .map(|n| {
            let (store, condition) = (store.clone(), condition.clone());
            tokio::spawn(
                async move { one(&*store, put(at, format!("writer {n}").as_bytes(), condition)).await.is_ok() },
            )
        })
        .collect();
    let mut winners = 0;
    for writer in writers {
        winners += usize::from(writer.await.expect("no panic"));
    }
    assert_eq!(winners, 1, "a conditional put has one winner");
}
