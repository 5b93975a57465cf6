//! Time limits of statements, and what happens to a connection with an abandoned statement.

use std::time::{Duration, Instant};

use shared::db::{self, NotificationListener};
use sqlx::postgres::PgConnectOptions;
use tests::databases::new_database;
use tests::engine::pool;
use tests::silent_proxy::SilentProxy;

#[tokio::test]
async fn every_session_has_limits_and_what_may_take_long_has_larger_ones() {
    let pool = pool(2).await;
    let read = "select array[current_setting('statement_timeout'), current_setting('lock_timeout'), \
                current_setting('idle_in_transaction_session_timeout'), current_setting('idle_session_timeout')]";
    let ordinary: Vec<String> = sqlx::query_scalar(read).fetch_one(&pool).await.expect("read");
    assert_eq!(ordinary, ["16s", "15s", "15s", "1min"]);
    let mut patient = db::patient(&pool).await.expect("connects");
    let long: Vec<String> = sqlx::query_scalar(read).fetch_one(&mut *patient).await.expect("read");
    assert_eq!(long, ["30min", "30min", "15s", "1min"]);
}

#[tokio::test]
async fn a_connection_with_an_abandoned_statement_is_closed_and_replaced() {
    let pool = pool(1).await;
    let backend = || sqlx::query_scalar::<_, i32>("select pg_backend_pid()");
    let first = backend().fetch_one(&pool).await.expect("responds");
    assert_eq!(backend().fetch_one(&pool).await.expect("responds"), first, "one that ended well is used again");
    let left = tokio::time::timeout(Duration::from_millis(50), sqlx::query("select pg_sleep(15)").execute(&pool));
    left.await.expect_err("it takes longer");
    let began = Instant::now();
    assert_ne!(backend().fetch_one(&pool).await.expect("responds"), first);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_of_running_sql_waits_for_a_silent_server() {
    let proxy = SilentProxy::before(&new_database().await).await;
    let options: PgConnectOptions = proxy.url().parse().expect("a URL");
    let pool = db::connect(options, 6).await.expect("connects");
    let mut tx = db::begin(&pool).await.expect("begins");
    let committed = db::begin(&pool).await.expect("begins");
    let mut listener = NotificationListener::connect(&pool, "bio_mcp_test").await.expect("listens");
    let mut held = pool.acquire().await.expect("connects");
    proxy.hush();
    let all = async {
        tokio::join!(
            sqlx::query("select 1").execute(&mut *tx),
            committed.commit(),
            async {
                loop {
                    if let Err(error) = listener.hear(Duration::from_secs(60)).await {
                        return error;
                    }
                }
            },
            sqlx::query("select 1").execute(&mut *held),
        )
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), all).await;
    let (statement, commit, heard, held) = ended.expect("everything ends in time");
    assert!(statement.is_err() && commit.is_err() && held.is_err(), "none of them can have ended well");
    assert!(matches!(heard, db::DbError::Unreachable(_)), "{heard:?}");
    drop(tx);
    sqlx::query("select 1").execute(&pool).await.expect("the pool has new connections");
    let began_again = db::begin(&pool).await.expect("begins");
    began_again.rollback().await.expect("ends");
}

#[tokio::test]
async fn the_error_says_why_there_is_no_connection() {
    for url in ["postgres://me@127.0.0.1:1/db", "postgres://me@127.0.0.1:1/db?sslmode=disable"] {
        let options: PgConnectOptions = url.parse().expect("a URL");
        let error = db::connect(options, 1).await.expect_err("nothing listens there");
        let chain = shared::observability::chain(&error);
        assert!(matches!(error, db::DbError::Unreachable(_)) && chain.contains("refused"), "{chain}");
    }
}
