//! Steps that cannot be submitted when the job before them ends: each waits for a sweep and is submitted once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde_json::{Value, json};
use shared::core::{Caller, JobId};
use shared::db::DbError;
use shared::ingest::{self, Engine, RetryError, Upkeep, finalise};
use shared::jobs::{self, JobState, Submission, SubmitError};
use tests::counting;
use tests::sync::LIMITS;

use super::{
    cancel, chain, continued, count, counting_engine, ended, ended_by_an_older_program, get, is_logged, retry, states,
    submit, until_its_end, work,
};

async fn execute(engine: &Engine, sql: &'static str, job: JobId) {
    sqlx::query(sql).bind(job.0).execute(&engine.db).await.expect("done");
}

/// Lets more time pass than a step may wait.
async fn much_later(engine: &Engine, job: JobId) {
    execute(engine, "update jobs set completed_at = now() - interval '2 hours' where id = $1", job).await;
}

async fn expire(engine: &Engine, job: JobId) {
    execute(engine, "update jobs set expires_at = now() - interval '1 second' where id = $1", job).await;
}

/// The parameters of a step whose exclusive key is shared with other jobs.
fn keyed(first: u32) -> Value {
    let mut params = count(first);
    params["key"] = json!("mine");
    params
}

fn faulty(first: u32, fault: &str) -> Value {
    let mut params = count(first);
    params["fault"] = json!(fault);
    params
}

