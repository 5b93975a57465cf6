//! Finds the next record or deletion of a document, following the structure of sets, bare records and
//! concatenated documents.

use std::io::Read;

use super::{BYTE_ORDER_MARK, Defect, SplitError, Splitter, State, is_record};
use crate::markup::{self, Markup, Scan};

/// The next content at the level of the set.
pub(super) enum Next {
    Record,
    Deletion,
    /// Content among deletions that is not one, up to this position.
    NoDeletion(usize),
    /// Content between records that is not allowed there.
    Garbage(Defect),
    End,
}

impl<R: Read> Splitter<R> {
    /// Skips to the next record or deletion, following the structure of the set.
    pub(super) fn find(&mut self) -> Result<Next, SplitError> {
        loop {
            while self.at < self.filled && self.buffer[self.at].is_ascii_whitespace() {
                self.at += 1;
            }
            if self.at == self.filled {
                if self.fill_from(self.at)? {
                    continue;
                }
                return match self.state {
                    State::Epilog => Ok(Next::End),
                    _ => Err(self.truncated()),
                };
            }
            if self.state == State::Epilog && self.passes_byte_order_mark()? {
                continue;
            }
            if self.buffer[self.at] != b'<' {
                return self.stray_text();
            }
            let (markup, end) = match self.markup_at_next() {
                Err(SplitError::Malformed { what, .. }) if self.state == State::Set => {
                    return Ok(Next::Garbage(match markup::scan(&self.buffer[..self.filled], self.at) {
                        Scan::Beyond(bound) => Defect::Beyond(bound),
                        _ => Defect::Malformed(what),
                    }));
                }
                found => found?,
            };
            let start = self.at;
            match (markup, self.state) {
                (Markup::Instruction, State::Prolog | State::Epilog) => {
                    if self.is_declaration(end)? {
                        self.state = State::Prolog; // of another document, if one came before
                    }
                    self.at = end;
                }
                (Markup::Comment | Markup::Instruction, _) => self.at = end,
                (Markup::Doctype, State::Prolog | State::Epilog) => {
                    self.at = end;
                    self.state = State::Prolog;
                }
                (Markup::InternalSubset, _) => return Err(SplitError::InternalSubset),
                (Markup::Open(name), State::Prolog | State::Epilog | State::Set)
                    if &self.buffer[name.clone()] == b"DeleteCitation" =>
                {
                    self.at = end;
                    self.state = State::Deletions;
                }
                (Markup::Empty(name), State::Prolog | State::Epilog | State::Set)
                    if &self.buffer[name.clone()] == b"DeleteCitation" =>
                {
                    self.at = end;
                    self.state = self.after_deletions();
                }
                (Markup::Open(name) | Markup::Empty(name), State::Prolog | State::Epilog) => {
                    let name = self.buffer[name].to_vec();
                    if is_record(&name) {
                        self.state = State::Epilog;
                        return Ok(Next::Record);
                    }
                    if !matches!(&name[..], b"PubmedArticleSet" | b"PubmedBookArticleSet") {
                        return Err(SplitError::NotPubmed(String::from_utf8_lossy(&name).into_owned()));
                    }
                    let empty = self.buffer[end - 2] == b'/';
                    self.at = end;
                    if empty {
                        self.state = State::Epilog;
                    } else {
                        self.root = name;
                        self.state = State::Set;
                    }
                }
                (Markup::Open(_) | Markup::Empty(_), State::Set) => return Ok(Next::Record),
                (Markup::Open(name), State::Deletions) if &self.buffer[name.clone()] == b"PMID" => {
                    return Ok(Next::Deletion);
                }
                (Markup::Close(name), State::Deletions) if &self.buffer[name.clone()] == b"DeleteCitation" => {
                    self.at = end;
                    self.state = self.after_deletions();
                }
                (Markup::Close(name), State::Set) if self.buffer[name.clone()] == self.root[..] => {
                    self.at = end;
                    self.root.clear();
                    self.state = State::Epilog;
                }
                (_, State::Set) => return Ok(Next::Garbage(Defect::Malformed("markup where a record belongs"))),
                // An invalid entry must not prevent reading the others.
                (Markup::Empty(_) | Markup::Cdata(_), State::Deletions) => return Ok(Next::NoDeletion(end)),
                (Markup::Open(name) | Markup::Close(name), State::Deletions)
                    if self.buffer[name.clone()] != self.root[..] && !is_record(&self.buffer[name.clone()]) =>
                {
                    return Ok(Next::NoDeletion(end));
                }
                (_, State::Epilog) => return Err(self.malformed(start, "something after the end of the document")),
                _ => return Err(self.malformed(start, "an element where none belongs")),
            }
        }
    }

    /// Handles text in place of markup.
    fn stray_text(&mut self) -> Result<Next, SplitError> {
        const WHAT: &str = "text outside of any record";
        match self.state {
            State::Set => Ok(Next::Garbage(Defect::Malformed(WHAT))),
            State::Deletions => loop {
                let rest = &self.buffer[self.at..self.filled];
                let length = rest.len();
                if let Some(markup) = memchr::memchr(b'<', rest) {
                    return Ok(Next::NoDeletion(self.at + markup));
                }
                // One text is one item, however it is buffered; a very long one is several.
                if length > self.max_record_bytes || !self.fill_from(self.at)? {
                    return Ok(Next::NoDeletion(self.filled));
                }
            },
            State::Start | State::Prolog | State::Epilog => Err(self.malformed(self.at, WHAT)),
        }
    }

    /// Whether an instruction outside of any set is an XML declaration; an error if its encoding is unsupported.
    fn is_declaration(&self, end: usize) -> Result<bool, SplitError> {
        let Some(rest) = self.buffer[self.at..end].strip_prefix(b"<?xml") else { return Ok(false) };
        if !rest.first().is_some_and(u8::is_ascii_whitespace) {
            return Ok(false); // an instruction with a longer name
        }
        match markup::attribute_value(&rest[..rest.len() - 2], 0, b"encoding").map(String::from_utf8_lossy) {
            Some(encoding) if !["utf-8", "utf8", "us-ascii"].contains(&encoding.to_ascii_lowercase().as_str()) => {
                Err(SplitError::Encoding(encoding.into_owned()))
            }
            _ => Ok(true),
        }
    }

    /// The state after deletions, which are in a set or bare.
    fn after_deletions(&self) -> State {
        if self.root.is_empty() { State::Epilog } else { State::Set }
    }

    /// Skips a byte order mark, with which a concatenated document may start.
    fn passes_byte_order_mark(&mut self) -> Result<bool, SplitError> {
        while BYTE_ORDER_MARK.starts_with(&self.buffer[self.at..self.filled]) && self.fill_from(self.at)? {}
        let found = self.buffer[self.at..self.filled].starts_with(&BYTE_ORDER_MARK);
        if found {
            self.at += BYTE_ORDER_MARK.len();
        }
        Ok(found)
    }

    /// The markup at `self.at`, reading input until it is complete.
    fn markup_at_next(&mut self) -> Result<(Markup, usize), SplitError> {
        loop {
            match markup::scan(&self.buffer[..self.filled], self.at) {
                Scan::Found(markup, end) => return Ok((markup, end)),
                Scan::Malformed(what) => return Err(self.malformed(self.at, what)),
                Scan::Beyond(bound) => return Err(self.malformed(self.at, bound.as_str())),
                Scan::NeedMore => {
                    if self.filled - self.at > self.max_record_bytes {
                        return Err(self.malformed(self.at, "markup without end"));
                    }
                    if !self.fill_from(self.at)? {
                        return Err(self.truncated());
                    }
                }
            }
        }
    }
}
