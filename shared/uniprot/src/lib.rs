//! UniProt's flat file (`uniprot_sprot.dat`): the exact entries in it, the typed entry, and its formats.
//!
//! Independent of network, database, archive and jobs; reading is done through [`std::io::Read`].
//!
//! A file is read by [`splitter`] (byte-exact entries in bounded memory) → [`identity`] (accession, version,
//! SHA-256), and for the content → [`Entry`], which [`formats`] writes as DAT, FASTA or JSON.
//!
//! Codes that this crate does not know (line types, topics, databases, feature types) are data: they are kept and never
//! make an entry fail.
//!
//! ```
//! use bio_mcp_uniprot::{Entry, Splitter};
//!
//! let file = b"ID   A_HUMAN   Reviewed;   3 AA.\nAC   P12345;\nSQ   SEQUENCE   3 AA;\n     MKV\n//\n";
//! let mut splitter = Splitter::new(&file[..], 64 << 20);
//! while let Some(raw) = splitter.next()? {
//!     let entry = Entry::parse(raw.bytes)?;
//!     assert_eq!((entry.accession.as_str(), &*entry.sequence.value), ("P12345", "MKV"));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod accession;
pub mod comment;
pub mod cross_reference;
pub mod entry;
pub mod feature;
pub mod formats;
pub mod genes;
pub mod header;
pub mod identity;
mod keywords;
mod lines;
pub mod organism;
pub mod protein;
pub mod reference;
pub mod sequence;
pub mod splitter;
pub mod text;

pub use accession::{Accession, InvalidAccession};
pub use entry::{Entry, EntryError};
pub use formats::Format;
pub use identity::{Identity, IdentityError};
pub use splitter::{RawEntry, SplitError, Splitter};
pub use text::{Attribution, Text};
