//! Readiness of this process, checked at most once every few seconds, however often it is requested.

use std::time::{Duration, Instant};

use shared::readiness::{Readiness, check_readiness};
use tokio::sync::Mutex;

use crate::Api;

/// How long a result is reused.
const READINESS_CACHE_TTL: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub struct Cached(Mutex<Option<(Instant, Readiness)>>);

impl Cached {
    /// The current readiness. While one request checks, all others wait for its result.
    pub async fn get(&self, api: &Api) -> Readiness {
        let mut last = self.0.lock().await;
        if let Some((at, readiness)) = &*last
            && at.elapsed() < READINESS_CACHE_TTL
        {
            return readiness.clone();
        }
        let ncbi = api.toolbox.client.breaker().open_for(Instant::now());
        let breakers = [("database", api.database.closed_for()), ("ncbi", ncbi)];
        let readiness = check_readiness(&api.toolbox.engine, &breakers).await;
        *last = Some((Instant::now(), readiness.clone()));
        readiness
    }
}
