//! Properties that must hold for any input, as plain functions that panic if they do not: libFuzzer calls them
//! (`fuzz/fuzz_targets`), and a test calls them for every file of `fuzz/corpus` and for variants of it
//! (`tests/tests/it/fuzz_replay.rs`).
//!
//! XML is compared with the result of quick-xml ([`oracle`]), addresses, cursors and envelopes with what was written.

mod address;
mod cursor;
mod envelope;
pub mod oracle;
mod same_xml;
pub mod seeds;
mod spelling;
mod splitter;
mod tree;
pub mod variants;

pub use address::address;
pub use cursor::cursor;
pub use envelope::envelope;
pub use same_xml::same_xml;
pub use splitter::splitter;
pub use tree::tree;

/// A target: panics if a property does not hold for an input.
pub type Target = fn(&[u8]);

/// All targets, by the name of their wrapper and their corpus.
pub const TARGETS: [(&str, Target); 6] = [
    ("splitter", splitter),
    ("tree", tree),
    ("same_xml", same_xml),
    ("envelope", envelope),
    ("cursor", cursor),
    ("address", address),
];

/// A hash of every byte (FNV-1a), as a random seed: random choices for an input are the same in every run.
fn seed_of(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
