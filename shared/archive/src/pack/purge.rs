//! Purging records from a pack without moving the others.
//!
//! The record's line is replaced by as many spaces, so that all lines keep their numbers, and the text is compressed
//! again. The new frame is shorter, because spaces need less than an envelope: a skippable frame of zeros fills the
//! gap, so that all frames keep their ranges. It needs at least 8 bytes; a gap of 3 or 6 is filled with empty blocks
//! inside the frame. If the gap at one level of zstd cannot be filled, the next level is tried.
//!
//! That succeeds for any real record, whose hash alone does not compress, but not for every text: one of 10,000 equal
//! lines needs a few bytes as part of a repetition, and as many spaces in their midst need more. Raw blocks are no way
//! out, since they are larger than what they replace. What always works is to store the other records of the frame
//! elsewhere, as objects of their own, and then to [`erase_frame`]: a frame with one blank line fits any range.
//!
//! The pack is changed in memory and stored as a new version of its object; the old one is then deleted.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::encoder::{EMPTY_BLOCK, FrameEncoder, entry_of, padding, with_empty_blocks};
use super::frame::{FrameError, StoredFrame, decode_frame};
use super::seek_table::{SeekEntry, SeekTable, SeekTableError};
use crate::address::PackPart;
use crate::store::ByteRange;

/// Levels of zstd to compress a frame again, in the order in which they are tried: the first is that of the writer.
const LEVELS: [i32; 7] = [3, 6, 9, 12, 15, 17, 19];

/// The longest line of an erased frame that is needed to fill the range of any frame.
const MAX_ERASED_LINE_BYTES: usize = 8;

/// Records could not be purged. The pack is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// The pack has no valid seek table, or no such frame.
    #[error(transparent)]
    SeekTable(#[from] SeekTableError),
    /// The frame is damaged, or has no such line.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The frame does not fit its range without the record: store its other records elsewhere, then erase the frame.
    #[error("the frame at byte {offset} is too large without the record: move its other records, then erase the frame")]
    DoesNotFit {
        /// Offset of the frame in the pack.
        offset: u64,
    },
}

/// Replaces records of a whole pack by blank lines. Every other byte range and line keeps its content; only the seek
/// table may grow. Records that are already blank remain so. Frames have at most `max_text_bytes` of text.
///
/// The caller checks that these are the positions of the records to purge. Memory is needed for the pack and its
/// changed frames.
pub fn blank_records(pack: &mut Vec<u8>, records: &[PackPart], max_text_bytes: usize) -> Result<(), PurgeError> {
    let mut frames: BTreeMap<u64, (ByteRange, Vec<NonZeroU32>)> = BTreeMap::new();
    for record in records {
        let (range, lines) = frames.entry(record.bytes.offset()).or_insert_with(|| (record.bytes, Vec::new()));
        if *range != record.bytes {
            return Err(SeekTableError::NoFrame.into());
        }
        lines.push(record.line);
    }
    let table = SeekTable::parse(pack, pack.len() as u64)?;
    let mut replacements = Vec::with_capacity(frames.len());
    for (range, lines) in frames.into_values() {
        let stored = stored_frame(pack, &table, range)?;
        let replacement = blank_lines(stored, &lines, max_text_bytes)?;
        replacements.push((range, replacement.ok_or(PurgeError::DoesNotFit { offset: range.offset() })?));
    }
    replace(pack, table, replacements)
}

/// Replaces a frame, whose records are all stored elsewhere or to be purged, by one with a single blank line. Works for
/// any frame, whether its text can be read or not.
pub fn erase_frame(pack: &mut Vec<u8>, frame: ByteRange) -> Result<(), PurgeError> {
    let table = SeekTable::parse(pack, pack.len() as u64)?;
    let length = stored_frame(pack, &table, frame)?.len();
    let mut encoder = FrameEncoder::new(LEVELS[0]);
    let erased = (0..MAX_ERASED_LINE_BYTES).find_map(|spaces| {
        let text = [&b" ".repeat(spaces)[..], b"\n"].concat();
        Replacement::filling(encoder.encode(&text), text.len(), length)
    });
    let erased = erased.ok_or(PurgeError::DoesNotFit { offset: frame.offset() })?;
    replace(pack, table, vec![(frame, erased)])
}

