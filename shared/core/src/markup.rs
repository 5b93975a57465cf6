//! Recognises one piece of XML markup at a time in a byte buffer that may still grow.
//!
//! Nothing is decoded or copied. Well-formedness is checked within each piece: names, attributes (quoted, no `<`),
//! references (the five of XML and numeric ones; PubMed declares no entities, and none are ever expanded), and two
//! bounds far above any real record ([`Beyond`]), so that work on one element is bounded.

use std::fmt;
use std::ops::Range;

use super::work;

/// Maximum number of attributes of an element; PubMed's own have five, formulas about ten.
pub const MAX_ATTRIBUTES: usize = 64;

/// Maximum length of a name, in bytes; PubMed's longest has 26.
pub const MAX_NAME_BYTES: usize = 256;

/// Well-formed so far, but over a bound of this parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// More than [`MAX_ATTRIBUTES`].
    Attributes,
    /// Longer than [`MAX_NAME_BYTES`].
    Name,
}

impl Beyond {
    /// A message that names the exceeded bound.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attributes => "an element with more than 64 attributes",
            Self::Name => "a name of more than 256 bytes",
        }
    }
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Beyond {}

/// Why markup is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Malformed(&'static str),
    Beyond(Beyond),
}

impl From<&'static str> for Wrong {
    fn from(what: &'static str) -> Self {
        Self::Malformed(what)
    }
}

impl From<Wrong> for Scan {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Malformed(what) => Self::Malformed(what),
            Wrong::Beyond(bound) => Self::Beyond(bound),
        }
    }
}

/// A piece of markup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Markup {
    /// `<name …>`; the range is the name.
    Open(Range<usize>),
    /// `<name …/>`
    Empty(Range<usize>),
    /// `</name>`
    Close(Range<usize>),
    /// `<!-- … -->`
    Comment,
    /// `<![CDATA[ … ]]>`; the range is the text inside.
    Cdata(Range<usize>),
    /// `<? … ?>`
    Instruction,
    /// `<!DOCTYPE … >` without an internal subset.
    Doctype,
    /// `<!DOCTYPE … [`: refused, it could declare entities.
    InternalSubset,
}

/// Result of scanning a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Markup, and the position after it.
    Found(Markup, usize),
    /// The buffer ends inside the markup.
    NeedMore,
    /// Not XML, and why.
    Malformed(&'static str),
    /// Markup over a bound.
    Beyond(Beyond),
}

/// Positions of the buffer before which no end of markup was found by an earlier scan. Without them, a buffer of
/// unclosed markup would be searched to its end for each opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endless {
    /// No `]]>` starts before this position.
    pub cdata: usize,
    /// No `?>` starts before this position.
    pub instruction: usize,
}

/// Reads the markup at `at`, where `buffer[at]` is `<`.
pub fn scan(buffer: &[u8], at: usize) -> Scan {
    scan_knowing(buffer, at, Endless::default())
}

/// Like [`scan`], without searching for an end where `endless` excludes one.
pub fn scan_knowing(buffer: &[u8], at: usize, endless: Endless) -> Scan {
    match buffer.get(at + 1) {
        None => Scan::NeedMore,
        Some(b'/') => close_tag(buffer, at),
        Some(b'!') => declaration(buffer, at, endless),
        Some(b'?') => ends_with(buffer, at + 2, b"?>", endless.instruction, |_| Markup::Instruction),
        Some(_) => open_tag::<true>(buffer, at).unwrap_or_else(Scan::from),
    }
}

/// Like [`scan`] without bounds, in one pass over the tag: for callers that skip markup without reading it. Duplicate
/// attributes are not detected.
pub fn scan_unbounded(buffer: &[u8], at: usize) -> Scan {
    match buffer.get(at + 1) {
        None | Some(b'/' | b'!' | b'?') => scan(buffer, at),
        Some(_) => open_tag::<false>(buffer, at).unwrap_or_else(Scan::from),
    }
}

/// Scans the reference at an `&`: the position after it, or none if the buffer ends before.
pub fn scan_reference(buffer: &[u8], at: usize) -> Result<Option<usize>, &'static str> {
    // The longest legal one, `&#x10FFFF;`, has ten bytes; leading zeros make it longer.
    const MAX_REFERENCE_BYTES: usize = 32;
    let rest = &buffer[at + 1..];
    let window = &rest[..rest.len().min(MAX_REFERENCE_BYTES)];
    let Some(length) = memchr::memchr(b';', window) else {
        return if rest.len() < MAX_REFERENCE_BYTES { Ok(None) } else { Err("an '&' that starts no reference") };
    };
    let name = &window[..length];
    let known = match name {
        b"amp" | b"lt" | b"gt" | b"quot" | b"apos" => true,
        [b'#', b'x', digits @ ..] => is_char(digits, 16),
        [b'#', digits @ ..] => is_char(digits, 10),
        _ => false,
    };
    if known { Ok(Some(at + 1 + length + 1)) } else { Err("an undefined entity reference") }
}

