//! The seek table at the end of a pack, in the zstd seekable format.
//!
//! It is a skippable frame: magic number `0x184D2A5E`, size, one entry per frame before it (stored size, size of the
//! text, checksum: 12 bytes), then a footer of 9 bytes: number of entries, descriptor, magic number `0x8F92EAB1`. All
//! numbers are little-endian. Padding has entries too, without text; so the stored sizes add up to offsets.

use super::encoder::MIN_PADDING_BYTES;
use crate::store::ByteRange;

/// Maximum number of frames of a pack, with padding. A real pack has about a thousand.
pub const MAX_FRAMES: usize = 1 << 16;

/// The first four bytes of a seek table, as a little-endian number.
pub(super) const SEEK_TABLE_MAGIC: u32 = 0x184D_2A5E;

/// Maximum size of a seek table.
pub(super) const MAX_TABLE_BYTES: usize = table_bytes(MAX_FRAMES);

/// Its last four bytes.
const FOOTER_MAGIC: u32 = 0x8F92_EAB1;

const HEADER_BYTES: usize = 8;
const ENTRY_BYTES: usize = 12;
const FOOTER_BYTES: usize = 9;

/// Bit of the descriptor: entries have checksums.
const CHECKSUMS: u8 = 0x80;

/// Bits of the descriptor that a future version of the format may use.
const RESERVED: u8 = 0x7C;

/// The checksum of an empty text: the lower half of its XXH64.
const EMPTY_CHECKSUM: u32 = 0x51D8_E999;

/// Bytes at the end of a pack are not its seek table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeekTableError {
    /// More bytes from the end of the pack are needed to read the table.
    #[error("the last {needed_bytes} bytes of the pack are needed for its seek table")]
    Incomplete {
        /// Size of the table, or of its footer if that is incomplete.
        needed_bytes: usize,
    },
    /// The pack does not end with a seek table: it is truncated, or not a pack.
    #[error("the bytes do not end with a seek table")]
    Missing,
    /// The table has no checksums, or was written by a newer program.
    #[error("the seek table has another form than those of packs")]
    Form,
    /// The table declares more frames than any pack has.
    #[error("the seek table has more than {MAX_FRAMES} frames, the maximum of a pack")]
    TooManyFrames,
    /// An entry is too small for any frame.
    #[error("entry {index} of the seek table is not that of a frame")]
    Entry {
        /// Index of the entry, from 0.
        index: usize,
    },
    /// The sizes of the frames do not add up to the size of the pack.
    #[error("the sizes in the seek table do not add up to that of the pack")]
    Sizes,
    /// The table is not that of the frames before it.
    #[error("the seek table differs from the frames of the pack")]
    OtherFrames,
    /// The range is not that of one frame with its padding.
    #[error("no frame of the pack has this range")]
    NoFrame,
}

/// One frame in a seek table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeekEntry {
    /// Size of the frame in the pack.
    pub stored_bytes: u32,
    /// Size of its text; 0 for padding.
    pub text_bytes: u32,
    /// The lower half of the XXH64 of its text.
    pub checksum: u32,
}

impl SeekEntry {
    /// The entry of padding.
    pub(super) fn of_padding(stored_bytes: u32) -> Self {
        Self { stored_bytes, text_bytes: 0, checksum: EMPTY_CHECKSUM }
    }

    fn is_padding(self) -> bool {
        self.text_bytes == 0
    }

    fn read(bytes: &[u8]) -> Self {
        Self { stored_bytes: u32_at(bytes, 0), text_bytes: u32_at(bytes, 4), checksum: u32_at(bytes, 8) }
    }

    fn write(self, bytes: &mut Vec<u8>) {
        for number in [self.stored_bytes, self.text_bytes, self.checksum] {
            bytes.extend(number.to_le_bytes());
        }
    }
}

/// A frame with text and the padding after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSpan {
    /// Range in the pack, as in the addresses of its records.
    pub bytes: ByteRange,
    /// Size of its text.
    pub text_bytes: u32,
    /// The lower half of the XXH64 of its text.
    pub checksum: u32,
}

/// The seek table of a pack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeekTable {
    entries: Vec<SeekEntry>,
    /// Size of all frames together.
    stored_bytes: u64,
}

impl SeekTable {
    /// Size of the table at the end of a pack, from its last bytes (at least 9).
    pub fn bytes_at_end(tail: &[u8]) -> Result<usize, SeekTableError> {
        let footer =
            tail.last_chunk::<FOOTER_BYTES>().ok_or(SeekTableError::Incomplete { needed_bytes: FOOTER_BYTES })?;
        if u32_at(footer, 5) != FOOTER_MAGIC {
            return Err(SeekTableError::Missing);
        }
        if footer[4] & (CHECKSUMS | RESERVED) != CHECKSUMS {
            return Err(SeekTableError::Form);
        }
        let entries = u32_at(footer, 0) as usize;
        if entries > MAX_FRAMES { Err(SeekTableError::TooManyFrames) } else { Ok(table_bytes(entries)) }
    }