/// A frame and its padding, of the same size as what they replace.
struct Replacement {
    bytes: Vec<u8>,
    frame: SeekEntry,
    padding: Option<SeekEntry>,
}

impl Replacement {
    /// Lengthens a frame to `stored_bytes`; none if it is too long or the gap cannot be filled.
    fn filling(frame: Vec<u8>, text_bytes: usize, stored_bytes: usize) -> Option<Self> {
        const ONE: usize = EMPTY_BLOCK.len();
        const TWO: usize = 2 * EMPTY_BLOCK.len();
        let mut bytes = match stored_bytes.checked_sub(frame.len())? {
            ONE => with_empty_blocks(&frame, 1)?,
            TWO => with_empty_blocks(&frame, 2)?,
            _ => frame,
        };
        let frame = entry_of(&bytes, text_bytes);
        let gap = stored_bytes - bytes.len();
        let padding = if gap == 0 {
            None
        } else {
            bytes.extend(padding(gap)?);
            Some(SeekEntry::of_padding(u32::try_from(gap).ok()?))
        };
        Some(Self { bytes, frame, padding })
    }
}

/// The stored bytes of a frame with its padding.
fn stored_frame<'a>(pack: &'a [u8], table: &SeekTable, range: ByteRange) -> Result<&'a [u8], SeekTableError> {
    if table.spans().iter().all(|frame| frame.bytes != range) {
        return Err(SeekTableError::NoFrame);
    }
    // The sizes in the table add up to that of the pack.
    indexes(range).and_then(|(start, end)| pack.get(start..end)).ok_or(SeekTableError::NoFrame)
}

fn indexes(range: ByteRange) -> Option<(usize, usize)> {
    Some((range.offset().try_into().ok()?, range.end().try_into().ok()?))
}

/// Blanks lines of a frame; none if the result does not fit.
fn blank_lines(stored: &[u8], lines: &[NonZeroU32], max_text_bytes: usize) -> Result<Option<Replacement>, FrameError> {
    let mut text = StoredFrame::parse_padded(stored, max_text_bytes)?.decode()?;
    for line in lines {
        text.blank(*line)?;
    }
    for level in LEVELS {
        let frame = FrameEncoder::new(level).encode(text.as_bytes());
        if let Some(replacement) = Replacement::filling(frame, text.as_bytes().len(), stored.len()) {
            // The old version is deleted for good: the new one is read first.
            decode_frame(&replacement.bytes, max_text_bytes)?;
            return Ok(Some(replacement));
        }
    }
    Ok(None)
}

