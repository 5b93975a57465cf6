//! Properties of packs as a whole: written, read in every documented way, damaged and purged.

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::address::PackPart;
use crate::codec;

/// Limit of readers in these tests.
const MAX: usize = 1 << 20;

/// A line like an envelope: a head that repeats, and `length` characters that hardly compress.
pub(super) fn envelope(pmid: u64, length: usize) -> Vec<u8> {
    let mut line = format!("{{\"pmid\":\"{pmid}\",\"source\":{{\"api\":\"bulk_file\"}},\"hash\":\"").into_bytes();
    line.extend(noise(pmid, length));
    line.extend(b"\",\"version\":1}");
    line
}

fn noise(seed: u64, length: usize) -> impl Iterator<Item = u8> {
    let mut state = seed.wrapping_add(1);
    let next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b'a' + state.to_be_bytes()[0] % 26
    };
    std::iter::repeat_with(next).take(length)
}

/// Writes lines as one pack, and returns it with the positions of its records.
pub(super) fn write_pack(lines: &[&[u8]], limits: PackLimits) -> (Vec<u8>, Vec<PackPart>) {
    let mut writer = PackWriter::new(limits);
    let (mut pack, mut parts) = (Vec::new(), Vec::new());
    let mut append = |pack: &mut Vec<u8>, frame: PackedFrame| {
        assert_eq!(frame.range.offset(), pack.len() as u64);
        assert_eq!(frame.range.length(), frame.bytes.len() as u64);
        parts.extend(frame.parts());
        pack.extend(frame.bytes);
    };
    for line in lines {
        match writer.append(line).expect("a line") {
            Append::Taken(Some(frame)) => append(&mut pack, frame),
            Append::Taken(None) => {}
            Append::Full => panic!("the pack is full"),
        }
    }
    let end = writer.finish();
    if let Some(frame) = end.frame {
        append(&mut pack, frame);
    }
    pack.extend(end.seek_table);
    assert_eq!(pack.len() as u64, end.pack_bytes);
    (pack, parts)
}

fn slices(lines: &[Vec<u8>]) -> Vec<&[u8]> {
    lines.iter().map(Vec::as_slice).collect()
}

/// The bytes of an address.
fn stored(pack: &[u8], part: PackPart) -> &[u8] {
    let index = |offset: u64| usize::try_from(offset).expect("within the pack");
    &pack[index(part.bytes.offset())..index(part.bytes.end())]
}

/// All records of a pack with their positions.
fn read_all(pack: &[u8]) -> Result<Vec<(PackPart, Vec<u8>)>, PackReadError> {
    let mut records = Vec::new();
    for frame in PackReader::new(pack, MAX) {
        records.extend(frame?.records().map(|(part, line)| (part, line.to_vec())));
    }
    Ok(records)
}

/// The text of a pack as `zstd -dc` prints it.
fn decompress(pack: &[u8]) -> Vec<u8> {
    zstd::stream::decode_all(pack).expect("zstd reads it")
}

/// Some envelopes, now and then a large one.
fn envelopes() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let length = prop_oneof![20 => 64..400_usize, 2 => 3000..20_000_usize];
    prop::collection::vec((any::<u64>(), length), 1..60)
        .prop_map(|sizes| sizes.into_iter().map(|(pmid, length)| envelope(pmid, length)).collect())
}

fn limits() -> PackLimits {
    PackLimits::new(2000, MAX_PACK_BYTES)
}

#[test]
fn a_huge_record_among_small_ones_is_read_back() {
    let lines: Vec<Vec<u8>> = [100, 900_000, 100, 300_000, 262_143].map(|length| envelope(1, length)).to_vec();
    let (pack, parts) = write_pack(&slices(&lines), PackLimits::default());
    assert!(parts.iter().all(|part| part.line == NonZeroU32::MIN), "each has a frame of its own");
    let records: Vec<Vec<u8>> = read_all(&pack).expect("a whole pack").into_iter().map(|(_, line)| line).collect();
    assert_eq!(records, lines);
    let small_limit = decode_frame(stored(&pack, parts[1]), 800_000);
    assert!(matches!(small_limit, Err(FrameError::TooLarge { .. })), "{small_limit:?}");
}

#[test]
fn an_empty_pack_is_read() {
    let (pack, parts) = write_pack(&[], PackLimits::default());
    assert_eq!((read_all(&pack).expect("a whole pack").len(), parts.len()), (0, 0));
    assert_eq!(decompress(&pack), b"");
}

