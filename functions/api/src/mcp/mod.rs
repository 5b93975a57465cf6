//! MCP: the same tools, jobs as tasks, and readable data as resources.
//!
//! [`McpServer`] serves requests without state between them, so any process can serve any of them. [`transport`]
//! connects it to HTTP (2026-07-28 and the older handshake at one path), [`stdio`] to standard input and output.

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
