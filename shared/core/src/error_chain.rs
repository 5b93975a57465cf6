//! An error with its causes, as one line of a log.

use std::fmt::Write as _;

/// An error with its causes, in one line: `a: b: c`.
///
/// ```
/// use std::io;
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("reading the file failed")]
/// struct Read(#[source] io::Error);
///
/// let error = Read(io::Error::other("disk is gone"));
/// assert_eq!(bio_mcp_core::chain(&error), "reading the file failed: disk is gone");
/// ```
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
