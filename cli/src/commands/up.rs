//! `up`: everything that keeps an archive up to date, in one process.

use std::time::Duration;

use shared::sources::topics::{self, submit_due};
use tokio::sync::watch;

use super::{interrupted, serve};
use crate::args::Listen;
use crate::failure::{CliError, Exit};
use crate::session::Session;
use crate::workers::Workers;

/// How often topics are checked.
const TICK: Duration = Duration::from_secs(15);

/// Runs until stopped; workers end at their next batch.
pub async fn run(session: &Session, args: &Listen) -> Result<Exit, CliError> {
    let _keeper = session.keep_database_alive();
    let interrupted = interrupted();
    let (listener, _file) = serve::listen(session, args).await?;
    let (stop, mut stopped) = watch::channel(());
    let mut serving = serve::serve(session, listener, async move { while stopped.changed().await.is_ok() {} });
    topics::add_configured(session.db(), &session.config.topics).await?;
    let mut workers = Workers::start(session)?;
    let mut ticks = tokio::time::interval(TICK);
    tokio::pin!(interrupted);
    let ended = loop {
        tokio::select! {
            _ = ticks.tick() => match submit_due(&session.engine, session.limits(), session.config.job_ttl_hours).await {
                Ok(jobs) => jobs.iter().for_each(|job| tracing::info!(job_id = %job, "a scheduled topic was \
                                                                                      submitted")),
                // The next tick tries again.
                Err(error) => tracing::warn!(%error, "topics could not be submitted"),
            },
            failed = workers.failed() => break failed,
            served = &mut serving => break served_result(served),
            () = &mut interrupted => break Ok(()),
        }
    };
    drop(stop);
    workers.stop().await;
    if !serving.is_finished() {
        served_result(serving.await)?;
    }
    ended.map(|()| Exit::Done)
}

/// The result of the server task.
fn served_result(served: Result<std::io::Result<()>, tokio::task::JoinError>) -> Result<(), CliError> {
    Ok(served.map_err(|error| CliError::internal(format!("the server panicked: {error}")))??)
}