fn is_char(digits: &[u8], radix: u32) -> bool {
    std::str::from_utf8(digits)
        .ok()
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|digits| u32::from_str_radix(digits, radix).ok())
        .and_then(char::from_u32)
        .is_some_and(|c| c >= ' ' || matches!(c, '\t' | '\n' | '\r'))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':') || byte >= 0x80
}

/// Bytes that may continue a name; a table, because every byte of every name is checked.
const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'-' | b'.') || b >= 0x80;
        byte += 1;
    }
    table
};

fn name_end(buffer: &[u8], at: usize) -> usize {
    let end = buffer[at..].iter().position(|&b| !NAME[usize::from(b)]).map_or(buffer.len(), |n| at + n);
    work::add(end - at);
    end
}

fn skip_space(buffer: &[u8], at: usize) -> usize {
    let end = buffer[at..].iter().position(|&b| !is_space(b)).map_or(buffer.len(), |n| at + n);
    work::add(end - at);
    end
}

fn close_tag(buffer: &[u8], at: usize) -> Scan {
    let start = at + 2;
    let end = name_end(buffer, start);
    let after = skip_space(buffer, end);
    match buffer.get(after) {
        None => Scan::NeedMore,
        Some(b'>') if end > start && is_name_start(buffer[start]) => Scan::Found(Markup::Close(start..end), after + 1),
        Some(_) => Scan::Malformed("an invalid closing tag"),
    }
}

/// Names of attributes read so far in a tag.
struct Seen<'b> {
    /// Nearly all tags have at most eight.
    first: [&'b [u8]; 8],
    count: usize,
    more: Vec<&'b [u8]>,
}

impl<'b> Seen<'b> {
    fn new() -> Self {
        Self { first: [&[]; 8], count: 0, more: Vec::new() }
    }

    /// Adds a name; a duplicate is an error.
    fn add(&mut self, name: &'b [u8]) -> Result<(), Wrong> {
        if self.count == MAX_ATTRIBUTES {
            return Err(Wrong::Beyond(Beyond::Attributes));
        }
        work::add(self.count);
        let first = &self.first[..self.count.min(self.first.len())];
        if first.contains(&name) || self.more.contains(&name) {
            return Err(Wrong::Malformed("a duplicate attribute"));
        }
        match self.first.get_mut(self.count) {
            Some(place) => *place = name,
            None => self.more.push(name),
        }
        self.count += 1;
        Ok(())
    }
}

fn open_tag<const BOUNDED: bool>(buffer: &[u8], at: usize) -> Result<Scan, Wrong> {
    let start = at + 1;
    if !is_name_start(buffer[start]) {
        return Err(Wrong::Malformed("a '<' that starts no tag"));
    }
    let name = start..tag_name_end::<BOUNDED>(buffer, start)?;
    let mut at = name.end;
    if buffer.get(at) == Some(&b'>') {
        return Ok(Scan::Found(Markup::Open(name), at + 1));
    }
    let mut seen = Seen::new();
    loop {
        let after = skip_space(buffer, at);
        match buffer.get(after) {
            None => return Ok(Scan::NeedMore),
            Some(b'>') => return Ok(Scan::Found(Markup::Open(name), after + 1)),
            Some(b'/') => {
                return match buffer.get(after + 1) {
                    None => Ok(Scan::NeedMore),
                    Some(b'>') => Ok(Scan::Found(Markup::Empty(name), after + 2)),
                    Some(_) => Err(Wrong::Malformed("a '/' inside a tag")),
                };
            }
            Some(_) if after == at => return Err(Wrong::Malformed("a name with an illegal character")),
            Some(_) => match attribute::<BOUNDED>(buffer, after)? {
                Some((name, _, end)) => {
                    if BOUNDED {
                        seen.add(&buffer[name])?;
                    }
                    at = end;
                }
                None => return Ok(Scan::NeedMore),
            },
        }
    }
}

/// The end of the name of an element or attribute, within the bound if there is one.
fn tag_name_end<const BOUNDED: bool>(buffer: &[u8], at: usize) -> Result<usize, Wrong> {
    if !BOUNDED {
        return Ok(name_end(buffer, at));
    }
    let end = name_end(&buffer[..buffer.len().min(at + MAX_NAME_BYTES + 1)], at);
    if end - at > MAX_NAME_BYTES { Err(Wrong::Beyond(Beyond::Name)) } else { Ok(end) }
}

