//! Splits a flat file into byte-exact entries, in bounded memory.
//!
//! An entry extends from its first line through the line `//` that ends it, exactly as received. Concatenated, the
//! entries give the file, except for blank lines between them.

use std::io::{self, ErrorKind, Read};

/// Bytes read at once, and the initial size of the buffer.
const CHUNK_BYTES: usize = 256 * 1024;

/// How an entry starts.
const ENTRY_START: &[u8] = b"ID   ";

/// An entry of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawEntry<'a> {
    /// Position of its first byte in the (inflated) input, in bytes.
    pub offset: u64,
    /// The exact bytes, with the line `//`.
    pub bytes: &'a [u8],
}

/// Why the next entry cannot be returned. Entries before the error are valid.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Reading failed.
    #[error("reading failed")]
    Read(#[source] io::Error),
    /// The input is empty.
    #[error("the file is empty")]
    Empty,
    /// The input is something else, such as a page that a server sent instead.
    #[error("the file does not start with an ID line: it is not a UniProt flat file")]
    NotFlatFile,
    /// The input ends inside of an entry.
    #[error("the file ends in the middle of an entry, after {at_bytes} bytes: it is truncated")]
    Truncated {
        /// Bytes read.
        at_bytes: u64,
    },
    /// An entry is larger than allowed. It has been skipped: the splitter continues with the next one.
    #[error("an entry of {bytes} bytes at byte {offset}, over the limit of {limit_bytes}")]
    Oversized { offset: u64, bytes: u64, limit_bytes: usize },
}

/// A streaming splitter.
///
/// ```
/// use bio_mcp_uniprot::Splitter;
///
/// let mut splitter = Splitter::new(&b"ID   A\n//\nID   B\n//\n"[..], 64 << 20);
/// let mut entries = Vec::new();
/// while let Some(entry) = splitter.next()? {
///     entries.push((entry.offset, entry.bytes.to_vec()));
/// }
/// assert_eq!(entries, [(0, b"ID   A\n//\n".to_vec()), (10, b"ID   B\n//\n".to_vec())]);
/// # Ok::<(), bio_mcp_uniprot::SplitError>(())
/// ```
pub struct Splitter<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that hold input.
    filled: usize,
    /// Position at which the next entry starts.
    at: usize,
    /// Input bytes before `buffer[0]`.
    base: u64,
    ended: bool,
    started: bool,
    /// Size of the input, if it ended inside of an entry.
    truncated_at: Option<u64>,
    max_entry_bytes: usize,
    chunk_bytes: usize,
}

impl<R: Read> Splitter<R> {
    /// A splitter over a file; entries over `max_entry_bytes` are errors.
    pub fn new(reader: R, max_entry_bytes: usize) -> Self {
        Self::with_chunk(reader, max_entry_bytes, CHUNK_BYTES)
    }

    /// Like [`Self::new`], reading `chunk_bytes` (at least one) at once, so that tests can split the input at any byte.
    pub fn with_chunk(reader: R, max_entry_bytes: usize, chunk_bytes: usize) -> Self {
        let chunk_bytes = chunk_bytes.max(1);
        Self {
            reader,
            buffer: vec![0; chunk_bytes],
            filled: 0,
            at: 0,
            base: 0,
            ended: false,
            started: false,
            truncated_at: None,
            max_entry_bytes,
            chunk_bytes,
        }
    }

    /// Position in the input after the last entry, in bytes.
    pub fn position(&self) -> u64 {
        self.base + self.at as u64
    }

