//! The four monitoring queries run over the published names.

use shared::core::WorkerId;
use shared::ingest::{Claim, Lease, Worker};
use sqlx::{AssertSqlSafe, Column, Row};
use tests::counting;

async fn rows(db: &sqlx::PgPool, view: &str) -> Vec<sqlx::postgres::PgRow> {
    sqlx::query(AssertSqlSafe(format!("select * from {view}"))).fetch_all(db).await.expect("the view responds")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_four_monitoring_queries_report_current_work() {
    let engine = counting::engine(4).await;
    counting::submit(&engine, 1, 2, 2).await;
    let worker = WorkerId::new();
    let tools = engine.tools();
    let claim = || Claim { worker: &worker, hostname: "here", tools: &tools, unit: None, job: None };
    let plan = Lease::claim(&engine.db, &engine.settings, claim()).await.expect("claims").expect("the plan");
    plan.start(&engine.db).await.expect("starts");
    plan.complete_plan(&engine, &counting::plan(&plan.params)).await.expect("planned");
    let mut lease = Lease::claim(&engine.db, &engine.settings, claim()).await.expect("claims").expect("a unit");
    lease.start(&engine.db).await.expect("starts");
    lease.commit(&engine, counting::next_batch(&lease).expect("a batch")).await.expect("commits");

    let jobs = rows(&engine.db, "monitoring_jobs").await;
    assert_eq!(jobs.len(), 1);
    let names: Vec<&str> = jobs[0].columns().iter().map(Column::name).collect();
    for name in ["job_type", "status", "records_processed", "records_stored", "total_records"] {
        assert!(names.contains(&name), "{name}");
    }
    assert_eq!(jobs[0].get::<i64, _>("records_stored"), i64::from(counting::PER_BATCH));

    let units = rows(&engine.db, "monitoring_units").await;
    let by_status: Vec<(String, i64)> = units.iter().map(|row| (row.get("status"), row.get("units"))).collect();
    assert_eq!(by_status, [("completed".into(), 1), ("pending".into(), 1), ("processing".into(), 1)]);

    let workers = rows(&engine.db, "monitoring_workers").await;
    assert_eq!(workers[0].get::<String, _>("worker_id"), worker.as_str());
    assert_eq!(workers[0].get::<String, _>("worker_hostname"), "here");
    assert!(rows(&engine.db, "monitoring_stale_workers").await.is_empty());
    sqlx::query(
        "update ingestion_work_units set heartbeat_at = now() - interval '3 minutes' where status = 'processing'",
    )
    .execute(&engine.db)
    .await
    .expect("aged");
    assert_eq!(rows(&engine.db, "monitoring_stale_workers").await.len(), 1);

    Worker::new(engine.clone(), None).expect("a worker").run(true).await.expect("works");
    assert!(rows(&engine.db, "monitoring_jobs").await.is_empty(), "nothing is in progress any more");
    let (status, total): (String, i64) =
        sqlx::query_as("select status, total_records from ingestion_jobs").fetch_one(&engine.db).await.expect("one");
    assert_eq!((status.as_str(), total), ("completed", i64::from(counting::PER_BATCH) * 4));
}
