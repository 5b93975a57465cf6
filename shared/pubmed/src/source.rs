//! A file of records, plain or gzip, read as a stream with limits on its unpacked size.

mod fingerprint;
mod gzip_members;

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};

use super::split::SplitError;
use bio_mcp_core::counted;
pub use fingerprint::{Fingerprint, checked_fingerprint, fingerprint};
use gzip_members::{Counted, Input, Members};

/// Maximum ratio of unpacked to compressed size, once over [`RATIO_FREE_BYTES`]; that of real record files is about
/// ten.
const MAX_RATIO: u64 = 200;

/// Up to this unpacked size any ratio is allowed.
const RATIO_FREE_BYTES: u64 = 64 << 20;

/// Size of the fixed part of a gzip header.
const GZIP_HEAD_BYTES: usize = 10;

/// A file of records that cannot be read to its end. Data of a gzip member is verified only by the checksum at its end:
/// see [`checked_fingerprint`].
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened or read.
    #[error("cannot read the file")]
    Io(#[source] io::Error),
    /// The name ends in `.gz`, but the content is not gzip.
    #[error("named .gz but not a gzip file: it may be an error page or an unpacked file")]
    NotGzip,
    /// The gzip stream ends early.
    #[error("the gzip stream ends early: the download was cut off, fetch the file again")]
    TruncatedGzip,
    /// The gzip stream is damaged.
    #[error("the gzip stream is damaged: fetch the file again")]
    DamagedGzip(#[source] io::Error),
    /// The unpacked size is over a limit.
    #[error("the file unpacks to more than {limit_bytes} bytes or {MAX_RATIO} times its size: refused")]
    TooLarge {
        /// The limit on unpacked bytes.
        limit_bytes: u64,
    },
    /// The document is not a PubMed document, or ends early.
    #[error(transparent)]
    Document(SplitError),
}

impl FileError {
    /// Whether a retry may help; invalid content stays invalid.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Io(e) if e.kind() != io::ErrorKind::NotFound)
    }
}

impl From<SplitError> for FileError {
    fn from(error: SplitError) -> Self {
        match error {
            SplitError::Read(error) => from_io(error),
            other => Self::Document(other),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("over the limit of {0} bytes")]
struct OverLimit(u64);

#[derive(Debug, thiserror::Error)]
#[error("gzip")]
struct Gzip(#[source] io::Error);

fn from_io(error: io::Error) -> FileError {
    match error.get_ref() {
        Some(inner) if inner.is::<OverLimit>() => {
            let limit_bytes = inner.downcast_ref::<OverLimit>().map_or(0, |limit| limit.0);
            FileError::TooLarge { limit_bytes }
        }
        Some(inner) if inner.is::<Gzip>() => match error.kind() {
            io::ErrorKind::UnexpectedEof => FileError::TruncatedGzip,
            _ => FileError::DamagedGzip(error),
        },
        _ => FileError::Io(error),
    }
}

/// An open file of records; a [`Read`] of its XML.
pub struct FileSource {
    inner: Inner,
    /// As-of time of the file: its gzip modification time, else the epoch.
    pub as_of: DateTime<Utc>,
    progress: ReadProgress,
    unpacked: u64,
    limit_bytes: u64,
}

enum Inner {
    Plain(Input),
    Gzip(Members),
}

/// Progress of reading a file, also visible while it is read.
#[derive(Clone, Debug, Default)]
pub struct ReadProgress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    read_bytes: AtomicU64,
    ignored_bytes: AtomicU64,
}

impl ReadProgress {
    /// Bytes read of the stored (possibly compressed) file.
    pub fn bytes(&self) -> u64 {
        self.0.read_bytes.load(Ordering::Relaxed)
    }

    /// Bytes after the gzip data, ignored as gzip does; known when the file has been read to its end.
    pub fn ignored(&self) -> Option<IgnoredBytes> {
        let bytes = self.0.ignored_bytes.load(Ordering::Relaxed);
        (bytes > 0).then_some(IgnoredBytes(bytes))
    }
}

/// Number of bytes after the gzip data that are not gzip: padding with zeros, or other content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IgnoredBytes(pub u64);

impl fmt::Display for IgnoredBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ignored {} after the gzip data: the file may have been changed in transit", counted(self.0, "byte"))
    }
}

impl FileSource {
    /// Opens a file; at most `limit_bytes` of XML are read from it.
    ///
    /// ```
    /// use std::io::Read;
    ///
    /// use bio_mcp_pubmed::source::FileSource;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("records.xml");
    /// # std::fs::write(&path, "<PubmedArticleSet/>")?;
    /// let mut xml = String::new();
    /// FileSource::open(&path, 1 << 30)?.read_to_string(&mut xml)?;
    /// assert_eq!(xml, "<PubmedArticleSet/>");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: &Path, limit_bytes: u64) -> Result<Self, FileError> {
        let file = File::open(path).map_err(FileError::Io)?;
        let source = Self::new(file, limit_bytes)?;
        let named_gzip = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
        if named_gzip && matches!(source.inner, Inner::Plain(_)) && source.progress.bytes() > 0 {
            return Err(FileError::NotGzip);
        }
        Ok(source)
    }

    /// Reads from a file, a pipe or standard input; gzip is detected by its first bytes. Nothing is read twice.
    pub fn new(mut reader: impl Read + Send + 'static, limit_bytes: u64) -> Result<Self, FileError> {
        let progress = ReadProgress::default();
        let mut head = [0u8; GZIP_HEAD_BYTES];
        let mut filled = 0;
        while filled < head.len() {
            match reader.read(&mut head[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(FileError::Io(error)),
            }
        }
        progress.0.read_bytes.store(filled as u64, Ordering::Relaxed);
        let is_gzip = head.starts_with(&gzip_members::MAGIC);
        let mtime = if is_gzip { u32::from_le_bytes([head[4], head[5], head[6], head[7]]) } else { 0 };
        let counted =
            Counted { reader: Box::new(reader), pending: head[..filled].to_vec(), progress: progress.clone() };
        let input = BufReader::with_capacity(64 * 1024, counted);
        let inner = if is_gzip { Inner::Gzip(Members::new(input)) } else { Inner::Plain(input) };
        let as_of = DateTime::from_timestamp(i64::from(mtime), 0).unwrap_or_default();
        Ok(Self { inner, as_of, progress, unpacked: 0, limit_bytes })
    }

    pub fn is_gzip(&self) -> bool {
        matches!(self.inner, Inner::Gzip(_))
    }

    /// A handle to the progress of reading.
    pub fn progress(&self) -> ReadProgress {
        self.progress.clone()
    }
}

impl Read for FileSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.inner {
            Inner::Plain(reader) => reader.read(buffer)?,
            Inner::Gzip(reader) => match reader.read(buffer) {
                Ok(n) => n,
                Err(e) if is_gzip_error(&e) => return Err(io::Error::new(e.kind(), Gzip(e))),
                Err(e) => return Err(e),
            },
        };
        self.unpacked += n as u64;
        let packed = self.progress.bytes().max(1);
        let over_ratio = self.unpacked > RATIO_FREE_BYTES && self.unpacked / packed > MAX_RATIO;
        if self.unpacked > self.limit_bytes || over_ratio {
            return Err(io::Error::other(OverLimit(self.limit_bytes)));
        }
        Ok(n)
    }
}

/// Error kinds that the decoder uses for invalid input; other errors are those of the disk.
fn is_gzip_error(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidInput | InvalidData | UnexpectedEof)
}
