//! An error with its causes, as one line of a log.

use std::fmt::Write as _;

/// An error with its causes, in one line: `a: b: c`. A cause that the line already ends with is not repeated: many
/// errors contain the message of their cause.
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
        let said = error.to_string();
        if !text.ends_with(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the database cannot be reached: {0}")]
    struct Unreachable(#[source] io::Error);

    #[test]
    fn no_cause_is_said_twice() {
        let gone = Unreachable(io::Error::other(Unreachable(io::Error::other("no such file"))));
        let said = "the database cannot be reached: the database cannot be reached: no such file";
        assert_eq!(chain(&gone), said);
        let pipe = Unreachable(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(chain(&pipe), "the database cannot be reached: broken pipe");
    }
}
