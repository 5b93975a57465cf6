//! Fingerprints of files, and whether their content is intact.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::{FileError, FileSource, from_io};
use crate::bulk_file::Md5;

/// Bytes read or unpacked at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Size and hashes of a stored file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    pub size_bytes: u64,
    /// SHA-256 of the file's bytes, hex.
    pub sha256: String,
    /// MD5 of the file's bytes, hex; only computed on request.
    pub md5: Option<String>,
}

/// Reads a file once and returns its fingerprint.
pub fn fingerprint(path: &Path, with_md5: bool) -> io::Result<Fingerprint> {
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, File::open(path)?);
    let mut sum = Sum::default();
    let mut md5 = with_md5.then(Md5::default);
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        sum.update(chunk);
        if let Some(md5) = &mut md5 {
            md5.update(chunk);
        }
        let n = chunk.len();
        reader.consume(n);
    }
    Ok(sum.finish(md5.map(Md5::finish)))
}

/// Like [`fingerprint`], for a file without an external checksum: gzip data must inflate to their end, within the
/// limits of a [`FileSource`], and match the CRC-32 and the length of every member. These are at the end of a member: a
/// mismatch does not show where the error is, so that no part of such a file can be trusted.
pub fn checked_fingerprint(path: &Path, limit_bytes: u64) -> Result<Fingerprint, FileError> {
    let sum = Arc::new(Mutex::new(Sum::default()));
    let file = File::open(path).map_err(FileError::Io)?;
    let mut source = FileSource::new(Summed { file, sum: sum.clone() }, limit_bytes)?;
    if !source.is_gzip() {
        return fingerprint(path, false).map_err(FileError::Io);
    }
    let mut unpacked = vec![0; CHUNK_BYTES];
    while source.read(&mut unpacked).map_err(from_io)? > 0 {}
    drop(source);
    let sum = std::mem::take(&mut *sum.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(sum.finish(None))
}

#[derive(Default)]
struct Sum {
    sha256: Sha256,
    size_bytes: u64,
}

impl Sum {
    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.size_bytes += bytes.len() as u64;
    }

    fn finish(self, md5: Option<String>) -> Fingerprint {
        Fingerprint { size_bytes: self.size_bytes, sha256: bio_mcp_core::sha256::hex(&self.sha256.finalize()), md5 }
    }
}

/// A reader that hashes the bytes it reads.
struct Summed {
    file: File,
    sum: Arc<Mutex<Sum>>,
}

impl Read for Summed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.sum.lock().unwrap_or_else(PoisonError::into_inner).update(&buffer[..n]);
        Ok(n)
    }
}
