//! A cursor over the lines of an entry: blocks of lines with the same code.

/// Column at which the content of a line starts.
const CONTENT_COLUMN: usize = 5;

/// The lines of an entry that have not been read yet.
pub(crate) struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(entry: &'a str) -> Self {
        Self { rest: entry }
    }

    /// Reads the next lines of one code into `block`, without code and line ends; the code, or none at the end.
    pub(crate) fn block(&mut self, block: &mut Vec<&'a str>) -> Option<&'a str> {
        block.clear();
        let mut code = None;
        while !self.rest.is_empty() {
            let end = memchr::memchr(b'\n', self.rest.as_bytes());
            let line = &self.rest[..end.unwrap_or(self.rest.len())];
            let (own, content) = split_line(line.trim_ascii_end());
            match code {
                None => code = Some(own),
                Some(code) if code != own => return Some(code),
                Some(_) => {}
            }
            block.push(content);
            self.rest = end.map_or("", |end| &self.rest[end + 1..]);
        }
        code
    }
}

/// The code and the content of a line.
fn split_line(line: &str) -> (&str, &str) {
    match line.split_at_checked(2) {
        // What stands between code and content is blank, except in lines that are not as they should be.
        Some((code, rest)) => match line.get(CONTENT_COLUMN..) {
            Some(content) if rest.as_bytes().starts_with(b"   ") => (code, content),
            _ => (code, rest.trim_ascii_start()),
        },
        None => ("", line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_code_are_a_block() {
        let mut lines = Lines::new("AC   P1;\r\nAC   P2;\nCC\nXX odd\n     MKV\n//");
        let mut block = Vec::new();
        let mut found = Vec::new();
        while let Some(code) = lines.block(&mut block) {
            found.push((code, block.clone()));
        }
        let expect = [("AC", vec!["P1;", "P2;"]), ("CC", vec![""]), ("XX", vec!["odd"]), ("  ", vec!["MKV"])];
        assert_eq!(found[..4], expect);
        assert_eq!(found[4].0, "//");
    }
}
