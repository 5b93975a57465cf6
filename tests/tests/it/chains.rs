//! Chains of jobs: submitted together, each step once when the one before has succeeded, cancelled and retried as one.

mod cancelling;
mod http;
mod retries;
mod waiting;

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use shared::core::{Caller, ErrorCode, JobId, Principal, WorkerId};
use shared::ingest::{self, Claim, Engine, JobProgressed, Lease, StepError, Steps, UnitError, Worker, finalise};
use shared::jobs::{self, Cancelled, Filter, Job, JobState, Limits, Step, StepRefusal, Submission, SubmitOutcome};
use simulator::{Corpus, Options, Spread};
use sqlx::PgConnection;
use tests::counting;
use tests::invariants;
use tests::program::{Archive, Run};
use tests::sync::{LIMITS, day, simulator};

/// Steps of the counting pipeline: parameter `key` is exclusive, `fault` makes the submission fail.
struct Counted;

#[async_trait]
impl Steps for Counted {
    async fn submission(
        &self,
        _: &Engine,
        tx: &mut PgConnection,
        step: Step,
        _: &Principal,
    ) -> Result<Submission, StepError> {
        let message = "a fault of the test";
        match step.params["fault"].as_str() {
            Some("refused") => return Err(StepRefusal::new(ErrorCode::ValidationError, "refused").into()),
            Some("unknown") => return Err(StepError::NotNow(StepRefusal::new(ErrorCode::ToolNotFound, message))),
            Some("transient") => {
                let code = ErrorCode::DatabaseTimeout;
                return Err(UnitError::Failed { code, message: message.to_owned(), retry: true }.into());
            }
            Some("permanent") => return Err(UnitError::permanent(ErrorCode::Internal, message).into()),
            Some("connection") => {
                sqlx::query("select pg_terminate_backend(pg_backend_pid())").execute(&mut *tx).await?;
            }
            _ => {}
        }
        let exclusive_key = step.params["key"].as_str().map(str::to_owned);
        Ok(Submission { exclusive_key, ..Submission::new(&step.tool, step.params, "count") })
    }

    fn limits(&self) -> Limits {
        LIMITS
    }
}

async fn counting_engine() -> Engine {
    Engine { steps: Arc::new(Counted), ..counting::engine(12).await }
}

/// The parameters of one unit with one batch.
fn count(first: u32) -> Value {
    json!({ "first": first, "units": 1, "batches": 1 })
}

fn steps(params: &[Value]) -> Vec<Step> {
    params.iter().map(|params| Step { tool: counting::TOOL.to_owned(), params: params.clone() }).collect()
}

/// Submits a job with its next steps.
async fn submit(engine: &Engine, first: Value, then: &[Value]) -> JobId {
    let submission = Submission { then: steps(then), ..Submission::new(counting::TOOL, first, "count") };
    jobs::submit(&engine.db, &submission, LIMITS).await.expect("submitted").job().job_id()
}

async fn claim(engine: &Engine, job: JobId) -> Lease {
    let (worker, tools) = (WorkerId::new(), engine.tools());
    let claim = Claim { worker: &worker, hostname: "h", tools: &tools, unit: None, job: Some(job) };
    let lease = Lease::claim(&engine.db, &engine.settings, claim).await.expect("claims").expect("a unit");
    lease.start(&engine.db).await.expect("starts");
    lease
}

/// Runs a job until its only unit is completed; the job itself is still running.
async fn until_its_end(engine: &Engine, job: JobId) {
    let plan = claim(engine, job).await;
    plan.complete_plan(engine, &counting::plan(&plan.params)).await.expect("planned");
    let mut lease = claim(engine, job).await;
    lease.commit(engine, counting::next_batch(&lease).expect("a batch")).await.expect("commits");
    assert_eq!(lease.complete(engine).await.expect("completes"), JobProgressed::JobOver);
}

/// Runs a job until it has succeeded.
async fn ended(engine: &Engine, job: JobId) {
    until_its_end(engine, job).await;
    assert!(finalise(engine, job).await.expect("finalises"));
}

/// Ends a job as a program without support for chains does.
async fn ended_by_an_older_program(engine: &Engine, job: JobId) {
    until_its_end(engine, job).await;
    sqlx::query(
        "update jobs set state = 'succeeded', result = '{}', result_ref = 'x', completed_at = now(), \
         expires_at = now() + interval '1 day' where id = $1",
    )
    .bind(job.0)
    .execute(&engine.db)
    .await
    .expect("ended");
}

