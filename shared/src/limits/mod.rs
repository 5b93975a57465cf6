//! Limits that all workers share.

mod pace;

pub use pace::PostgresPace;
