//! The buffered part of a splitter's input.

use std::io::{self, Read};

use super::{SplitError, Splitter};

impl<R: Read> Splitter<R> {
    /// Reads more input, keeping bytes from `self.at` on; adjusts `pos` to the same byte, also at the end of the input,
    /// because the buffer was moved.
    pub(super) fn fill_at(&mut self, pos: &mut usize) -> Result<bool, SplitError> {
        let before = self.at;
        let has_more = self.fill_from(before)?;
        *pos -= before - self.at;
        Ok(has_more)
    }

    /// Reads more input, keeping bytes from `keep` on; moves them to the front, so that positions shrink by as much as
    /// `self.at` does. Returns whether anything was read.
    pub(super) fn fill_from(&mut self, keep: usize) -> Result<bool, SplitError> {
        if let Some(error) = self.failed.take() {
            return Err(SplitError::Read(error));
        }
        if self.ended {
            return Ok(false);
        }
        if keep > 0 {
            self.buffer.copy_within(keep..self.filled, 0);
            self.base += keep as u64;
            self.filled -= keep;
            self.at -= keep;
        }
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let before = self.filled;
        while self.filled < self.buffer.len() {
            match self.reader.read(&mut self.buffer[self.filled..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(n) => self.filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Bytes read before the error are returned first.
                Err(e) if self.filled > before => {
                    self.failed = Some(e);
                    break;
                }
                Err(e) => return Err(SplitError::Read(e)),
            }
        }
        Ok(self.filled > before)
    }

    /// Releases the memory of an earlier very large record.
    pub(super) fn shrink(&mut self) {
        let rest = self.filled - self.at;
        if self.buffer.len() > 4 * self.chunk && rest < self.chunk / 2 {
            self.buffer.copy_within(self.at..self.filled, 0);
            self.base += self.at as u64;
            self.filled = rest;
            self.at = 0;
            self.buffer.truncate(self.chunk);
            self.buffer.shrink_to_fit();
        }
    }
}
