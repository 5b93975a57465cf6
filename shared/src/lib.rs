//! The library of bio-mcp. Its foundation is separate crates, re-exported here; Cargo enforces their dependencies:
//!
//! | crate | modules here | knows |
//! |---|---|---|
//! | `bio-mcp-core` | [`core`] | ids, record order, outcomes, error codes, roles, clock; no I/O |
//! | `bio-mcp-pubmed` | [`pubmed`] | PubMed's formats, NCBI's E-utilities; no SQL, no store |
//! | `bio-mcp-archive` | [`archive`], [`file_lock`] | stores, envelopes, keys; no SQL |
//! | `bio-mcp-engine` | [`db`], [`queue`], [`jobs`], [`limits`], [`ingest`] | Postgres and work units; no source |
//!
//! Modules in layers build on them; a module uses only lower layers (`tests/tests/it/layers.rs` enforces it):
//!
//! | layer | modules | knows |
//! |---|---|---|
//! | 0 | [`core`], [`aws`] | configuration, telemetry; AWS's services, where they are built in |
//! | 1 adapters | [`secrets`] | secrets by ARN |
//! | 3 state | [`records`], [`syncs`], [`checkpoints`] | rows in Postgres |
//! | 4 projections | [`projections`] | derived from the event log |
//! | 5 product | [`sources`], [`verify`], [`readiness`], [`gauges`] | what this deployment does |
//! | 6 interfaces | [`tools`] | what it offers |
//! | 7 edges | [`deployment`] | all of it, from the environment |

pub use bio_mcp_archive as archive;
pub use bio_mcp_archive::file_lock;
pub use bio_mcp_core as core;
pub use bio_mcp_engine::{db, ingest, jobs, limits, queue};
pub use bio_mcp_pubmed as pubmed;

pub mod aws;
pub mod checkpoints;
pub mod config;
pub mod deployment;
pub mod gauges;
pub mod invocation;
pub mod observability;
pub mod projections;
pub mod readiness;
pub mod records;
pub mod secrets;
pub mod sources;
pub mod syncs;
pub mod tools;
pub mod verify;
