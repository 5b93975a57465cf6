//! One frame of a pack: the text of several records, compressed, with its size and checksum.
//!
//! A frame is parsed before it is decompressed: its length follows from its blocks, and its declared size is accepted
//! only up to what these blocks can contain.

use std::cell::RefCell;
use std::io::{self, Read};
use std::num::NonZeroU32;

use zstd::bulk::Decompressor;

use super::encoder::{EMPTY_BLOCK, MIN_PADDING_BYTES, PADDING_MAGIC, entry_of};
use super::frame_text::FrameText;
use super::seek_table::SeekEntry;
use crate::codec;

/// The first four bytes of a zstd frame, as a little-endian number.
pub(super) const FRAME_MAGIC: u32 = 0xFD2F_B528;

/// Maximum size of the content of a block in the zstd format.
const MAX_BLOCK_BYTES: usize = 128 << 10;

const CHECKSUM_BYTES: usize = 4;

thread_local! {
    /// Its tables are allocated once per thread.
    static DECOMPRESSOR: RefCell<Decompressor<'static>> = RefCell::new(Decompressor::default());
}

/// Stored bytes are not a valid frame of a pack, or a frame does not have the requested line.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The bytes are not a zstd frame.
    #[error("the bytes are not those of a frame")]
    NotAFrame,
    /// The frame ends before its last block or checksum.
    #[error("the bytes end within a frame")]
    Truncated,
    /// The frame was not written for a pack.
    #[error("the frame lacks its size or checksum, or needs a dictionary")]
    Header,
    /// A block is invalid, or the blocks cannot contain text of the declared size.
    #[error("the blocks of the frame do not fit its declared size")]
    Blocks,
    /// The frame declares more text than the caller accepts.
    #[error("the frame has more than {max_text_bytes} bytes of text")]
    TooLarge {
        /// Limit of the caller.
        max_text_bytes: usize,
    },
    /// The frame does not decompress, or its text does not match its checksum.
    #[error("the frame does not decompress")]
    Damaged(#[source] io::Error),
    /// The text is not whole lines.
    #[error("the text of the frame does not end with a line end")]
    NotLines,
    /// Other bytes than padding follow the frame.
    #[error("other bytes follow the frame")]
    TrailingBytes,
    /// The frame has fewer lines.
    #[error("the frame has no line {line}")]
    NoLine {
        /// The requested line, from 1.
        line: NonZeroU32,
    },
    /// The record was purged.
    #[error("line {line} of the frame is blank: its record was purged")]
    Blank {
        /// The requested line, from 1.
        line: NonZeroU32,
    },
    /// The source of the bytes failed.
    #[error("the bytes could not be read")]
    Read(#[source] io::Error),
}

/// Decompresses the stored bytes of an address: one frame, and the padding after it. The text has at most
/// `max_text_bytes`.
pub fn decode_frame(stored: &[u8], max_text_bytes: usize) -> Result<FrameText, FrameError> {
    StoredFrame::parse_padded(stored, max_text_bytes)?.decode()
}

/// A frame as it is stored, parsed but not decompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredFrame {
    bytes: Vec<u8>,
    text_bytes: usize,
}

impl StoredFrame {
    /// Parses one frame and the padding after it.
    pub(super) fn parse_padded(stored: &[u8], max_text_bytes: usize) -> Result<Self, FrameError> {
        let mut rest = stored;
        match read_magic(&mut rest)? {
            Some(FRAME_MAGIC) => {}
            Some(_) => return Err(FrameError::NotAFrame),
            None => return Err(FrameError::Truncated),
        }
        let frame = Self::read(&mut rest, max_text_bytes)?;
        while let Some(magic) = read_magic(&mut rest)? {
            if magic != PADDING_MAGIC {
                return Err(FrameError::TrailingBytes);
            }
            skip_content(&mut rest)?;
        }
        Ok(frame)
    }

