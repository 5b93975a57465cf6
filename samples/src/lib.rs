//! Constructed PubMed records and files: for the demo, the tests and the benchmarks.
//!
//! Nothing here is real. [`record`] writes one ordinary record by number and revision; [`shapes`]
//! are written by hand, one for each odd form that real records take; [`files`] puts them into
//! files as NLM publishes them.

pub mod files;
pub mod record;
pub mod shapes;
mod wide;
