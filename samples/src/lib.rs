//! Constructed PubMed records and files: for the demo, the tests and the benchmarks.
//!
//! No record is real. [`record`] generates an ordinary record from a number and revision; [`shapes`] are hand-written,
//! one for each unusual form of real records; [`files`] writes them to files as NLM publishes them.

pub mod files;
pub mod record;
pub mod shapes;
mod wide;
