//! Fast answers while the database is away: after a few failures in a row nobody waits for it, and one request a
//! second looks whether it is back.

use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use shared::db;
use shared::words::ErrorCode;
use shared::words::breaker::{Breaker, BreakerState, Patience};
use sqlx::PgPool;

use crate::Api;
use crate::error::Failure;

/// How long a look may take.
const LOOK: Duration = Duration::from_secs(2);

/// What stands before the database.
#[derive(Debug)]
pub struct Gate {
    breaker: Breaker,
    db: PgPool,
}

impl Gate {
    /// An open one.
    pub fn new(db: PgPool) -> Self {
        Self { breaker: Breaker::new(Patience::DATABASE), db }
    }

    /// For how long nobody is let through from now on.
    pub fn closed_for(&self) -> Option<Duration> {
        self.breaker.open_for(Instant::now())
    }

    /// Lets a request through, or answers at once that the database is away.
    pub async fn pass(&self) -> Result<(), Failure> {
        let away = |pause: Duration| {
            let message = "the database cannot be reached now: try again";
            Err(Failure::new(ErrorCode::DatabaseError, message).retry_after(pause))
        };
        if let BreakerState::Open(pause) = self.breaker.admit(Instant::now()) {
            return away(pause);
        }
        if self.breaker.is_open() {
            let _look = Look(&self.breaker);
            let looked = tokio::time::timeout(LOOK, db::check(&self.db)).await;
            if !matches!(looked, Ok(Ok(_))) {
                self.breaker.failed(Instant::now());
                return away(Duration::from_secs(1));
            }
            self.breaker.succeeded();
        }
        Ok(())
    }

    /// Learns from how a request ended.
    pub fn learn(&self, failure: Option<&Failure>) {
        match failure.map(|failure| failure.error.code) {
            Some(ErrorCode::DatabaseError) => self.breaker.failed(Instant::now()),
            None => self.breaker.succeeded(),
            // It was refused for what it is.
            Some(_) => {}
        }
    }
}

/// One who looks; when the caller goes away meanwhile, another may.
struct Look<'a>(&'a Breaker);

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.0.abandoned();
    }
}

/// Around routes that read rows.
pub async fn around(State(api): State<Api>, request: Request, next: Next) -> Result<Response, Failure> {
    api.database.pass().await?;
    // What else is done to jobs is done by tools, which learn by themselves.
    let learns = request.method() == axum::http::Method::GET;
    let response = next.run(request).await;
    if learns {
        api.database.learn(response.extensions().get::<Failure>());
    }
    Ok(response)
}
