//! A chain is retried by retrying the job that stopped it, and gives the result of a run without failures.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use shared::ingest::{Engine, Pipeline, Plan, UnitContext, UnitError};
use shared::jobs::{Job, JobState, SubmitOutcome};
use sqlx::PgPool;
use tests::counting::{Counting, PER_BATCH};

use super::{cancel, chain, count, counting_engine, fail, get, retry, states, submit, until_its_end, work};

/// The counting pipeline; a retry repeats only the parameter `failed`.
struct Partly;

#[async_trait]
impl Pipeline for Partly {
    fn tool(&self) -> &'static str {
        Counting.tool()
    }

    fn phases(&self) -> &'static [&'static str] {
        Counting.phases()
    }

    async fn plan(&self, context: &UnitContext) -> Result<Plan, UnitError> {
        Counting.plan(context).await
    }

    async fn run(&self, context: &mut UnitContext) -> Result<(), UnitError> {
        Counting.run(context).await
    }

    async fn retry(&self, _: &PgPool, job: &Job) -> Result<Option<Value>, UnitError> {
        Ok(job.params.get("failed").cloned())
    }
}

async fn partly_engine() -> Engine {
    let pipeline: Arc<dyn Pipeline> = Arc::new(Partly);
    Engine { pipelines: Arc::from([pipeline]), ..counting_engine().await }
}

/// Three units, of which the third fails.
fn three_units(first: u32) -> Value {
    json!({ "first": first, "units": 3, "batches": 1, "failed": count(first + 2 * PER_BATCH) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_referred_to_is_retried_whole() {
    let engine = partly_engine().await;
    let mut next = count(501);
    next["seen"] = json!({ "$result": "/requested" });
    let first = submit(&engine, three_units(1), &[next]).await;
    fail(&engine, first).await;
    let child = retry(&engine, first).await;
    assert_eq!(child.job().params, three_units(1), "what follows sees the result of the child alone");
    work(&engine).await;
    let all = chain(&engine, first).await;
    assert_eq!(states(&all), [(1, JobState::Failed), (1, JobState::Succeeded), (2, JobState::Succeeded)]);
    assert_eq!(all[2].params["seen"], json!(3 * PER_BATCH));

    let second = submit(&engine, three_units(1001), &[count(1501)]).await;
    fail(&engine, second).await;
    let child = retry(&engine, second).await;
    assert_eq!(child.job().params, three_units(1001)["failed"], "without a reference: only what failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_whose_job_was_cancelled_before_anything_failed_continues_with_a_retry() {
    let engine = partly_engine().await;
    let first = submit(&engine, count(1), &[count(501)]).await;
    assert!(cancel(&engine, first).await.cancelled);
    let child = retry(&engine, first).await;
    assert_eq!((child.job().parent_job_id, child.job().chain_step), (Some(first.0), Some(1)));
    work(&engine).await;
    let expected = [(1, JobState::Cancelled), (1, JobState::Succeeded), (2, JobState::Succeeded)];
    assert_eq!(states(&chain(&engine, first).await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_cancelled_after_its_job_continues_with_the_next_step() {
    let engine = partly_engine().await;
    let first = submit(&engine, count(1), &[count(501), count(601)]).await;
    until_its_end(&engine, first).await;
    assert!(cancel(&engine, first).await.cancelled);
    let retried = retry(&engine, first).await;
    assert!(matches!(retried, SubmitOutcome::Created(_)));
    let second = retried.job();
    assert_eq!(
        (second.chain_step, second.parent_job_id, second.attempt),
        (Some(2), None, 1),
        "it is no retry of a job"
    );
    assert_eq!(get(&engine, first).await.next_job_id, Some(second.id));
    work(&engine).await;
    assert_eq!(states(&chain(&engine, first).await), [1, 2, 3].map(|step| (step, JobState::Succeeded)));
}
