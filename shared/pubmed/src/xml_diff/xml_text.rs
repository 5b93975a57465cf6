//! Differences as text: plain if there is no markup, else XML.

use crate::same_xml::counts;
use crate::text_form::TextForm;
use crate::work;
use crate::xml_tree::Child;

/// The value of a child: its text, or its XML if it has attributes or elements.
pub(super) fn value(child: &Child<'_, '_>) -> String {
    match child {
        Child::Element(element) if element.attributes().is_empty() && element.elements().next().is_none() => {
            element.raw_text().into_owned()
        }
        Child::Element(_) => {
            let mut xml = String::new();
            write(child, &mut xml);
            xml
        }
        Child::Text(text) => text.to_string(),
    }
}

/// Writes a child as XML: attributes sorted by name, no white space between elements.
pub(super) fn write(child: &Child<'_, '_>, out: &mut String) {
    work::add(1);
    match child {
        Child::Text(text) => out.push_str(&TextForm::Html.escape(text.as_ref().into())),
        Child::Element(element) => {
            out.push('<');
            out.push_str(element.name());
            let mut attributes: Vec<_> = element.attributes().iter().collect();
            attributes.sort_unstable();
            for (key, value) in attributes {
                write_attribute(key, value, out);
            }
            out.push('>');
            for child in element.children().filter(|child| counts(*element, child)) {
                write(&child, out);
            }
            out.push_str("</");
            out.push_str(element.name());
            out.push('>');
        }
    }
}

pub(super) fn write_attribute(key: &str, value: &str, out: &mut String) {
    // A parser would replace tabs and line breaks by spaces.
    let value = TextForm::Html.escape(value.into()).replace('\n', "&#10;").replace('\t', "&#9;");
    for part in [" ", key, "=\"", &value, "\""] {
        out.push_str(part);
    }
}
