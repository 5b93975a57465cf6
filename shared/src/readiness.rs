//! Readiness: whether everything a request needs can be used right now.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use crate::core::counted;
use crate::db;
use crate::ingest::{self, Engine};
use crate::projections::{self, Lag, lag};

/// How long one check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// The result of a readiness check.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Readiness {
    /// Whether requests can be served.
    pub status: Status,
    /// What was checked.
    pub checks: Checks,
}

/// What was checked.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Checks {
    /// Postgres responds, and its schema is new enough.
    pub database: Check,
    /// The archive is reachable, and keeps versions.
    pub archive: Check,
    /// The queue that wakes workers.
    pub queue: Check,
    /// The search index.
    pub index: Check,
    /// No unit is stuck.
    pub jobs: Check,
    /// Every projection of the event log is current or catching up.
    pub projections: Check,
    /// Circuit breakers: an open one makes no process unready.
    pub breakers: Check,
}

/// One of them.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Check {
    /// State of the dependency.
    pub status: Status,
    /// Details for people.
    pub detail: String,
    /// Duration of the check, in milliseconds.
    pub latency_ms: u64,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The dependency works.
    Ready,
    /// The dependency works, but an operator should check it.
    Degraded,
    /// The dependency does not work.
    NotReady,
    /// This deployment does not have the dependency.
    NotConfigured,
}

impl Readiness {
    /// Whether requests can be served.
    pub fn is_ready(&self) -> bool {
        self.status != Status::NotReady
    }
}

/// Checks everything, at the same time.
///
/// `breakers` are the circuit breakers by the name of what they are for, with the time for which they are open.
pub async fn check_readiness(engine: &Engine, breakers: &[(&str, Option<Duration>)]) -> Readiness {
    let database = timed(async {
        match db::check(&engine.db).await {
            Ok(true) => (Status::Ready, "reachable, schema up to date".to_owned()),
            Ok(false) => (Status::NotReady, "the schema is older than this program: run the migrations".to_owned()),
            Err(_) => (Status::NotReady, "does not respond".to_owned()),
        }
    });
    let archive = timed(async {
        match engine.archive.store().check().await {
            Ok(()) => (Status::Ready, "reachable, keeps versions".to_owned()),
            Err(crate::archive::StoreError::Denied(_)) => {
                (Status::NotReady, "access is denied, or it keeps no versions: see the log".to_owned())
            }
            Err(_) => (Status::NotReady, "unreachable".to_owned()),
        }
    });
    let jobs = timed(async {
        match ingest::stuck_units(&engine.db, engine.settings.stale * 2).await {
            Ok(0) => (Status::Ready, "no unit is stuck".to_owned()),
            Ok(n) => (
                Status::Degraded,
                format!("waiting for a sweep: {} of dead workers; check that a worker runs", counted(n, "unit")),
            ),
            Err(_) => (Status::NotReady, "the database does not respond".to_owned()),
        }
    });
    let projections = timed(async {
        match lag(&engine.db, &projections::all()).await {
            Ok(lags) => projections_of(&lags),
            Err(_) => (Status::NotReady, "the database does not respond".to_owned()),
        }
    });
    let queue = timed(async {
        if !engine.queue.carries_messages() {
            return (Status::NotConfigured, "workers listen to the database".to_owned());
        }
        match engine.queue.check().await {
            Ok(()) => (Status::Ready, "reachable".to_owned()),
            Err(_) => (Status::Degraded, "does not respond: only the sweep wakes workers".to_owned()),
        }
    });
    let (database, archive, jobs, projections, queue) = tokio::join!(database, archive, jobs, projections, queue);
    let of = |(name, pause): &(&str, Option<Duration>)| match pause {
        None => format!("{name} closed"),
        Some(pause) => format!("{name} open, next attempt in {} s", pause.as_secs().max(1)),
    };
    let detail = breakers.iter().map(of).collect::<Vec<_>>().join("; ");
    let is_open = breakers.iter().any(|(_, pause)| pause.is_some());
    let breakers = (if is_open { Status::Degraded } else { Status::Ready }, detail);
    let none = |what: &str| Check { status: Status::NotConfigured, detail: what.to_owned(), latency_ms: 0 };
    let checks = Checks {
        database,
        archive,
        jobs,
        projections,
        queue,
        index: none("not configured"),
        breakers: Check { status: breakers.0, detail: breakers.1, latency_ms: 0 },
    };
    let all = [&checks.database, &checks.archive, &checks.jobs, &checks.projections, &checks.queue, &checks.breakers];
    let status = if all.iter().any(|check| check.status == Status::NotReady) {
        Status::NotReady
    } else if all.iter().any(|check| check.status == Status::Degraded) {
        Status::Degraded
    } else {
        Status::Ready
    };
    Readiness { status, checks }
}

/// A projection that is catching up is ready, however far it is behind.
fn projections_of(lags: &[Lag]) -> (Status, String) {
    let of = |lag: &Lag| match lag.events_behind {
        0 => format!("{} is current", lag.name),
        behind if lag.is_stalled() => {
            let minutes = lag.stalled_seconds / 60.0;
            let behind = counted(behind, "event");
            format!("{} has not moved for {minutes:.0} min and is {behind} behind: check that a worker runs", lag.name)
        }
        behind => format!("{} is {} behind and catching up", lag.name, counted(behind, "event")),
    };
    let is_stalled = lags.iter().any(Lag::is_stalled);
    let detail = lags.iter().map(of).collect::<Vec<_>>().join("; ");
    (if is_stalled { Status::Degraded } else { Status::Ready }, detail)
}

async fn timed(check: impl Future<Output = (Status, String)>) -> Check {
    let began = Instant::now();
    let (status, detail) = tokio::time::timeout(CHECK_TIMEOUT, check)
        .await
        .unwrap_or_else(|_| (Status::NotReady, format!("no response within {} s", CHECK_TIMEOUT.as_secs())));
    Check { status, detail, latency_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX) }
}
