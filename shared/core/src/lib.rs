//! The basic types of bio-mcp: ids, hashes, the order of payloads, outcomes, error codes, roles, the clock, the circuit
//! breaker, traces. No I/O.

pub mod access;
pub mod breaker;
pub mod clock;
pub mod crash;
pub mod error_chain;
pub mod error_code;
pub mod host;
pub mod identity;
pub mod ids;
pub mod markup;
pub mod metrics;
pub mod numbers;
pub mod outcome;
pub mod page;
pub mod pmid;
pub mod pmid_set;
pub mod rate_limiter;
pub mod record_key;
pub mod record_order;
pub mod secret;
pub mod sha256;
pub mod trace;
pub mod work;

pub use access::{Caller, Principal, Role};
pub use error_chain::chain;
pub use error_code::ErrorCode;
pub use ids::{JobId, NotAnId, UnitId, WorkerId};
pub use numbers::counted;
pub use outcome::{Outcome, Reason, SkipReason, Tally};
pub use page::Page;
pub use pmid::Pmid;
pub use pmid_set::PmidSet;
pub use record_key::{RecordKey, RecordType};
pub use record_order::{EVERY_VERSION, FileRank, Precedence, RecordOrder};
pub use secret::Secret;
pub use sha256::Sha256;
