//! Printing: results to standard output, everything else to standard error.
//!
//! A reader that closes its end of a pipe (`bio-mcp … | head`) ends the output, never the command: what it
//! would have printed is discarded, and its exit code is still its verdict.
//!
//! On a terminal control characters are shown, never sent, whatever is printed: file names, errors and records may hold
//! sequences that move the cursor, change the title or answer in the user's place.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::failure::Failure;

static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);
static STDERR_CLOSED: AtomicBool = AtomicBool::new(false);

/// The only sequences that are sent to a terminal.
const BOLD: (&str, &str) = ("\u{1b}[1m", "\u{1b}[0m");

/// A stream whose reader may go away: from then on everything is discarded.
struct UntilClosed<W> {
    stream: W,
    closed: &'static AtomicBool,
    is_terminal: bool,
}

impl<W: Write> UntilClosed<W> {
    fn unless_closed<T>(&mut self, discarded: T, write: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        if self.closed.load(Ordering::Relaxed) {
            return Ok(discarded);
        }
        match write(&mut self.stream) {
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                self.closed.store(true, Ordering::Relaxed);
                Ok(discarded)
            }
            written => written,
        }
    }
}

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_terminal {
            return self.unless_closed(bytes.len(), |stream| stream.write(bytes));
        }
        let shown = shown(bytes);
        self.unless_closed((), |stream| stream.write_all(&shown))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_closed((), Write::flush)
    }
}

/// Bytes as a terminal may get them: lines, tabs and bold; other control characters become U+FFFD.
fn shown(bytes: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let length = match byte {
            b'\n' | b'\t' => 1,
            b'\r' if after.first() == Some(&b'\n') => 1,
            0x1b if rest.starts_with(BOLD.0.as_bytes()) => BOLD.0.len(),
            0x1b if rest.starts_with(BOLD.1.as_bytes()) => BOLD.1.len(),
            ..0x20 | 0x7f => {
                shown.extend_from_slice("\u{fffd}".as_bytes());
                rest = after;
                continue;
            }
            // U+0080 to U+009F.
            0xc2 if after.first().is_some_and(|next| (0x80..0xa0).contains(next)) => {
                shown.extend_from_slice("\u{fffd}".as_bytes());
                rest = &after[1..];
                continue;
            }
            _ => 1,
        };
        shown.extend_from_slice(&rest[..length]);
        rest = &rest[length..];
    }
    shown
}

/// Standard output. Fails when it cannot be written (a full disk), not when its reader has closed it.
pub fn stdout() -> impl Write {
    let stream = io::stdout().lock();
    UntilClosed { is_terminal: stream.is_terminal(), stream, closed: &STDOUT_CLOSED }
}

/// Prints a line for people to standard error; a result never depends on it.
pub fn note(text: impl Display) {
    let stream = io::stderr().lock();
    let mut stderr = UntilClosed { is_terminal: stream.is_terminal(), stream, closed: &STDERR_CLOSED };
    let _ = stderr.write_all(format!("{text}\n").as_bytes());
}

/// Prints a line.
pub fn line(text: &str) -> Result<(), Failure> {
    writeln!(stdout(), "{text}")?;
    Ok(())
}

/// Prints bytes; elsewhere than on a terminal as they are.
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = stdout();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// Prints a value as one line of JSON.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::internal(error.to_string()))?;
    line(&text)
}

/// Prints rows in aligned columns; numbers to the right.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let is_number = |cell: &str| !cell.is_empty() && cell.bytes().all(|b| b.is_ascii_digit() || b == b',');
    let format = |cells: &[&str], header: bool| {
        let cells = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let right = if header { rows.iter().all(|row| is_number(&row[column])) } else { is_number(cell) };
            if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    line(&bold(&format(head, true)))?;
    for row in rows {
        line(&format(&row.iter().map(String::as_str).collect::<Vec<_>>(), false))?;
    }
    Ok(())
}

/// Bold on a terminal.
pub fn bold(text: &str) -> String {
    if io::stdout().is_terminal() { format!("{}{text}{}", BOLD.0, BOLD.1) } else { text.to_owned() }
}

/// Text from a record, safe for a terminal: control characters are shown, not sent.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// A number with separators: 1234567 is `1,234,567`.
pub fn count(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if n < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_control_characters() {
        for (text, expected) in [
            ("a\tb\nμ ü 日本\r\n", "a\tb\nμ ü 日本\r\n"),
            ("\u{1b}[1mhead\u{1b}[0m", "\u{1b}[1mhead\u{1b}[0m"),
            ("\u{1b}]0;title\u{7}", "\u{fffd}]0;title\u{fffd}"),
            ("\u{1b}[2J\u{9b}31m\u{7f}\rover", "\u{fffd}[2J\u{fffd}31m\u{fffd}\u{fffd}over"),
        ] {
            assert_eq!(String::from_utf8(shown(text.as_bytes())).as_deref(), Ok(expected));
        }
    }
}
