//! Compression of stored objects, with a limit on what comes out again.

use std::io::{Read, Write};

use flate2::read::MultiGzDecoder;

/// The zstd level of stored objects: 3 keeps an ingest disk-bound.
const ZSTD_LEVEL: i32 = 3;

/// How new objects are compressed; both are read whatever is configured.
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
    /// More comes out than any object of this archive can hold.
    #[error("the object decompresses to more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
}

impl Compression {
    /// The compression that a file name ends with.
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

/// A reusable compressor: one per thread, its tables are allocated once.
pub struct Encoder(Inner);

enum Inner {
    /// With a buffer of the worst case's size, so that what is kept has just its own.
    Zstd(zstd::bulk::Compressor<'static>, Vec<u8>),
    Gzip,
}

impl Encoder {
    /// A compressor for `compression`.
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

/// Compresses one object that is not a record (manifest part, quarantined bytes) with zstd.
pub fn encode_zstd(bytes: &[u8]) -> Vec<u8> {
    Encoder::new(Compression::Zstd).encode(bytes)
}

/// The most bytes that something of `decoded_bytes` is stored as: what does not compress grows by a little.
pub fn max_stored_bytes(decoded_bytes: usize) -> usize {
    decoded_bytes.saturating_add(decoded_bytes / 128).saturating_add(1024)
}

/// Decompresses zstd or gzip, told apart by their first bytes.
pub fn decode(stored: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    let limit = limit_bytes as u64 + 1;
    if stored.starts_with(&[0x1f, 0x8b]) {
        MultiGzDecoder::new(stored).take(limit).read_to_end(&mut bytes).map_err(CodecError::Damaged)?;
    } else {
        zstd::stream::read::Decoder::new(stored)
            .and_then(|decoder| decoder.take(limit).read_to_end(&mut bytes))
            .map_err(CodecError::Damaged)?;
    }
    if bytes.len() > limit_bytes {
        return Err(CodecError::TooLarge { limit_bytes });
    }
    Ok(bytes)
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
