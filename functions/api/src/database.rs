//! Fast answers while the database is away: after a few failures in a row no request waits for it, and one request a
//! second looks whether it is back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use shared::db::{self, Access, DbError};
use shared::tools::ToolError;
use shared::words::ErrorCode;
use shared::words::breaker::{Breaker, BreakerState, Patience};
use sqlx::PgPool;

use crate::Api;
use crate::error::Failure;

/// How long a look may take.
const LOOK: Duration = Duration::from_secs(2);

/// What stands before the database.
pub struct Gate {
    breaker: Breaker,
    db: PgPool,
    access: Option<Arc<Access>>,
}

impl Gate {
    /// An open one.
    pub fn new(db: PgPool) -> Self {
        Self { breaker: Breaker::new(Patience::DATABASE), db, access: None }
    }

    /// One that leads to a connection first.
    pub fn of_function(access: Arc<Access>) -> Self {
        let db = access.pool().clone();
        Self { access: Some(access), ..Self::new(db) }
    }

    /// For how long no request is let through from now on.
    pub fn closed_for(&self) -> Option<Duration> {
        self.breaker.open_for(Instant::now())
    }

    /// Lets a request through, or answers at once that the database is away.
    pub async fn pass(&self) -> Result<(), Failure> {
        let away = |pause: Duration| {
            let message = "the database is unavailable: try again later";
            Err(Failure::new(ErrorCode::DatabaseError, message).retry_after(pause))
        };
        if let BreakerState::Open(pause) = self.breaker.admit(Instant::now()) {
            return away(pause);
        }
        if self.breaker.is_open() {
            let _look = Look(&self.breaker);
            if !matches!(tokio::time::timeout(LOOK, self.look()).await, Ok(Ok(_))) {
                self.breaker.failed(Instant::now());
                return away(Duration::from_secs(1));
            }
            self.breaker.succeeded();
        }
        let Some(access) = &self.access else { return Ok(()) };
        let ready = access.ready().await.map_err(|error| Failure::from(ToolError::from(error)));
        ready.inspect_err(|failure| self.learn(Some(failure)))
    }

    /// By the way that a request would go: a password that was changed is read again.
    async fn look(&self) -> Result<bool, DbError> {
        if let Some(access) = &self.access {
            access.connected().await?;
        }
        db::check(&self.db).await
    }

    /// Learns from how a request ended.
    pub fn learn(&self, failure: Option<&Failure>) {
        match failure.map(|failure| failure.error.code) {
            Some(ErrorCode::DatabaseError) => {
                self.breaker.failed(Instant::now());
                if let Some(access) = &self.access {
                    access.doubt();
                }
            }
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