async fn fail(engine: &Engine, job: JobId) {
    let lease = claim(engine, job).await;
    assert_eq!(
        lease.fail(engine, ErrorCode::ArchiveError, "a test fault", false).await.expect("fails"),
        JobProgressed::JobOver
    );
    assert!(finalise(engine, job).await.expect("finalises"));
}

async fn get(engine: &Engine, job: JobId) -> Job {
    jobs::get(&engine.db, job).await.expect("read").expect("there")
}

/// The jobs of a chain, in the order of steps.
async fn chain(engine: &Engine, id: JobId) -> Vec<Job> {
    let filter = Filter { chain: Some(id), limit: 100, ..Filter::default() };
    let (page, _) = jobs::list(&engine.db, &filter).await.expect("listed");
    let mut jobs: Vec<Job> = page.rows.into_iter().map(|details| details.job).collect();
    jobs.sort_by_key(|job| (job.chain_step, job.created_at));
    jobs
}

fn states(jobs: &[Job]) -> Vec<(i16, JobState)> {
    jobs.iter().map(|job| (job.chain_step.expect("a step"), job.state)).collect()
}

/// Whether the log of a job has a line that contains `text`.
async fn is_logged(engine: &Engine, job: JobId, text: &str) -> bool {
    let logs = jobs::logs(&engine.db, job, 100).await.expect("read");
    logs.iter().any(|line| line.message.contains(text))
}

async fn continued(engine: &Engine) -> u64 {
    ingest::sweep(engine, None).await.expect("sweeps").continued
}

async fn cancel(engine: &Engine, job: JobId) -> Cancelled {
    ingest::cancel(engine, job).await.expect("cancels").expect("there")
}

async fn work(engine: &Engine) {
    Worker::new(engine.clone(), None).expect("a worker").run(true).await.expect("works");
    assert_eq!(invariants::broken(&engine.db).await, Vec::<String>::new());
}

async fn retry(engine: &Engine, job: JobId) -> SubmitOutcome {
    let job = jobs::to_retry(&engine.db, get(engine, job).await).await.expect("found");
    let again = ingest::retry(engine, &job, LIMITS, &Caller::command_line(), |submission| submission).await;
    again.expect("retried").expect("something failed")
}

