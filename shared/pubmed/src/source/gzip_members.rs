//! Gzip data of several members, read one after the other, and the bytes that may follow the last one.
//!
//! As in gzip, zeros and anything that does not start like a member are ignored after the first member; they are
//! counted, so that the caller can warn. A member that is truncated or damaged remains an error.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::atomic::Ordering;

use flate2::bufread::GzDecoder;

use super::ReadProgress;

/// The first bytes of every member.
pub const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The reader of a file.
pub type Input = BufReader<Counted>;

/// A reader that counts bytes, with bytes that were read already put in front.
pub struct Counted {
    pub reader: Box<dyn Read + Send>,
    /// Bytes that were read and counted already.
    pub pending: Vec<u8>,
    pub progress: ReadProgress,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let again = self.pending.len().min(buffer.len());
        let n = self.reader.read(&mut buffer[again..])?;
        buffer[..again].copy_from_slice(&self.pending[..again]);
        self.pending.drain(..again);
        self.progress.0.read_bytes.fetch_add(n as u64, Ordering::Relaxed);
        Ok(again + n)
    }
}

/// The members of gzip data.
pub struct Members(State);

enum State {
    Member(Box<GzDecoder<Input>>),
    /// Between two members.
    Between(Input),
    End,
}

impl Members {
    /// Reads from `input`, which starts with a member.
    pub fn new(input: Input) -> Self {
        Self(State::Member(Box::new(GzDecoder::new(input))))
    }
}

impl Read for Members {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            self.0 = match std::mem::replace(&mut self.0, State::End) {
                State::End => return Ok(0),
                State::Between(mut input) => match finds_member(&mut input) {
                    Ok(true) => State::Member(Box::new(GzDecoder::new(input))),
                    Ok(false) => State::End,
                    Err(error) => {
                        self.0 = State::Between(input);
                        return Err(error);
                    }
                },
                State::Member(mut member) => match member.read(buffer) {
                    Ok(0) => State::Between(member.into_inner()),
                    read => {
                        self.0 = State::Member(member);
                        return read;
                    }
                },
            };
        }
    }
}

/// Skips zeros. Returns whether another member follows; if not, the rest has been counted as ignored.
fn finds_member(input: &mut Input) -> io::Result<bool> {
    let mut passed = 0;
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
        let rest = buffer.len() - zeros;
        if rest >= MAGIC.len() && buffer[zeros..].starts_with(&MAGIC) {
            input.consume(zeros);
            return Ok(true);
        }
        if rest == 1 && buffer[zeros] == MAGIC[0] {
            // This empties the buffer, so that the pending byte precedes the bytes read next.
            input.consume(zeros + 1);
            passed += zeros as u64;
            input.get_mut().pending.push(MAGIC[0]);
            if input.fill_buf()?.len() > 1 {
                continue;
            }
        } else if rest == 0 {
            input.consume(zeros);
            passed += zeros as u64;
            continue;
        }
        break;
    }
    while let n @ 1.. = input.fill_buf()?.len() {
        input.consume(n);
        passed += n as u64;
    }
    input.get_ref().progress.0.ignored_bytes.store(passed, Ordering::Relaxed);
    Ok(false)
}
