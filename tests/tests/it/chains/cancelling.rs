//! A chain is cancelled by its unfinished job. Cancelling a job that has ended changes nothing and names that one.

use std::sync::Arc;

use shared::db;
use shared::ingest::{self, Engine, finalise};
use shared::jobs::{Job, JobState};
use tests::failing_store::{FailingStore, Fault};

use super::{
    cancel, chain, continued, count, counting_engine, ended, fail, get, is_logged, states, submit, until_its_end, work,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_ended_does_not_change_and_names_the_one_to_cancel() {
    let engine = counting_engine().await;
    let first = submit(&engine, count(1), &[count(501), count(601)]).await;
    ended(&engine, first).await;
    let second = chain(&engine, first).await[1].job_id();
    let before = get(&engine, first).await.version;
    let response = cancel(&engine, first).await;
    assert_eq!((response.state, response.cancelled, response.next_job), (JobState::Succeeded, false, Some(second)));
    assert_eq!(states(&chain(&engine, first).await), [(1, JobState::Succeeded), (2, JobState::Queued)]);
    assert_eq!(get(&engine, first).await.version, before);

    let response = cancel(&engine, second).await;
    assert_eq!((response.state, response.cancelled, response.next_job), (JobState::Cancelled, true, None));
    assert!(is_logged(&engine, second, "the step after this one is not submitted").await);
    for ended in [first, second] {
        let response = cancel(&engine, ended).await;
        assert_eq!((response.cancelled, response.next_job), (false, None), "nothing is left");
    }
    work(&engine).await;
    assert_eq!(states(&chain(&engine, first).await), [(1, JobState::Succeeded), (2, JobState::Cancelled)]);

    let failed = submit(&engine, count(1001), &[count(1501)]).await;
    fail(&engine, failed).await;
    let response = cancel(&engine, failed).await;
    assert_eq!((response.state, response.cancelled, response.next_job), (JobState::Failed, false, None));
}

/// Between the end of its last unit and its own end, a job can no longer be cancelled; its next steps can.
#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_job_about_to_end_cancels_its_next_steps() {
    let engine = counting_engine().await;
    let job = submit(&engine, count(1), &[count(501), count(601)]).await;
    until_its_end(&engine, job).await;
    let response = cancel(&engine, job).await;
    assert_eq!((response.state, response.cancelled, response.stopping), (JobState::Succeeded, true, false));
    assert!(is_logged(&engine, job, "the 2 steps after this one are not submitted").await);
    assert!(!cancel(&engine, job).await.cancelled, "only once");
    work(&engine).await;
    assert_eq!(states(&chain(&engine, job).await), [(1, JobState::Succeeded)], "nothing further is submitted");
    // Without steps there is nothing left to cancel.
    let alone = submit(&engine, count(1001), &[]).await;
    until_its_end(&engine, alone).await;
    let response = cancel(&engine, alone).await;
    assert_eq!((response.state, response.cancelled), (JobState::Running, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancel_that_races_the_end_of_a_job_stops_the_chain_or_names_its_next_job() {
    let engine = counting_engine().await;
    for round in 0..30u32 {
        let job = submit(&engine, count(1 + round * 1000), &[count(501 + round * 1000)]).await;
        until_its_end(&engine, job).await;
        let ending = {
            let engine = engine.clone();
            tokio::spawn(async move { finalise(&engine, job).await.expect("finalises") })
        };
        let response = cancel(&engine, job).await;
        ending.await.expect("no panic");
        let all = chain(&engine, job).await;
        let next = all.get(1).map(Job::job_id);
        assert_eq!((all[0].state, response.cancelled), (JobState::Succeeded, next.is_none()), "round {round}");
        assert_eq!(response.next_job, next, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_cancelled_while_no_manifest_can_be_written() {
    let (store, faults) = FailingStore::new();
    let archive = tests::engine::archive(Arc::new(store), 1 << 20);
    let engine = Engine { archive, ..counting_engine().await };
    let job = submit(&engine, count(1), &[count(501)]).await;
    until_its_end(&engine, job).await;
    *faults.lock().expect("no panic") = Some(("manifests", Fault::Unwritable));
    finalise(&engine, job).await.expect_err("its manifest cannot be written");
    let response = cancel(&engine, job).await;
    assert_eq!((response.state, response.cancelled), (JobState::Running, true));
    *faults.lock().expect("no panic") = None;
    assert_eq!(continued(&engine).await, 0);
    assert_eq!(continued(&engine).await, 0);
    assert_eq!(states(&chain(&engine, job).await), [(1, JobState::Succeeded)], "and nothing follows");
}

/// The state of a job is decided by its row under lock, not by an earlier read.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_is_committed_before_the_lock_is_seen_by_the_end_of_the_job() {
    let engine = counting_engine().await;
    let job = submit(&engine, count(1), &[count(501)]).await;
    until_its_end(&engine, job).await;
    let mut tx = db::begin(&engine.db).await.expect("begun");
    let lock = "select 1 from jobs where id = $1 for update";
    sqlx::query(lock).bind(job.0).execute(&mut *tx).await.expect("locked");
    let ending = {
        let engine = engine.clone();
        tokio::spawn(async move { finalise(&engine, job).await.expect("finalises") })
    };
    tests::databases::until_one_waits(&engine.db).await;
    let request = "update jobs set cancel_requested_at = now() where id = $1";
    sqlx::query(request).bind(job.0).execute(&mut *tx).await.expect("requested");
    tx.commit().await.expect("committed");
    assert!(!ending.await.expect("no panic"), "it is decided again");
    assert_eq!(states(&chain(&engine, job).await), [(1, JobState::Running)]);
    ingest::sweep(&engine, None).await.expect("sweeps");
    assert_eq!(states(&chain(&engine, job).await), [(1, JobState::Cancelled)]);
}