    /// The reader, for its own position or checksum.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// The next entry, or none at the end of a complete file.
    #[expect(clippy::should_implement_trait, reason = "entries borrow from the splitter")]
    pub fn next(&mut self) -> Result<Option<RawEntry<'_>>, SplitError> {
        if let Some(at_bytes) = self.truncated_at {
            return Err(SplitError::Truncated { at_bytes });
        }
        if !self.skip_blank()? {
            return if self.started { Ok(None) } else { Err(SplitError::Empty) };
        }
        if !self.started {
            self.check_start()?;
            self.started = true;
        }
        let mut scanned = self.at;
        loop {
            match find_end(&self.buffer[self.at..self.filled], scanned - self.at, true, self.ended) {
                Found::End(length) => {
                    let offset = self.position();
                    let start = self.at;
                    self.at += length;
                    if length > self.max_entry_bytes {
                        let limit_bytes = self.max_entry_bytes;
                        return Err(SplitError::Oversized { offset, bytes: length as u64, limit_bytes });
                    }
                    return Ok(Some(RawEntry { offset, bytes: &self.buffer[start..self.at] }));
                }
                Found::More(from) => scanned = self.at + from,
            }
            if self.filled - self.at > self.max_entry_bytes {
                return Err(self.skip_oversized(scanned));
            }
            if self.ended {
                return Err(self.truncated());
            }
            let before = self.at;
            self.fill()?;
            scanned -= before - self.at;
        }
    }

    /// Skips blank space before an entry; false at the end of the input.
    fn skip_blank(&mut self) -> Result<bool, SplitError> {
        loop {
            let rest = &self.buffer[self.at..self.filled];
            if let Some(blank) = rest.iter().position(|b| !b.is_ascii_whitespace()) {
                self.at += blank;
                return Ok(true);
            }
            self.at = self.filled;
            if self.ended || !self.fill()? {
                return Ok(false);
            }
        }
    }

    fn check_start(&mut self) -> Result<(), SplitError> {
        while self.filled - self.at < ENTRY_START.len() && !self.ended {
            self.fill()?;
        }
        let is_entry = self.buffer[self.at..self.filled].starts_with(ENTRY_START);
        if is_entry { Ok(()) } else { Err(SplitError::NotFlatFile) }
    }

    /// Discards an entry that is too large, without keeping it in memory.
    fn skip_oversized(&mut self, mut scanned: usize) -> SplitError {
        let offset = self.position();
        loop {
            // What has been scanned is not needed any more.
            self.at = scanned;
            if self.ended {
                return self.truncated();
            }
            if let Err(error) = self.fill() {
                return error;
            }
            match find_end(&self.buffer[self.at..self.filled], 0, false, self.ended) {
                Found::End(length) => {
                    self.at += length;
                    let bytes = self.position() - offset;
                    return SplitError::Oversized { offset, bytes, limit_bytes: self.max_entry_bytes };
                }
                Found::More(from) => scanned = self.at + from,
            }
        }
    }

    fn truncated(&mut self) -> SplitError {
        let at_bytes = self.base + self.filled as u64;
        self.truncated_at = Some(at_bytes);
        SplitError::Truncated { at_bytes }
    }

    /// Reads more input, moving what is kept to the front if there is no room; false at the end.
    fn fill(&mut self) -> Result<bool, SplitError> {
        if self.ended {
            return Ok(false);
        }
        if self.filled == self.buffer.len() {
            self.buffer.copy_within(self.at..self.filled, 0);
            self.base += self.at as u64;
            self.filled -= self.at;
            self.at = 0;
            let needed = self.filled + self.chunk_bytes;
            if self.buffer.len() < needed {
                // At most twice the limit, since a larger entry is not kept.
                self.buffer.resize(needed.max(self.filled * 2), 0);
            }
        }
        loop {
            let end = self.buffer.len().min(self.filled + self.chunk_bytes);
            match self.reader.read(&mut self.buffer[self.filled..end]) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(false);
                }
                Ok(n) => {
                    self.filled += n;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(SplitError::Read(error)),
            }
        }
    }
}

/// Result of the search for the end of an entry.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// The entry has this length.
    End(usize),
    /// Not found; the search resumes here, at the last line start or line end that could begin the terminator.
    More(usize),
}

/// Searches `entry` from `from` for the line `//`; a line without line end is complete only at the end of the input.
/// `at_line_start`: whether the first byte of `entry` starts a line.
fn find_end(entry: &[u8], from: usize, at_line_start: bool, ended: bool) -> Found {
    let mut at = from;
    if at_line_start && at == 0 && entry.starts_with(b"//") {
        match line_end(entry, 2, ended) {
            Line::EndsAt(end) => return Found::End(end),
            Line::Incomplete => return Found::More(0),
            Line::Other => {}
        }
    }
    while let Some(found) = memchr::memmem::find(&entry[at..], b"\n//") {
        at += found;
        match line_end(entry, at + 3, ended) {
            Line::EndsAt(end) => return Found::End(end),
            Line::Incomplete => return Found::More(at),
            Line::Other => at += 1,
        }
    }
    // "\n" and "\n/" at the end may be the start of the terminator.
    Found::More(at.max(entry.len().saturating_sub(2)))
}

