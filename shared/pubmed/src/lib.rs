//! PubMed's formats: record files, the exact record slices in them, and the typed article.
//!
//! Independent of database, archive and jobs. What the archive also needs of a record, its [`identity`], is in layer 0.
//!
//! A file is read by [`source`] (plain or gzip, with limits) → [`split`] (byte-exact slices in constant memory) →
//! [`identity`] (PMID, Version, `DateRevised`), and for the content → [`article`]. Network access is in [`eutils`].

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