#[test]
fn a_pack_cut_between_two_frames_is_not_a_shorter_pack() {
    let lines: Vec<Vec<u8>> = (0..30).map(|pmid| envelope(pmid, 300)).collect();
    let (pack, parts) = write_pack(&slices(&lines), limits());
    for part in &parts {
        let cut = usize::try_from(part.bytes.end()).expect("within the pack");
        let read = read_all(&pack[..cut]);
        assert!(matches!(read, Err(PackReadError::SeekTable { source: SeekTableError::Missing, .. })), "{read:?}");
        // Without its first frame, or with the seek table of the whole pack.
        assert!(read_all(&pack[cut..]).is_err());
    }
    assert!(matches!(read_all(&[&pack[..], b"x"].concat()), Err(PackReadError::TrailingBytes)));
    assert!(matches!(read_all(&[&pack[..], &pack].concat()), Err(PackReadError::TrailingBytes)));
    assert!(read_all(&[]).is_err());
}

#[test]
fn nothing_is_read_after_an_error() {
    let lines: Vec<Vec<u8>> = (0..30).map(|pmid| envelope(pmid, 300)).collect();
    let (mut pack, parts) = write_pack(&slices(&lines), limits());
    let second = parts.iter().find(|part| part.bytes.offset() > 0).expect("several frames").bytes;
    pack[usize::try_from(second.end() - 1).expect("within the pack")] ^= 1;
    let mut reader = PackReader::new(&pack[..], MAX);
    assert!(matches!(reader.next(), Some(Ok(_))));
    let offset = second.offset();
    let error = reader.next().expect("an error").expect_err("a damaged frame");
    assert!(matches!(error, PackReadError::Frame { offset: at, source: FrameError::Damaged(_) } if at == offset));
    assert!(!error.is_of_source());
    assert!(reader.next().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_record_is_read_at_its_position(lines in envelopes()) {
        let (pack, parts) = write_pack(&slices(&lines), limits());
        prop_assert_eq!(parts.len(), lines.len());
        for (part, line) in parts.iter().zip(&lines) {
            let text = decode_frame(stored(&pack, *part), MAX).expect("a frame");
            prop_assert_eq!(text.line(part.line).expect("there"), &line[..]);
            let is_alone = text.records().count() == 1;
            prop_assert!(text.as_bytes().len() <= 2000 || is_alone);
            // As the archive reads a part today.
            let decoded = codec::decode(stored(&pack, *part), MAX).expect("a frame");
            prop_assert_eq!(&decoded[..], text.as_bytes());
        }
        let records: Vec<_> = parts.iter().copied().zip(lines.iter().cloned()).collect();
        prop_assert_eq!(read_all(&pack).expect("a whole pack"), records);
    }

    #[test]
    fn a_pack_is_ndjson_for_zstd(lines in envelopes()) {
        let (pack, _) = write_pack(&slices(&lines), limits());
        let expected: Vec<u8> = lines.iter().flat_map(|line| [&line[..], b"\n"].concat()).collect();
        prop_assert_eq!(decompress(&pack), expected);
    }

    #[test]
    fn the_seek_table_has_the_positions(lines in envelopes()) {
        let (pack, parts) = write_pack(&slices(&lines), limits());
        let tail_bytes = SeekTable::bytes_at_end(&pack).expect("a table");
        let table = SeekTable::parse(&pack[pack.len() - tail_bytes..], pack.len() as u64).expect("a table");
        let mut ranges: Vec<_> = parts.iter().map(|part| part.bytes).collect();
        ranges.dedup();
        let spans: Vec<_> = table.spans().iter().map(|span| span.bytes).collect();
        prop_assert_eq!(ranges, spans);
        let text_bytes: u64 = table.entries().iter().map(|entry| u64::from(entry.text_bytes)).sum();
        prop_assert_eq!(text_bytes, lines.iter().map(|line| line.len() as u64 + 1).sum::<u64>());
    }

    #[test]
    fn a_damaged_pack_has_no_other_records(
        lines in envelopes(),
        at in any::<prop::sample::Index>(),
        bits in 1..=u8::MAX,
    ) {
        let (pack, _) = write_pack(&slices(&lines), limits());
        let whole = read_all(&pack).expect("a whole pack");
        let mut damaged = pack.clone();
        let at = at.index(pack.len());
        damaged[at] ^= bits;
        if let Ok(read) = read_all(&damaged) {
            prop_assert_eq!(&read, &whole);
        }
        prop_assert!(read_all(&pack[..at]).is_err());
    }

    #[test]
    fn parts_roll_over_without_losing_a_record(lines in envelopes()) {
        let limits = PackLimits::new(2000, 12_000);
        let mut packs = Vec::new();
        let mut pack = Vec::new();
        let mut writer = PackWriter::new(limits);
        let mut own_objects = 0;
        for line in &lines {
            loop {
                match writer.append(line) {
                    Ok(Append::Taken(frame)) => {
                        pack.extend(frame.into_iter().flat_map(|frame| frame.bytes));
                        break;
                    }
                    Ok(Append::Full) => {
                        let end = std::mem::replace(&mut writer, PackWriter::new(limits)).finish();
                        pack.extend(end.frame.into_iter().flat_map(|frame| frame.bytes));
                        pack.extend(end.seek_table);
                        packs.push(std::mem::take(&mut pack));
                    }
                    Err(error) => {
                        prop_assert_eq!(error, PackWriteError::TooLarge { max_pack_bytes: 12_000 });
                        prop_assert!(line.len() > 12_000);
                        own_objects += 1;
                        break;
                    }
                }
            }
        }
        let end = writer.finish();
        pack.extend(end.frame.into_iter().flat_map(|frame| frame.bytes));
        pack.extend(end.seek_table);
        packs.push(pack);
        let mut read = 0;
        for pack in &packs {
            prop_assert!(pack.len() <= 12_000, "{}", pack.len());
            read += read_all(pack).expect("a whole pack").len();
        }
        prop_assert_eq!(read + own_objects, lines.len());
    }

    #[test]
    fn a_purge_keeps_all_other_records_where_they_are(
        lines in envelopes(),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
    ) {
        let (whole, parts) = write_pack(&slices(&lines), limits());
        let chosen: Vec<usize> = chosen.iter().map(|index| index.index(lines.len())).collect();
        let mut pack = whole.clone();
        // One after the other, and the last two together.
        let (last, first) = chosen.split_last().expect("at least one");
        for n in first {
            blank_records(&mut pack, &[parts[*n]], MAX).expect("purged");
        }
        blank_records(&mut pack, &[parts[*last], parts[chosen[0]]], MAX).expect("purged");
        let kept: Vec<(PackPart, Vec<u8>)> = (0..lines.len())
            .filter(|n| !chosen.contains(n))
            .map(|n| (parts[n], lines[n].clone()))
            .collect();
        prop_assert_eq!(read_all(&pack).expect("a whole pack"), kept.clone());
        let mut expected: Vec<u8> = Vec::new();
        for (n, line) in lines.iter().enumerate() {
            expected.extend(if chosen.contains(&n) { vec![b' '; line.len()] } else { line.clone() });
            expected.push(b'\n');
        }
        prop_assert_eq!(&decompress(&pack), &expected);
        for n in &chosen {
            let text = decode_frame(stored(&pack, parts[*n]), MAX).expect("a frame");
            let is_blank = matches!(text.line(parts[*n].line), Err(FrameError::Blank { .. }));
            prop_assert!(is_blank);
            let decoded = codec::decode(stored(&pack, parts[*n]), MAX).expect("a frame and its padding");
            prop_assert_eq!(&decoded[..], text.as_bytes());
            // Other records may be equal to this one.
            if kept.iter().all(|(_, line)| line != &lines[*n]) {
                let secret = &lines[*n][60..100];
                for bytes in [&pack, &expected] {
                    prop_assert!(bytes.windows(secret.len()).all(|window| window != secret));
                }
            }
        }
        // Frames without a purged record have the same bytes, and the table is that of the frames.
        for part in &parts {
            if chosen.iter().all(|n| parts[*n].bytes != part.bytes) {
                prop_assert_eq!(stored(&pack, *part), stored(&whole, *part));
            }
        }
        SeekTable::parse(&pack, pack.len() as u64).expect("a table");
    }

    #[test]
    fn arbitrary_bytes_are_no_pack(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read_all(&bytes).is_err());
        let mut pack = bytes.clone();
        prop_assert!(blank_records(&mut pack, &[], MAX).is_err());
        prop_assert_eq!(pack, bytes);
    }
}
