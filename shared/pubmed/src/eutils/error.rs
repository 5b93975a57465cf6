//! Errors of E-utilities calls, by what the caller can do about them.

use std::time::Duration;

use super::classify::ResponseFault;
use super::rate_limiter::RateLimiterError;
use bio_mcp_core::{ErrorCode, counted};

/// An error of a call. Its text never repeats content of NCBI's responses.
#[derive(Debug, thiserror::Error)]
pub enum EutilsError {
    /// No usable response in any attempt: retry later.
    #[error("no usable response from NCBI in {}; the last failure: {fault}", counted(*.attempts, "attempt"))]
    Unavailable {
        /// Requests made.
        attempts: u32,
        /// The last fault.
        fault: ResponseFault,
    },
    /// The time of this call, waiting included, is over.
    #[error("no response from NCBI within {} s; the last failure: {fault}", .after.as_secs())]
    Deadline {
        /// The time limit.
        after: Duration,
        /// The last fault.
        fault: ResponseFault,
    },
    /// NCBI keeps reporting too many requests.
    #[error("NCBI says that this address or key sends too many requests; something else may be using it")]
    RateLimited {
        /// When to try again.
        retry_after: Duration,
    },
    /// NCBI failed so often that no request is made for a while.
    #[error("NCBI is unavailable; next attempt in {} s", .retry_after.as_secs().max(1))]
    BreakerOpen {
        /// When to try again.
        retry_after: Duration,
    },
    /// NCBI refuses the key.
    #[error(
        "NCBI refuses the API key: check BIO_MCP_PUBMED_API_KEY, or unset it to continue with 3 requests per second"
    )]
    BadKey,
    /// NCBI refuses the query.
    #[error(
        "NCBI cannot search for this query, while it searches for others: check its spelling, fields and parentheses"
    )]
    QueryRejected,
    /// More results than one search returns: the caller must narrow the search.
    #[error("a search returns at most 9,999 results")]
    OverCap,
    /// NCBI refuses the request, because of a bug in this program.
    #[error("NCBI refuses the request as malformed ({fault})")]
    Refused { fault: ResponseFault },
    /// A response is larger than allowed.
    #[error("NCBI's response is larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    /// A search kept listing fewer results than it counted.
    #[error("NCBI's search keeps listing fewer results than it counts")]
    Incomplete,
    /// The state of the rate limiter is unavailable.
    #[error("the database, which limits the rate of requests to NCBI, is unavailable")]
    RateLimiter(#[source] RateLimiterError),
}

impl EutilsError {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Unavailable { .. }
            | Self::BreakerOpen { .. }
            | Self::BadKey
            | Self::OverCap
            | Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::Incomplete => ErrorCode::PubmedError,
            Self::RateLimited { .. } => ErrorCode::PubmedRateLimit,
            Self::Deadline { .. } => ErrorCode::PubmedTimeout,
            Self::QueryRejected => ErrorCode::QueryRejected,
            Self::RateLimiter(_) => ErrorCode::DatabaseError,
        }
    }

    /// Delay after which the same call may succeed; none if it will not.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::BreakerOpen { retry_after } => Some(*retry_after),
            Self::Unavailable { .. } | Self::Deadline { .. } | Self::Incomplete => Some(Duration::from_secs(15)),
            Self::RateLimiter(_) => Some(Duration::from_secs(1)),
            Self::BadKey | Self::QueryRejected | Self::OverCap | Self::Refused { .. } | Self::TooLarge { .. } => None,
        }
    }
}
