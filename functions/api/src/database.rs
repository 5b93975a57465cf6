//! Fails fast while the database is unavailable: after a few failures in a row requests fail without waiting, and one
//! request per second probes it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use shared::core::ErrorCode;
use shared::core::breaker::{Breaker, BreakerPolicy, BreakerState};
use shared::db::{self, Access, DbError};
use shared::tools::ToolError;
use sqlx::PgPool;

use crate::Api;
use crate::error::ApiError;

/// Timeout of a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// A circuit breaker for the database.
pub struct DatabaseGuard {
    breaker: Breaker,
    db: PgPool,
    access: Option<Arc<Access>>,
}

impl DatabaseGuard {
    /// The guard of a connected pool.
    pub fn new(db: PgPool) -> Self {
        Self { breaker: Breaker::new(BreakerPolicy::DATABASE), db, access: None }
    }

    /// A guard that connects lazily.
    pub fn for_lambda(access: Arc<Access>) -> Self {
        let db = access.pool().clone();
        Self { access: Some(access), ..Self::new(db) }
    }

    /// How long requests are refused from now on; none if they are allowed.
    pub fn closed_for(&self) -> Option<Duration> {
        self.breaker.open_for(Instant::now())
    }

    /// Allows a request, or fails at once while the database is unavailable.
    pub async fn check(&self) -> Result<(), ApiError> {
        let unavailable = |pause: Duration| {
            let message = "the database is unavailable: try again later";
            Err(ApiError::new(ErrorCode::DatabaseError, message).retry_after(pause))
        };
        if let BreakerState::Open(pause) = self.breaker.admit(Instant::now()) {
            return unavailable(pause);
        }
        if self.breaker.is_open() {
            let _probe = Probe(&self.breaker);
            if !matches!(tokio::time::timeout(PROBE_TIMEOUT, self.probe()).await, Ok(Ok(_))) {
                self.breaker.failed(Instant::now());
                return unavailable(Duration::from_secs(1));
            }
            self.breaker.succeeded();
        }
        let Some(access) = &self.access else { return Ok(()) };
        let ready = access.ensure_ready().await.map_err(|error| ApiError::from(ToolError::from(error)));
        ready.inspect_err(|failure| self.record(Some(failure)))
    }

    /// Connects like a request would: a changed password is read again.
    async fn probe(&self) -> Result<bool, DbError> {
        if let Some(access) = &self.access {
            access.ensure_connected().await?;
        }
        db::check(&self.db).await
    }

    /// Records the result of a request.
    pub fn record(&self, failure: Option<&ApiError>) {
        match failure.map(|failure| failure.error.code) {
            Some(ErrorCode::DatabaseError) => {
                self.breaker.failed(Instant::now());
                if let Some(access) = &self.access {
                    access.invalidate();
                }
            }
            None => self.breaker.succeeded(),
            // The request itself was refused: this says nothing about the database.
            Some(_) => {}
        }
    }
}

/// A probe; if its caller disconnects during it, another request may probe.
struct Probe<'a>(&'a Breaker);

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.0.abandoned();
    }
}

/// Middleware of routes that read rows.
pub async fn around(State(api): State<Api>, request: Request, next: Next) -> Result<Response, ApiError> {
    api.database.check().await?;
    // Other methods call tools, whose results are recorded in `call`.
    let records = request.method() == axum::http::Method::GET;
    let response = next.run(request).await;
    if records {
        api.database.record(response.extensions().get::<ApiError>());
    }
    Ok(response)
}
