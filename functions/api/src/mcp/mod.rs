//! MCP: the same tools, jobs as tasks, and what is worth reading as resources.
//!
//! [`Door`] answers; it keeps nothing between requests, so any process can answer any of them. [`transport`]
//! brings it to HTTP (2026-07-28 and the older handshake at one address), [`stdio`] to standard input and output.

mod caller;
mod door;
mod listing;
mod message;
mod names;
mod resources;
pub mod stdio;
mod tasks;
mod tools;
pub mod transport;

pub use door::Door;
pub use listing::listing;
