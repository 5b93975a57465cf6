//! Splits PubMed documents into byte-exact record slices, in constant memory.
//!
//! The input is one set of records, several documents one after the other (concatenated files), bare records without
//! a set around them, or any mixture of these.
//!
//! A slice extends from `<` of the record's opening tag to `>` of its closing tag, exactly as received. Comments, CDATA
//! sections, unusual white space and `>` in attribute values are handled. A record that is not well-formed is returned
//! too, with its [`Defect`], and the splitter continues with the next one; an error of the document as a whole is a
//! [`SplitError`].
//!
//! Own code: XML parsers give positions only of valid XML, and one broken record must not end its file (ADR 3).

mod buffer;
mod next;

use std::io::{self, Read};

use super::markup::{self, Beyond, Endless, Markup, Scan};
use next::Next;

/// Bytes read at once, and the minimum size of the buffer.
const CHUNK: usize = 256 * 1024;

/// May precede a document.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Number of bytes that are returned of an oversized record.
const OVERSIZED_HEAD: usize = 1024 * 1024;

/// Placeholder for an oversized record until its end is found and its size known.
const OVERSIZED: Defect = Defect::Oversized { bytes: 0, limit_bytes: 0 };

/// Maximum depth of elements inside a record; PubMed's own need about twenty.
pub const MAX_DEPTH: usize = 256;

/// An item of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A child of the set: `PubmedArticle`, `PubmedBookArticle`, or something unknown.
    Record {
        /// The exact bytes.
        bytes: &'a [u8],
        /// What is wrong with it, if it has a defect.
        defect: Option<Defect>,
    },
    /// A `PMID` element of a `DeleteCitation`.
    Deletion {
        /// The exact bytes of the `PMID` element.
        bytes: &'a [u8],
    },
}

