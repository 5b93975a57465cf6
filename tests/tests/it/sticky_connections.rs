//! Sticky connections between statements: a healthy one is reused, one with an error or an open statement never.

use std::time::Duration;

use shared::db::{DbError, StickyConnections};
use sqlx::PgConnection;
use tests::engine::pool;

async fn backend(connection: &mut PgConnection) -> Result<i32, DbError> {
    Ok(sqlx::query_scalar("select pg_backend_pid()").fetch_one(connection).await?)
}

#[tokio::test]
async fn a_connection_is_reused_and_half_of_the_pool_stays_free() {
    let pool = pool(4).await;
    let kept = StickyConnections::new(pool.clone());
    let first = kept.run(backend).await.expect("responds");
    assert_eq!(kept.run(backend).await.expect("responds"), first);
    // Many at once: at most half of the pool is kept.
    let all = futures_util::future::join_all((0..4).map(|_| kept.run(backend))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    let of_the_pool = (pool.acquire().await, pool.acquire().await);
    assert!(of_the_pool.0.is_ok() && of_the_pool.1.is_ok());
    drop(of_the_pool);
    pool.close().await;
    let closed = kept.run(backend).await;
    assert!(matches!(closed, Err(DbError::Unreachable(_))), "{closed:?}");
}

#[tokio::test]
async fn a_failed_or_abandoned_statement_affects_no_later_one() {
    let pool = pool(2).await;
    let kept = StickyConnections::new(pool.clone());
    let refused = kept.run(async |connection| Ok(sqlx::query("select 1/0").execute(connection).await?)).await;
    assert!(matches!(refused, Err(DbError::Refused(_))), "{refused:?}");
    // The caller is dropped in the middle of a statement.
    let slow = kept.run(async |connection| Ok(sqlx::query("select pg_sleep(0.3), 7").execute(connection).await?));
    tokio::time::timeout(Duration::from_millis(50), slow).await.expect_err("it takes longer");
    for n in 0..20_i32 {
        let statement = async |connection: &mut PgConnection| {
            Ok(sqlx::query_scalar::<_, i32>("select $1").bind(n).fetch_one(connection).await?)
        };
        assert_eq!(kept.run(statement).await.expect("responds"), n, "a result of another statement");
    }
    // The server closes the kept connection.
    let mine = kept.run(backend).await.expect("responds");
    let ended: bool =
        sqlx::query_scalar("select pg_terminate_backend($1)").bind(mine).fetch_one(&pool).await.expect("asked");
    assert!(ended);
    // One statement may fail on the closed connection; the next one gets a new connection.
    let _ = kept.run(backend).await;
    assert_ne!(kept.run(backend).await.expect("responds"), mine);
    pool.close().await;
}
