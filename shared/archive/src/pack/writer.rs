//! Writing a pack: envelopes in, frames out.
//!
//! The same envelopes give the same bytes (with one version of zstd), so that a part that was interrupted is stored
//! again unchanged. In memory are the text of one frame, its compressed bytes, and 12 bytes per finished frame.

use std::num::NonZeroU32;

use zstd::zstd_safe::compress_bound;

use super::encoder::{FrameEncoder, entry_of};
use super::frame_text::is_blank;
use super::seek_table::{MAX_FRAMES, SeekTable, table_bytes};
use crate::address::PackPart;
use crate::store::ByteRange;

/// Maximum size of the text of a frame that has several records, in bytes with line ends.
pub const MAX_FRAME_TEXT_BYTES: usize = 256 << 10;

/// Maximum size of a pack, in stored bytes with its seek table.
pub const MAX_PACK_BYTES: u64 = 64 << 20;

/// The zstd level of frames.
const LEVEL: i32 = 3;

/// Maximum size of a record with its line end: readers of the seekable format accept no larger frames.
const MAX_RECORD_TEXT_BYTES: usize = 1 << 30;

/// Number of frames of a part: each can have padding in the seek table after a purge.
const MAX_PART_FRAMES: usize = MAX_FRAMES / 2;

/// An envelope cannot be in a pack. The part is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackWriteError {
    /// The envelope is not one line of text.
    #[error("an envelope in a pack is one line that is not blank")]
    NotOneLine,
    /// The envelope alone is larger than a pack: it is stored as an object of its own.
    #[error("the envelope does not fit a pack of {max_pack_bytes} bytes: store it as an object of its own")]
    TooLarge {
        /// Maximum size of a pack.
        max_pack_bytes: u64,
    },
}

/// Sizes of packs and frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackLimits {
    /// Maximum size of the text of a frame with several records.
    frame_text_bytes: usize,
    /// Maximum size of a pack, in stored bytes.
    pack_bytes: u64,
}

impl Default for PackLimits {
    fn default() -> Self {
        Self { frame_text_bytes: MAX_FRAME_TEXT_BYTES, pack_bytes: MAX_PACK_BYTES }
    }
}

impl PackLimits {
    /// Other limits than the default ones. A pack is at least as large as any frame of several records needs.
    pub fn new(frame_text_bytes: usize, pack_bytes: u64) -> Self {
        let least = compress_bound(frame_text_bytes) + table_bytes(2);
        Self { frame_text_bytes, pack_bytes: pack_bytes.max(least as u64) }
    }
}

/// Result of appending an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Append {
    /// The envelope is in the part. A frame may have been finished, with envelopes before this one.
    Taken(Option<PackedFrame>),
    /// The part is full and does not have this envelope: finish it and append the envelope to the next part.
    Full,
}

/// A finished frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedFrame {
    /// Its stored bytes, to be appended to the pack.
    pub bytes: Vec<u8>,
    /// Their range in the pack.
    pub range: ByteRange,
    /// Number of records in it.
    pub records: u32,
}

impl PackedFrame {
    /// The positions of its records, in the order in which they were appended.
    pub fn parts(&self) -> impl Iterator<Item = PackPart> {
        (1..=self.records).filter_map(NonZeroU32::new).map(|line| PackPart { bytes: self.range, line })
    }
}

/// The end of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackEnd {
    /// The last frame; none in an empty pack.
    pub frame: Option<PackedFrame>,
    /// The seek table, to be appended after the last frame.
    pub seek_table: Vec<u8>,
    /// Size of the whole pack.
    pub pack_bytes: u64,
}

/// Writes one part of a pack.
pub struct PackWriter {
    encoder: FrameEncoder,
    limits: PackLimits,
    /// Text of the next frame.
    text: Vec<u8>,
    /// Number of records in this text.
    records: u32,
    /// The finished frames.
    table: SeekTable,
}

impl Default for PackWriter {
    fn default() -> Self {
        Self::new(PackLimits::default())
    }
}