enum Line {
    EndsAt(usize),
    Incomplete,
    Other,
}

/// Whether only blanks follow on this line, and where it ends.
fn line_end(entry: &[u8], from: usize, ended: bool) -> Line {
    for (at, byte) in entry.iter().enumerate().skip(from) {
        match byte {
            b'\n' => return Line::EndsAt(at + 1),
            b' ' | b'\t' | b'\r' => {}
            _ => return Line::Other,
        }
    }
    if ended { Line::EndsAt(entry.len()) } else { Line::Incomplete }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(file: &[u8], limit: usize, chunk: usize) -> Vec<Result<Vec<u8>, String>> {
        let mut splitter = Splitter::with_chunk(file, limit, chunk);
        let mut all = Vec::new();
        loop {
            match splitter.next() {
                Ok(Some(entry)) => {
                    let start = usize::try_from(entry.offset).expect("small");
                    assert_eq!(&file[start..start + entry.bytes.len()], entry.bytes);
                    all.push(Ok(entry.bytes.to_vec()));
                }
                Ok(None) => return all,
                Err(error @ SplitError::Oversized { .. }) => all.push(Err(error.to_string())),
                Err(error) => {
                    all.push(Err(error.to_string()));
                    return all;
                }
            }
        }
    }

    #[test]
    fn entries_are_the_same_for_every_chunk() {
        let file = b"ID   A\nCC   a // b\n//\n\nID   B\r\n//\r\nID   C\nCC   //x\n//";
        for chunk in 1..file.len() + 2 {
            let found: Vec<_> = split(file, 1000, chunk).into_iter().map(|entry| entry.expect("an entry")).collect();
            assert_eq!(
                found,
                [&b"ID   A\nCC   a // b\n//\n"[..], b"ID   B\r\n//\r\n", b"ID   C\nCC   //x\n//"],
                "{chunk}"
            );
        }
    }

    #[test]
    fn what_is_no_complete_file_is_an_error() {
        let check = |file: &[u8], expect: &str| {
            let last = split(file, 1000, 3).pop().expect("one").expect_err("an error");
            assert!(last.contains(expect), "{last}");
        };
        check(b"", "empty");
        check(b"\n\n", "empty");
        check(b"<html>moved</html>\n//\n", "not a UniProt flat file");
        check(b"ID   A\n//\nID   B\n", "truncated");
        check(b"ID   A\n/", "truncated");
    }

    #[test]
    fn an_oversized_entry_is_skipped() {
        let large = format!("ID   B\n{}//\n", "CC   text\n".repeat(30));
        let file = format!("ID   A\n//\n{large}ID   C\n//\n");
        for chunk in [1, 2, 7, 64, 1000] {
            let found = split(file.as_bytes(), 100, chunk);
            assert_eq!(found.len(), 3, "{chunk}");
            let expect = format!("an entry of {} bytes at byte 10, over the limit of 100", large.len());
            assert_eq!(found[1], Err(expect), "{chunk}");
            assert_eq!(found[2], Ok(b"ID   C\n//\n".to_vec()));
        }
    }

    proptest! {
        #[test]
        fn entries_concatenate_to_the_file(
            bodies in prop::collection::vec("([A-Z]{2}   [a-z/ ]{0,20}\n){0,5}", 1..6),
            chunk in 1_usize..50,
        ) {
            let entries: Vec<String> = bodies.iter().map(|body| format!("ID   X\n{body}//\n")).collect();
            let file = entries.concat();
            let found = split(file.as_bytes(), 10_000, chunk).into_iter();
            let found: Vec<u8> = found.flat_map(|entry| entry.expect("an entry")).collect();
            prop_assert_eq!(found, file.as_bytes());
        }
    }
}
