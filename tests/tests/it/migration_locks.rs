//! Migrations of a database that is in use.

use std::time::Duration;

use shared::db;
use sqlx::PgPool;
use tests::databases::{empty_database, until_one_waits};

/// Statements queue behind one that waits for an exclusive lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_for_a_lock_lets_others_pass() {
    let url = empty_database().await;
    let owner = PgPool::connect(&url).await.expect("connects");
    let mut migrations: Vec<_> = db::MIGRATIONS.iter().cloned().collect();
    migrations.retain(|migration| migration.version <= 20);
    sqlx::migrate::Migrator::with_migrations(migrations).run(&owner).await.expect("migrated");
    let mut backup = owner.acquire().await.expect("connects");
    sqlx::raw_sql("begin; select count(*) from archive_events").execute(&mut *backup).await.expect("reads");
    let pool = db::connect(url.parse().expect("a URL"), 2).await.expect("connects");
    let migrating = tokio::spawn(async move { db::migrate(&pool).await });
    until_one_waits(&owner).await;
    let read = sqlx::query("select count(*) from archive_events").execute(&owner);
    tokio::time::timeout(Duration::from_secs(6), read).await.expect("it passes").expect("reads");
    assert!(!migrating.is_finished(), "the backup is not over");
    sqlx::raw_sql("commit").execute(&mut *backup).await.expect("ends");
    migrating.await.expect("no panic").expect("migrated");
    assert!(db::is_current(&owner).await.expect("read"));
}
