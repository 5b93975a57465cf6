//! The worker: claims units and runs them, one at a time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::Instrument;

use super::claims::Claims;
use super::heartbeat::Heartbeat;
use super::lease::{Claim, JobProgressed, Lease};
use super::living::WorkerRow;
use super::pipeline::{STOP_POLL_INTERVAL, UnitContext};
use super::unit_error::UnitError;
use super::{Engine, Presence, finalise, sweep};
use crate::db::{DbError, NotificationListener};
use bio_mcp_core::{ErrorCode, JobId, UnitId, WorkerId, host, metrics, trace};

/// Poll interval when no notification arrives.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// How long a worker waits when the disk or permissions block it.
const BLOCKED_RETRY_DELAY: Duration = Duration::from_secs(10);

/// A worker of this process.
pub struct Worker {
    engine: Engine,
    id: WorkerId,
    hostname: String,
    /// Directory with the locks of this machine's workers.
    presence_dir: Option<PathBuf>,
    _presence: Option<Presence>,
    row: WorkerRow,
    shutdown: Arc<AtomicBool>,
    swept: Mutex<Option<Instant>>,
    claims: Claims,
}

/// Result of a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeOutcome {
    /// Nothing was run, for this reason.
    Idle(IdleReason),
    /// A unit ran: to its end, or until it was released without counting an attempt.
    Ran,
    /// A unit failed, and is to be retried after this time.
    RetryAfter(Duration),
}

/// Why a wake-up had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleReason {
    /// Its unit has ended, is being run, or does not exist.
    NotPending,
    /// Neither its unit nor another of the same tool can be claimed now.
    NotNow,
}

impl std::fmt::Display for IdleReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotPending => "the unit has ended, is processed by another worker, or does not exist",
            Self::NotNow => {
                "no unit of the tool can be claimed now: none is due, or the limit of running units is reached"
            }
        })
    }
}

/// Result of a call of [`Worker::run_one`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// Ran a unit, to its end or until it was released.
    Unit,
    /// No unit was claimable.
    Nothing,
}

impl Worker {
    /// A worker; with `presence_dir`, others on this machine detect its death at once.
    pub fn new(engine: Engine, presence_dir: Option<PathBuf>) -> std::io::Result<Self> {
        let id = WorkerId::new();
        let presence = presence_dir.as_deref().map(|dir| Presence::hold(dir, &id)).transpose()?;
        Ok(Self {
            engine,
            id,
            hostname: host::name(),
            presence_dir,
            _presence: presence,
            row: WorkerRow::default(),
            shutdown: Arc::default(),
            swept: Mutex::default(),
            claims: Claims::default(),
        })
    }

    /// A flag that stops the worker at its next batch; the unit is released.
    pub fn shutdown_flag(&self) -> Arc<AtomicBool> {
        self.shutdown.clone()
    }

    fn stopping(&self) -> bool {
        self.shutdown.load(Ordering::Relaxed)
    }

    /// Waits, at most until the worker must stop.
    async fn pause(&self, pause: Duration) {
        self.unless_stopping(tokio::time::sleep(pause)).await;
    }

