//! The text of a frame: the envelopes of several records, one a line.

use std::num::NonZeroU32;
use std::ops::Range;

use super::frame::FrameError;

/// The text of a frame: lines, each with its line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameText(Vec<u8>);

impl FrameText {
    /// Whole lines; an error if the last line has no end.
    pub(super) fn new(text: Vec<u8>) -> Result<Self, FrameError> {
        if text.ends_with(b"\n") { Ok(Self(text)) } else { Err(FrameError::NotLines) }
    }

    /// The whole text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The envelope on a line, without line end.
    pub fn line(&self, line: NonZeroU32) -> Result<&[u8], FrameError> {
        let text = &self.0[self.range(line)?];
        if is_blank(text) { Err(FrameError::Blank { line }) } else { Ok(text) }
    }

    /// All envelopes with their lines, without those that were purged.
    pub fn records(&self) -> impl Iterator<Item = (NonZeroU32, &[u8])> {
        self.lines().filter(|(_, text)| !is_blank(text))
    }

    fn lines(&self) -> impl Iterator<Item = (NonZeroU32, &[u8])> {
        let numbers = std::iter::successors(Some(NonZeroU32::MIN), |line| line.checked_add(1));
        let text = self.0.strip_suffix(b"\n").unwrap_or(&self.0);
        numbers.zip(text.split(|byte| *byte == b'\n'))
    }

    /// The range of a line in the text, without line end.
    fn range(&self, line: NonZeroU32) -> Result<Range<usize>, FrameError> {
        let mut start = 0;
        for (number, text) in self.lines() {
            let end = start + text.len();
            if number == line {
                return Ok(start..end);
            }
            start = end + 1;
        }
        Err(FrameError::NoLine { line })
    }

    /// Replaces a line by as many spaces.
    pub(super) fn blank(&mut self, line: NonZeroU32) -> Result<(), FrameError> {
        let range = self.range(line)?;
        self.0[range].fill(b' ');
        Ok(())
    }
}

/// Whether a line is that of a purged record: it has nothing but spaces.
pub(super) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| *byte == b' ')
}
