//! Every store passes the same suite.

use std::sync::Arc;

use shared::archive::{Condition, DiskStore, Key, MemoryStore, Put, Store, StoreError};
use tests::store_conformance;

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_store_conforms() {
    store_conformance::check(Arc::new(MemoryStore::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_store_conforms() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    store_conformance::check(Arc::new(DiskStore::new(dir.path()))).await;
    assert_eq!(DiskStore::new(dir.path()).remove_temporary_files().expect("swept"), 0, "nothing is left behind");
}

fn put(name: &str) -> Put<'static> {
    Put { key: Key::parse(name).expect("a key"), bytes: &[7; 4096], condition: Condition::Absent, payload_hash: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_written_is_a_typed_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    // A file where a folder is needed: no user may write below it, root included.
    std::fs::write(dir.path().join("a"), "in the way").expect("written");
    let answers = DiskStore::new(dir.path()).put_batch(&[put("a/b/1.json.zst"), put("c/2.json.zst")]).await;
    assert!(matches!(&answers[0], Err(StoreError::Unavailable { .. })), "{:?}", answers[0]);
    assert!(answers[1].is_ok(), "the others of the batch are stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_never_taken_for_the_version() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = DiskStore::new(dir.path());
    let one = put("a/1.json.zst");
    let stored = store.put_batch(std::slice::from_ref(&one)).await.pop().expect("an answer").expect("stored");
    let path = dir.path().join("a/1.json.zst");
    let mut bytes = std::fs::read(&path).expect("there");
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    assert!(matches!(store.get(&one.key, Some(&stored.version)).await, Err(StoreError::NotFound(_))));
}
