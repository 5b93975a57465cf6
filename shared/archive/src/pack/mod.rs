//! Packs: the envelopes of many records in one object.
//!
//! A pack is NDJSON, one envelope a line, in zstd frames of at most [`MAX_FRAME_TEXT_BYTES`] of text; a larger envelope
//! has a frame of its own. Every frame has its content size and a checksum; a seek table in the zstd seekable format
//! is the last, skippable frame. No dictionary: `zstd -dc` reads a pack as a whole, and
//! `tail -c +$((OFF+1)) PACK | head -c LEN | zstd -dc | sed -n 'Np'` the envelope at `#bytes=OFF-LEN&line=N`.
//!
//! - [`PackWriter`] appends envelopes and returns finished frames with the positions of their records;
//! - [`decode_frame`] reads the frame of one address, [`PackReader`] all frames in order;
//! - [`SeekTable`] has the positions of all frames;
//! - [`blank_records`] purges records without moving the others;
//! - [`PackName`] names a pack after its source file.
//!
//! Nothing here does I/O on a store. Sizes in stored bytes are untrusted: each is checked against a limit of the
//! caller, and against the bytes that are there, before memory is allocated for it.

mod encoder;
mod frame;
mod frame_text;
mod key;
mod purge;
mod reader;
mod seek_table;
#[cfg(test)]
mod tests;
mod writer;

pub use frame::{FrameError, decode_frame};
pub use frame_text::FrameText;
pub use key::{InvalidPackName, PackName};
pub use purge::{PurgeError, blank_records, erase_frame};
pub use reader::{PackFrame, PackReadError, PackReader};
pub use seek_table::{FrameSpan, MAX_FRAMES, SeekEntry, SeekTable, SeekTableError};
pub use writer::{
    Append, MAX_FRAME_TEXT_BYTES, MAX_PACK_BYTES, PackEnd, PackLimits, PackWriteError, PackWriter, PackedFrame,
};