/// A job with the exclusive key of [`keyed`].
async fn excluding(engine: &Engine) -> JobId {
    let exclusive_key = Some("mine".to_owned());
    let submission = Submission { exclusive_key, ..Submission::new(counting::TOOL, count(9001), "count") };
    jobs::submit(&engine.db, &submission, LIMITS).await.expect("submitted").job().job_id()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_waits_for_a_job_that_excludes_it() {
    let engine = counting_engine().await;
    let running = excluding(&engine).await;
    let first = submit(&engine, count(1), &[keyed(501), count(601)]).await;
    ended(&engine, first).await;
    assert!(is_logged(&engine, first, &format!("the next step waits: job {running} does the same work")).await);
    let before = get(&engine, first).await;
    assert_eq!((continued(&engine).await, before.next_job_id), (0, None));
    assert_eq!(states(&chain(&engine, first).await), [(1, JobState::Succeeded)]);
    assert_eq!(get(&engine, first).await.version, before.version, "an attempt is no change");

    ended(&engine, running).await;
    let sweeps = (0..3).map(|_| {
        let engine = engine.clone();
        tokio::spawn(async move { continued(&engine).await })
    });
    let mut submitted = 0;
    for sweep in sweeps.collect::<Vec<_>>() {
        submitted += sweep.await.expect("no panic");
    }
    assert_eq!((submitted, states(&chain(&engine, first).await).len()), (1, 2), "by one of them");
    work(&engine).await;
    let all = chain(&engine, first).await;
    assert_eq!(states(&all), [1, 2, 3].map(|step| (step, JobState::Succeeded)));
    assert_eq!(all[0].next_job_id, Some(all[1].id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_has_waited_too_long_is_a_failed_job_that_can_be_retried() {
    let engine = counting_engine().await;
    let running = excluding(&engine).await;
    let first = submit(&engine, count(1), &[keyed(501), count(601)]).await;
    ended(&engine, first).await;
    much_later(&engine, first).await;
    assert_eq!(continued(&engine).await, 1);
    let refused = chain(&engine, first).await.pop().expect("two");
    let error = refused.error.clone().expect("an error");
    assert_eq!((refused.state, &error["error_code"]), (JobState::Failed, &json!("ALREADY_EXISTS")));
    assert!(error["message"].as_str().expect("text").contains(&running.to_string()), "{error}");
    let still = ingest::retry(&engine, &refused, LIMITS, &Caller::command_line(), |submission| submission).await;
    assert!(
        matches!(&still, Err(RetryError::Submit(SubmitError::Busy(job))) if *job == running),
        "that one is none of the chain: {still:?}"
    );
    ended(&engine, running).await;
    retry(&engine, first).await;
    work(&engine).await;
    let expected = [JobState::Succeeded, JobState::Failed, JobState::Succeeded, JobState::Succeeded];
    assert_eq!(states(&chain(&engine, first).await), [1, 2, 2, 3].into_iter().zip(expected).collect::<Vec<_>>());
    // A wrong clock had stored an end time a year from now.
    let running = excluding(&engine).await;
    let job = submit(&engine, count(2001), &[keyed(2501)]).await;
    ended(&engine, job).await;
    execute(&engine, "update jobs set completed_at = now() + interval '1 year' where id = $1", job).await;
    assert_eq!(continued(&engine).await, 1, "it does not wait for that, nor for {running}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_waits_is_cancelled_by_its_last_job_and_kept_until_then() {
    let engine = counting_engine().await;
    let running = excluding(&engine).await;
    let first = submit(&engine, count(1), &[count(501), keyed(601)]).await;
    ended(&engine, first).await;
    let second = chain(&engine, first).await[1].job_id();
    ended(&engine, second).await;
    expire(&engine, second).await;
    ingest::sweep(&engine, None).await.expect("sweeps");
    assert_eq!(chain(&engine, first).await.len(), 2, "the steps that wait are not lost with it");

    let response = cancel(&engine, first).await;
    assert_eq!((response.cancelled, response.next_job), (false, Some(second)));
    let response = cancel(&engine, second).await;
    assert_eq!((response.state, response.cancelled, response.next_job), (JobState::Succeeded, true, None));
    assert_eq!(cancel(&engine, first).await.next_job, None);
    ended(&engine, running).await;
    assert_eq!(continued(&engine).await, 0);
    assert_eq!(states(&chain(&engine, first).await), [(1, JobState::Succeeded)], "the second has expired");
}

/// The deletion of expired jobs skips locked rows, so a step's job may be deleted before the job that it follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_job_has_expired_is_not_submitted_again() {
    let engine = counting_engine().await;
    let first = submit(&engine, count(1), &[count(501)]).await;
    work(&engine).await;
    let second = chain(&engine, first).await[1].job_id();
    expire(&engine, first).await;
    expire(&engine, second).await;
    let mut tx = shared::db::begin(&engine.db).await.expect("begun");
    sqlx::query("select 1 from jobs where id = $1 for update").bind(first.0).execute(&mut *tx).await.expect("locked");
    assert_eq!(ingest::sweep(&engine, None).await.expect("sweeps").expired, 1);
    tx.rollback().await.expect("released");
    assert_eq!(states(&chain(&engine, first).await), [(1, JobState::Succeeded)]);
    assert_eq!(continued(&engine).await, 0, "it was done");
    assert_eq!(chain(&engine, first).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_whose_job_an_older_program_ended_continues_with_the_next_sweep() {
    let engine = counting_engine().await;
    let job = submit(&engine, count(1), &[count(501)]).await;
    ended_by_an_older_program(&engine, job).await;
    let before = get(&engine, job).await.version;
    assert_eq!((continued(&engine).await, continued(&engine).await), (1, 0));
    assert_eq!(states(&chain(&engine, job).await), [(1, JobState::Succeeded), (2, JobState::Queued)]);
    assert!(get(&engine, job).await.version > before, "a client that waits sees it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_cannot_be_submitted_blocks_neither_its_job_nor_the_sweep() {
    let engine = counting_engine().await;
    // Each attempt loses its connection: this program never ends the job before it, and the next sweep still processes
    // the others.
    let lost = submit(&engine, count(1), &[faulty(501, "connection")]).await;
    ended_by_an_older_program(&engine, lost).await;
    let good = submit(&engine, count(1001), &[count(1501)]).await;
    ended_by_an_older_program(&engine, good).await;
    let over = submit(&engine, count(2001), &[]).await;
    assert!(cancel(&engine, over).await.cancelled);
    expire(&engine, over).await;
    let swept = ingest::sweep(&engine, None).await.expect("sweeps");
    assert_eq!((swept.continued, swept.expired), (1, 1), "those behind it");
    assert_eq!((chain(&engine, lost).await.len(), chain(&engine, good).await.len()), (1, 2));

    // A step that may succeed later is retried; one that cannot is stored as a failed job.
    for (first, fault, code) in [(3001, "transient", "DATABASE_TIMEOUT"), (4001, "unknown", "TOOL_NOT_FOUND")] {
        let job = submit(&engine, count(first), &[faulty(first + 500, fault)]).await;
        ended(&engine, job).await;
        assert_eq!(continued(&engine).await, 0);
        assert_eq!(states(&chain(&engine, job).await), [(1, JobState::Succeeded)], "{fault}");
        much_later(&engine, job).await;
        assert_eq!(continued(&engine).await, 1);
        let refused = chain(&engine, job).await.pop().expect("two");
        assert_eq!(
            (refused.state, refused.error.expect("an error")["error_code"].as_str()),
            (JobState::Failed, Some(code))
        );
    }
    for (first, fault, code) in [(5001, "permanent", "INTERNAL"), (6001, "refused", "VALIDATION_ERROR")] {
        let job = submit(&engine, count(first), &[faulty(first + 500, fault)]).await;
        // A worker that encounters it continues.
        work(&engine).await;
        let refused = chain(&engine, job).await.pop().expect("two");
        assert_eq!(
            (refused.state, refused.error.expect("an error")["error_code"].as_str()),
            (JobState::Failed, Some(code))
        );
    }
}

/// A task of the sweep that fails, or records that it was called.
struct Part {
    fails: bool,
    called: Arc<AtomicBool>,
}

#[async_trait]
impl Upkeep for Part {
    async fn sweep(&self, _: &Engine) -> Result<usize, DbError> {
        self.called.store(true, Ordering::Relaxed);
        if self.fails { Err(sqlx::Error::PoolTimedOut.into()) } else { Ok(0) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_sweep_that_fails_does_not_keep_the_others_from_running() {
    let called = Arc::<AtomicBool>::default();
    let parts: [Arc<dyn Upkeep>; 2] = [
        Arc::new(Part { fails: true, called: Arc::default() }),
        Arc::new(Part { fails: false, called: called.clone() }),
    ];
    let engine = Engine { upkeep: Arc::from(parts), ..counting_engine().await };
    ingest::sweep(&engine, None).await.expect("sweeps");
    assert!(called.load(Ordering::Relaxed));
}

/// A chain of a newer program: this one knows neither the role nor the format of its steps.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_this_program_cannot_read_is_left_to_the_one_that_can() {
    let engine = counting_engine().await;
    let job = submit(&engine, count(1), &[count(501)]).await;
    let known = get(&engine, job).await.chain;
    execute(
        &engine,
        "update jobs set chain = '{\"role\": \"owner\", \"then\": {\"all\": [{\"tool\": \"x\"}]}}' where id = $1",
        job,
    )
    .await;
    until_its_end(&engine, job).await;
    assert!(finalise(&engine, job).await.expect("finalises"));
    expire(&engine, job).await;
    assert_eq!(continued(&engine).await, 0);
    let listed = chain(&engine, job).await;
    assert_eq!(
        (states(&listed), listed[0].then().len()),
        (vec![(1, JobState::Succeeded)], 0),
        "it is kept, and listed"
    );
    let other = submit(&engine, count(1001), &[count(1501)]).await;
    work(&engine).await;
    assert_eq!(chain(&engine, other).await.len(), 2, "others are not disturbed");

    // The newer program can read it.
    sqlx::query("update jobs set chain = $2 where id = $1")
        .bind(job.0)
        .bind(known)
        .execute(&engine.db)
        .await
        .expect("done");
    assert_eq!(continued(&engine).await, 1);
    // A failed job with an unknown chain cannot be retried here.
    let failed = submit(&engine, count(2001), &[count(2501)]).await;
    super::fail(&engine, failed).await;
    execute(&engine, "update jobs set chain = '{\"role\": \"owner\", \"then\": []}' where id = $1", failed).await;
    let failed = get(&engine, failed).await;
    let refused = ingest::retry(&engine, &failed, LIMITS, &Caller::command_line(), |submission| submission).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("newer program")));
}
