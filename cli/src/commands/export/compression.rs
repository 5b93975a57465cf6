//! Compression of an exported file, selected by its name. Each page is a separate frame, so that a file can be resumed.

use std::io::{self, Write};
use std::path::Path;

use flate2::write::GzEncoder;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameCompression {
    Plain,
    /// A gzip member per page.
    Gzip,
    /// A zstd frame per page.
    Zstd,
}

impl FrameCompression {
    /// The compression that a file name selects.
    pub fn of(path: &Path) -> Self {
        match path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase().as_str() {
            "gz" => Self::Gzip,
            "zst" | "zstd" => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// A part of the output that can be decompressed separately.
pub enum Frame<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Frame<W> {
    pub fn new(compression: FrameCompression, out: W) -> io::Result<Self> {
        Ok(match compression {
            FrameCompression::Plain => Self::Plain(out),
            FrameCompression::Gzip => Self::Gzip(GzEncoder::new(out, flate2::Compression::default())),
            FrameCompression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, 3)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }?
        .flush()
    }
}

impl<W: Write> Write for Frame<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}