/// Replaces frames and the seek table. Nothing fails after the first byte was changed.
fn replace(
    pack: &mut Vec<u8>,
    mut table: SeekTable,
    replacements: Vec<(ByteRange, Replacement)>,
) -> Result<(), PurgeError> {
    for (range, replacement) in &replacements {
        table.replace(*range, std::iter::once(replacement.frame).chain(replacement.padding))?;
    }
    if table.entries().len() > super::MAX_FRAMES {
        return Err(SeekTableError::TooManyFrames.into());
    }
    let table_start = usize::try_from(table.stored_bytes()).map_err(|_| SeekTableError::Sizes)?;
    pack.truncate(table_start);
    for (range, replacement) in replacements {
        if let Some((start, end)) = indexes(range) {
            pack[start..end].copy_from_slice(&replacement.bytes);
        }
    }
    pack.extend(table.to_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{envelope, write_pack};
    use super::*;
    use crate::pack::{PackLimits, PackReader};

    const MAX: usize = 1 << 20;

    /// Purges one record of a pack with a single frame.
    fn purge_one(lines: &[&[u8]], line: u32) -> Result<Vec<u8>, PurgeError> {
        let (mut pack, parts) = write_pack(lines, PackLimits::default());
        let mut part = parts[0];
        part.line = NonZeroU32::new(line).expect("from 1");
        blank_records(&mut pack, &[part], MAX).map(|()| pack)
    }

    #[test]
    fn every_small_gap_is_filled_or_refused() {
        let text = b"{\"a\":1}\n".repeat(20);
        let frame = FrameEncoder::new(3).encode(&text);
        for gap in 0..30 {
            let length = frame.len() + gap;
            let filled = Replacement::filling(frame.clone(), text.len(), length);
            assert_eq!(filled.is_some(), !matches!(gap, 1 | 2 | 4 | 5 | 7), "{gap}");
            let Some(filled) = filled else { continue };
            assert_eq!(filled.bytes.len(), length);
            assert_eq!(decode_frame(&filled.bytes, MAX).expect("a frame").as_bytes(), text);
            let entries = [Some(filled.frame), filled.padding];
            let total: u32 = entries.iter().flatten().map(|entry| entry.stored_bytes).sum();
            assert_eq!(total as usize, length);
        }
        assert!(Replacement::filling(frame.clone(), text.len(), frame.len() - 1).is_none());
    }

    #[test]
    fn a_record_of_one_frame_is_blanked() {
        let lines: Vec<Vec<u8>> = (0..40).map(|n| envelope(n, 300)).collect();
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        for line in 1..=40 {
            let pack = purge_one(&lines, line).expect("purged");
            let frame = PackReader::new(&pack[..], MAX).next().expect("a frame").expect("readable");
            let left: Vec<u32> = frame.records().map(|(part, _)| part.line.get()).collect();
            assert_eq!(left, (1..=40).filter(|n| *n != line).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn what_does_not_fit_changes_nothing_and_can_be_erased() {
        let lines = vec![&b"{}"[..]; 10_000];
        let (whole, parts) = write_pack(&lines, PackLimits::default());
        let mut pack = whole.clone();
        let purged = blank_records(&mut pack, &[parts[0], parts[4567]], MAX);
        assert!(matches!(purged, Err(PurgeError::DoesNotFit { offset: 0 })), "{purged:?}");
        assert_eq!(pack, whole);
        erase_frame(&mut pack, parts[0].bytes).expect("erased");
        let frames: Vec<_> = PackReader::new(&pack[..], MAX).collect::<Result<_, _>>().expect("a whole pack");
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].bytes, frames[0].records().count()), (parts[0].bytes, 0));
    }

    #[test]
    fn frames_of_any_size_can_be_erased() {
        let envelope = envelope(1, 200);
        for length in 1..200 {
            let lines = [&envelope[..length], b"{\"b\":1}"];
            let (mut pack, parts) = write_pack(&lines, PackLimits::new(length + 1, 10_000));
            erase_frame(&mut pack, parts[0].bytes).expect("erased");
            let records: Vec<_> = PackReader::new(&pack[..], MAX)
                .flat_map(|frame| frame.expect("readable").records().map(|(part, _)| part).collect::<Vec<_>>())
                .collect();
            assert_eq!(records, parts[1..], "{length}");
        }
    }

    #[test]
    fn positions_of_no_record_are_refused() {
        let lines: Vec<Vec<u8>> = (0..10).map(|n| envelope(n, 300)).collect();
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        let (whole, parts) = write_pack(&lines, PackLimits::new(1000, 100_000));
        let mut pack = whole.clone();
        let range = |offset, length| ByteRange::new(offset, length).expect("a range");
        let first = parts[0].bytes.length();
        for bytes in [range(1, first), range(0, first - 1), range(0, first + 1), range(1 << 40, 8)] {
            let part = PackPart { bytes, line: NonZeroU32::MIN };
            let purged = blank_records(&mut pack, &[part], MAX);
            assert!(matches!(purged, Err(PurgeError::SeekTable(SeekTableError::NoFrame))), "{purged:?}");
        }
        let beyond = PackPart { bytes: parts[0].bytes, line: NonZeroU32::MAX };
        let purged = blank_records(&mut pack, &[parts[9], beyond], MAX);
        assert!(matches!(purged, Err(PurgeError::Frame(FrameError::NoLine { .. }))), "{purged:?}");
        pack.pop();
        assert!(matches!(blank_records(&mut pack, &parts[..1], MAX), Err(PurgeError::SeekTable(_))));
        assert_eq!(pack, whole[..whole.len() - 1], "nothing was changed");
    }
}