    /// Parses the table from the last bytes of a pack of `pack_bytes`. If they are too few, the error says how many are
    /// needed. Takes time linear in the bytes given, and memory of about their size.
    pub fn parse(tail: &[u8], pack_bytes: u64) -> Result<Self, SeekTableError> {
        let needed_bytes = Self::bytes_at_end(tail)?;
        let start = tail.len().checked_sub(needed_bytes).ok_or(SeekTableError::Incomplete { needed_bytes })?;
        let table = &tail[start..];
        let content_bytes = needed_bytes - HEADER_BYTES;
        if u32_at(table, 0) != SEEK_TABLE_MAGIC || u32::try_from(content_bytes) != Ok(u32_at(table, 4)) {
            return Err(SeekTableError::Missing);
        }
        let mut parsed = Self::default();
        parsed.entries.reserve_exact(content_bytes / ENTRY_BYTES);
        let entries = &table[HEADER_BYTES..needed_bytes - FOOTER_BYTES];
        for (index, bytes) in entries.chunks_exact(ENTRY_BYTES).enumerate() {
            let entry = SeekEntry::read(bytes);
            if (entry.stored_bytes as usize) < MIN_PADDING_BYTES {
                return Err(SeekTableError::Entry { index });
            }
            parsed.push(entry);
        }
        if parsed.stored_bytes.checked_add(needed_bytes as u64) == Some(pack_bytes) {
            Ok(parsed)
        } else {
            Err(SeekTableError::Sizes)
        }
    }

    /// The table as it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let length = table_bytes(self.entries.len());
        let number = |number: usize| u32::try_from(number).expect("a pack has at most MAX_FRAMES frames").to_le_bytes();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend(SEEK_TABLE_MAGIC.to_le_bytes());
        bytes.extend(number(length - HEADER_BYTES));
        for entry in &self.entries {
            entry.write(&mut bytes);
        }
        bytes.extend(number(self.entries.len()));
        bytes.push(CHECKSUMS);
        bytes.extend(FOOTER_MAGIC.to_le_bytes());
        bytes
    }

    /// All frames in order, with padding.
    pub fn entries(&self) -> &[SeekEntry] {
        &self.entries
    }

    /// Size of all frames together: the offset of the table in its pack.
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// The frames with text, each with the padding after it.
    pub fn spans(&self) -> Vec<FrameSpan> {
        let mut spans = Vec::new();
        let mut offset = 0;
        let mut entries = self.entries.iter().peekable();
        while let Some(entry) = entries.next() {
            let mut length = u64::from(entry.stored_bytes);
            while let Some(padding) = entries.next_if(|next| next.is_padding()) {
                length += u64::from(padding.stored_bytes);
            }
            if let Some(bytes) = ByteRange::new(offset, length).filter(|_| !entry.is_padding()) {
                spans.push(FrameSpan { bytes, text_bytes: entry.text_bytes, checksum: entry.checksum });
            }
            offset += length;
        }
        spans
    }

    /// Appends the entry of the next frame.
    pub(super) fn push(&mut self, entry: SeekEntry) {
        self.stored_bytes += u64::from(entry.stored_bytes);
        self.entries.push(entry);
    }

    /// Replaces the entries of a frame and its padding by those of another frame and its padding of the same size.
    pub(super) fn replace(
        &mut self,
        span: ByteRange,
        replacement: impl IntoIterator<Item = SeekEntry>,
    ) -> Result<(), SeekTableError> {
        if self.spans().iter().all(|frame| frame.bytes != span) {
            return Err(SeekTableError::NoFrame);
        }
        // No entry is empty, so offsets are distinct.
        let mut end = 0;
        let ends = self.entries.iter().map(|entry| {
            end += u64::from(entry.stored_bytes);
            end
        });
        let ends: Vec<u64> = ends.collect();
        let first = ends.partition_point(|end| *end <= span.offset());
        let last = ends.partition_point(|end| *end < span.end());
        self.entries.splice(first..=last, replacement);
        Ok(())
    }
}

