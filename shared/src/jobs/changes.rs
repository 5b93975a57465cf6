//! Hearing of changes of jobs: one connection for all who wait.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;

use super::list::get;
use super::state::Job;
use crate::db::DbError;
use crate::words::JobId;

/// How long nobody looks at a job that nothing is heard of.
const POLL: Duration = Duration::from_secs(2);

/// How long after a lost connection the next one is tried.
const AGAIN: Duration = Duration::from_secs(1);

/// Wakes those who wait for jobs. The connection is made when the first of them comes, and stays.
#[derive(Clone)]
pub struct Changes {
    db: PgPool,
    heard: Arc<std::sync::OnceLock<watch::Receiver<u64>>>,
}

impl Changes {
    /// Changes of the jobs in a database.
    pub fn new(db: PgPool) -> Self {
        Self { db, heard: Arc::default() }
    }

    /// The job as soon as its version is another one than `version`, or it has ended, or the time is up;
    /// nothing if it is not there.
    pub async fn wait(&self, job: JobId, version: i64, longest: Duration) -> Result<Option<Job>, DbError> {
        let until = tokio::time::Instant::now() + longest;
        let mut heard = self.heard.get_or_init(|| listen(self.db.clone())).clone();
        loop {
            heard.mark_unchanged();
            let found = get(&self.db, job).await?;
            let is_news = found.as_ref().is_none_or(|job| job.version != version || job.state.is_terminal());
            let now = tokio::time::Instant::now();
            if is_news || now >= until {
                return Ok(found);
            }
            // What is heard may be another job: then one look more is taken.
            let _ = tokio::time::timeout_at(until.min(now + POLL), heard.changed()).await;
        }
    }
}

fn listen(db: PgPool) -> watch::Receiver<u64> {
    let (heard, receiver) = watch::channel(0u64);
    tokio::spawn(async move {
        while !db.is_closed() {
            let listening = async {
                let mut listener = PgListener::connect_with(&db).await?;
                listener.listen("bio_mcp_jobs").await?;
                loop {
                    listener.recv().await?;
                    heard.send_modify(|n| *n = n.wrapping_add(1));
                }
            };
            let ended: Result<(), sqlx::Error> = listening.await;
            if let Err(error) = ended {
                tracing::debug!(%error, "nobody tells of changes of jobs now");
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
    receiver
}
