//! Every store passes the same conformance suite.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use futures_util::future::BoxFuture;
use shared::archive::{
    ByteRange, Condition, DiskStore, ETag, Key, LazyStore, MemoryStore, OpenError, Put, S3Settings, S3Store, Store,
    StoreError,
};
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

/// A new bucket on the emulator; `None` if there is no emulator.
async fn bucket(versioned: bool) -> Option<(String, aws_sdk_s3::Client)> {
    let Some(endpoint) = tests::variable("BIO_MCP_TEST_AWS_ENDPOINT") else {
        eprintln!("SKIPPED: BIO_MCP_TEST_AWS_ENDPOINT names no AWS emulator: run `make test`");
        return None;
    };
    let client = tests::s3::client(&endpoint);
    Some((tests::s3::new_bucket(&client, versioned).await, client))
}

async fn open(bucket: &str, kms_key_id: Option<&str>) -> Result<S3Store, OpenError> {
    let kms_key_id = kms_key_id.map(str::to_owned);
    let settings = S3Settings { bucket: bucket.to_owned(), kms_key_id, path_style: true };
    let endpoint = tests::variable("BIO_MCP_TEST_AWS_ENDPOINT").expect("there");
    S3Store::open(settings, &tests::s3::config(&endpoint)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_s3_store_conforms() {
    let Some((name, _)) = bucket(true).await else { return };
    store_conformance::check(Arc::new(open(&name, None).await.expect("opens"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_of_a_bucket_that_is_opened_late_conforms() {
    fn load() -> BoxFuture<'static, &'static SdkConfig> {
        static CONFIG: OnceLock<SdkConfig> = OnceLock::new();
        let endpoint = tests::variable("BIO_MCP_TEST_AWS_ENDPOINT").expect("there");
        Box::pin(async move { CONFIG.get_or_init(|| tests::s3::config(&endpoint)) })
    }
    let Some((name, client)) = bucket(true).await else { return };
    let settings = S3Settings { bucket: name.clone(), kms_key_id: None, path_style: true };
    store_conformance::check(Arc::new(LazyStore::new(settings, load))).await;
    // Parts of refused and failed uploads cost nothing: abandoned uploads are aborted in the background.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let under_way = client.list_multipart_uploads().bucket(&name).send().await.expect("listed");
        if under_way.uploads().is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{under_way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_without_versions_or_that_is_not_there_is_refused() {
    let Some((name, _)) = bucket(false).await else { return };
    let refused = open(&name, None).await.expect_err("not versioned");
    assert!(matches!(refused, OpenError::NotVersioned(_)), "{refused:?}");
    assert!(refused.to_string().contains("put-bucket-versioning"), "{refused}");
    let nowhere = open("there-is-no-such-bucket", None).await.expect_err("not there");
    assert!(matches!(nowhere, OpenError::Store { .. }), "{nowhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_carries_checksum_hash_and_key() {
    let Some((name, client)) = bucket(true).await else { return };
    let key_id = "11111111-2222-3333-4444-555555555555";
    let store = open(&name, Some(key_id)).await.expect("opens");
    let bytes = b"some bytes";
    let hash = shared::core::Sha256::of(b"a payload");
    let one = Put { bytes, payload_hash: Some(hash), ..put("a/1.json.zst") };
    store.put_batch(std::slice::from_ref(&one)).await.pop().expect("a response").expect("stored");
    assert_eq!(store.head(&one.key).await.expect("there").payload_hash, Some(hash));
    let head = client
        .head_object()
        .bucket(&name)
        .key("a/1.json.zst")
        .checksum_mode(aws_sdk_s3::types::ChecksumMode::Enabled)
        .send()
        .await
        .expect("there");
    assert!(head.checksum_sha256().is_some(), "{head:?}");
    assert_eq!(head.server_side_encryption().map(aws_sdk_s3::types::ServerSideEncryption::as_str), Some("aws:kms"));
    assert!(head.ssekms_key_id().is_some_and(|id| id.contains(key_id)), "{head:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_goes_in_parts_and_a_refused_one_leaves_none() {
    let Some((name, client)) = bucket(true).await else { return };
    let store = open(&name, None).await.expect("opens");
    let bytes: Vec<u8> = (0..20_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
    let large = Put { bytes: &bytes, ..put("large/1.json.zst") };
    let stored = store.put_batch(std::slice::from_ref(&large)).await.pop().expect("a response").expect("stored");
    let back = store.get(&large.key, Some(&stored.version), bytes.len()).await.expect("there");
    assert!(back.bytes == bytes && back.etag == stored.etag);
    // A failed upload leaves no parts.
    let lost = store
        .put_batch(&[Put { condition: Condition::Matches(ETag::parse("another").expect("a tag")), ..large.clone() }])
        .await;
    assert!(matches!(&lost[0], Err(StoreError::Precondition)), "{lost:?}");
    let under_way = client.list_multipart_uploads().bucket(&name).send().await.expect("listed");
    assert!(under_way.uploads().is_empty(), "{under_way:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_version_is_gone_and_the_others_stay() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut stores: Vec<Arc<dyn Store>> = vec![Arc::new(MemoryStore::new()), Arc::new(DiskStore::new(dir.path()))];
    if let Some((name, _)) = bucket(true).await {
        stores.push(Arc::new(open(&name, None).await.expect("opens")));
    }
    for store in stores {
        let old = store.put_batch(&[put("a/1.json.zst")]).await.pop().expect("a response").expect("stored");
        let newer = Put { bytes: b"newer", condition: Condition::Matches(old.etag.clone()), ..put("a/1.json.zst") };
        let new = store.put_batch(&[newer]).await.pop().expect("a response").expect("stored");
        let key = Key::parse("a/1.json.zst").expect("a key");
        for _ in 0..2 {
            store.delete_version(&key, &old.version).await.expect("deleted");
        }
        assert_eq!(store.versions(&key).await.expect("listed"), std::slice::from_ref(&new.version));
        assert!(matches!(store.get(&key, Some(&old.version), 4096).await, Err(StoreError::NotFound(_))));
        assert_eq!(store.get(&key, None, 4096).await.expect("there").bytes, b"newer");
    }
}

fn put(name: &str) -> Put<'static> {
    Put { key: Key::parse(name).expect("a key"), bytes: &[7; 4096], condition: Condition::Absent, payload_hash: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_written_is_a_typed_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    // A file where a folder is needed: no user can write below it, not even root.
    std::fs::write(dir.path().join("a"), "in the way").expect("written");
    let results = DiskStore::new(dir.path()).put_batch(&[put("a/b/1.json.zst"), put("c/2.json.zst")]).await;
    assert!(matches!(&results[0], Err(StoreError::Unavailable { .. })), "{:?}", results[0]);
    assert!(results[1].is_ok(), "the others of the batch are stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_never_taken_for_the_version() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = DiskStore::new(dir.path());
    let one = put("a/1.json.zst");
    let stored = store.put_batch(std::slice::from_ref(&one)).await.pop().expect("a response").expect("stored");
    let path = dir.path().join("a/1.json.zst");
    let mut bytes = std::fs::read(&path).expect("there");
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    assert!(matches!(store.get(&one.key, Some(&stored.version), 4096).await, Err(StoreError::NotFound(_))));
}

/// The version of a file is computed once per state (size and time): ranges are then read without reading the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_file_that_was_written_since_is_none_of_its_version() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = DiskStore::new(dir.path());
    let one = put("a/1.json.zst");
    let old = store.put_batch(std::slice::from_ref(&one)).await.pop().expect("a response").expect("stored");
    let newer = Put { bytes: &[8; 4096], condition: Condition::Matches(old.etag), ..one.clone() };
    let new = store.put_batch(&[newer]).await.pop().expect("a response").expect("stored");
    let range = ByteRange::new(1000, 5).expect("a range");
    for (version, bytes) in [(&old.version, [7; 5]), (&new.version, [8; 5])] {
        assert_eq!(store.get_range(&one.key, version, range).await.expect("there"), bytes);
    }
    // With another length, so that the state differs even within one clock tick.
    std::fs::write(dir.path().join("a/1.json.zst"), [9; 4097]).expect("written");
    let read = store.get_range(&one.key, &new.version, range).await;
    assert!(matches!(read, Err(StoreError::NotFound(_))), "{read:?}");
    let aside = dir.path().join(format!(".versions/a/1.json.zst/{}.json.zst", old.version));
    std::fs::write(aside, [9; 4097]).expect("written");
    let read = store.get_range(&one.key, &old.version, range).await;
    assert!(matches!(read, Err(StoreError::Damaged(_))), "{read:?}");
}

/// A planted file larger than any object is never read, and can be replaced.
#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_file_is_refused_by_its_size_and_moved_aside() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = DiskStore::new(dir.path());
    let one = put("a/1.json.zst");
    let genuine = store.put_batch(std::slice::from_ref(&one)).await.pop().expect("a response").expect("stored");
    let path = dir.path().join("a/1.json.zst");
    std::fs::remove_file(&path).expect("removed");
    // A sparse file: it uses no space, but reading it would take hours.
    std::fs::File::create(&path).and_then(|file| file.set_len(1 << 40)).expect("made");
    let planted = store.head(&one.key).await.expect("there");
    assert_ne!(planted.version, genuine.version);
    for version in [None, Some(&planted.version), Some(&genuine.version)] {
        let read = store.get(&one.key, version, 1 << 30).await;
        assert!(matches!(read, Err(StoreError::TooLarge { .. })), "{version:?}: {read:?}");
    }
    assert_eq!(store.versions(&one.key).await.expect("listed"), std::slice::from_ref(&planted.version));
    let again = Put { condition: Condition::Matches(planted.etag), ..one.clone() };
    store.put_batch(&[again]).await.pop().expect("a response").expect("stored");
    assert_eq!(store.get(&one.key, None, 4096).await.expect("there").bytes, one.bytes);
    let versions = [genuine.version, planted.version.clone()];
    assert_eq!(store.versions(&one.key).await.expect("listed"), versions);
    let read = store.get(&one.key, Some(&planted.version), 1 << 30).await;
    assert!(matches!(read, Err(StoreError::TooLarge { .. })), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pipes_and_devices_are_never_read() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = DiskStore::new(dir.path());
    let key = Key::parse("a/1.json.zst").expect("a key");
    let path = dir.path().join(key.as_str());
    std::fs::create_dir(dir.path().join("a")).expect("made");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
    assert!(made.success());
    let pipe = store.get(&key, None, 4096).await;
    std::fs::remove_file(&path).expect("removed");
    std::os::unix::fs::symlink("/dev/zero", &path).expect("linked");
    let device = store.get(&key, None, 4096).await;
    for read in [pipe, device] {
        assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
    }
}