/// Size of a table with a number of entries.
pub(super) const fn table_bytes(entries: usize) -> usize {
    HEADER_BYTES + entries * ENTRY_BYTES + FOOTER_BYTES
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(entries: &[SeekEntry]) -> SeekTable {
        let mut table = SeekTable::default();
        for entry in entries {
            table.push(*entry);
        }
        table
    }

    fn entry(stored_bytes: u32, text_bytes: u32) -> SeekEntry {
        SeekEntry { stored_bytes, text_bytes, checksum: 7 }
    }

    #[test]
    fn the_bytes_are_those_of_the_seekable_format() {
        let bytes = table(&[entry(0x0102, 0x0304), SeekEntry::of_padding(8)]).to_bytes();
        let expected = [
            &[0x5E, 0x2A, 0x4D, 0x18, 33, 0, 0, 0][..],
            &[0x02, 0x01, 0, 0, 0x04, 0x03, 0, 0, 7, 0, 0, 0],
            &[8, 0, 0, 0, 0, 0, 0, 0, 0x99, 0xE9, 0xD8, 0x51],
            &[2, 0, 0, 0, 0x80, 0xB1, 0xEA, 0x92, 0x8F],
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn padding_belongs_to_the_frame_before_it() {
        let table =
            table(&[entry(100, 1), SeekEntry::of_padding(8), SeekEntry::of_padding(9), entry(20, 2), entry(30, 3)]);
        let spans: Vec<_> = table.spans().iter().map(|span| (span.bytes.offset(), span.bytes.length())).collect();
        assert_eq!(spans, [(0, 117), (117, 20), (137, 30)]);
        assert_eq!(table.stored_bytes(), 167);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_kind() {
        let whole = table(&[entry(100, 1), entry(20, 2)]).to_bytes();
        let length = 120 + whole.len() as u64;
        let fault = |bytes: &[u8], length: u64| SeekTable::parse(bytes, length).expect_err("not a table");
        let changed = |at: usize, to: u8| {
            let mut bytes = whole.clone();
            let at = if at < 20 { at } else { bytes.len() + 20 - at };
            bytes[at] = to;
            fault(&bytes, length)
        };
        assert_eq!(SeekTable::parse(&whole, length).map(|table| table.entries().len()), Ok(2));
        assert_eq!(fault(&whole, length - 1), SeekTableError::Sizes);
        assert_eq!(fault(&whole[1..], length), SeekTableError::Incomplete { needed_bytes: whole.len() });
        assert_eq!(fault(&whole[whole.len() - 8..], length), SeekTableError::Incomplete { needed_bytes: FOOTER_BYTES });
        assert_eq!(fault(&whole[..whole.len() - 1], length), SeekTableError::Missing);
        assert_eq!(changed(0, 0x50), SeekTableError::Missing, "magic number");
        assert_eq!(changed(4, 0), SeekTableError::Missing, "size of the frame");
        assert_eq!(changed(8, 7), SeekTableError::Entry { index: 0 });
        assert_eq!(changed(8, 99), SeekTableError::Sizes);
        assert_eq!(changed(21, 0), SeekTableError::Missing, "magic number of the footer");
        assert_eq!(changed(25, 0), SeekTableError::Form, "no checksums");
        assert_eq!(changed(25, 0x84), SeekTableError::Form, "a reserved bit");
        assert_eq!(changed(26, 1), SeekTableError::TooManyFrames);
        assert_eq!(changed(29, 3), SeekTableError::Incomplete { needed_bytes: whole.len() + ENTRY_BYTES });
    }

    #[test]
    fn only_a_frame_with_all_its_padding_is_replaced() {
        let entries = [entry(100, 1), SeekEntry::of_padding(20), entry(30, 3)];
        let mut replaced = table(&entries);
        let range = |offset, length| ByteRange::new(offset, length).expect("a range");
        let new = [entry(80, 1), SeekEntry::of_padding(40)];
        replaced.replace(range(0, 120), new).expect("a frame");
        assert_eq!(replaced.entries(), [new[0], new[1], entries[2]]);
        assert_eq!(replaced.stored_bytes(), 150);
        for (offset, length) in [(1, 119), (100, 20), (150, 8), (0, 100), (0, 121), (0, 150), (120, 31)] {
            assert_eq!(table(&entries).replace(range(offset, length), new), Err(SeekTableError::NoFrame));
        }
    }

    proptest! {
        #[test]
        fn a_table_comes_back(entries in prop::collection::vec((8..=u32::MAX, any::<u32>(), any::<u32>()), 0..50)) {
            let entries: Vec<SeekEntry> = entries
                .into_iter()
                .map(|(stored_bytes, text_bytes, checksum)| SeekEntry { stored_bytes, text_bytes, checksum })
                .collect();
            let table = table(&entries);
            let bytes = table.to_bytes();
            let length = table.stored_bytes() + bytes.len() as u64;
            let tail = [b"bytes of frames", &bytes[..]].concat();
            prop_assert_eq!(SeekTable::parse(&tail, length), Ok(table));
        }

        #[test]
        fn damaged_tables_are_errors_or_tables_of_the_same_size(
            frames in 0..20_u32,
            at in any::<prop::sample::Index>(),
            bits in 1..=u8::MAX,
        ) {
            let entries: Vec<SeekEntry> = (0..frames).map(|n| entry(100 + n, 1000 + n)).collect();
            let whole = table(&entries);
            let mut bytes = whole.to_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
            if let Ok(read) = SeekTable::parse(&bytes, whole.stored_bytes() + bytes.len() as u64) {
                prop_assert_eq!(read.stored_bytes(), whole.stored_bytes());
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..100),
            pack_bytes in any::<u64>(),
            frames in any::<u32>(),
        ) {
            prop_assert!(SeekTable::parse(&bytes, pack_bytes).is_err());
            bytes.extend(frames.to_le_bytes());
            bytes.push(CHECKSUMS);
            bytes.extend(FOOTER_MAGIC.to_le_bytes());
            prop_assert!(SeekTable::parse(&bytes, pack_bytes).is_err());
        }
    }
}
