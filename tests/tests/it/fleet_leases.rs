//! Leases of a fleet with fencing tokens, in Postgres and in DynamoDB: the same suite for both.

use std::sync::Arc;
use std::time::Duration;

use shared::limits::dynamodb::LimitsTable;
use shared::limits::{Leases, PostgresLeases, fence};
use tests::databases::until_one_waits;
use tests::{aws, lease_conformance, s3};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_in_postgres_do_what_leases_must() {
    let db = tests::engine::pool(10).await;
    lease_conformance::check(Arc::new(PostgresLeases(db.clone())), &db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_in_dynamodb_do_what_leases_must() {
    let Some(endpoint) = aws::endpoint() else { return };
    let config = s3::config(&endpoint);
    let table = LimitsTable::new(&aws::new_table(&config).await, &config);
    lease_conformance::check(Arc::new(table), &tests::engine::pool(4).await).await;
}

#[tokio::test]
async fn a_lease_of_a_database_whose_clock_was_ahead_is_over() {
    let db = tests::engine::pool(2).await;
    let leases = PostgresLeases(db.clone());
    let minute = Duration::from_secs(60);
    let first = leases.acquire("a", minute).await.expect("reachable").expect("free");
    let set = async |ahead: &str| {
        let sql = "update leases set expires_at = clock_timestamp() + $1::interval";
        sqlx::query(sql).bind(ahead).execute(&db).await.expect("set");
    };
    set("110 seconds").await;
    assert_eq!(leases.acquire("a", minute).await.expect("reachable"), None, "it may be right");
    set("1 day").await;
    let second = leases.acquire("a", minute).await.expect("reachable").expect("no lease is held for a day");
    assert!(second.token() > first.token());
}

/// While a transaction that checked the lease is open, no other process takes it over, even if it has expired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_in_postgres_is_not_taken_over_during_a_transaction_that_names_it() {
    let db = tests::engine::pool(4).await;
    let leases = PostgresLeases(db.clone());
    let slow = leases.acquire("a", Duration::ZERO).await.expect("reachable").expect("free");
    let mut tx = shared::db::begin(&db).await.expect("begun");
    assert!(fence(&mut tx, &slow).await.expect("named"));
    let other = leases.clone();
    let taking = tokio::spawn(async move { other.acquire("a", Duration::from_secs(60)).await.expect("reachable") });
    until_one_waits(&db).await;
    assert!(!taking.is_finished());
    tx.commit().await.expect("committed");
    let next = taking.await.expect("no panic").expect("taken over then");
    assert!(next.token() > slow.token());
}
