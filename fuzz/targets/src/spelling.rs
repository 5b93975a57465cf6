//! Other spellings of a tree, and changed trees.

use std::fmt::Write;

use fastrand::Rng;

use crate::oracle::{Child, Element};

/// The tree as XML, spelled randomly: order of attributes, quotes, references, CDATA sections, comments, the form of
/// empty tags and of line ends.
pub fn spell(element: &Element, random: &mut Rng) -> String {
    let mut xml = String::new();
    write(element, random, &mut xml);
    xml
}

fn write(element: &Element, random: &mut Rng, xml: &mut String) {
    xml.push('<');
    xml.push_str(&element.name);
    let mut attributes: Vec<_> = element.attributes.iter().collect();
    random.shuffle(&mut attributes);
    for (name, value) in attributes {
        let quote = if random.bool() { '"' } else { '\'' };
        xml.push_str([" ", "\n", "\t  "][random.usize(..3)]);
        xml.push_str(name);
        xml.push_str(["=", " = "][random.usize(..2)]);
        xml.push(quote);
        value.chars().for_each(|c| write_in_value(c, quote, random, xml));
        xml.push(quote);
    }
    if element.children.is_empty() && random.bool() {
        xml.push_str([" />", "/>"][random.usize(..2)]);
        return;
    }
    xml.push_str([">", " >"][random.usize(..2)]);
    for child in &element.children {
        xml.push_str(["", "", "", "<!-- a comment -->", "<?an instruction?>"][random.usize(..5)]);
        match child {
            Child::Element(element) => write(element, random, xml),
            Child::Text(text) if random.bool() && !text.contains("]]>") && !text.contains('\r') => {
                let _ = write!(xml, "<![CDATA[{text}]]>");
            }
            Child::Text(text) => text.chars().for_each(|c| write_in_text(c, random, xml)),
        }
    }
    let _ = write!(xml, "</{}{}>", element.name, ["", " "][random.usize(..2)]);
}

fn write_in_text(c: char, random: &mut Rng, xml: &mut String) {
    match (c, random.u8(..16)) {
        ('\n', 0..4) => xml.push_str("\r\n"),
        ('<', 4..) => xml.push_str("&lt;"),
        ('&', 4..) => xml.push_str("&amp;"),
        ('>', 4..8) => xml.push_str("&gt;"),
        ('<' | '&' | '\r', _) => reference(c, random, xml),
        (c, 0) if c >= ' ' => reference(c, random, xml),
        (c, _) => xml.push(c),
    }
}

fn write_in_value(c: char, quote: char, random: &mut Rng, xml: &mut String) {
    match (c, random.u8(..16)) {
        (' ', 0..4) => xml.push_str(["\n", "\t", "\r\n", "&#32;"][random.usize(..4)]),
        ('"', 4..) => xml.push_str("&quot;"),
        ('\'', 4..) => xml.push_str("&apos;"),
        ('<' | '&' | '\r' | '\n' | '\t', _) => reference(c, random, xml),
        (c, 0) if c >= ' ' => reference(c, random, xml),
        (c, _) if c == quote => reference(c, random, xml),
        (c, _) => xml.push(c),
    }
}

fn reference(c: char, random: &mut Rng, xml: &mut String) {
    let code = u32::from(c);
    let _ = match random.u8(..3) {
        0 => write!(xml, "&#{code};"),
        1 => write!(xml, "&#x{code:x};"),
        _ => write!(xml, "&#x00{code:X};"),
    };
}

/// Makes one random change: of a name, an attribute or a text, or an additional child.
pub fn change(element: &mut Element, random: &mut Rng) {
    let inside: Vec<usize> =
        (0..element.children.len()).filter(|at| matches!(element.children[*at], Child::Element(_))).collect();
    if let Some(at) = random.choice(inside).filter(|_| random.u8(..4) > 0)
        && let Child::Element(child) = &mut element.children[at]
    {
        return change(child, random);
    }
    match random.u8(..4) {
        0 => element.name.push('x'),
        1 => match element.attributes.first_mut() {
            Some((_, value)) => value.push('x'),
            None => element.attributes.push(("added".to_owned(), String::new())),
        },
        2 => match element.children.last_mut() {
            Some(Child::Text(text)) => text.push('x'),
            _ => element.children.push(Child::Text("x".to_owned())),
        },
        _ => element.children.push(Child::Element(Element {
            name: "added".to_owned(),
            attributes: Vec::new(),
            children: Vec::new(),
            span: 0..0,
        })),
    }
}
