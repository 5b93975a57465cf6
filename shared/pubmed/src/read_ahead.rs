//! Reads ahead on a separate thread: inflating takes about as long as all other work of the reading thread, so that two
//! cores share the work.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

const BUFFER_BYTES: usize = 256 * 1024;

/// Maximum number of buffers in transit; more would only take memory.
const AHEAD: usize = 2;

/// The reading end: data read by the thread, in order.
pub struct ReadAhead {
    buffers: Receiver<io::Result<Vec<u8>>>,
    used: SyncSender<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
}

/// The work of the thread; it ends with the input, or when the reading end is dropped.
pub struct Filler<R> {
    reader: R,
    buffers: SyncSender<io::Result<Vec<u8>>>,
    used: Receiver<Vec<u8>>,
}

/// Splits a reader into the end that reads and the work that fills it.
pub fn read_ahead<R: Read>(reader: R) -> (ReadAhead, Filler<R>) {
    let (full_sender, full) = sync_channel(AHEAD);
    let (used_sender, used) = sync_channel(AHEAD + 2);
    (
        ReadAhead { buffers: full, used: used_sender, current: Vec::new(), at: 0 },
        Filler { reader, buffers: full_sender, used },
    )
}

impl<R: Read> Filler<R> {
    /// Reads until the input ends.
    pub fn run(mut self) {
        loop {
            let mut buffer = self.used.try_recv().unwrap_or_default();
            buffer.resize(BUFFER_BYTES, 0);
            let mut filled = 0;
            let mut failed = None;
            while filled < buffer.len() {
                match self.reader.read(&mut buffer[filled..]) {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => {
                        failed = Some(e);
                        break;
                    }
                }
            }
            buffer.truncate(filled);
            let ended = filled < BUFFER_BYTES;
            if (filled > 0 && self.buffers.send(Ok(buffer)).is_err()) || ended {
                if let Some(error) = failed {
                    // Sending fails when the reading end was dropped.
                    let _ = self.buffers.send(Err(error));
                }
                return;
            }
        }
    }
}

impl Read for ReadAhead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.current.len() {
            match self.buffers.recv() {
                Ok(next) => {
                    let used = std::mem::replace(&mut self.current, next?);
                    // The thread may have ended, or may need no more buffers.
                    let _ = self.used.try_send(used);
                    self.at = 0;
                }
                Err(_) => return Ok(0),
            }
        }
        let n = out.len().min(self.current.len() - self.at);
        out[..n].copy_from_slice(&self.current[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }

    fn through(reader: impl Read + Send) -> io::Result<Vec<u8>> {
        let (mut ahead, filler) = read_ahead(reader);
        std::thread::scope(|scope| {
            scope.spawn(|| filler.run());
            let mut all = Vec::new();
            ahead.read_to_end(&mut all).map(|_| all)
        })
    }

    #[test]
    fn everything_arrives_in_order_and_errors_arrive_last() {
        for length in [0, 1, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES * 5 + 7] {
            let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).expect("small")).collect();
            assert_eq!(through(&bytes[..]).expect("no error"), bytes);
        }
        let error = through(io::repeat(1).take(BUFFER_BYTES as u64 * 2).chain(Broken)).expect_err("broken");
        assert_eq!(error.to_string(), "broken");
    }

    #[test]
    fn a_dropped_reader_ends_the_thread() {
        let (ahead, filler) = read_ahead(io::repeat(1));
        drop(ahead);
        filler.run();
    }
}
