//! The daily storage quota of a principal while its jobs run.

use shared::core::{Caller, Principal, Role};
use shared::ingest::{self, Worker, finalise};
use shared::jobs::{self, JobState, Limits, Submission};
use shared::sources::pubmed_sync::{SyncParams, submit_sync};
use tests::sync::{corpus, finish};

/// More records than the daily quota: units that have begun end, stored records stay, and a retry on the next day
/// continues. Other principals are not affected.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_stores_more_than_a_day_allows_stops_and_is_retried_the_next_day() {
    const LIMIT: i64 = 12;
    let (_simulator, engine) = corpus(30).await;
    let limits = Limits { principal_daily_records: Some(LIMIT), ..Limits::without_quotas(100, 3600.0) };
    let by = |name: &str, role| Principal { name: name.to_owned(), role };
    let ann = by("ann", Role::Submit);
    let params = SyncParams::of_query("all", None, None).expect("valid");
    let with = |submission: Submission| Submission { principal: ann.clone(), ..submission };
    let job = submit_sync(&engine.db, &params, limits, with).await.expect("submitted").job().job_id();
    let worker = Worker::new(engine.clone(), None).expect("a worker");
    worker.run_job(job).await.expect("works");
    finalise(&engine, job).await.expect("finalised");
    let ended = jobs::get(&engine.db, job).await.expect("read").expect("there");
    assert_eq!(ended.state, JobState::Failed);
    let error = ended.error.clone().expect("an error");
    assert_eq!(error["error_code"], "RATE_LIMIT_EXCEEDED", "{error}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("00:00 UTC")), "it says when: {error}");
    let stored = async || -> i64 {
        sqlx::query_scalar("select count(*) from pubmed_archive").fetch_one(&engine.db).await.expect("counted")
    };
    let first = stored().await;
    assert!((LIMIT..LIMIT + 5).contains(&first), "at most one unit of five beyond the limit: {first}");
    let charged: i64 = sqlx::query_scalar("select records from principal_records where principal = 'ann'")
        .fetch_one(&engine.db)
        .await
        .expect("charged");
    assert_eq!(charged, first, "what was stored is what was counted");
    let more = SyncParams::of_query("tenth", None, None).expect("valid");
    let refused = submit_sync(&engine.db, &more, limits, with).await;
    assert!(refused.is_err(), "nothing is left for today");
    let bob = |submission: Submission| Submission { principal: by("bob", Role::Submit), ..submission };
    submit_sync(&engine.db, &more, limits, bob).await.expect("another principal has its own");
    // The next days: each has quota for more.
    let caller = Caller { principal: ann.clone(), ..Caller::command_line() };
    let mut last = ended;
    while stored().await < 30 {
        let before = stored().await;
        sqlx::query("delete from principal_records").execute(&engine.db).await.expect("a day has passed");
        let again = ingest::retry(&engine, &last, limits, &caller, |submission| submission).await;
        let again = again.expect("submitted").expect("something is left").job().job_id();
        last = finish(&engine, again).await;
        assert!(stored().await > before, "each day gets further");
    }
    assert_eq!(last.state, JobState::Succeeded, "{:?}", last.error);
}