    /// Reads one frame, whose magic number was already read. Reads nothing after its end.
    pub(super) fn read(source: &mut impl Read, max_text_bytes: usize) -> Result<Self, FrameError> {
        let mut bytes = FRAME_MAGIC.to_le_bytes().to_vec();
        read_more(source, &mut bytes, 1)?;
        let form = HeaderForm::of(bytes[4]).ok_or(FrameError::Header)?;
        read_more(source, &mut bytes, form.header_bytes - 5)?;
        let mut size = [0; 8];
        size[..form.size_bytes].copy_from_slice(&bytes[form.header_bytes - form.size_bytes..]);
        // The form of two bytes begins where that of one byte ends.
        let size = u64::from_le_bytes(size).saturating_add(if form.size_bytes == 2 { 256 } else { 0 });
        let text_bytes = usize::try_from(size).ok().filter(|size| *size <= max_text_bytes);
        let text_bytes = text_bytes.ok_or(FrameError::TooLarge { max_text_bytes })?;
        read_blocks(source, &mut bytes, text_bytes)?;
        read_more(source, &mut bytes, CHECKSUM_BYTES)?;
        Ok(Self { bytes, text_bytes })
    }

    /// Its text, if that matches the checksum.
    pub(super) fn decode(&self) -> Result<FrameText, FrameError> {
        let mut text = Vec::with_capacity(self.text_bytes);
        let decoded = DECOMPRESSOR.with_borrow_mut(|zstd| zstd.decompress_to_buffer(&self.bytes, &mut text));
        decoded.map_err(FrameError::Damaged)?;
        FrameText::new(text)
    }

    /// Its entry in a seek table.
    pub(super) fn entry(&self) -> SeekEntry {
        entry_of(&self.bytes, self.text_bytes)
    }
}

/// The form of a frame's header, according to its fifth byte.
pub(super) struct HeaderForm {
    /// Size of the header with its magic number.
    pub(super) header_bytes: usize,
    /// Size of the field with the size of the text, at the end of the header.
    size_bytes: usize,
}

impl HeaderForm {
    /// None if the frame has no size or checksum, names a dictionary, or is of a future version of the format.
    pub(super) fn of(descriptor: u8) -> Option<Self> {
        let is_single_segment = descriptor & 0x20 != 0;
        let size_bytes = match descriptor >> 6 {
            0 if is_single_segment => 1,
            0 => return None,
            1 => 2,
            2 => 4,
            _ => 8,
        };
        let (has_checksum, has_dictionary, is_reserved) =
            (descriptor & 0x04 != 0, descriptor & 0x03 != 0, descriptor & 0x08 != 0);
        let header_bytes = 5 + usize::from(!is_single_segment) + size_bytes;
        (has_checksum && !has_dictionary && !is_reserved).then_some(Self { header_bytes, size_bytes })
    }
}

/// Appends the blocks of a frame to its header.
fn read_blocks(source: &mut impl Read, bytes: &mut Vec<u8>, text_bytes: usize) -> Result<(), FrameError> {
    let max_stored_bytes = codec::max_stored_bytes(text_bytes);
    let mut max_content_bytes = 0_usize;
    loop {
        read_more(source, bytes, EMPTY_BLOCK.len())?;
        let [.., low, middle, high] = bytes[..] else { return Err(FrameError::Truncated) };
        let header = u32::from_le_bytes([low, middle, high, 0]);
        let length = (header >> 3) as usize;
        let (stored_bytes, content_bytes) = match (header >> 1) & 3 {
            0 => (length, length),
            1 => (1, length),
            2 => (length, MAX_BLOCK_BYTES),
            _ => return Err(FrameError::Blocks),
        };
        if length > MAX_BLOCK_BYTES || bytes.len() + stored_bytes > max_stored_bytes {
            return Err(FrameError::Blocks);
        }
        read_more(source, bytes, stored_bytes)?;
        max_content_bytes = max_content_bytes.saturating_add(content_bytes);
        if header & 1 == 1 {
            break;
        }
    }
    if max_content_bytes < text_bytes { Err(FrameError::Blocks) } else { Ok(()) }
}