type Attribute = (Range<usize>, Range<usize>, usize);

/// Reads `name="value"`: the ranges of both and the position after; none if the buffer ends.
fn attribute<const BOUNDED: bool>(buffer: &[u8], at: usize) -> Result<Option<Attribute>, Wrong> {
    if !is_name_start(buffer[at]) {
        return Err(Wrong::Malformed("an attribute without a name"));
    }
    let name = at..tag_name_end::<BOUNDED>(buffer, at)?;
    let equals = skip_space(buffer, name.end);
    match buffer.get(equals) {
        None => return Ok(None),
        Some(b'=') => {}
        Some(_) => return Err(Wrong::Malformed("an attribute without a value")),
    }
    let open = skip_space(buffer, equals + 1);
    let quote = match buffer.get(open) {
        None => return Ok(None),
        Some(&quote @ (b'"' | b'\'')) => quote,
        Some(_) => return Err(Wrong::Malformed("an attribute value without quotes")),
    };
    let mut at = open + 1;
    loop {
        let found = memchr::memchr3(quote, b'<', b'&', &buffer[at..]);
        work::add(found.unwrap_or(buffer.len() - at) + 1);
        match found.map(|n| at + n) {
            None => return Ok(None),
            Some(end) if buffer[end] == quote => return Ok(Some((name, open + 1..end, end + 1))),
            Some(end) if buffer[end] == b'<' => return Err(Wrong::Malformed("a '<' in an attribute value")),
            Some(reference) => match scan_reference(buffer, reference)? {
                Some(end) => at = end,
                None => return Ok(None),
            },
        }
    }
}

/// The raw name and value of the attribute at or after `at` in a tag that was scanned before, and the position after
/// it; none if the tag has no more.
pub fn next_attribute(buffer: &[u8], at: usize) -> Option<(Range<usize>, Range<usize>, usize)> {
    let at = skip_space(buffer, at);
    if is_name_start(*buffer.get(at)?) { attribute::<false>(buffer, at).ok()? } else { None }
}

/// The raw value of an attribute of the tag whose name ends at `name_end`.
pub fn attribute_value<'a>(buffer: &'a [u8], name_end: usize, wanted: &[u8]) -> Option<&'a [u8]> {
    let mut at = name_end;
    while let Some((name, value, end)) = next_attribute(buffer, at) {
        if &buffer[name] == wanted {
            return Some(&buffer[value]);
        }
        at = end;
    }
    None
}

fn declaration(buffer: &[u8], at: usize, endless: Endless) -> Scan {
    let rest = &buffer[at..];
    let starts = |with: &[u8]| rest.starts_with(with);
    let may_become = |with: &[u8]| rest.len() < with.len() && with.starts_with(rest);
    if starts(b"<!--") {
        return match find(buffer, at + 4, b"--") {
            None => Scan::NeedMore,
            Some(end) => match buffer.get(end + 2) {
                None => Scan::NeedMore,
                Some(b'>') => Scan::Found(Markup::Comment, end + 3),
                Some(_) => Scan::Malformed("a '--' inside a comment"),
            },
        };
    }
    if starts(b"<![CDATA[") {
        return ends_with(buffer, at + 9, b"]]>", endless.cdata, Markup::Cdata);
    }
    if starts(b"<!DOCTYPE") {
        return doctype(buffer, at + 9);
    }
    if [&b"<!--"[..], b"<![CDATA[", b"<!DOCTYPE"].into_iter().any(may_become) {
        return Scan::NeedMore;
    }
    Scan::Malformed("an unknown '<!' declaration")
}

fn ends_with(
    buffer: &[u8],
    from: usize,
    end: &[u8],
    not_before: usize,
    markup: impl Fn(Range<usize>) -> Markup,
) -> Scan {
    match find(buffer, from.max(not_before), end) {
        Some(at) => Scan::Found(markup(from..at), at + end.len()),
        None => Scan::NeedMore,
    }
}

/// Position of `what`, from a position on.
fn find(buffer: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let rest = buffer.get(from..)?;
    let found = memchr::memmem::find(rest, what);
    work::add(found.unwrap_or(rest.len()) + 1);
    found.map(|n| from + n)
}