impl PackWriter {
    /// An empty part.
    pub fn new(limits: PackLimits) -> Self {
        let encoder = FrameEncoder::new(LEVEL);
        Self { encoder, limits, text: Vec::new(), records: 0, table: SeekTable::default() }
    }

    /// Whether no envelope was appended: such a part is not stored.
    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.table.entries().is_empty()
    }

    /// Appends the JSON of an envelope, without line end.
    ///
    /// The part is full when it might not have room for another frame if that does not compress, so a frame never has
    /// to be moved to the next part.
    pub fn append(&mut self, envelope: &[u8]) -> Result<Append, PackWriteError> {
        if is_blank(envelope) || envelope.contains(&b'\n') {
            return Err(PackWriteError::NotOneLine);
        }
        let text_bytes = envelope.len().saturating_add(1);
        if self.records > 0 && self.text.len() + text_bytes <= self.limits.frame_text_bytes {
            self.push(envelope);
            return Ok(Append::Taken(None));
        }
        if text_bytes > MAX_RECORD_TEXT_BYTES {
            return Err(self.too_large());
        }
        if !self.has_room(text_bytes) {
            if !self.is_empty() {
                return Ok(Append::Full);
            }
            self.check_fits_alone(envelope)?;
        }
        let frame = self.finish_frame();
        self.push(envelope);
        Ok(Append::Taken(frame))
    }

    /// Finishes the part.
    pub fn finish(mut self) -> PackEnd {
        let frame = self.finish_frame();
        let seek_table = self.table.to_bytes();
        let pack_bytes = self.table.stored_bytes() + seek_table.len() as u64;
        PackEnd { frame, seek_table, pack_bytes }
    }

    fn push(&mut self, envelope: &[u8]) {
        self.text.extend_from_slice(envelope);
        self.text.push(b'\n');
        self.records += 1;
    }

    /// Whether a frame that begins with a record of `text_bytes` fits after the open one, however they compress.
    fn has_room(&self, text_bytes: usize) -> bool {
        let open = if self.records > 0 { compress_bound(self.text.len()) } else { 0 };
        let next = compress_bound(text_bytes.max(self.limits.frame_text_bytes));
        let frames = self.table.entries().len() + 2;
        let needed = (open + next + table_bytes(frames)) as u64;
        frames <= MAX_PART_FRAMES && self.table.stored_bytes() + needed <= self.limits.pack_bytes
    }

    /// Compresses a record that might be larger than a whole pack, which is rare: nearly all of them fit.
    fn check_fits_alone(&mut self, envelope: &[u8]) -> Result<(), PackWriteError> {
        let frame = self.encoder.encode(&[envelope, b"\n"].concat());
        let pack_bytes = (frame.len() + table_bytes(1)) as u64;
        if pack_bytes <= self.limits.pack_bytes { Ok(()) } else { Err(self.too_large()) }
    }

    fn too_large(&self) -> PackWriteError {
        PackWriteError::TooLarge { max_pack_bytes: self.limits.pack_bytes }
    }

    fn finish_frame(&mut self) -> Option<PackedFrame> {
        if self.records == 0 {
            return None;
        }
        let bytes = self.encoder.encode(&self.text);
        let offset = self.table.stored_bytes();
        let range = ByteRange::new(offset, bytes.len() as u64).expect("a frame has a header, and a pack is small");
        self.table.push(entry_of(&bytes, self.text.len()));
        let records = std::mem::take(&mut self.records);
        self.text.clear();
        // A large record's memory is not kept for the small ones after it.
        self.text.shrink_to(self.limits.frame_text_bytes);
        Some(PackedFrame { bytes, range, records })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text that hardly compresses, as one line.
    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed.wrapping_add(1);
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b'!' + state.to_be_bytes()[0] % 94
        };
        std::iter::repeat_with(&mut next).take(length).collect()
    }

    fn taken(append: Result<Append, PackWriteError>) -> Option<PackedFrame> {
        match append.expect("a line") {
            Append::Taken(frame) => frame,
            Append::Full => panic!("the part is full"),
        }
    }

    #[test]
    fn a_frame_is_full_to_the_byte() {
        let mut writer = PackWriter::new(PackLimits::new(30, 10_000));
        assert_eq!(taken(writer.append(&[b'a'; 9])), None);
        assert_eq!(taken(writer.append(&[b'b'; 9])), None);
        assert_eq!(taken(writer.append(&[b'c'; 9])), None, "30 bytes with line ends");
        let frame = taken(writer.append(b"d")).expect("a finished frame");
        assert_eq!(frame.records, 3);
        let lines: Vec<u32> = frame.parts().map(|part| part.line.get()).collect();
        assert_eq!(lines, [1, 2, 3]);
        let end = writer.finish();
        let last = end.frame.expect("the last frame");
        assert_eq!((last.range.offset(), last.records), (frame.range.end(), 1));
        assert_eq!(end.pack_bytes, last.range.end() + end.seek_table.len() as u64);
    }

    #[test]
    fn a_large_record_has_a_frame_of_its_own() {
        let mut writer = PackWriter::default();
        assert_eq!(taken(writer.append(b"small")), None);
        let before = taken(writer.append(&noise(MAX_FRAME_TEXT_BYTES, 1))).expect("the frame of the first record");
        let large = taken(writer.append(b"small")).expect("the large record's frame");
        assert_eq!([before.records, large.records], [1, 1]);
        assert_eq!(writer.finish().frame.expect("the last frame").records, 1);
    }

    #[test]
    fn a_part_is_full_before_a_frame_could_be_too_large() {
        let limits = PackLimits::new(1000, 10_000);
        let mut writer = PackWriter::new(limits);
        let mut n = 0;
        let mut stored = 0;
        while let Append::Taken(frame) = writer.append(&noise(400, n)).expect("a line") {
            stored += frame.map_or(0, |frame| frame.range.length());
            n += 1;
        }
        assert_eq!(writer.append(&noise(400, n)), Ok(Append::Full), "it remains full");
        let end = writer.finish();
        stored += end.frame.expect("the last frame").range.length() + end.seek_table.len() as u64;
        assert_eq!(stored, end.pack_bytes);
        assert!((7000..=10_000).contains(&end.pack_bytes), "{}", end.pack_bytes);
    }

    #[test]
    fn a_record_larger_than_a_part_is_refused_unless_it_compresses() {
        let limits = PackLimits::new(1000, 5000);
        let mut writer = PackWriter::new(limits);
        assert_eq!(writer.append(&noise(20_000, 1)), Err(PackWriteError::TooLarge { max_pack_bytes: 5000 }));
        assert!(writer.is_empty(), "the part is unchanged");
        assert_eq!(taken(writer.append(&vec![b'a'; 20_000])), None);
        assert_eq!(writer.append(b"small"), Ok(Append::Full));
        assert!(writer.finish().pack_bytes <= 5000);
        // In a part that has records, such a record begins the next part.
        let mut writer = PackWriter::new(limits);
        assert_eq!(taken(writer.append(b"small")), None);
        assert_eq!(writer.append(&vec![b'a'; 20_000]), Ok(Append::Full));
    }

    #[test]
    fn only_single_lines_are_records() {
        let mut writer = PackWriter::default();
        for line in [&b""[..], b"   ", b"{}\n", b"{\n}"] {
            assert_eq!(writer.append(line), Err(PackWriteError::NotOneLine));
        }
        assert!(writer.is_empty());
        let end = writer.finish();
        assert_eq!((end.frame, end.pack_bytes), (None, end.seek_table.len() as u64));
    }

    #[test]
    fn the_same_records_give_the_same_bytes() {
        let write = || {
            let mut writer = PackWriter::new(PackLimits::new(5000, 100_000));
            let frames: Vec<_> = (0..100).filter_map(|n| taken(writer.append(&noise(700, n % 7)))).collect();
            (frames, writer.finish())
        };
        assert_eq!(write(), write());
    }
}
