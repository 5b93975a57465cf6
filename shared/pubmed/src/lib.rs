//! PubMed's formats: record files, the exact record slices in them, and the typed article.
//!
//! Knows no database, no archive and no jobs. What the archive needs of a record too, its [`identity`], is a word of
//! layer 0.
//!
//! The way of a file: [`source`] (plain or gzip, with limits) → [`split`] (byte-exact slices in
//! constant memory) → [`identity`] (PMID, Version, `DateRevised`), and for those who want the
//! content → [`article`]. The way over the network: [`eutils`].

pub mod article;
pub mod bulk_file;
pub mod download;
pub mod eutils;
pub mod read_ahead;
mod resolver;
pub mod same_xml;
pub mod source;
pub mod split;
pub mod text_form;
pub mod xml_diff;
pub mod xml_tree;

pub use article::{Article, IntegrityNote, IntegrityStatus, NOTE_RULES, Notice, is_retracted};
pub use bio_mcp_core::identity::{self, Identity};
pub use bio_mcp_core::{markup, work};
pub use split::{Defect, Item, SplitError, Splitter};
pub use text_form::TextForm;