fn doctype(buffer: &[u8], mut at: usize) -> Scan {
    while let Some(&byte) = buffer.get(at) {
        work::add(1);
        match byte {
            b'>' => return Scan::Found(Markup::Doctype, at + 1),
            b'[' => return Scan::Found(Markup::InternalSubset, at + 1),
            b'<' => return Scan::Malformed("a '<' in the document type"),
            quote @ (b'"' | b'\'') => match find(buffer, at + 1, &[quote]) {
                Some(end) => at = end + 1,
                None => return Scan::NeedMore,
            },
            _ => at += 1,
        }
    }
    Scan::NeedMore
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &Scan) {
        assert_eq!(&scan(text.as_bytes(), 0), expect, "{text}");
        // Every shorter buffer returns `NeedMore` instead of a guess.
        if let Scan::Found(_, end) = expect {
            for cut in 1..*end {
                assert_eq!(scan(&text.as_bytes()[..cut], 0), Scan::NeedMore, "{text} cut at {cut}");
            }
        }
    }

    #[test]
    fn markup_is_recognised_whatever_its_spelling() {
        check("<a>", &Scan::Found(Markup::Open(1..2), 3));
        check("<a:b-c.d\n x = '>' y=\"/>\" >z", &Scan::Found(Markup::Open(1..8), 26));
        check("<a/>", &Scan::Found(Markup::Empty(1..2), 4));
        check("<a b='1'/>", &Scan::Found(Markup::Empty(1..2), 10));
        check("</a \n>", &Scan::Found(Markup::Close(2..3), 6));
        check("<!-- </a> <b> -->", &Scan::Found(Markup::Comment, 17));
        check("<![CDATA[</a>]]]]>x", &Scan::Found(Markup::Cdata(9..15), 18));
        check("<?xml version='1.0'?>", &Scan::Found(Markup::Instruction, 21));
        check("<!DOCTYPE a PUBLIC '>[' \"]\">", &Scan::Found(Markup::Doctype, 28));
        check("<!DOCTYPE a [", &Scan::Found(Markup::InternalSubset, 13));
    }

    #[test]
    fn what_is_not_xml_is_refused() {
        for text in [
            "< a>",
            "<1>",
            "<a b>",
            "<a b=c>",
            "<a b='<'>",
            "<a b='&x;'>",
            "</>",
            "</a b>",
            "<!ELEMENT a>",
            "<a / >",
            "<a b='1'c='2'>",
            "<a$>",
            "<!-- -- -->",
            "<!-- --->",
            "<a b='1' b='2'>",
            "<a b='1' c='' b=\"1\"/>",
        ] {
            assert!(matches!(scan(text.as_bytes(), 0), Scan::Malformed(_)), "{text}");
        }
    }

    #[test]
    fn what_is_beyond_a_bound_says_which_however_much_of_it_has_come() {
        let attributes = |count: usize| (0..count).map(|n| format!(" a{n}='x'")).collect::<Vec<_>>().concat();
        let name = "n".repeat(MAX_NAME_BYTES);
        for within in [format!("<a{}>", attributes(MAX_ATTRIBUTES)), format!("<{name}>"), format!("<a {name}=''>")] {
            assert!(matches!(scan(within.as_bytes(), 0), Scan::Found(Markup::Open(_), end) if end == within.len()));
        }
        for (beyond, bound) in [
            (format!("<a{}", attributes(MAX_ATTRIBUTES + 1)), Beyond::Attributes),
            (format!("<a{}/>", attributes(100_000)), Beyond::Attributes),
            (format!("<{name}n"), Beyond::Name),
            (format!("<a b='' {name}n='1'"), Beyond::Name),
        ] {
            assert_eq!(scan(beyond.as_bytes(), 0), Scan::Beyond(bound));
        }
        for whole in [format!("<a{}>", attributes(100_000)), format!("<{name}n>"), format!("<a {name}n='1'>")] {
            let scanned = scan_unbounded(whole.as_bytes(), 0);
            assert!(matches!(scanned, Scan::Found(Markup::Open(_), end) if end == whole.len()), "{scanned:?}");
            assert_eq!(scan_unbounded(&whole.as_bytes()[..whole.len() - 1], 0), Scan::NeedMore);
        }
        assert!(Beyond::Attributes.as_str().contains(&MAX_ATTRIBUTES.to_string()));
        assert!(Beyond::Name.as_str().contains(&MAX_NAME_BYTES.to_string()));
        let twice = format!("<a{} a40='y'>", attributes(50));
        assert_eq!(scan(twice.as_bytes(), 0), Scan::Malformed("a duplicate attribute"));
    }

    #[test]
    fn only_references_that_need_no_declaration_are_known() {
        for good in ["&amp;", "&#x2009;", "&#956;", "&#0009;", "&#x1F9EC;"] {
            assert_eq!(scan_reference(good.as_bytes(), 0), Ok(Some(good.len())), "{good}");
        }
        for bad in ["&nbsp;", "&;", "&#;", "&#x;", "&#xD800;", "&#0;", "&#+9;", "&#x110000;", "& and ;"] {
            assert!(scan_reference(bad.as_bytes(), 0).is_err(), "{bad}");
        }
        assert_eq!(scan_reference(b"&am", 0), Ok(None));
    }
}
