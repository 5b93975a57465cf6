//! The vocabulary of the crates below, and what a program reads from its environment and writes to its log.

pub mod config;
pub mod invocation;
pub mod telemetry;
pub mod terminal;

pub use bio_mcp_core::*;