fn then(tool: &str, params: &Value) -> Value {
    json!({ "tool": tool, "params": params })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_ends_of_a_job_submit_its_next_step_once() {
    let engine = counting_engine().await;
    for round in 0..30u32 {
        let job = submit(&engine, count(1 + round * 1000), &[count(501 + round * 1000)]).await;
        until_its_end(&engine, job).await;
        let ending: Vec<_> = (0..6)
            .map(|_| {
                let engine = engine.clone();
                tokio::spawn(async move { finalise(&engine, job).await.expect("finalises") })
            })
            .collect();
        let mut ended = 0;
        for one in ending {
            ended += usize::from(one.await.expect("no panic"));
        }
        let jobs = states(&chain(&engine, job).await);
        assert_eq!((ended, jobs), (1, vec![(1, JobState::Succeeded), (2, JobState::Queued)]), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_cannot_have_two_jobs_of_one_step_after_it() {
    let engine = counting_engine().await;
    let job = submit(&engine, count(1), &[count(501)]).await;
    until_its_end(&engine, job).await;
    finalise(&engine, job).await.expect("finalises");
    let second = chain(&engine, job).await.pop().expect("two");
    let again = sqlx::query(
        "insert into jobs (id, tool, params, params_hash, principal, trace_id, deadline_at, chain_id, chain_step) \
         values ($1, 'x', '{}', 'x', 'x', 'x', now(), $2, 2)",
    );
    let refused = again.bind(uuid::Uuid::now_v7()).bind(second.chain_id).execute(&engine.db).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("jobs_chain_step")), "the schema says so");
}

/// The program is killed after it has ended a job: before that is committed, or before it has sent the notification.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_around_the_end_of_a_job_submits_its_next_step_once() {
    let ncbi = simulator(Corpus::generated(day("2026-03-10"), 1000, 10, 1, Spread::Even(30)), Options::default()).await;
    let url = ncbi.eutils_url();
    let environment = [("BIO_MCP_PUBMED_BASE_URL", url.as_str()), ("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", "1000")];
    for (point, left) in [("before_end:1", 1), ("after_end:1", 2)] {
        let archive = Archive::new().await;
        let step = then("pubmed.sync", &json!({ "pmids": [1005] })).to_string();
        let submitted = archive.run(&["call", "pubmed.sync", r#"{"pmids": [1001]}"#, "--then", &step]).expect(0).json();
        let id = submitted["job_id"].as_str().expect("an id").to_owned();
        let shown = archive.run(&["jobs", "show", &id]).expect(0).out;
        assert!(shown.contains(&format!("step 1 of {id}, then pubmed.sync")), "{shown}");
        let killed = [&environment[..], &[("BIO_MCP_CRASH_AT", point)]].concat();
        let mut child = archive.start(&["worker", "--once"], &killed);
        assert_eq!(child.wait().expect("ends").signal(), Some(9), "{point} is passed");
        let db = archive.database().await;
        // Without the catch-up job of the projections.
        let jobs = async || -> Vec<String> {
            let sql = "select state from jobs where tool = 'pubmed.sync' order by chain_step";
            sqlx::query_scalar(sql).fetch_all(&db).await.expect("read")
        };
        assert_eq!(jobs().await.len(), left, "{point}");
        let mut again = archive.command(&["worker", "--once"]);
        Run::from(again.envs(environment).output().expect("runs")).expect(0);
        assert_eq!(jobs().await, ["succeeded", "succeeded"], "{point}");
        assert_eq!(invariants::broken(&db).await, Vec::<String>::new(), "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_ends_the_chain_until_it_is_retried() {
    let engine = counting_engine().await;
    let first = submit(&engine, count(1), &[count(501), count(601)]).await;
    until_its_end(&engine, first).await;
    finalise(&engine, first).await.expect("finalises");
    let second = chain(&engine, first).await[1].job_id();
    fail(&engine, second).await;
    work(&engine).await;
    let failed = get(&engine, second).await;
    assert_eq!((failed.state, failed.then().len()), (JobState::Failed, 1));
    assert_eq!(chain(&engine, first).await.len(), 2, "what follows is not submitted");
    assert!(is_logged(&engine, second, "the step after this one is not submitted").await);

    // For every job of the chain that is named, the chain continues where it stopped, and once.
    let child = retry(&engine, first).await;
    assert!(matches!(child, SubmitOutcome::Created(_)));
    assert_eq!((child.job().parent_job_id, child.job().chain_step), (Some(second.0), Some(2)));
    let asked = get(&engine, second).await;
    let twice = ingest::retry(&engine, &asked, LIMITS, &Caller::command_line(), |submission| submission).await;
    let twice = twice.expect("retried").expect("something failed");
    assert!(matches!(&twice, SubmitOutcome::Replayed(job) if job.job.id == child.job().id), "the step has a job");
    work(&engine).await;
    let expected = [JobState::Succeeded, JobState::Failed, JobState::Succeeded, JobState::Succeeded];
    let all = chain(&engine, first).await;
    assert_eq!(states(&all), [1, 2, 2, 3].into_iter().zip(expected).collect::<Vec<_>>());
    let late = ingest::retry(&engine, &asked, LIMITS, &Caller::command_line(), |submission| submission).await;
    assert!(matches!(late, Ok(Some(SubmitOutcome::Replayed(_)))), "it is done: {late:?}");
    let overdue = submit(&engine, count(2001), &[count(2501)]).await;
    sqlx::query("update jobs set deadline_at = now() - interval '1 second' where id = $1")
        .bind(overdue.0)
        .execute(&engine.db)
        .await
        .expect("aged");
    ingest::sweep(&engine, None).await.expect("sweeps");
    assert_eq!(states(&chain(&engine, overdue).await), [(1, JobState::Failed)], "a deadline ends it too");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hash_of_parameters_does_not_depend_on_the_next_steps() {
    let engine = counting_engine().await;
    let first = submit(&engine, count(1), &[count(501)]).await;
    ended(&engine, first).await;
    let alone = submit(&engine, count(501), &[]).await;
    let rows: Vec<(i16, Value, String)> = sqlx::query_as(
        "select coalesce(chain_step, 0::smallint), params, params_hash from jobs order by created_at, id",
    )
    .fetch_all(&engine.db)
    .await
    .expect("read");
    assert_eq!(rows.iter().map(|(step, ..)| *step).collect::<Vec<_>>(), [1, 2, 0], "an equal job is no step: {alone}");
    for (_, params, hash) in rows {
        assert_eq!(jobs::params_hash(&params).expect("canonical").to_hex(), hash);
    }
}