    /// Waits for an operation that can be cancelled; none if the worker must stop before.
    async fn unless_stopping<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                () = tokio::time::sleep(STOP_POLL_INTERVAL) => if self.stopping() {
                    return None;
                },
            }
        }
    }

    /// Runs units of any job until it is stopped; with `once`, until none is left.
    pub async fn run(&self, once: bool) -> Result<(), UnitError> {
        let ended = self.run_units(once).await;
        self.row.leave(&self.engine.db, &self.id).await;
        ended
    }

    async fn run_units(&self, once: bool) -> Result<(), UnitError> {
        let mut listener = None;
        while !self.stopping() {
            match self.step(None).await {
                Ok(StepOutcome::Unit) => {}
                Ok(StepOutcome::Nothing) if once => return Ok(()),
                Ok(StepOutcome::Nothing) => self.wait(&mut listener, "bio_mcp_work").await,
                Err(UnitError::Failed { message, retry: true, .. }) => {
                    tracing::warn!(message, "dependency unavailable; waiting");
                    listener = None;
                    self.pause(Duration::from_secs(1)).await;
                }
                Err(UnitError::Blocked { message, .. }) if !once => {
                    tracing::error!(message, "blocked; retrying");
                    self.pause(BLOCKED_RETRY_DELAY).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Runs the units of one job until it has ended.
    pub async fn run_job(&self, job: JobId) -> Result<(), UnitError> {
        let ended = self.run_units_of(job).await;
        self.row.leave(&self.engine.db, &self.id).await;
        ended
    }

    async fn run_units_of(&self, job: JobId) -> Result<(), UnitError> {
        let give_up_after = self.engine.settings.database_patience;
        let mut listener = None;
        let mut unreachable_since: Option<Instant> = None;
        while !self.stopping() {
            match self.step_job(job).await {
                Ok(None) => return Ok(()),
                Ok(Some(StepOutcome::Unit)) => unreachable_since = None,
                Ok(Some(StepOutcome::Nothing)) => {
                    unreachable_since = None;
                    self.wait(&mut listener, "bio_mcp_jobs").await;
                }
                Err(UnitError::Failed { code: ErrorCode::DatabaseError, retry: true, .. })
                    if unreachable_since.get_or_insert_with(Instant::now).elapsed() < give_up_after =>
                {
                    listener = None;
                    self.pause(Duration::from_millis(300)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn step_job(&self, job: JobId) -> Result<Option<StepOutcome>, UnitError> {
        let ended: Option<bool> =
            sqlx::query_scalar("select state in ('succeeded', 'failed', 'cancelled') from jobs where id = $1")
                .bind(job.0)
                .fetch_optional(&self.engine.db)
                .await?;
        if ended.unwrap_or(true) {
            return Ok(None);
        }
        self.step(Some(job)).await.map(Some)
    }

    async fn step(&self, job: Option<JobId>) -> Result<StepOutcome, UnitError> {
        self.row.renew(&self.engine.db, &self.id, &self.hostname, self.engine.settings.heartbeat).await?;
        self.sweep_if_due().await?;
        self.run_one(job).await
    }

    /// Reclaims units of dead workers of this machine every time, and sweeps everything at intervals.
    async fn sweep_if_due(&self) -> Result<(), UnitError> {
        if let Some(dir) = &self.presence_dir {
            sweep::reclaim_of_the_dead(&self.engine, dir).await?;
        }
        let due = {
            let mut swept = self.swept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let due = swept.is_none_or(|at| at.elapsed() >= self.engine.settings.sweep);
            if due {
                *swept = Some(Instant::now());
            }
            due
        };
        if due {
            sweep::sweep(&self.engine, None).await?;
        }
        Ok(())
    }

    /// Waits for a notification, at most [`MAX_POLL_INTERVAL`]. What was notified before it listened is not missed:
    /// the caller checks again first.
    async fn wait(&self, listener: &mut Option<NotificationListener>, channel: &'static str) {
        let Some(heard) = listener else {
            *listener = NotificationListener::connect(&self.engine.db, channel).await.ok();
            if listener.is_none() {
                self.pause(MAX_POLL_INTERVAL).await;
            }
            return;
        };
        let wait = async {
            if heard.hear(MAX_POLL_INTERVAL).await?.is_some() {
                // Notifications received while it worked are one reason to check, not many.
                while heard.hear(Duration::ZERO).await?.is_some() {}
            }
            Ok::<_, DbError>(())
        };
        if self.unless_stopping(wait).await.is_none_or(|heard| heard.is_err()) {
            *listener = None;
        }
    }

    /// Claims one unit, of one job or of any, and runs it.
    pub async fn run_one(&self, job: Option<JobId>) -> Result<StepOutcome, UnitError> {
        let tools = self.engine.tools();
        let claim = Claim { worker: &self.id, hostname: &self.hostname, tools: &tools, unit: None, job };
        let Some(lease) = self.claims.claim(&self.engine, claim).await? else { return Ok(StepOutcome::Nothing) };
        self.run_lease(lease).await?;
        Ok(StepOutcome::Unit)
    }

    /// Handles a wake-up: claims its unit, or another one of the same tool if that one cannot be claimed, and runs it;
    /// then wakes others for units that became claimable.
    pub async fn handle_wake_up(&self, unit: UnitId) -> Result<WakeOutcome, UnitError> {
        let lease = match self.claim_for(unit).await? {
            Ok(lease) => lease,
            Err(idle) => return Ok(WakeOutcome::Idle(idle)),
        };
        let claimed = lease.unit;
        let failed = self.run_lease(lease).await?;
        self.engine.wake_after_commit().await;
        if !failed {
            return Ok(WakeOutcome::Ran);
        }
        let retry_after: Option<f64> = sqlx::query_scalar(include_str!("sql/retry_delay.sql"))
            .bind(claimed.0)
            .fetch_optional(&self.engine.db)
            .await?;
        Ok(retry_after.map_or(WakeOutcome::Ran, |secs| WakeOutcome::RetryAfter(Duration::from_secs_f64(secs.max(0.0)))))
    }

    async fn claim_for(&self, unit: UnitId) -> Result<Result<Lease, IdleReason>, UnitError> {
        let tool: Option<String> = sqlx::query_scalar(include_str!("sql/tool_of_unit.sql"))
            .bind(unit.0)
            .fetch_optional(&self.engine.db)
            .await?;
        // Its unit has ended, or is being run: its worker wakes others.
        let Some(tool) = tool else { return Ok(Err(IdleReason::NotPending)) };
        let tools = [tool];
        let mut claim =
            Claim { worker: &self.id, hostname: &self.hostname, tools: &tools, unit: Some(unit), job: None };
        if let Some(lease) = self.claims.claim(&self.engine, claim.clone()).await? {
            return Ok(Ok(lease));
        }
        claim.unit = None;
        Ok(self.claims.claim(&self.engine, claim).await?.ok_or(IdleReason::NotNow))
    }

    /// Runs a claimed unit; returns whether it failed in a way that another attempt may fix.
    async fn run_lease(&self, lease: Lease) -> Result<bool, UnitError> {
        bio_mcp_core::crash::point("after_claim");
        let span = tracing::info_span!(
            "unit", job_id = %lease.job, unit_id = %lease.unit, tool = lease.tool, principal = lease.principal,
            trace_id = lease.trace_id, attempt = lease.attempt
        );
        (self.engine.settings.join_trace)(&span, &lease.trace_id);
        let claim = (lease.unit, lease.epoch);
        let ran = self.run_claimed(lease).instrument(span).await;
        self.claims.over(claim);
        ran
    }

    async fn run_claimed(&self, lease: Lease) -> Result<bool, UnitError> {
        let job = lease.job;
        let stop = Arc::new(AtomicBool::new(false));
        let progressed = Arc::new(Mutex::new(Instant::now()));
        let heartbeat = Heartbeat::start(
            self.engine.db.clone(),
            lease.clone(),
            &self.engine.settings,
            stop.clone(),
            progressed.clone(),
        );
        let context = UnitContext {
            engine: self.engine.clone(),
            lease,
            stop,
            shutdown: self.shutdown.clone(),
            started: Instant::now(),
            progressed,
            committed: false,
        };
        // In a separate task, so that a panic in a pipeline fails only that unit.
        let lease = context.lease.clone();
        let unit = trace::within(lease.trace_id.clone(), run_unit(context));
        let running = tokio::spawn(unit.in_current_span());
        let (lease, outcome) = match running.await {
            Ok(ran) => ran,
            Err(panic) => {
                tracing::error!(error = %panic, "a pipeline panicked");
                let message = "the unit panicked: see the log";
                (lease, Err(UnitError::Failed { code: ErrorCode::Internal, message: message.into(), retry: true }))
            }
        };
        heartbeat.end().await;
        bio_mcp_core::crash::point("after_run");
        let failed = matches!(outcome, Err(UnitError::Failed { retry: true, .. }));
        let job_progressed = self.end(&lease, outcome).await;
        match job_progressed {
            Ok(JobProgressed::JobOver) => finalise(&self.engine, job).await.map(|_| failed),
            Ok(JobProgressed::UnitsLeft) => Ok(failed),
            Err(UnitError::LeaseLost) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes the end of a unit; waits for a lost database, because a unit of a live worker would otherwise be blocked
    /// until its lease expires.
    async fn end(&self, lease: &Lease, outcome: Result<JobProgressed, UnitError>) -> Result<JobProgressed, UnitError> {
        let ended = match outcome {
            Ok(job_progressed) => return Ok(job_progressed),
            Err(ended) => ended,
        };
        let give_up = Instant::now() + self.engine.settings.database_patience;
        loop {
            match self.try_end(lease, &ended).await {
                Err(UnitError::Failed { code: ErrorCode::DatabaseError, retry: true, message })
                    if Instant::now() < give_up && !self.stopping() =>
                {
                    tracing::warn!(message, "the database is unavailable; waiting");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Ok(job_progressed) => {
                    return match ended {
                        UnitError::Blocked { code, message } => Err(UnitError::Blocked { code, message }),
                        _ => Ok(job_progressed),
                    };
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn try_end(&self, lease: &Lease, ended: &UnitError) -> Result<JobProgressed, UnitError> {
        match ended {
            UnitError::LeaseLost => {
                tracing::warn!("lease_lost: another worker has this unit; nothing more is written");
                Ok(JobProgressed::UnitsLeft)
            }
            UnitError::Cancelled => lease.cancel(&self.engine).await,
            UnitError::Released | UnitError::Blocked { .. } => lease.release(&self.engine).await,
            UnitError::Snooze { pause, why } => {
                tracing::warn!(why, pause_secs = pause.as_secs(), "unit delayed");
                lease.snooze(&self.engine, *pause, why).await
            }
            UnitError::Failed { code, message, retry } => {
                tracing::warn!(error_code = code.as_str(), message, retry, "unit failed");
                metrics::error(&lease.tool, *code);
                lease.fail(&self.engine, *code, message, *retry).await
            }
        }
    }
}

async fn run_unit(mut context: UnitContext) -> (Lease, Result<JobProgressed, UnitError>) {
    let outcome = run_in(&mut context).await;
    (context.lease, outcome)
}

async fn run_in(context: &mut UnitContext) -> Result<JobProgressed, UnitError> {
    let Some(pipeline) = context.engine.pipeline(&context.lease.tool) else {
        return Err(UnitError::permanent(ErrorCode::Internal, "the job's tool is unknown to this worker"));
    };
    context.lease.start(&context.engine.db).await?;
    bio_mcp_core::crash::point("after_start");
    if context.lease.seq == 0 {
        let plan = pipeline.plan(context).await?;
        return context.lease.complete_plan(&context.engine, &plan).await;
    }
    pipeline.run(context).await?;
    context.lease.complete(&context.engine).await
}
