//! Waiting for changes of jobs: one connection for all waiting callers.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::Instant;

use super::details::{JobDetails, details};
use super::state::Job;
use crate::db::{Announcements, DbError};
use bio_mcp_core::JobId;

/// Channel of notifications with the ids of changed jobs.
const CHANNEL: &str = "bio_mcp_jobs";

/// Notifies callers that wait for jobs.
#[derive(Clone)]
pub struct Changes {
    db: PgPool,
    announced: Announcements,
}

impl Changes {
    /// Changes of the jobs in a database.
    pub fn new(db: PgPool) -> Self {
        Self { announced: Announcements::new(db.clone(), CHANNEL), db }
    }

    /// Like [`Self::new`], by polling: a function that is frozen between requests receives no notifications.
    pub fn polling(db: PgPool) -> Self {
        Self { announced: Announcements::polling(db.clone(), CHANNEL), db }
    }

    /// Returns the job as soon as its version differs from `version`, it has ended, the time limit is reached, or
    /// waiting was ended; none if it does not exist.
    pub async fn wait(&self, job: JobId, version: i64, longest: Duration) -> Result<Option<JobDetails>, DbError> {
        let until = Instant::now() + longest;
        let mut heard = self.announced.subscribe();
        let id = job.to_string();
        loop {
            let found = details(&self.db, job).await?;
            let is_news = |job: &Job| job.version != version || job.state.is_terminal();
            let is_news = found.as_ref().is_none_or(|found| is_news(&found.job));
            if is_news || Instant::now() >= until || self.announced.is_over() {
                return Ok(found);
            }
            // Only a notification about this job, or the end of the poll interval, requires a query.
            heard.wait(until, |other| other == id).await;
        }
    }

    /// Ends waiting: calls that wait return now.
    pub fn end(&self) {
        self.announced.end();
    }
}
