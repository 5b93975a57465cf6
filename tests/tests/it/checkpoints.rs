//! A checkpoint preserves the state of the corpus; its digests and differences can be recomputed from a listing.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use shared::archive::ETag;
use shared::checkpoints::{self, Checkpoint, NewCheckpoint};
use shared::core::{FileRank, Pmid, RecordOrder, Sha256};
use shared::db;
use shared::records::{self, PointerUpdate};
use shared::syncs;
use sqlx::PgPool;
use tests::invariants;
use tests::random::Random;

/// A version of a record; `revision` determines its text and whether it is retracted or deleted.
fn version(n: u64, revision: u64, place: u64) -> PointerUpdate {
    let pmid = Pmid::new(u32::try_from(n).expect("small")).expect("a PMID");
    let deleted = revision % 7 == 6;
    let hash = Sha256::of(format!("{n} {revision}").as_bytes());
    PointerUpdate {
        pmid,
        s3_uri: format!("memory:///{n}?versionId={place}"),
        object_etag: ETag::parse("1"),
        content_hash: (!deleted).then_some(hash),
        retracted: revision % 5 == 4,
        integrity: None,
        fetched_at: DateTime::default(),
        api_etag: None,
        order: RecordOrder {
            version: 1,
            date_revised: None,
            as_of: DateTime::<Utc>::from_timestamp(i64::try_from(place).expect("small"), 0).expect("a time"),
            file_number: 0,
            position: 0,
            file_id: None,
            deleted,
        },
        seen: FileRank::NONE,
        expected: None,
    }
}

fn new(id: &str, queries: &[&str]) -> NewCheckpoint {
    NewCheckpoint {
        checkpoint_id: id.to_owned(),
        name: id.to_owned(),
        description: None,
        primary_queries: queries.iter().map(|key| (*key).to_owned()).collect(),
        parent_checkpoint_id: None,
        principal: "test".to_owned(),
    }
}

/// The digest as documented.
fn digest(documents: &BTreeMap<String, String>) -> String {
    let mut sums = [0_u64; 4];
    for (pmid, hash) in documents {
        let hash = Sha256::of(format!("{pmid}:{hash}").as_bytes());
        for (sum, word) in sums.iter_mut().zip(hash.as_bytes().chunks(8)) {
            *sum = sum.wrapping_add(u64::from_be_bytes(word.try_into().expect("eight bytes")));
        }
    }
    let [a, b, c, d] = sums;
    format!("{a:016x}{b:016x}{c:016x}{d:016x}")
}

/// All records of a checkpoint, read page by page.
async fn held(db: &PgPool, checkpoint: &Checkpoint) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut after = None;
    loop {
        let page = checkpoints::documents(db, checkpoint, after, 7).await.expect("read").rows;
        let Some(last) = page.last() else { return all };
        after = Some(Pmid::parse(&last.pmid).expect("a PMID"));
        for document in page {
            let pmid = Pmid::parse(&document.pmid).expect("a PMID");
            let one = checkpoints::documents_of(db, checkpoint, &[pmid]).await.expect("read");
            assert_eq!(one[0].content_hash, document.content_hash);
            all.insert(document.pmid, document.content_hash);
        }
    }
}

