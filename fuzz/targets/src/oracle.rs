//! An independent XML reader: quick-xml, restricted to what `shared::pubmed` documents where quick-xml accepts more
//! (names, attributes, references, where text may be).

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use shared::pubmed::markup::{MAX_ATTRIBUTES, MAX_NAME_BYTES};
use shared::pubmed::split::MAX_DEPTH;

#[derive(Clone, Debug)]
pub struct Element {
    /// The name, including its prefix.
    pub name: String,
    /// Attributes in document order, values normalised.
    pub attributes: Vec<(String, String)>,
    /// Elements and texts; texts are not empty and not adjacent.
    pub children: Vec<Child>,
    /// The element's bytes in the document.
    pub span: Range<usize>,
}

#[derive(Clone, Debug)]
pub enum Child {
    Element(Element),
    /// A text with resolved references.
    Text(String),
}

/// The top level of a document.
#[derive(Debug, Default)]
pub struct Document {
    /// The top-level elements; a well-formed document has one.
    pub elements: Vec<Element>,
    /// Position of the last document type.
    pub document_type: Option<usize>,
    /// Positions and texts of XML declarations outside of elements.
    pub declarations: Vec<(usize, String)>,
}

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    Malformed(String),
    /// Well-formed so far, but beyond a documented limit.
    Beyond,
    /// The two readers may differ: white space that XML does not allow, references with many leading zeros.
    Undecided,
}

fn malformed<T>(what: &str) -> Result<T, Refusal> {
    Err(Refusal::Malformed(what.to_owned()))
}

/// White space of XML.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Parses exactly one element, surrounded only by comments, processing instructions and white space.
pub fn element(xml: &str) -> Result<Element, Refusal> {
    let mut document = read(xml)?;
    match (document.elements.len(), document.document_type) {
        (1, None) => Ok(document.elements.remove(0)),
        (_, Some(_)) => malformed("a document type"),
        _ => malformed("not one element"),
    }
}

pub fn read(xml: &str) -> Result<Document, Refusal> {
    if xml.starts_with('\u{feff}') {
        return malformed("a byte order mark");
    }
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_comments = true;
    let mut document = Document::default();
    let mut open: Vec<Element> = Vec::new();
    loop {
        let start = position(&reader);
        let event = reader.read_event().map_err(|error| Refusal::Malformed(error.to_string()))?;
        let end = position(&reader);
        match event {
            Event::Start(_) | Event::Empty(_) if open.len() == MAX_DEPTH => return Err(Refusal::Beyond),
            Event::Start(tag) => open.push(opened(&tag, start..end)?),
            Event::Empty(tag) => place(opened(&tag, start..end)?, &mut open, &mut document),
            Event::End(_) => {
                let Some(mut element) = open.pop() else { return malformed("a closing tag without its opening tag") };
                element.span.end = end;
                place(element, &mut open, &mut document);
            }
            Event::Text(raw) => text(&line_ends(&raw), &mut open)?,
            Event::GeneralRef(_) if open.is_empty() => return malformed("a reference outside of elements"),
            Event::GeneralRef(name) => text(&resolve(&name)?.to_string(), &mut open)?,
            Event::CData(_) if open.is_empty() => return malformed("a CDATA section outside of elements"),
            Event::CData(raw) => text(&line_ends(&raw), &mut open)?,
            Event::Decl(_) if open.is_empty() => document.declarations.push((start, xml[start..end].to_owned())),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::DocType(inside) => {
                if !open.is_empty() || !xml[start..].starts_with("<!DOCTYPE") || inside.contains(['[', '<']) {
                    return malformed("a document type that is not read");
                }
                document.document_type = Some(start);
            }
            Event::Eof if open.is_empty() => return Ok(document),
            Event::Eof => return malformed("an element that is not closed"),
        }
    }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).expect("documents are in memory")
}

fn opened(tag: &BytesStart<'_>, span: Range<usize>) -> Result<Element, Refusal> {
    Ok(Element { name: name(tag.name().0)?.to_owned(), attributes: attributes(tag)?, children: Vec::new(), span })
}

fn place(element: Element, open: &mut [Element], document: &mut Document) {
    match open.last_mut() {
        Some(parent) => parent.children.push(Child::Element(element)),
        None => document.elements.push(element),
    }
}

