//! The library of bio-mcp, in layers; a module uses only modules of lower layers, and no
//! adapter uses its sibling (`tests/tests/it/layers.rs` keeps it so).
//!
//! | layer | modules | knows |
//! |---|---|---|
//! | 0 words | [`words`], [`aws`], [`file_lock`] | ids, order and identity of payloads, outcomes, configuration, clock, telemetry; no I/O |
//! | 1 adapters | [`archive`], [`pubmed`], [`db`], [`queue`], [`secrets`] | one outside thing each |
//! | 2 state | [`jobs`], [`records`], [`syncs`], [`checkpoints`], [`limits`] | rows in Postgres, limits of a fleet |
//! | 3 framework | [`ingest`] | work units: claim, fence, run, finish |
//! | 4 product | [`pipelines`], [`verify`], [`readiness`], [`gauges`] | what this deployment does |
//! | 5 doors | [`tools`] | what it offers |
//! | 6 edges | [`deployment`] | all of it, from the environment |

pub use bio_mcp_archive as archive;
pub use bio_mcp_archive::file_lock;
pub use bio_mcp_pubmed as pubmed;

pub mod aws;
pub mod checkpoints;
pub mod db;
pub mod deployment;
pub mod gauges;
pub mod ingest;
pub mod jobs;
pub mod limits;
pub mod pipelines;
pub mod queue;
pub mod readiness;
pub mod records;
pub mod secrets;
pub mod syncs;
pub mod tools;
pub mod verify;
pub mod words;
