//! Printing: results to standard output, everything else to standard error.
//!
//! A closed pipe (`bio-mcp … | head`) ends the output, never the command: further output is discarded, and the exit
//! code still reports the result.
//!
//! On a terminal, control characters are shown in escaped form, whatever is printed: file names, errors and records may
//! contain sequences that move the cursor, change the title or send input to the terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use shared::observability::terminal::{BOLD, Terminal};

pub use shared::core::numbers::{counted, grouped as count};
pub use shared::observability::terminal::plain;

use crate::failure::CliError;

static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);
static STDERR_CLOSED: AtomicBool = AtomicBool::new(false);

/// A stream whose reader may close it: from then on everything is discarded.
struct UntilClosed<W> {
    stream: W,
    closed: &'static AtomicBool,
    name: &'static str,
}

/// What a stream gets: all bytes, or only those that are safe on a terminal.
enum Gets<W> {
    All(W),
    Shown(Terminal<W>),
}

impl<W: Write + IsTerminal> Gets<W> {
    fn of(stream: W) -> Self {
        if stream.is_terminal() { Self::Shown(Terminal::new(stream)) } else { Self::All(stream) }
    }
}

impl<W: Write> Write for Gets<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::All(stream) => stream.write(bytes),
            Self::Shown(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::All(stream) => stream.flush(),
            Self::Shown(stream) => stream.flush(),
        }
    }
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
            written => written.map_err(|source| io::Error::new(source.kind(), Unwritable { name: self.name, source })),
        }
    }
}

/// A standard stream that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {name}: {source}")]
pub struct Unwritable {
    name: &'static str,
    source: io::Error,
}

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_closed(bytes.len(), |stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_closed((), Write::flush)
    }
}

/// Standard output. Fails when it cannot be written (a full disk), not when its reader has closed it.
pub fn stdout() -> impl Write {
    UntilClosed { stream: Gets::of(io::stdout().lock()), closed: &STDOUT_CLOSED, name: "standard output" }
}

/// Prints a line for people to standard error; errors are ignored.
pub fn note(text: impl Display) {
    let mut stderr =
        UntilClosed { stream: Gets::of(io::stderr().lock()), closed: &STDERR_CLOSED, name: "standard error" };
    let _ = stderr.write_all(format!("{text}\n").as_bytes());
}

/// Prints the argument parser's help or version text.
pub fn help(text: &clap::Error) -> Result<(), CliError> {
    let mut stdout = UntilClosed { stream: io::stdout().lock(), closed: &STDOUT_CLOSED, name: "standard output" };
    let styled = text.render();
    let is_styled = io::stdout().is_terminal();
    let text = if is_styled { styled.ansi().to_string() } else { styled.to_string() };
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

pub fn line(text: &str) -> Result<(), CliError> {
    writeln!(stdout(), "{text}")?;
    Ok(())
}

/// Prints bytes; unchanged unless standard output is a terminal.
pub fn bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = stdout();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// Prints a value as one line of JSON.
pub fn json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(value).map_err(|error| CliError::internal(error.to_string()))?;
    line(&text)
}

/// Prints rows in aligned columns; numbers are right-aligned.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> Result<(), CliError> {
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
