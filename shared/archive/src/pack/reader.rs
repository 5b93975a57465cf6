//! Reading a whole pack in order, from any source of its bytes.
//!
//! The frames are found by their own headers, then compared with the seek table at the end: a pack that was cut, even
//! between two frames, is an error, never a shorter pack.

use std::io::Read;
use std::iter::FusedIterator;

use super::encoder::PADDING_MAGIC;
use super::frame::{FRAME_MAGIC, FrameError, StoredFrame, read_content_bytes, read_magic, read_more, skip_content};
use super::frame_text::FrameText;
use super::seek_table::{MAX_FRAMES, MAX_TABLE_BYTES, SEEK_TABLE_MAGIC, SeekEntry, SeekTable, SeekTableError};
use crate::address::PackPart;
use crate::store::ByteRange;

/// A pack could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PackReadError {
    /// A frame is damaged or cut, or the source failed.
    #[error("the frame at byte {offset} of the pack is invalid")]
    Frame {
        /// Offset of the frame in the pack.
        offset: u64,
        source: FrameError,
    },
    /// The seek table is missing, damaged, or that of other frames.
    #[error("the seek table at byte {offset} of the pack is invalid")]
    SeekTable {
        /// Offset of the table in the pack.
        offset: u64,
        source: SeekTableError,
    },
    /// Bytes follow the seek table.
    #[error("the pack has bytes after its seek table")]
    TrailingBytes,
}

impl PackReadError {
    /// Whether the source of the bytes failed: the pack itself may be whole.
    pub fn is_of_source(&self) -> bool {
        matches!(self, Self::Frame { source: FrameError::Read(_), .. })
    }
}

/// A decompressed frame with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackFrame {
    /// Range of the frame and the padding after it, as in the addresses of its records.
    pub bytes: ByteRange,
    /// Its text.
    pub text: FrameText,
}

impl PackFrame {
    /// The envelopes with their positions, without those that were purged.
    pub fn records(&self) -> impl Iterator<Item = (PackPart, &[u8])> {
        self.text.records().map(|(line, text)| (PackPart { bytes: self.bytes, line }, text))
    }
}

/// Reads the frames of a pack in order. In memory are one frame, its text, and 12 bytes per frame that was read.
///
/// Only when it ends without an error was the pack whole; nothing is read after an error.
pub struct PackReader<R> {
    source: R,
    max_text_bytes: usize,
    /// Magic number of the next frame, if it was read.
    next_magic: Option<u32>,
    /// The frames that were read.
    table: SeekTable,
    has_ended: bool,
}

impl<R: Read> PackReader<R> {
    /// Reads a pack from its first byte, with frames of at most `max_text_bytes` of text. The source is read in small
    /// pieces: it should be in memory or buffered.
    pub fn new(source: R, max_text_bytes: usize) -> Self {
        Self { source, max_text_bytes, next_magic: None, table: SeekTable::default(), has_ended: false }
    }

    /// The next frame with text; none after the seek table.
    fn next_frame(&mut self) -> Result<Option<PackFrame>, PackReadError> {
        self.skip_padding()?;
        let offset = self.table.stored_bytes();
        let invalid = |source| PackReadError::Frame { offset, source };
        match self.next_magic.take() {
            Some(FRAME_MAGIC) => {}
            Some(SEEK_TABLE_MAGIC) => return self.check_end().map(|()| None),
            Some(_) => return Err(invalid(FrameError::NotAFrame)),
            None => return Err(PackReadError::SeekTable { offset, source: SeekTableError::Missing }),
        }
        let frame = StoredFrame::read(&mut self.source, self.max_text_bytes).map_err(invalid)?;
        let text = frame.decode().map_err(invalid)?;
        self.push(frame.entry())?;
        self.skip_padding()?;
        let length = self.table.stored_bytes() - offset;
        let bytes = ByteRange::new(offset, length).ok_or(invalid(FrameError::NotAFrame))?;
        Ok(Some(PackFrame { bytes, text }))
    }

    /// Skips padding, and reads the magic number after it.
    fn skip_padding(&mut self) -> Result<(), PackReadError> {
        loop {
            let offset = self.table.stored_bytes();
            let invalid = |source| PackReadError::Frame { offset, source };
            if self.next_magic.is_none() {
                self.next_magic = read_magic(&mut self.source).map_err(invalid)?;
            }
            if self.next_magic != Some(PADDING_MAGIC) {
                return Ok(());
            }
            self.next_magic = None;
            let skipped = skip_content(&mut self.source).map_err(invalid)?;
            let stored_bytes = u32::try_from(skipped).map_err(|_| invalid(FrameError::NotAFrame))?;
            self.push(SeekEntry::of_padding(stored_bytes))?;
        }
    }

    fn push(&mut self, entry: SeekEntry) -> Result<(), PackReadError> {
        if self.table.entries().len() >= MAX_FRAMES {
            let offset = self.table.stored_bytes();
            return Err(PackReadError::SeekTable { offset, source: SeekTableError::TooManyFrames });
        }
        self.table.push(entry);
        Ok(())
    }

    /// Compares the seek table with the frames that were read, and checks that it is the end.
    fn check_end(&mut self) -> Result<(), PackReadError> {
        let offset = self.table.stored_bytes();
        let invalid = |source| PackReadError::Frame { offset, source };
        let other = |source| PackReadError::SeekTable { offset, source };
        let content_bytes = read_content_bytes(&mut self.source).map_err(invalid)?;
        if content_bytes as usize > MAX_TABLE_BYTES {
            return Err(other(SeekTableError::OtherFrames));
        }
        let mut bytes = [SEEK_TABLE_MAGIC.to_le_bytes(), content_bytes.to_le_bytes()].concat();
        read_more(&mut self.source, &mut bytes, content_bytes as usize).map_err(invalid)?;
        let table = SeekTable::parse(&bytes, offset + bytes.len() as u64).map_err(other)?;
        if table != self.table {
            return Err(other(SeekTableError::OtherFrames));
        }
        match read_magic(&mut self.source) {
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(FrameError::Truncated) => Err(PackReadError::TrailingBytes),
            Err(source) => Err(invalid(source)),
        }
    }
}

impl<R: Read> Iterator for PackReader<R> {
    type Item = Result<PackFrame, PackReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let next = self.next_frame();
        self.has_ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

impl<R: Read> FusedIterator for PackReader<R> {}