/// Why a record cannot be archived; the splitter continues after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// It is not well-formed XML.
    #[error("not well-formed: {0}")]
    Malformed(&'static str),
    /// It is larger than allowed; only its first bytes are returned.
    #[error("a record of {bytes} bytes, over the limit of {limit_bytes}")]
    Oversized { bytes: u64, limit_bytes: usize },
    /// It is nested deeper than any real record.
    #[error("elements nest deeper than {MAX_DEPTH}")]
    TooDeep,
    /// It has an element that no real record has.
    #[error(transparent)]
    Beyond(#[from] Beyond),
}

/// The document cannot be read further. Items before the error are valid.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Reading failed.
    #[error("reading failed")]
    Read(#[source] io::Error),
    /// The input is empty.
    #[error("the document is empty")]
    Empty,
    /// It ends early.
    #[error("the document ends in the middle, after {at_bytes} bytes: it is truncated")]
    Truncated {
        /// Bytes read.
        at_bytes: u64,
    },
    /// XML of another kind.
    #[error("the root element is <{0}>, not <PubmedArticleSet>")]
    NotPubmed(String),
    /// It is not XML.
    #[error("not XML at byte {at_bytes}: {what}")]
    Malformed { at_bytes: u64, what: &'static str },
    /// It has an internal subset, which could declare entities.
    #[error("the document type has an internal subset, which PubMed never has: refused")]
    InternalSubset,
    /// It is not UTF-8.
    #[error("the encoding is {0}; PubMed is UTF-8")]
    Encoding(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Prolog,
    Set,
    Deletions,
    Epilog,
}

/// A streaming splitter.
///
/// ```
/// use bio_mcp_pubmed::{Item, Splitter};
///
/// let file =
/// b"<PubmedArticleSet><PubmedArticle>one</PubmedArticle><PubmedArticle>two</PubmedArticle></PubmedArticleSet>"; let
/// mut splitter = Splitter::new(&file[..], 64 << 20); let mut records = Vec::new();
/// while let Some(item) = splitter.next()? {
///     if let Item::Record { bytes, defect: None } = item {
///         records.push(bytes.to_vec());
///     }
/// }
/// assert_eq!(records, [&b"<PubmedArticle>one</PubmedArticle>"[..], b"<PubmedArticle>two</PubmedArticle>"]);
/// # Ok::<(), bio_mcp_pubmed::SplitError>(())
/// ```
pub struct Splitter<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that hold input.
    filled: usize,
    /// Position at which the next item is searched for.
    at: usize,
    /// Input bytes before `buffer[0]`.
    base: u64,
    ended: bool,
    /// The error of the reader, reported after the content of `buffer`.
    failed: Option<io::Error>,
    state: State,
    /// Name of the set element; empty outside of a set.
    root: Vec<u8>,
    max_record_bytes: usize,
    /// Bytes read at once, and the minimum size of the buffer.
    chunk: usize,
    /// Open elements of the current record: names as ranges relative to its start.
    stack: Vec<(usize, usize)>,
}

fn is_record(name: &[u8]) -> bool {
    matches!(name, b"PubmedArticle" | b"PubmedBookArticle")
}

impl<R: Read> Splitter<R> {
    /// A splitter over a document; records over `max_record_bytes` are returned as defects.
    pub fn new(reader: R, max_record_bytes: usize) -> Self {
        Self::with_chunk(reader, max_record_bytes, CHUNK)
    }

    /// Like [`Self::new`], reading `chunk` bytes at once, so that tests can split the input at any byte.
    pub fn with_chunk(reader: R, max_record_bytes: usize, chunk: usize) -> Self {
        Self {
            reader,
            buffer: vec![0; chunk],
            filled: 0,
            at: 0,
            base: 0,
            ended: false,
            failed: None,
            state: State::Start,
            root: Vec::new(),
            max_record_bytes,
            chunk,
            stack: Vec::new(),
        }
    }

    /// Position in the input after the last item.
    pub fn position(&self) -> u64 {
        self.base + self.at as u64
    }

    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// The next item, or none at the end of a complete document.
    #[expect(clippy::should_implement_trait, reason = "items borrow from the splitter")]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, SplitError> {
        if self.state == State::Start {
            self.start()?;
        }
        match self.find()? {
            Next::End => Ok(None),
            Next::Deletion => {
                let end = self.deletion_end()?;
                let start = std::mem::replace(&mut self.at, end);
                Ok(Some(Item::Deletion { bytes: &self.buffer[start..end] }))
            }
            Next::NoDeletion(end) => {
                let start = std::mem::replace(&mut self.at, end);
                Ok(Some(Item::Deletion { bytes: &self.buffer[start..end] }))
            }
            Next::Record => self.record().map(Some),
            Next::Garbage(defect) => self.lost_record(self.at, defect).map(Some),
        }
    }

    /// Skips a byte order mark and an XML declaration.
    fn start(&mut self) -> Result<(), SplitError> {
        while self.filled < BYTE_ORDER_MARK.len() && self.fill_from(0)? {}
        let head = &self.buffer[..self.filled];
        if head.is_empty() {
            return Err(SplitError::Empty);
        }
        if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
            return Err(SplitError::Encoding("UTF-16".to_owned()));
        }
        if head.starts_with(&BYTE_ORDER_MARK) {
            self.at = BYTE_ORDER_MARK.len();
        }
        self.state = State::Prolog;
        Ok(())
    }

    fn deletion_end(&mut self) -> Result<usize, SplitError> {
        const MAX_DECLARATION_BYTES: usize = 4096;
        loop {
            let buffer = &self.buffer[..self.filled];
            if let Some(n) = memchr::memmem::find(&buffer[self.at..], b"</PMID")
                && let Scan::Found(Markup::Close(_), end) = markup::scan(buffer, self.at + n)
            {
                return Ok(end);
            }
            if self.filled - self.at > MAX_DECLARATION_BYTES {
                return Err(self.malformed(self.at, "a deletion without end"));
            }
            if !self.fill_from(self.at)? {
                return Err(self.truncated());
            }
        }
    }

    /// Reads one record that starts at `self.at`.
    fn record(&mut self) -> Result<Item<'_>, SplitError> {
        self.shrink();
        self.stack.clear();
        let mut pos = self.at;
        loop {
            match self.step(&mut pos) {
                Step::Done(end) => {
                    if end - self.at > self.max_record_bytes {
                        // Scanned again from its start, to be returned as oversized.
                        return self.lost_record(self.at, OVERSIZED);
                    }
                    let start = std::mem::replace(&mut self.at, end);
                    return Ok(Item::Record { bytes: &self.buffer[start..end], defect: None });
                }
                Step::More => {
                    if self.filled - self.at > self.max_record_bytes {
                        return self.lost_record(pos, OVERSIZED);
                    }
                    if !self.fill_at(&mut pos)? {
                        // The file ends here, or markup without an end contains what follows.
                        let what = Defect::Malformed("markup without end");
                        return self.lost_record((pos + 1).min(self.filled), what);
                    }
                }
                Step::Bad(defect) => return self.lost_record(pos, defect),
            }
        }
    }

    /// Advances over text and markup of the current record.
    fn step(&mut self, pos: &mut usize) -> Step {
        let buffer = &self.buffer[..self.filled];
        let start = self.at;
        loop {
            let Some(found) = memchr::memchr2(b'<', b'&', &buffer[*pos..]) else {
                *pos = buffer.len();
                return Step::More;
            };
            *pos += found;
            if buffer[*pos] == b'&' {
                match markup::scan_reference(buffer, *pos) {
                    Ok(Some(end)) => *pos = end,
                    Ok(None) => return Step::More,
                    Err(what) => return Step::Bad(Defect::Malformed(what)),
                }
                continue;
            }
            // Nearly every second tag closes the innermost element in its usual spelling.
            if let Some((from, to)) = self.stack.last().copied()
                && buffer.get(*pos + 1) == Some(&b'/')
                && buffer.get(*pos + 2..*pos + 2 + (to - from)) == Some(&buffer[start + from..start + to])
                && buffer.get(*pos + 2 + (to - from)) == Some(&b'>')
            {
                *pos += 3 + (to - from);
                self.stack.pop();
                if self.stack.is_empty() {
                    return Step::Done(*pos);
                }
                continue;
            }
            let (markup, end) = match markup::scan(buffer, *pos) {
                Scan::Found(markup, end) => (markup, end),
                Scan::NeedMore => return Step::More,
                Scan::Malformed(what) => return Step::Bad(Defect::Malformed(what)),
                Scan::Beyond(bound) => return Step::Bad(Defect::Beyond(bound)),
            };
            match markup {
                Markup::Open(name) => {
                    if self.stack.len() == MAX_DEPTH {
                        return Step::Bad(Defect::TooDeep);
                    }
                    let elsewhere = is_record(&buffer[name.clone()]) || &buffer[name.clone()] == b"DeleteCitation";
                    if !self.stack.is_empty() && elsewhere {
                        return Step::Bad(Defect::Malformed("a record that is not closed"));
                    }
                    self.stack.push((name.start - start, name.end - start));
                }
                Markup::Close(name) => {
                    let open = self.stack.pop().map(|(from, to)| &buffer[start + from..start + to]);
                    if open != Some(&buffer[name]) {
                        return Step::Bad(Defect::Malformed("a closing tag without its opening tag"));
                    }
                    if self.stack.is_empty() {
                        return Step::Done(end);
                    }
                }
                Markup::Empty(_) if self.stack.is_empty() => return Step::Done(end),
                Markup::Empty(_) | Markup::Comment | Markup::Cdata(_) | Markup::Instruction => {}
                Markup::Doctype | Markup::InternalSubset => {
                    return Step::Bad(Defect::Malformed("a document type inside a record"));
                }
            }
            *pos = end;
        }
    }

    /// Skips a record that cannot be archived: to its closing tag, else to the start of the next record or the end of
    /// the set. Returns its bytes; for an oversized one, only the first.
    fn lost_record(&mut self, mut pos: usize, defect: Defect) -> Result<Item<'_>, SplitError> {
        let mut head: Option<Vec<u8>> = None;
        let mut endless = (0, 0);
        let began = self.base + self.at as u64;
        let end = loop {
            let buffer = &self.buffer[..self.filled];
            if let Some(found) = memchr::memchr(b'<', &buffer[pos..]) {
                pos += found;
                match self.resync(pos, began, &mut endless) {
                    Resync::EndsAt(end) => break end,
                    Resync::GoOnAt(next) => {
                        pos = next;
                        continue;
                    }
                    Resync::NeedMore => {}
                }
            } else {
                pos = self.filled;
            }
            if head.is_none() && self.filled - self.at > self.max_record_bytes {
                head = Some(self.buffer[self.at..][..self.head_bytes()].to_vec());
            }
            if head.is_some() {
                self.at = pos; // the rest of an oversized record is dropped
            }
            if !self.fill_at(&mut pos)? {
                if pos == self.filled {
                    return Err(self.truncated());
                }
                pos += 1;
            }
        };
        let bytes = self.base + end as u64 - began;
        let limit_bytes = self.max_record_bytes;
        let oversized = bytes > limit_bytes as u64;
        let defect = match defect {
            _ if oversized => Defect::Oversized { bytes, limit_bytes },
            // It only seemed oversized because its markup had no end.
            Defect::Oversized { .. } => Defect::Malformed("markup without end"),
            defect => defect,
        };
        let start = self.at;
        if let Some(head) = head {
            // The head is put in front of the unread rest, so that it is borrowed like any slice.
            let unread = self.buffer[end..self.filled].to_vec();
            self.base = (self.base + end as u64).saturating_sub(head.len() as u64);
            self.at = head.len();
            self.filled = head.len() + unread.len();
            self.buffer = [head, unread].concat();
            self.buffer.resize(self.filled.max(self.chunk), 0);
            return Ok(Item::Record { bytes: &self.buffer[..self.at], defect: Some(defect) });
        }
        self.at = end;
        let shown = if oversized { start + self.head_bytes() } else { end };
        Ok(Item::Record { bytes: &self.buffer[start..shown], defect: Some(defect) })
    }

    fn head_bytes(&self) -> usize {
        OVERSIZED_HEAD.min(self.max_record_bytes)
    }

    /// Whether a skipped record that starts at `began` in the input ends at the `<` at `pos`. `endless` are positions
    /// of the input, found by earlier scans, before which no CDATA section and no instruction ends.
    fn resync(&self, pos: usize, began: u64, endless: &mut (u64, u64)) -> Resync {
        let buffer = &self.buffer[..self.filled];
        let first = self.base + pos as u64 == began;
        let here = |at: u64| usize::try_from(at.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let scan = markup::scan_knowing(buffer, pos, Endless { cdata: here(endless.0), instruction: here(endless.1) });
        if scan == Scan::NeedMore {
            // The buffer may end within the end of the markup.
            let (end, rest) = (self.base + self.filled as u64, &buffer[pos..]);
            if rest.starts_with(b"<![CDATA[") {
                endless.0 = end.saturating_sub(2);
            } else if rest.starts_with(b"<?") {
                endless.1 = end.saturating_sub(1);
            }
        }
        match scan {
            Scan::Found(Markup::Close(name), end) if is_record(&buffer[name.clone()]) => Resync::EndsAt(end),
            Scan::Found(Markup::Close(name), _) if buffer[name.clone()] == self.root[..] => Resync::EndsAt(pos),
            Scan::Found(Markup::Open(name) | Markup::Empty(name), _)
                if !first && (is_record(&buffer[name.clone()]) || &buffer[name.clone()] == b"DeleteCitation") =>
            {
                Resync::EndsAt(pos)
            }
            Scan::Found(_, end) => Resync::GoOnAt(end),
            Scan::NeedMore if self.filled - pos <= self.max_record_bytes => Resync::NeedMore,
            Scan::NeedMore | Scan::Malformed(_) | Scan::Beyond(_) => Resync::GoOnAt(pos + 1),
        }
    }

    fn truncated(&self) -> SplitError {
        SplitError::Truncated { at_bytes: self.base + self.filled as u64 }
    }

    fn malformed(&self, at: usize, what: &'static str) -> SplitError {
        SplitError::Malformed { at_bytes: self.base + at as u64, what }
    }
}

enum Resync {
    EndsAt(usize),
    GoOnAt(usize),
    NeedMore,
}

enum Step {
    Done(usize),
    More,
    Bad(Defect),
}
