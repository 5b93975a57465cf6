//! Limits of a fleet in a DynamoDB table: the rate limiter for NCBI, and slots. Leases are in `fleet_leases`.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use shared::limits::dynamodb::{DynamoRateLimiter, LimitsTable};
use shared::limits::{Leases, Reservations, Slots};
use shared::pubmed::eutils::{RateLimiter, RateLimiterError, gap};
use tests::{aws, s3};

async fn table(endpoint: &str) -> LimitsTable {
    let config = s3::config(endpoint);
    LimitsTable::new(&aws::new_table(&config).await, &config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_many_workers_are_spaced_evenly() {
    let Some(endpoint) = aws::endpoint() else { return };
    let table = table(&endpoint).await;
    // Each worker has a separate rate limiter, as each function has; they share the item.
    let workers = (0..16).map(|_| {
        let rate_limiter = DynamoRateLimiter::new(table.clone(), "ncbi", 10);
        tokio::spawn(async move {
            let mut starts = Vec::new();
            for _ in 0..2 {
                let reservation = rate_limiter.0.reserve(Duration::from_secs(60)).await.expect("the table responds");
                starts.push(reservation.expect("within a minute").start_at);
            }
            starts
        })
    });
    let mut starts = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        starts.extend(worker.await.expect("no panic"));
    }
    starts.sort();
    assert_eq!(starts.len(), 32);
    let gap = gap(10);
    for pair in starts.windows(2) {
        let between = pair[1].duration_since(pair[0]);
        // Starts are stored in whole milliseconds; each worker reads its clock twice.
        assert!(between + Duration::from_millis(15) >= gap, "{between:?} after another start, {gap:?} wanted");
    }
}

#[tokio::test]
async fn a_reservation_too_far_ahead_is_refused_and_a_pause_applies_to_all_workers() {
    let Some(endpoint) = aws::endpoint() else { return };
    let table = table(&endpoint).await;
    let (one, other) =
        (DynamoRateLimiter::new(table.clone(), "ncbi", 1), DynamoRateLimiter::new(table.clone(), "ncbi", 1));
    // Longer than a request takes on a busy machine, shorter than the pause.
    let late = || Instant::now() + Duration::from_secs(20);
    one.acquire(late()).await.expect("the first");
    one.pause_for(Duration::from_secs(60)).await.expect("held");
    one.pause_for(Duration::from_millis(1)).await.expect("a shorter hold changes nothing");
    assert!(matches!(other.acquire(late()).await, Err(RateLimiterError::TooLong)));
    let another = DynamoRateLimiter::new(table, "other", 1);
    another.acquire(late()).await.expect("another server's turns are its own");
}

#[tokio::test]
async fn without_the_table_ncbi_is_not_called() {
    let Some(endpoint) = aws::endpoint() else { return };
    let config = s3::config(&endpoint);
    let nowhere = LimitsTable::new("no-such-table", &config);
    let rate_limiter = DynamoRateLimiter::new(nowhere.clone(), "ncbi", 10);
    let reservation = rate_limiter.acquire(Instant::now() + Duration::from_secs(5)).await;
    assert!(matches!(reservation, Err(RateLimiterError::Unavailable(_))), "{reservation:?}");
    nowhere.take_slot("pubmed.search", 1, Duration::from_secs(5)).await.expect_err("the caller decides: it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_are_never_more_than_there_are() {
    let Some(endpoint) = aws::endpoint() else { return };
    let table = table(&endpoint).await;
    let takers = (0..12).map(|_| {
        let table = table.clone();
        tokio::spawn(
            async move { table.take_slot("pubmed.search", 5, Duration::from_secs(60)).await.expect("responds") },
        )
    });
    let mut slots = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        slots.extend(taker.await.expect("no panic"));
    }
    assert_eq!(slots.len(), 5);
    let take = |longest| table.take_slot("pubmed.search", 5, longest);
    assert_eq!(take(Duration::from_secs(60)).await.expect("responds"), None);
    table.release_slot(&slots[0]).await.expect("released");
    table.release_slot(&slots[0]).await.expect("releasing it twice changes nothing");
    // Its holder dies at once.
    take(Duration::ZERO).await.expect("responds").expect("the one that was released");
    take(Duration::from_secs(60)).await.expect("responds").expect("that of the dead one");
    assert_eq!(take(Duration::from_secs(60)).await.expect("responds"), None);
    assert!(table.take_slot("another", 1, Duration::from_secs(1)).await.expect("responds").is_some());
}

/// Writes an item of the table as a clock that was ahead would.
async fn write(endpoint: &str, table: &str, key: &str, attributes: &[(&str, AttributeValue)]) {
    let client = aws_sdk_dynamodb::Client::new(&s3::config(endpoint));
    let mut put = client.put_item().table_name(table).item("pk", AttributeValue::S(key.to_owned()));
    for (name, value) in attributes {
        put = put.item(*name, value.clone());
    }
    put.send().await.expect("written");
}

fn in_a_day() -> AttributeValue {
    AttributeValue::N((shared::core::clock::now().timestamp_millis() + 86_400_000).to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_stored_by_a_clock_ahead_blocks_no_worker() {
    let Some(endpoint) = aws::endpoint() else { return };
    let config = s3::config(&endpoint);
    let name = aws::new_table(&config).await;
    let table = LimitsTable::new(&name, &config);
    let soon = || Instant::now() + Duration::from_secs(2);

    write(&endpoint, &name, "pace#ncbi", &[("next_ms", in_a_day())]).await;
    // Its own clock could be behind, so it first waits whether others make reservations; then it does not wait a day.
    let patient = DynamoRateLimiter::new(table.clone(), "ncbi", 10);
    assert!(matches!(patient.acquire(soon()).await, Err(RateLimiterError::TooLong)));
    let rate_limiter = DynamoRateLimiter::new(table.clone(), "ncbi", 10).patient_for(Duration::ZERO);
    rate_limiter.acquire(soon()).await.expect("pulled back");
    patient.acquire(soon()).await.expect("for all");
    rate_limiter.pause_for(Duration::from_secs(3600)).await.expect("held");
    assert!(rate_limiter.acquire(soon()).await.is_err(), "a hold is believed, for a minute");

    let holders = AttributeValue::M([("dead".to_owned(), in_a_day())].into());
    write(&endpoint, &name, "slots#pubmed.search", &[("holders", holders)]).await;
    let slot = table.take_slot("pubmed.search", 1, Duration::from_secs(30)).await.expect("responds");
    assert!(slot.is_some(), "no slot is held for a day");

    write(
        &endpoint,
        &name,
        "lease#topics",
        &[("expires_ms", in_a_day()), ("version", AttributeValue::N("7".to_owned()))],
    )
    .await;
    let lease = table.acquire("topics", Duration::from_secs(55)).await.expect("responds").expect("over");
    assert_eq!(lease.token(), 8);
    let since = [("since_ms", in_a_day()), ("expires_ms", in_a_day()), ("version", AttributeValue::N("7".to_owned()))];
    write(&endpoint, &name, "lease#graph", &since).await;
    let lease = table.acquire("graph", 7 * Duration::from_secs(86_400)).await.expect("responds").expect("over");
    assert_eq!(lease.token(), 8, "no lease is acquired a day from now, however long it may be held");
    assert_eq!(table.acquire("topics", Duration::from_secs(55)).await.expect("responds"), None, "a fresh one holds");
}

/// A process whose clock is behind sees the reservations of others in the future: while they change, they are real, and
/// it waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reservations_of_active_workers_are_not_corrected() {
    let Some(endpoint) = aws::endpoint() else { return };
    let config = s3::config(&endpoint);
    let name = aws::new_table(&config).await;
    let rate_limiter =
        DynamoRateLimiter::new(LimitsTable::new(&name, &config), "ncbi", 10).patient_for(Duration::from_millis(1));
    let soon = || Instant::now() + Duration::from_millis(500);
    for n in 0..5 {
        let AttributeValue::N(at) = in_a_day() else { panic!("a number") };
        let at = at.parse::<i64>().expect("a number") + n;
        write(&endpoint, &name, "pace#ncbi", &[("next_ms", AttributeValue::N(at.to_string()))]).await;
        assert!(matches!(rate_limiter.acquire(soon()).await, Err(RateLimiterError::TooLong)), "{n}: it changed");
    }
    rate_limiter.acquire(soon()).await.expect("it stood still");
}
