//! The readiness of this process, looked at once every few seconds however often it is asked for.

use std::time::{Duration, Instant};

use shared::readiness::{Readiness, look};
use tokio::sync::Mutex;

use crate::Api;

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(5);

/// The last answer.
#[derive(Debug, Default)]
pub struct Cached(Mutex<Option<(Instant, Readiness)>>);

impl Cached {
    /// The readiness now. While one request looks, all others wait for what is seen.
    pub async fn get(&self, api: &Api) -> Readiness {
        let mut last = self.0.lock().await;
        if let Some((at, readiness)) = &*last
            && at.elapsed() < FRESH
        {
            return readiness.clone();
        }
        let ncbi = api.toolbox.client.breaker().open_for(Instant::now());
        let breakers = [("database", api.database.closed_for()), ("ncbi", ncbi)];
        let readiness = look(&api.toolbox.engine, &breakers).await;
        *last = Some((Instant::now(), readiness.clone()));
        readiness
    }
}
