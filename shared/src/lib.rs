//! The library of bio-mcp, in layers; a module uses only modules of lower layers, and no
//! adapter uses its sibling (`tests/tests/layers.rs` keeps it so).
//!
//! | layer | modules | knows |
//! |---|---|---|
//! | 0 words | [`words`] | ids, order of payloads, outcomes, configuration, clock, telemetry; no I/O |
//! | 1 adapters | [`archive`], [`pubmed`], [`db`], [`queue`] | one outside thing each |
//! | 2 state | [`jobs`], [`records`], [`syncs`], [`checkpoints`], [`limits`] | rows in Postgres |
//! | 3 framework | [`ingest`] | work units: claim, fence, run, finish |
//! | 4 product | [`pipelines`], [`verify`], [`readiness`] | what this deployment does |
//! | 5 doors | [`tools`] | what it offers |

pub mod archive;
pub mod checkpoints;
pub mod db;
pub mod ingest;
pub mod jobs;
pub mod limits;
pub mod pipelines;
pub mod pubmed;
pub mod queue;
pub mod readiness;
pub mod records;
pub mod syncs;
pub mod tools;
pub mod verify;
pub mod words;
