//! Writing frames: compressed text, and the skippable frames and empty blocks that fill gaps.

use zstd::bulk::Compressor;
use zstd::zstd_safe::compress_bound;

use super::frame::HeaderForm;
use super::seek_table::SeekEntry;

/// The first four bytes of the skippable frames that fill gaps, as a little-endian number. The seek table has another.
pub(super) const PADDING_MAGIC: u32 = 0x184D_2A50;

/// Size of the smallest skippable frame.
pub(super) const MIN_PADDING_BYTES: usize = 8;

/// A block without content: it has three bytes, and is permitted before any other block.
pub(super) const EMPTY_BLOCK: [u8; 3] = [0; 3];

/// Compresses the texts of frames.
pub(super) struct FrameEncoder(Compressor<'static>);

impl FrameEncoder {
    /// A compressor at a level of zstd.
    pub(super) fn new(level: i32) -> Self {
        let mut compressor = Compressor::new(level).expect("zstd has this level, and there is memory");
        compressor.include_checksum(true).expect("every version of zstd has this parameter");
        compressor.include_contentsize(true).expect("every version of zstd has this parameter");
        Self(compressor)
    }

    /// Compresses one text as one frame.
    pub(super) fn encode(&mut self, text: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(compress_bound(text.len()));
        self.0.compress_to_buffer(text, &mut frame).expect("the buffer has the bound's size");
        frame.shrink_to_fit();
        frame
    }
}

/// The entry of a frame in a seek table. Both have the same checksum: the lower half of the text's XXH64.
pub(super) fn entry_of(frame: &[u8], text_bytes: usize) -> SeekEntry {
    let checksum = frame.last_chunk().copied().expect("a frame ends with its checksum");
    SeekEntry {
        stored_bytes: u32::try_from(frame.len()).unwrap_or(u32::MAX),
        text_bytes: u32::try_from(text_bytes).unwrap_or(u32::MAX),
        checksum: u32::from_le_bytes(checksum),
    }
}

/// A skippable frame of a size of at least [`MIN_PADDING_BYTES`].
pub(super) fn padding(stored_bytes: usize) -> Option<Vec<u8>> {
    let content_bytes = stored_bytes.checked_sub(MIN_PADDING_BYTES)?;
    let mut bytes = PADDING_MAGIC.to_le_bytes().to_vec();
    bytes.extend(u32::try_from(content_bytes).ok()?.to_le_bytes());
    bytes.resize(stored_bytes, 0);
    Some(bytes)
}

/// Lengthens a frame by a number of empty blocks, which change nothing in its text.
pub(super) fn with_empty_blocks(frame: &[u8], blocks: usize) -> Option<Vec<u8>> {
    let (header, rest) = frame.split_at_checked(HeaderForm::of(*frame.get(4)?)?.header_bytes)?;
    Some([header, &EMPTY_BLOCK.repeat(blocks), rest].concat())
}
