//! Hearing of changes of jobs: one connection for all who wait.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::Instant;

use super::standing::{Standing, standing};
use super::state::Job;
use crate::db::{Announcements, DbError};
use bio_mcp_core::JobId;

/// Where the ids of changed jobs are announced.
const CHANNEL: &str = "bio_mcp_jobs";

/// Wakes those who wait for jobs.
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

    /// The same by looking now and then: a function that is frozen between requests hears nothing.
    pub fn by_looking(db: PgPool) -> Self {
        Self { announced: Announcements::by_looking(db.clone(), CHANNEL), db }
    }

    /// The job as soon as its version is another one than `version`, or it has ended, or the time is up, or
    /// waiting is over for all; nothing if it is not there.
    pub async fn wait(&self, job: JobId, version: i64, longest: Duration) -> Result<Option<Standing>, DbError> {
        let until = Instant::now() + longest;
        let mut heard = self.announced.subscribe();
        let id = job.to_string();
        loop {
            let found = standing(&self.db, job).await?;
            let is_news = |job: &Job| job.version != version || job.state.is_terminal();
            let is_news = found.as_ref().is_none_or(|found| is_news(&found.job));
            if is_news || Instant::now() >= until || self.announced.is_over() {
                return Ok(found);
            }
            // Only what is heard of this job is worth a look, and now and then one without.
            heard.wait(until, |other| other == id).await;
        }
    }

    /// Waiting is over: calls that wait return now.
    pub fn end(&self) {
        self.announced.end();
    }
}
