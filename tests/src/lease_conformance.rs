//! Conformance tests of every lease store, each with separate names.

use std::sync::Arc;
use std::time::Duration;

use shared::limits::{Leases, NamedLease, fence};
use sqlx::PgPool;

use crate::databases::until_one_waits;

const MINUTE: Duration = Duration::from_secs(60);

const SECOND: Duration = Duration::from_secs(1);

/// Tests leases; `db` is the database whose transactions check their tokens.
pub async fn check(leases: Arc<dyn Leases>, db: &PgPool) {
    one_holder_and_tokens_that_grow(leases.clone()).await;
    a_lease_that_ran_out_is_taken_over(&*leases).await;
    a_lease_lasts_as_long_as_its_holder_requested(&*leases).await;
    names_have_nothing_to_do_with_each_other(&*leases).await;
    no_transaction_of_an_earlier_holder_commits(&*leases, db).await;
    a_holder_that_reads_first_keeps_earlier_ones_out(&*leases, db).await;
}

async fn held(leases: &dyn Leases, name: &str, ttl: Duration) -> NamedLease {
    leases.acquire(name, ttl).await.expect("reachable").expect("free")
}

async fn one_holder_and_tokens_that_grow(leases: Arc<dyn Leases>) {
    let takers = (0..8).map(|_| {
        let leases = leases.clone();
        tokio::spawn(async move { leases.acquire("one", MINUTE).await.expect("reachable") })
    });
    let mut held_by = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        held_by.extend(taker.await.expect("no panic"));
    }
    let [first] = &held_by[..] else { panic!("one holder: {held_by:?}") };
    assert_eq!(first.name(), "one");
    assert!(leases.renew(first, MINUTE).await.expect("reachable"));
    assert_eq!(leases.acquire("one", MINUTE).await.expect("reachable"), None);
    let mut last = first.clone();
    for _ in 0..3 {
        leases.release(&last).await.expect("reachable");
        leases.release(&last).await.expect("done again, it changes nothing");
        assert!(!leases.renew(&last, MINUTE).await.expect("reachable"), "it was given back");
        let next = held(&*leases, "one", MINUTE).await;
        assert!(next.token() > last.token(), "{next:?} after {last:?}");
        last = next;
    }
}

async fn a_lease_that_ran_out_is_taken_over(leases: &dyn Leases) {
    let slow = held(leases, "slow", MINUTE).await;
    assert!(leases.renew(&slow, Duration::ZERO).await.expect("reachable"), "its time is up now");
    let next = held_soon(leases, "slow").await;
    assert!(next.token() > slow.token());
    assert!(!leases.renew(&slow, MINUTE).await.expect("reachable"), "another has it");
    leases.release(&slow).await.expect("reachable");
    assert_eq!(leases.acquire("slow", MINUTE).await.expect("reachable"), None, "it gave back nothing");
}

/// Regardless of the durations that other processes request.
async fn a_lease_lasts_as_long_as_its_holder_requested(leases: &dyn Leases) {
    let long = held(leases, "long", 10 * MINUTE).await;
    assert_eq!(leases.acquire("long", SECOND).await.expect("reachable"), None, "it was acquired for ten minutes");
    assert!(leases.renew(&long, 20 * MINUTE).await.expect("reachable"));
    assert_eq!(leases.acquire("long", SECOND).await.expect("reachable"), None, "it was renewed for twenty");
    leases.release(&long).await.expect("reachable");
    held(leases, "long", SECOND).await;
    let short = held(leases, "short", MINUTE).await;
    assert!(leases.renew(&short, 10 * MINUTE).await.expect("reachable"));
    assert_eq!(leases.acquire("short", SECOND).await.expect("reachable"), None, "it was renewed for ten minutes");
}

/// A lease of a name whose current lease expires now, by any clock.
async fn held_soon(leases: &dyn Leases, name: &str) -> NamedLease {
    let taken = async {
        loop {
            if let Some(lease) = leases.acquire(name, MINUTE).await.expect("reachable") {
                return lease;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(MINUTE, taken).await.expect("it ran out")
}

async fn names_have_nothing_to_do_with_each_other(leases: &dyn Leases) {
    let (one, other) = (held(leases, "a name", MINUTE).await, held(leases, "another", MINUTE).await);
    assert!(leases.renew(&one, MINUTE).await.expect("reachable"));
    assert!(leases.renew(&other, MINUTE).await.expect("reachable"));
}

async fn no_transaction_of_an_earlier_holder_commits(leases: &dyn Leases, db: &PgPool) {
    let slow = held(leases, "fenced", MINUTE).await;
    assert!(is_let_in(db, &slow).await, "the holder writes");
    assert!(is_let_in(db, &slow).await, "as often as it likes");
    leases.renew(&slow, Duration::ZERO).await.expect("reachable");
    let next = held_soon(leases, "fenced").await;
    assert!(is_let_in(db, &next).await);
    assert!(!is_let_in(db, &slow).await, "the token of the earlier holder is stale");
    assert!(is_let_in(db, &next).await, "and changes nothing for the holder");
}

async fn a_holder_that_reads_first_keeps_earlier_ones_out(leases: &dyn Leases, db: &PgPool) {
    let slow = held(leases, "read first", MINUTE).await;
    leases.release(&slow).await.expect("reachable");
    let next = held(leases, "read first", MINUTE).await;
    let mut reading = shared::db::begin(db).await.expect("begun");
    assert!(fence(&mut reading, &next).await.expect("named"));
    let late = {
        let (db, slow) = (db.clone(), slow.clone());
        tokio::spawn(async move { is_let_in(&db, &slow).await })
    };
    until_one_waits(db).await;
    assert!(!late.is_finished(), "it waits for that transaction");
    reading.commit().await.expect("committed");
    assert!(!late.await.expect("no panic"), "and is refused then");
}

/// Whether a transaction with this lease may commit.
async fn is_let_in(db: &PgPool, lease: &NamedLease) -> bool {
    let mut tx = shared::db::begin(db).await.expect("begun");
    let is_let_in = fence(&mut tx, lease).await.expect("named");
    if is_let_in {
        tx.commit().await.expect("committed");
    } else {
        tx.rollback().await.expect("rolled back");
    }
    is_let_in
}