fn text(text: &str, open: &mut [Element]) -> Result<(), Refusal> {
    let Some(parent) = open.last_mut() else {
        return match text.trim_matches(SPACE) {
            "" => Ok(()),
            rest if rest.trim_matches(|c: char| c.is_whitespace() || c == '\u{c}').is_empty() => {
                Err(Refusal::Undecided)
            }
            _ => malformed("text outside of elements"),
        };
    };
    match parent.children.last_mut() {
        Some(Child::Text(before)) => before.push_str(text),
        _ if text.is_empty() => {}
        _ => parent.children.push(Child::Text(text.to_owned())),
    }
    Ok(())
}

fn name(name: &str) -> Result<&str, Refusal> {
    let starts = |c: char| c.is_ascii_alphabetic() || "_:".contains(c) || !c.is_ascii();
    let continues = |c: char| starts(c) || c.is_ascii_digit() || "-.".contains(c);
    if !name.starts_with(starts) || !name.chars().all(continues) {
        return malformed("a name that is none");
    }
    if name.len() > MAX_NAME_BYTES { Err(Refusal::Beyond) } else { Ok(name) }
}

/// The attributes of a tag. quick-xml finds them and refuses duplicates; the text between them is checked here.
fn attributes(tag: &BytesStart<'_>) -> Result<Vec<(String, String)>, Refusal> {
    let mut found = Vec::new();
    let mut rest = tag.attributes_raw();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| Refusal::Malformed(error.to_string()))?;
        if !rest.starts_with(SPACE) {
            return malformed("no white space before an attribute");
        }
        let quoted = rest
            .trim_start_matches(SPACE)
            .strip_prefix(name(attribute.key.0)?)
            .and_then(|rest| rest.trim_start_matches(SPACE).strip_prefix('='))
            .map(|rest| rest.trim_start_matches(SPACE));
        let Some((quote, inside)) = quoted.and_then(|rest| rest.split_at_checked(1)) else {
            return malformed("an attribute without a value");
        };
        let after = inside.strip_prefix(&*attribute.value).and_then(|rest| rest.strip_prefix(quote));
        let Some(after) = after.filter(|_| ["'", "\""].contains(&quote)) else {
            return malformed("a value that is not quoted");
        };
        found.push((attribute.key.0.to_owned(), value(&attribute.value)?));
        rest = after;
    }
    if !rest.trim_start_matches(SPACE).is_empty() {
        return malformed("something behind the attributes");
    }
    if found.len() > MAX_ATTRIBUTES { Err(Refusal::Beyond) } else { Ok(found) }
}

/// The normalised value of an attribute: white space becomes spaces, unless it was written as a reference.
fn value(raw: &str) -> Result<String, Refusal> {
    if raw.contains('<') {
        return malformed("a '<' in a value");
    }
    let mut value = String::new();
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('&') {
        let Some((name, after)) = after.split_once(';') else { return malformed("a reference that does not end") };
        value.push_str(&line_ends(before).replace(['\n', '\t'], " "));
        value.push(resolve(name)?);
        rest = after;
    }
    value.push_str(&line_ends(rest).replace(['\n', '\t'], " "));
    Ok(value)
}

fn line_ends(raw: &str) -> String {
    raw.replace("\r\n", "\n").replace('\r', "\n")
}

/// The character of a named reference: XML declares five names, and PubMed none.
fn resolve(name: &str) -> Result<char, Refusal> {
    let declared = [("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\'')];
    if let Some((_, c)) = declared.iter().find(|(of, _)| *of == name) {
        return Ok(*c);
    }
    let code = match (name.strip_prefix("#x"), name.strip_prefix('#')) {
        (Some(hex), _) if hex.chars().all(|c| c.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16),
        (None, Some(decimal)) if decimal.chars().all(|c| c.is_ascii_digit()) => decimal.parse(),
        _ => return malformed("a reference that nothing declares"),
    };
    match code.ok().and_then(char::from_u32).filter(|c| *c >= ' ' || SPACE.contains(c)) {
        Some(_) if name.len() > 30 => Err(Refusal::Undecided),
        Some(c) => Ok(c),
        None => malformed("a reference to no character"),
    }
}
