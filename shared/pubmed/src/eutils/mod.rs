//! A client of NCBI's E-utilities: searches, lists of PMIDs past the cap of 9,999, exact records.
//!
//! ```text
//! Client::list(query, slice) ─▶ every PMID of the slice, or how many are counted and not listed
//! Walk: slice over the cap? ─▶ halves of its dates, then of its PMIDs; counts must add up
//! Client::fetch(pmids, controls) ─▶ exact bytes, split and reconciled: each PMID returned, bad or not returned
//!   each request: breaker → rate limiter of all workers → POST → classify → retry with jitter
//! ```
//!
//! "Empty" and "failed" are different types: a search without hits is a page with count 0, and a response that is not
//! proved to be complete is an [`EutilsError`]. No error contains text from NCBI: it may include the caller's key or
//! address.

mod classify;
mod client;
mod efetch;
mod einfo;
mod error;
mod esearch;
mod query;
mod rate_limiter;
mod slice;
mod walk;

pub use classify::{Expected, ResponseFault, classify};
pub use client::{Client, EutilsSettings};
pub use efetch::{RecordSet, Returned, WELL_KNOWN};
pub use error::EutilsError;
pub use esearch::{Listing, SearchPage, SearchRequest};
pub use query::{InvalidQuery, Query};
pub use rate_limiter::{LocalRateLimiter, RateLimiter, RateLimiterError, gap};
pub use slice::{DateField, Slice};
pub use walk::{Shortfall, Walk, WalkStep};

/// Maximum number of results that a search returns, in all pages: `retmax` is silently cut to it, and `retstart` beyond
/// it is an error.
pub const CAP: u32 = 9_999;
