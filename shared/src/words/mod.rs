//! Layer 0: the words every other module speaks. No I/O, but for what telemetry tells.

pub mod access;
pub mod breaker;
pub mod clock;
pub mod config;
pub mod crash;
pub mod error_code;
pub mod host;
pub mod identity;
pub mod ids;
pub mod invocation;
pub mod markup;
pub mod metrics;
pub mod outcome;
pub mod pace;
pub mod pmid;
pub mod pmid_set;
pub mod record_key;
pub mod record_order;
pub mod sha256;
pub mod telemetry;
pub mod terminal;
pub mod trace;
pub mod work;

pub use access::{Caller, Principal, Role};
pub use error_code::ErrorCode;
pub use ids::{JobId, UnitId, WorkerId};
pub use outcome::{Outcome, Reason, SkipReason, Tally};
pub use pmid::Pmid;
pub use pmid_set::PmidSet;
pub use record_key::{RecordKey, RecordType};
pub use record_order::{EVERY_VERSION, FileRank, Precedence, RecordOrder};
pub use sha256::Sha256;
