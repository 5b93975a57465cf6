//! MCP: the same tools, jobs as tasks, and what is worth reading as resources.
//!
//! [`McpServer`] serves requests; it keeps nothing between them, so any process can serve any of them. [`transport`]
//! brings it to HTTP (2026-07-28 and the older handshake at one address), [`stdio`] to standard input and output.

mod caller;
mod listing;
mod message;
mod names;
mod resources;
mod server;
pub mod stdio;
mod tasks;
mod tools;
pub mod transport;

pub use listing::listing;
pub use server::McpServer;