/// Reads the magic number of the next frame; none at the end.
pub(super) fn read_magic(source: &mut impl Read) -> Result<Option<u32>, FrameError> {
    let mut magic = Vec::with_capacity(4);
    source.by_ref().take(4).read_to_end(&mut magic).map_err(FrameError::Read)?;
    match magic[..] {
        [] => Ok(None),
        [a, b, c, d] => Ok(Some(u32::from_le_bytes([a, b, c, d]))),
        _ => Err(FrameError::Truncated),
    }
}

/// Skips a skippable frame whose magic number was already read, and returns its whole size. It is not kept in memory.
pub(super) fn skip_content(source: &mut impl Read) -> Result<u64, FrameError> {
    let length = read_content_bytes(source)?;
    let mut content = source.by_ref().take(length.into());
    let skipped = io::copy(&mut content, &mut io::sink()).map_err(FrameError::Read)?;
    if skipped < u64::from(length) {
        return Err(FrameError::Truncated);
    }
    Ok(skipped + MIN_PADDING_BYTES as u64)
}

/// Reads the size of the content of a skippable frame.
pub(super) fn read_content_bytes(source: &mut impl Read) -> Result<u32, FrameError> {
    // As long as a magic number.
    read_magic(source)?.ok_or(FrameError::Truncated)
}

