//! Untrusted text on a terminal: file names, records, errors and logs may contain sequences that move the cursor,
//! change the title, or make the terminal respond as if the user had typed.

use std::io::{self, Write};

/// The only sequences that are sent to a terminal.
pub const BOLD: (&str, &str) = ("\u{1b}[1m", "\u{1b}[0m");

/// Replacement of a character that is not sent.
const SHOWN: &str = "\u{fffd}";

/// Text without control characters except line ends and tabs: it has no effect on a terminal that shows it later.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// A terminal: lines, tabs and bold are sent; other control characters, changes of text direction, and bytes that are
/// not UTF-8 are replaced.
#[derive(Debug)]
pub struct Terminal<W> {
    stream: W,
    /// The start of a character whose other bytes were not written yet.
    begun: Vec<u8>,
}

impl<W: Write> Terminal<W> {
    /// Writes to a stream that is a terminal.
    pub fn new(stream: W) -> Self {
        Self { stream, begun: Vec::new() }
    }
}

impl<W: Write> Write for Terminal<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let mut shown = Vec::with_capacity(all.len());
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            show(chunk.valid(), &mut shown);
            match std::str::from_utf8(chunk.invalid()).map_err(|error| error.error_len()) {
                Ok(_) => {}
                // The other bytes may follow in the next write.
                Err(None) if chunks.peek().is_none() => self.begun.extend_from_slice(chunk.invalid()),
                Err(_) => shown.extend_from_slice(SHOWN.as_bytes()),
            }
        }
        self.stream.write_all(&shown)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.begun).is_empty() {
            self.stream.write_all(SHOWN.as_bytes())?;
        }
        self.stream.flush()
    }
}

fn show(text: &str, shown: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let sequence = [BOLD.0, BOLD.1, "\r\n"].into_iter().find(|sequence| rest.starts_with(sequence));
        let length = sequence.map_or(c.len_utf8(), str::len);
        let is_shown = sequence.is_none() && is_hidden(c);
        shown.extend_from_slice(if is_shown { SHOWN.as_bytes() } else { &rest.as_bytes()[..length] });
        rest = &rest[length..];
    }
}

/// Whether a character has another effect than being displayed.
fn is_hidden(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\n' && c != '\t') || turns || matches!(c, '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_control_characters_however_they_are_split() {
        for (text, expected) in [
            (&b"a\tb\n\xce\xbc \xc3\xbc \xe6\x97\xa5\r\n"[..], "a\tb\nμ ü 日\r\n"),
            (b"\x1b[1mhead\x1b[0m", "\u{1b}[1mhead\u{1b}[0m"),
            (b"\x1b]0;title\x07", "\u{fffd}]0;title\u{fffd}"),
            ("\u{1b}[2J\u{9b}31m\u{7f}\rover".as_bytes(), "\u{fffd}[2J\u{fffd}31m\u{fffd}\u{fffd}over"),
            (b"\x9b31m \xff\xfe", "\u{fffd}31m \u{fffd}\u{fffd}"),
            ("exe.\u{202e}gpj\u{2069}".as_bytes(), "exe.\u{fffd}gpj\u{fffd}"),
            (b"cut \xe6\x97 and \xe6\x97", "cut \u{fffd} and \u{fffd}"),
        ] {
            let mut whole = Terminal::new(Vec::new());
            whole.write_all(text).and_then(|()| whole.flush()).expect("taken");
            assert_eq!(String::from_utf8_lossy(&whole.stream), expected);
            if !expected.contains(['\r', '\u{1b}']) {
                let mut pieces = Terminal::new(Vec::new());
                for byte in text {
                    pieces.write_all(&[*byte]).expect("taken");
                }
                pieces.flush().expect("taken");
                assert_eq!(String::from_utf8_lossy(&pieces.stream), expected);
            }
        }
    }
}