/// Writers revise, delete and restore the same few records while others make them members of queries; checkpoints are
/// created meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn checkpoints_hold_what_was_there_while_others_write() {
    const KEYS: [&str; 3] = ["a", "b", "c"];
    let db = tests::engine::pool(12).await;
    for key in KEYS {
        syncs::bind(&db, key, key, "test").await.expect("bound");
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4_u64 {
        let db = db.clone();
        writers.spawn(async move {
            let mut random = Random(writer);
            for step in 0..60 {
                let mut tx = shared::db::begin(&db).await.expect("begins");
                let distinct: BTreeSet<u64> = (0..8).map(|_| 1 + random.below(60)).collect();
                let place = 1 + writer + 4 * step;
                let rows: Vec<_> = distinct.iter().map(|n| version(*n, random.below(20), place * 1000 + n)).collect();
                records::accept(&mut tx, &rows).await.expect("accepted");
                // In the order of a batch: pointers, then members.
                if random.percent(30) {
                    let pmids: BTreeSet<u32> =
                        (0..5).map(|_| 1 + u32::try_from(random.below(60)).expect("small")).collect();
                    let pmids: Vec<Pmid> = pmids.into_iter().map(|n| Pmid::new(n).expect("a PMID")).collect();
                    let key = KEYS[usize::try_from(random.below(3)).expect("small")];
                    syncs::add_members(&mut tx, key, &pmids).await.expect("added");
                }
                if random.percent(10) {
                    tx.rollback().await.expect("rolled back");
                } else {
                    tx.commit().await.expect("committed");
                }
            }
        });
    }
    let scopes: [&[&str]; 4] = [&[], &["a"], &["b", "c"], &["c", "a", "b", "a"]];
    let mut made = Vec::new();
    while !writers.is_empty() {
        for scope in scopes {
            let id = format!("{}-{}", scope.join("_"), made.len());
            made.push(checkpoints::create(&db, new(&id, scope)).await.expect("made"));
        }
        while let Some(ended) = writers.try_join_next() {
            ended.expect("no writer failed");
        }
    }
    for scope in scopes {
        made.push(checkpoints::create(&db, new(&format!("last-{}", scope.join("_")), scope)).await.expect("made"));
    }
    assert_eq!(invariants::broken(&db).await, Vec::<String>::new());
    let now = checkpoints::now(&db).await.expect("read");
    let last_of_all = &made[made.len() - 4];
    assert_eq!((&now.digest, now.total_documents), (&last_of_all.digest, last_of_all.total_documents));

    // The first and the last checkpoints of each scope.
    let picked: Vec<&Checkpoint> = made.iter().take(8).chain(made.iter().rev().take(8)).collect();
    let mut contents = Vec::new();
    for checkpoint in &picked {
        let documents = held(&db, checkpoint).await;
        assert_eq!(digest(&documents), checkpoint.digest, "{}", checkpoint.checkpoint_id);
        assert_eq!(documents.len(), usize::try_from(checkpoint.total_documents).expect("positive"));
        contents.push(documents);
    }
    for (from, old) in picked.iter().zip(&contents) {
        for (to, new) in picked.iter().zip(&contents) {
            let changes = checkpoints::changes(&db, from, to, 1000).await.expect("compared");
            let names = |keys: Vec<&String>| {
                let mut names: Vec<String> = keys.into_iter().cloned().collect();
                names.sort_by_key(|name| name.parse::<u32>().expect("a PMID"));
                names
            };
            assert_eq!(changes.added.pmids, names(new.keys().filter(|pmid| !old.contains_key(*pmid)).collect()));
            assert_eq!(changes.deleted.pmids, names(old.keys().filter(|pmid| !new.contains_key(*pmid)).collect()));
            let is_revised = |pmid: &&String| old.get(*pmid).is_some_and(|hash| *hash != new[*pmid]);
            assert_eq!(changes.revised.pmids, names(new.keys().filter(is_revised).collect()));
            let is_retracted = |documents: &BTreeMap<String, String>, pmid: &str| {
                let retracted = (0..20).filter(|revision| revision % 5 == 4);
                let hashes = retracted.map(|revision| Sha256::of(format!("{pmid} {revision}").as_bytes()).to_hex());
                documents.get(pmid).is_some_and(|hash| hashes.into_iter().any(|one| one == *hash))
            };
            let newly = |pmid: &&String| {
                old.get(*pmid) != new.get(*pmid) && is_retracted(new, pmid) && !is_retracted(old, pmid)
            };
            assert_eq!(changes.retracted.pmids, names(new.keys().filter(newly).collect()));
            assert_eq!(changes.unknown.total, 0);
            let few = checkpoints::changes(&db, from, to, 2).await.expect("compared");
            assert_eq!((few.added.total, few.revised.total), (changes.added.total, changes.revised.total));
            assert!(few.added.pmids.len() <= 2, "only so many are named");
        }
    }
}

/// The migration counts what was archived before it, and reports what it could not know.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_from_before_has_its_digests_too() {
    let db = PgPool::connect(&tests::databases::empty_database().await).await.expect("connects");
    let mut migrations: Vec<_> = db::MIGRATIONS.iter().cloned().collect();
    migrations.retain(|migration| migration.version < 10);
    let before = sqlx::migrate::Migrator::with_migrations(migrations);
    before.run(&db).await.expect("migrated");
    sqlx::raw_sql(
        "insert into pubmed_archive (pmid, s3_uri, content_hash, fetched_at, object_etag, record_version, as_of, file_number, position)
             select n, 'memory:///' || n, repeat(n::text, 32), now(), '1', 1, now(), 0, 0 from generate_series(11, 19) n;
         insert into pubmed_archive_history (pmid, content_hash, s3_uri, fetched_at)
             select pmid, content_hash, s3_uri, now() from pubmed_archive;
         insert into archive_events (seq, pmid, outcome, content_hash, s3_uri, accepted_at)
             select pmid::bigint - 10, pmid, 'archived', content_hash, s3_uri, now() from pubmed_archive;
         update archive_event_counter set last_seq = 10;
         insert into query_members (query_key, pmid, first_seq) select 'old', pmid, 10 from pubmed_archive where pmid > '15';",
    )
    .execute(&db)
    .await
    .expect("an archive");
    db::migrate(&db).await.expect("migrated");
    assert_eq!(invariants::broken(&db).await, Vec::<String>::new());
    let all = checkpoints::create(&db, new("all", &[])).await.expect("made");
    let old = checkpoints::create(&db, new("old", &["old"])).await.expect("made");
    assert_eq!((all.total_documents, old.total_documents), (9, 4));
    for checkpoint in [&all, &old] {
        assert_eq!(digest(&held(&db, checkpoint).await), checkpoint.digest);
    }
    let empty = Checkpoint { seq: 0, ..all.clone() };
    let changes = checkpoints::changes(&db, &empty, &all, 0).await.expect("compared");
    assert_eq!((changes.added.total, changes.unknown.total), (9, 9), "whether they were retracted was not noted then");
}
