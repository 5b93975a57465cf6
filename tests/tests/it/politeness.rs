//! NCBI's limit of requests per second over all workers together: with crashes, pauses, and workers with separate
//! connections and clocks. Takes seconds of real time, because requests per second are counted; runs alone
//! (`.config/nextest.toml`), so that other tests do not delay it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use shared::config::Secret;
use shared::limits::PostgresRateLimiter;
use shared::pubmed::eutils::{Client, EutilsSettings, Query, RateLimiter, RateLimiterError, SearchRequest};
use simulator::{Arrival, Corpus, Fault, Options, Spread};
use tests::random::Random;
use tests::sync::{day, settings, simulator};

/// The most requests in any second, both ends included.
fn fullest_second(arrivals: &[Arrival]) -> usize {
    let within = |first: &Arrival| {
        arrivals.iter().filter(|other| other.at >= first.at && other.at - first.at < Duration::from_secs(1)).count()
    };
    arrivals.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_second_holds_more_than_the_limit_and_most_of_it_is_used() {
    const LIMIT: u32 = 10;
    const SECONDS: u64 = 8;
    // Each worker creates the schema, as programs that start together do.
    let url = tests::databases::empty_database().await;
    let corpus = Corpus::generated(day("2026-03-10"), 1000, 50, 1, Spread::Even(30));
    let simulator = simulator(corpus, Options { limit: Some((3, LIMIT)), ..Options::default() }).await;
    let until = Instant::now() + Duration::from_secs(SECONDS);
    let crashes = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    for number in 0..24u64 {
        // One attempt: a single refusal fails the test.
        let with_key = EutilsSettings { api_key: Some(Secret::new("valid-key")), attempts: 1, ..settings(&simulator) };
        let (url, crashes) = (url.clone(), crashes.clone());
        workers.push(tokio::spawn(async move {
            let mut random = Random(number);
            // A few connections per process; every third worker is a separate process.
            let options = url.parse().expect("a URL");
            let db = shared::db::connect(options, 1).await.expect("connects");
            shared::db::migrate(&db).await.expect("migrates");
            let rate_limiter = Arc::new(PostgresRateLimiter::new(db, "ncbi", with_key.per_second()));
            let client = Client::new(with_key, rate_limiter.clone());
            let query = Query::parse("all").expect("a query");
            while Instant::now() < until {
                if random.percent(1) {
                    // Dies with a reservation.
                    let _ = rate_limiter.acquire(until).await;
                    crashes.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let request = SearchRequest { query: &query, slice: None, start: 0, limit: 5, sort: None };
                client.search(&request).await.expect("never over the limit");
            }
        }));
    }
    for worker in workers {
        worker.await.expect("works");
    }
    let arrivals = simulator.arrivals();
    assert!(arrivals.iter().all(|arrival| !arrival.refused), "none was refused");
    let fullest = fullest_second(&arrivals);
    assert!(fullest <= LIMIT as usize, "{fullest} requests in one second");
    let first = arrivals.first().expect("some").at;
    let whole = arrivals.iter().filter(|arrival| arrival.at - first <= Duration::from_secs(SECONDS - 1)).count();
    let starts = whole + crashes.load(Ordering::Relaxed);
    let allowed = usize::try_from(u64::from(LIMIT) * (SECONDS - 1)).expect("small");
    eprintln!("{whole} of {allowed} requests, {} crashes, fullest second {fullest}", crashes.load(Ordering::Relaxed));
    assert!(starts * 100 >= allowed * 90, "{starts} of {allowed}: at least 90 % of the allowance");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_pauses_all_workers() {
    let db = tests::engine::pool(4).await;
    let corpus = Corpus::generated(day("2026-03-10"), 1000, 50, 1, Spread::Even(30));
    let simulator = simulator(corpus, Options::default()).await;
    let fast = EutilsSettings { requests_per_second: Some(1000), ..settings(&simulator) };
    let one = Client::new(fast.clone(), Arc::new(PostgresRateLimiter::new(db.clone(), "ncbi", 1000)));
    let other = Client::new(fast, Arc::new(PostgresRateLimiter::new(db.clone(), "ncbi", 1000)));
    let watched = db;
    let query = Query::parse("all").expect("a query");
    let request = SearchRequest { query: &query, slice: None, start: 0, limit: 5, sort: None };
    other.search(&request).await.expect("goes through");
    simulator.faults().script.push_back(Some(Fault::Throttled));
    let told = async {
        one.search(&request).await.expect("after a while");
    };
    let others = async {
        // As soon as the first has stored the pause for all.
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            assert!(Instant::now() < deadline, "no hold was noted");
            let held: bool = sqlx::query_scalar("select max(next_at) > now() + interval '0.5 s' from upstream_pace")
                .fetch_one(&watched)
                .await
                .expect("read");
            if held {
                break;
            }
        }
        other.search(&request).await.expect("after the others' pause");
    };
    tokio::join!(told, others);
    let arrivals = simulator.arrivals();
    assert_eq!(arrivals.len(), 4);
    for later in &arrivals[2..] {
        assert!(later.at - arrivals[1].at >= Duration::from_millis(950), "Retry-After holds for all");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_no_request_is_sent() {
    let db = tests::engine::pool(1).await;
    let corpus = Corpus::new(day("2026-03-10"));
    let simulator = simulator(corpus, Options::default()).await;
    let rate_limiter = Arc::new(PostgresRateLimiter::new(db.clone(), "ncbi", 10));
    let client = Client::new(settings(&simulator), rate_limiter.clone());
    db.close().await;
    let query = Query::parse("all").expect("a query");
    let request = SearchRequest { query: &query, slice: None, start: 0, limit: 5, sort: None };
    assert!(client.search(&request).await.is_err());
    assert!(matches!(
        rate_limiter.acquire(Instant::now() + Duration::from_secs(1)).await,
        Err(RateLimiterError::Unavailable(_))
    ));
    assert!(simulator.arrivals().is_empty(), "closed towards NCBI");
}

/// Forwards connections to the test server; each byte is delayed by `half` in either direction.
async fn far_away(socket: std::path::PathBuf, server: std::path::PathBuf, half: Duration) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};
    async fn carry(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, half: Duration) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            tokio::time::sleep(half).await;
            if to.write_all(&buffer[..n]).await.is_err() {
                break;
            }
        }
    }
    let listener = UnixListener::bind(socket).expect("binds");
    while let Ok((near, _)) = listener.accept().await {
        let far = UnixStream::connect(&server).await.expect("the test server responds");
        let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
        tokio::spawn(carry(near_read, far_write, half));
        tokio::spawn(carry(far_read, near_write, half));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distant_database_still_grants_reservations() {
    let url = tests::databases::new_database().await;
    let Some((base, host)) = url.split_once("?host=") else {
        eprintln!("SKIPPED: the test server listens on no socket file");
        return;
    };
    let near = shared::db::connect(url.parse().expect("a URL"), 1).await.expect("connects");
    let dir = tempfile::tempdir().expect("a directory");
    let name = ".s.PGSQL.5432";
    tokio::spawn(far_away(dir.path().join(name), std::path::Path::new(host).join(name), Duration::from_millis(45)));
    while !dir.path().join(name).exists() {
        tokio::task::yield_now().await;
    }
    let options = format!("{base}?host={}", dir.path().display()).parse().expect("a URL");
    let rate_limiter = PostgresRateLimiter::new(shared::db::connect(options, 1).await.expect("connects"), "ncbi", 10);
    let began = Instant::now();
    for _ in 0..4 {
        rate_limiter.acquire(began + Duration::from_secs(20)).await.expect("a turn, however far");
    }
    // Except for the first few, every acquisition needs one reservation.
    let taken: f64 =
        sqlx::query_scalar("select extract(epoch from next_at - now())::double precision from upstream_pace")
            .fetch_one(&near)
            .await
            .expect("read");
    assert!(taken < 1.0, "{taken} s of turns were given up");
}