/// Appends the next `length` bytes; memory grows only with bytes that are there.
pub(super) fn read_more(source: &mut impl Read, bytes: &mut Vec<u8>, length: usize) -> Result<(), FrameError> {
    let read = source.by_ref().take(length as u64).read_to_end(bytes).map_err(FrameError::Read)?;
    if read < length { Err(FrameError::Truncated) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encoder::{FrameEncoder, padding, with_empty_blocks};
    use super::*;

    const MAX: usize = 1 << 20;

    fn line(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).expect("from 1")
    }

    fn encode(text: &[u8]) -> Vec<u8> {
        FrameEncoder::new(3).encode(text)
    }

    #[test]
    fn lines_are_found_by_number() {
        let frame = encode(b"{\"a\":1}\n   \n\n{\"b\":2}\n");
        let text = decode_frame(&frame, MAX).expect("a frame");
        assert_eq!(text.line(line(1)).expect("there"), b"{\"a\":1}");
        assert!(matches!(text.line(line(2)), Err(FrameError::Blank { .. })));
        assert!(matches!(text.line(line(3)), Err(FrameError::Blank { .. })));
        assert_eq!(text.line(line(4)).expect("there"), b"{\"b\":2}");
        for beyond in [5, u32::MAX] {
            assert!(matches!(text.line(line(beyond)), Err(FrameError::NoLine { .. })));
        }
        let numbers: Vec<u32> = text.records().map(|(line, _)| line.get()).collect();
        assert_eq!(numbers, [1, 4]);
    }

    #[test]
    fn every_form_of_size_is_read() {
        for length in [2, 255, 256, 257, 65_791, 65_792, 300_000] {
            let mut text = vec![b'a'; length];
            *text.last_mut().expect("not empty") = b'\n';
            let frame = encode(&text);
            assert_eq!(decode_frame(&frame, length).expect("a frame").as_bytes(), text, "{length}");
            assert!(matches!(decode_frame(&frame, length - 1), Err(FrameError::TooLarge { .. })), "{length}");
        }
    }

    #[test]
    fn other_frames_are_refused() {
        let text = b"a line\n".repeat(100);
        let plain = zstd::bulk::compress(&text, 3).expect("compressed");
        assert!(matches!(decode_frame(&plain, MAX), Err(FrameError::Header)), "no checksum");
        let streamed = zstd::stream::encode_all(&text[..], 3).expect("compressed");
        assert!(matches!(decode_frame(&streamed, MAX), Err(FrameError::Header)), "no size");
        let frame = encode(&text);
        assert!(matches!(decode_frame(&[&frame[..], &frame].concat(), MAX), Err(FrameError::TrailingBytes)));
        assert!(matches!(decode_frame(&[&frame[..], b"x"].concat(), MAX), Err(FrameError::Truncated)));
        assert!(matches!(decode_frame(&encode(b"no line end"), MAX), Err(FrameError::NotLines)));
        assert!(matches!(decode_frame(&encode(b""), MAX), Err(FrameError::NotLines)));
        assert!(matches!(decode_frame(b"{\"a\":1}\n", MAX), Err(FrameError::NotAFrame)));
        assert!(matches!(decode_frame(b"", MAX), Err(FrameError::Truncated)));
    }

    #[test]
    fn a_declared_size_beyond_its_blocks_is_refused_before_memory_is_allocated() {
        // A header that declares 2^40 bytes, and one raw block of one byte.
        let header = [&FRAME_MAGIC.to_le_bytes()[..], &[0xE4], &(1_u64 << 40).to_le_bytes()].concat();
        let frame = [&header[..], &[0x09, 0, 0, b'\n'], &[0; 4]].concat();
        assert!(matches!(decode_frame(&frame, usize::MAX), Err(FrameError::Blocks)));
        assert!(matches!(decode_frame(&frame, MAX), Err(FrameError::TooLarge { .. })));
        // Padding that declares 4 GiB.
        let frame = encode(b"a\n");
        let huge = [&frame[..], &PADDING_MAGIC.to_le_bytes(), &u32::MAX.to_le_bytes(), b"abc"].concat();
        assert!(matches!(decode_frame(&huge, MAX), Err(FrameError::Truncated)));
        // Empty blocks without end.
        let endless = [&frame[..6], &EMPTY_BLOCK.repeat(1 << 20)].concat();
        assert!(matches!(decode_frame(&endless, MAX), Err(FrameError::Blocks)));
    }

    #[test]
    fn empty_blocks_and_padding_change_no_text() {
        let text = b"a line of text\n".repeat(30_000);
        let frame = encode(&text);
        let longer = with_empty_blocks(&frame, 2).expect("a frame");
        assert_eq!(longer.len(), frame.len() + 6);
        for gap in [8, 9, 1000] {
            let padded = [&longer[..], &padding(gap).expect("long enough")].concat();
            assert_eq!(padded.len(), longer.len() + gap);
            assert_eq!(decode_frame(&padded, MAX).expect("a frame").as_bytes(), text);
            assert_eq!(zstd::stream::decode_all(&padded[..]).expect("a frame"), text);
        }
        assert_eq!(padding(7), None);
    }

    proptest! {
        #[test]
        fn truncated_frames_are_errors(
            lines in prop::collection::vec("[a-z]{0,40}\n", 1..40),
            length in any::<prop::sample::Index>(),
        ) {
            let frame = encode(lines.concat().as_bytes());
            let length = length.index(frame.len());
            prop_assert!(matches!(decode_frame(&frame[..length], MAX), Err(FrameError::Truncated)));
        }

        #[test]
        fn damaged_frames_are_errors_or_the_same_text(
            lines in prop::collection::vec("[a-z]{0,40}\n", 1..40),
            at in any::<prop::sample::Index>(),
            bits in 1..=u8::MAX,
        ) {
            let text = lines.concat();
            let mut frame = encode(text.as_bytes());
            let at = at.index(frame.len());
            frame[at] ^= bits;
            if let Ok(decoded) = decode_frame(&frame, MAX) {
                prop_assert_eq!(decoded.as_bytes(), text.as_bytes());
            }
        }

        #[test]
        fn arbitrary_bytes_are_errors(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            is_frame in any::<bool>(),
        ) {
            if is_frame {
                bytes.splice(0..0, FRAME_MAGIC.to_le_bytes());
            }
            prop_assert!(decode_frame(&bytes, MAX).is_err());
        }
    }
}
