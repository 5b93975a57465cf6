//! Hearing of changes of jobs: one connection for all who wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::standing::{Standing, standing};
use super::state::Job;
use crate::db::{DbError, Listener};
use bio_mcp_core::JobId;

/// How long a job that nothing is heard of is not looked at.
const POLL: Duration = Duration::from_secs(2);

/// How often a job is looked at where nothing can be heard.
const LOOK: Duration = Duration::from_millis(500);

/// How long after a lost connection the next one is tried.
const AGAIN: Duration = Duration::from_secs(1);

/// Who is so many changes behind looks at its job without knowing which they were.
const BEHIND: usize = 256;

/// Wakes those who wait for jobs. The connection is made when the first of them comes, and stays.
#[derive(Clone)]
pub struct Changes {
    db: PgPool,
    /// Ids of changed jobs; none for "any".
    heard: broadcast::Sender<Option<Uuid>>,
    is_listening: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    poll: Duration,
}

impl Changes {
    /// Changes of the jobs in a database.
    pub fn new(db: PgPool) -> Self {
        let (heard, _) = broadcast::channel(BEHIND);
        Self { db, heard, is_listening: Arc::default(), is_over: Arc::default(), poll: POLL }
    }

    /// The same by looking now and then: a function that is frozen between requests hears nothing.
    pub fn by_looking(db: PgPool) -> Self {
        Self { is_listening: Arc::new(AtomicBool::new(true)), poll: LOOK, ..Self::new(db) }
    }

    /// The job as soon as its version is another one than `version`, or it has ended, or the time is up, or
    /// waiting is over for all; nothing if it is not there.
    pub async fn wait(&self, job: JobId, version: i64, longest: Duration) -> Result<Option<Standing>, DbError> {
        let until = Instant::now() + longest;
        let mut heard = self.heard.subscribe();
        if !self.is_listening.swap(true, Ordering::SeqCst) {
            tokio::spawn(listen(self.db.clone(), self.heard.clone()));
        }
        loop {
            let found = standing(&self.db, job).await?;
            let is_news = |job: &Job| job.version != version || job.state.is_terminal();
            let is_news = found.as_ref().is_none_or(|found| is_news(&found.job));
            if is_news || Instant::now() >= until || self.is_over.load(Ordering::SeqCst) {
                return Ok(found);
            }
            // Only what is heard of this job is worth a look, and now and then one without.
            let look = until.min(Instant::now() + self.poll);
            while let Ok(Ok(Some(other))) = timeout_at(look, heard.recv()).await
                && other != job.0
            {}
        }
    }

    /// Waiting is over: calls that wait are answered now.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = self.heard.send(None);
    }
}

async fn listen(db: PgPool, heard: broadcast::Sender<Option<Uuid>>) {
    while !db.is_closed() {
        let listening = async {
            let mut listener = Listener::connect(&db, "bio_mcp_jobs").await?;
            // What happened before is not known.
            let _ = heard.send(None);
            loop {
                if let Some(told) = listener.hear(POLL).await? {
                    let _ = heard.send(told.parse().ok());
                }
            }
        };
        let ended: Result<std::convert::Infallible, DbError> = listening.await;
        let Err(error) = ended;
        tracing::debug!(%error, "nobody tells of changes of jobs now");
        tokio::time::sleep(AGAIN).await;
    }
}
