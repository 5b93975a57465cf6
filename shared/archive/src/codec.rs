//! Compression of stored objects, with a limit on the decompressed size.

use std::cell::RefCell;
use std::io::{self, Read, Write};

use flate2::read::MultiGzDecoder;
use zstd::bulk::Decompressor;

/// The zstd level of stored objects: at 3 an ingest is limited by the disk.
const ZSTD_LEVEL: i32 = 3;

/// Up to this declared size, data is decompressed in one call, into memory of that size.
const MAX_AT_ONCE_BYTES: usize = 1 << 20;

thread_local! {
    /// Its tables are allocated once per thread.
    static DECOMPRESSOR: RefCell<Decompressor<'static>> = RefCell::new(Decompressor::default());
}

/// How new objects are compressed; both formats can be read with either setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// `.zst`
    Zstd,
    /// `.gz`
    Gzip,
}

/// Stored bytes could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Neither zstd nor gzip, or damaged.
    #[error("the object does not decompress")]
    Damaged(#[source] std::io::Error),
    /// The decompressed size is over that of any object of this archive.
    #[error("the object decompresses to more than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
}

impl Compression {
    /// The compression according to the extension of a file name.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        [Self::Zstd, Self::Gzip].into_iter().find(|compression| compression.extension() == extension)
    }

    /// The file name extension, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Zstd => "zst",
            Self::Gzip => "gz",
        }
    }
}

/// A reusable compressor: one per thread, because its tables are allocated once.
pub struct Encoder(Inner);

enum Inner {
    /// With a buffer of the worst case's size, so that the result is allocated in its own size.
    Zstd(zstd::bulk::Compressor<'static>, Vec<u8>),
    Gzip,
}

impl Encoder {
    pub fn new(compression: Compression) -> Self {
        Self(match compression {
            Compression::Zstd => {
                let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL);
                Inner::Zstd(compressor.expect("level 3 exists and memory is there"), Vec::new())
            }
            Compression::Gzip => Inner::Gzip,
        })
    }

    /// Compresses one object.
    pub fn encode(&mut self, bytes: &[u8]) -> Vec<u8> {
        match &mut self.0 {
            Inner::Zstd(compressor, buffer) => {
                let bound = zstd::zstd_safe::compress_bound(bytes.len());
                if buffer.len() < bound {
                    buffer.resize(bound, 0);
                }
                let length = compressor.compress_to_buffer(bytes, &mut buffer[..]);
                buffer[..length.expect("the buffer has the bound's size")].to_vec()
            }
            Inner::Gzip => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                gzip.write_all(bytes).expect("memory does not fail");
                gzip.finish().expect("memory does not fail")
            }
        }
    }
}

/// Compresses an object that is not a record (manifest part, quarantined bytes) with zstd.
pub fn encode_zstd(bytes: &[u8]) -> Vec<u8> {
    Encoder::new(Compression::Zstd).encode(bytes)
}

/// Maximum stored size of `decoded_bytes` bytes: incompressible data grows a little.
pub fn max_stored_bytes(decoded_bytes: usize) -> usize {
    decoded_bytes.saturating_add(decoded_bytes / 128).saturating_add(1024)
}

/// Decompresses zstd or gzip, distinguished by their first bytes.
pub fn decode(stored: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CodecError> {
    if let Some(bytes) = decode_at_once(stored, limit_bytes.min(MAX_AT_ONCE_BYTES)) {
        return bytes.map_err(CodecError::Damaged);
    }
    let mut bytes = Vec::new();
    let limit = limit_bytes as u64 + 1;
    if stored.starts_with(&[0x1f, 0x8b]) {
        MultiGzDecoder::new(stored).take(limit).read_to_end(&mut bytes).map_err(CodecError::Damaged)?;
    } else {
        zstd::stream::read::Decoder::with_buffer(stored)
            .and_then(|decoder| decoder.take(limit).read_to_end(&mut bytes))
            .map_err(CodecError::Damaged)?;
    }
    if bytes.len() > limit_bytes {
        return Err(CodecError::TooLarge { limit_bytes });
    }
    Ok(bytes)
}

/// Decompresses whole zstd frames that declare their size, as an [`Encoder`] writes them. None if they do not, or if
/// they are larger than `max_bytes`.
fn decode_at_once(stored: &[u8], max_bytes: usize) -> Option<io::Result<Vec<u8>>> {
    let length = Decompressor::upper_bound(stored).filter(|length| (1..=max_bytes).contains(length))?;
    let mut bytes = Vec::with_capacity(length);
    let decoded = DECOMPRESSOR.with_borrow_mut(|zstd| zstd.decompress_to_buffer(stored, &mut bytes));
    Some(decoded.map(|_| bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_compressions_come_back_and_bombs_do_not() {
        let bomb = vec![0u8; 1 << 20];
        for compression in [Compression::Zstd, Compression::Gzip] {
            let stored = Encoder::new(compression).encode(&bomb);
            assert_eq!(decode(&stored, bomb.len()).expect("within the limit"), bomb);
            assert!(matches!(decode(&stored, bomb.len() - 1), Err(CodecError::TooLarge { .. })));
            assert!(matches!(decode(&stored[..stored.len() / 2], 1 << 21), Err(CodecError::Damaged(_))));
        }
        assert!(matches!(decode(b"neither", 100), Err(CodecError::Damaged(_))));
    }

    #[test]
    fn zstd_is_read_whether_it_says_its_length_or_not() {
        let text = b"a record ".repeat(1000);
        let told = encode_zstd(&text);
        let mut streamed = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL).expect("level 3 exists");
        streamed.write_all(&text).expect("memory does not fail");
        let untold = streamed.finish().expect("memory does not fail");
        let is_at_once = |stored: &[u8]| decode_at_once(stored, text.len()).is_some();
        assert!(is_at_once(&told) && !is_at_once(&untold));
        assert_eq!(decode(&told, text.len()).expect("within the limit"), text);
        assert_eq!(decode(&untold, text.len()).expect("within the limit"), text);
        // Several frames are one text.
        let twice = [&text[..], &text].concat();
        for stored in [[&told[..], &told].concat(), [&told[..], &untold].concat()] {
            assert_eq!(decode(&stored, twice.len()).expect("within the limit"), twice);
            assert!(matches!(decode(&stored, text.len()), Err(CodecError::TooLarge { .. })));
        }
        // Bytes after the frames are not part of the text.
        assert!(matches!(decode(&[&told[..], b"more"].concat(), 1 << 20), Err(CodecError::Damaged(_))));
        assert!(matches!(decode(&told[..told.len() - 1], 1 << 20), Err(CodecError::Damaged(_))));
        // A thread can decompress after a damaged object.
        let mut damaged = told.clone();
        for byte in damaged.iter_mut().skip(12) {
            *byte = !*byte;
        }
        assert!(matches!(decode(&damaged, 1 << 20), Err(CodecError::Damaged(_))));
        assert_eq!(decode(&told, text.len()).expect("within the limit"), text);
    }

    #[test]
    fn what_does_not_compress_is_stored_within_the_bound() {
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .take(1 << 20)
        .collect();
        for compression in [Compression::Zstd, Compression::Gzip] {
            let mut encoder = Encoder::new(compression);
            for length in [0, 1, 100, 10_000, noise.len()] {
                let stored = encoder.encode(&noise[..length]).len();
                assert!(stored <= max_stored_bytes(length), "{compression:?}: {length} bytes became {stored}");
            }
        }
    }
}
