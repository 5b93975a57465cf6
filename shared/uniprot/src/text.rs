//! Text of an entry: lines joined, evidence taken out.
//!
//! Text that is on one line is borrowed from the entry; only what had to be put together is copied.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Text of an entry, borrowed from its bytes where that is possible.
pub type Text<'a> = Cow<'a, str>;

/// Starts evidence in free text.
const EVIDENCE_START: &str = "{ECO:";

/// The evidence of one value among several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attribution<'a> {
    /// The value, as it is written without evidence.
    pub value: Text<'a>,
    /// Evidence, such as `ECO:0000269|PubMed:10449296`.
    pub evidence: Vec<Text<'a>>,
}

/// The part of `whole` that `part`, a slice of it, covers: borrowed for as long as `whole` is.
pub(crate) fn within<'a>(whole: &Text<'a>, part: &str) -> Text<'a> {
    if let Cow::Borrowed(text) = *whole {
        let from = part.as_ptr().addr().checked_sub(text.as_ptr().addr());
        if let Some(found) = from.and_then(|from| text.get(from..from.checked_add(part.len())?)) {
            return Cow::Borrowed(found);
        }
    }
    Cow::Owned(part.to_owned())
}

/// Joins the lines of one statement.
///
/// Lines are broken at spaces, and after `-` and `/` inside of a word; a suspended hyphen ("N- and C-terminal") is
/// followed by a space.
pub(crate) fn join<'a>(lines: &[&'a str]) -> Text<'a> {
    match lines {
        [] => Cow::Borrowed(""),
        [line] => Cow::Borrowed(line.trim_ascii()),
        [first, rest @ ..] => {
            let mut text = String::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
            text.push_str(first.trim_ascii());
            for line in rest {
                append(&mut text, line.trim_ascii());
            }
            Cow::Owned(text)
        }
    }
}

/// Appends a continuation line.
pub(crate) fn append(text: &mut String, line: &str) {
    if !line.is_empty() {
        if !text.is_empty() && !breaks_inside_word(text, line) {
            text.push(' ');
        }
        text.push_str(line);
    }
}

fn breaks_inside_word(text: &str, next: &str) -> bool {
    let before = match text.as_bytes() {
        [.., before, b'-' | b'/'] => *before,
        _ => return false,
    };
    let first_word = next.split(' ').next().unwrap_or_default();
    before != b' ' && !(text.ends_with('-') && matches!(first_word, "and" | "or" | "to"))
}

/// Takes all evidence out of a text; what remains reads as if it had never had any.
///
/// `Cytoplasm {ECO:1}; Multi-pass {ECO:2}.` gives `Cytoplasm; Multi-pass.` and `ECO:1`, `ECO:2`, each once.
pub(crate) fn take_evidence<'a>(text: &Text<'a>) -> (Text<'a>, Vec<Text<'a>>) {
    let mut found = Vec::new();
    let Some(first) = memchr::memmem::find(text.as_bytes(), EVIDENCE_START.as_bytes()) else {
        return (text.clone(), found);
    };
    let mut kept = String::new();
    let mut at = 0;
    let mut start = first;
    while let Some(length) = text[start..].find('}') {
        let end = start + length + 1;
        add_evidence(&mut found, evidence_list(text, &text[start + 1..end - 1]));
        let mut before = &text[at..start];
        let mut next = end;
        if let Some(shorter) = before.strip_suffix("Evidence=") {
            before = shorter;
            next += usize::from(text[next..].starts_with(';'));
        }
        kept.push_str(before);
        kept.truncate(kept.trim_ascii_end().len());
        if kept.ends_with('.') && text[next..].starts_with('.') {
            next += 1;
        }
        at = next;
        match text[next..].find(EVIDENCE_START) {
            Some(further) => start = next + further,
            None => break,
        }
    }
    // Mostly one block at the end: what is before it is a slice.
    if text[at..].trim_ascii().is_empty() && text.starts_with(&*kept) {
        return (within(text, &text[..kept.len()]), found);
    }
    kept.push_str(&text[at..]);
    kept.truncate(kept.trim_ascii_end().len());
    (Cow::Owned(kept), found)
}

/// The evidence in a list `ECO:0000269|PubMed:1, ECO:0000305`; line breaks inside of one are undone.
pub(crate) fn evidence_list<'a>(whole: &Text<'a>, list: &str) -> Vec<Text<'a>> {
    let mut found: Vec<Text<'a>> = Vec::new();
    for part in list.split(',') {
        let part = part.trim_ascii();
        if part.is_empty() {
            continue;
        }
        // A source may contain a comma.
        if !part.starts_with("ECO:")
            && let Some(last) = found.last_mut()
        {
            let last = last.to_mut();
            last.push(',');
            last.push_str(part);
        } else if part.bytes().any(|b| b.is_ascii_whitespace()) {
            found.push(Cow::Owned(part.split_ascii_whitespace().collect()));
        } else {
            found.push(within(whole, part));
        }
    }
    found
}

/// Adds evidence that is not there yet.
pub(crate) fn add_evidence<'a>(to: &mut Vec<Text<'a>>, more: Vec<Text<'a>>) {
    for one in more {
        push_once(to, one);
    }
}

/// Adds a text unless it is among the last ones: a bound, so that the work stays linear in the size of the entry.
pub(crate) fn push_once<'a>(to: &mut Vec<Text<'a>>, one: Text<'a>) {
    const COMPARED: usize = 256;
    if !to.iter().rev().take(COMPARED).any(|other| *other == one) {
        to.push(one);
    }
}

/// Adds a second value where there should be one, so that none is lost.
pub(crate) fn add_item(text: &mut Text<'_>, more: &str) {
    let text = text.to_mut();
    text.push_str("; ");
    text.push_str(more);
}

/// A value without its evidence, which is added to `evidence` under the value.
pub(crate) fn attributed<'a>(text: &Text<'a>, evidence: &mut Vec<Attribution<'a>>) -> Text<'a> {
    let (value, found) = take_evidence(text);
    if !found.is_empty() {
        evidence.push(Attribution { value: value.clone(), evidence: found });
    }
    value
}

/// Without the one full stop that ends a statement.
pub(crate) fn without_stop(text: &str) -> &str {
    let text = text.trim_ascii();
    text.strip_suffix('.').unwrap_or(text)
}

/// Splits at `, ` outside of evidence.
pub(crate) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut depth = 0_usize;
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth = depth.saturating_sub(1),
                b',' if depth == 0 && text[at + 1..].starts_with(' ') => {
                    rest = Some(&text[at + 2..]);
                    return Some(text[..at].trim_ascii());
                }
                _ => {}
            }
        }
        rest = None;
        Some(text.trim_ascii())
    })
    .filter(|part| !part.is_empty())
}

/// Splits a list over several lines at `separator`, where most lines end, so that items on one line are borrowed.
/// What ends the list stays with its last item, from which one `end` is removed.
pub(crate) fn split_lines<'a>(lines: &[&'a str], separator: char, end: char) -> Vec<Text<'a>> {
    let mut all: Vec<Text<'a>> = Vec::new();
    let mut is_open = false;
    for line in lines {
        let line = line.trim_ascii();
        for (n, item) in line.split(separator).map(str::trim_ascii).enumerate() {
            match all.last_mut() {
                Some(last) if n == 0 && is_open => append(last.to_mut(), item),
                _ if item.is_empty() => {}
                _ => all.push(Cow::Borrowed(item)),
            }
        }
        is_open = !line.ends_with(separator);
    }
    if let Some(last) = all.pop() {
        let item = within(&last, last.strip_suffix(end).unwrap_or(&last));
        all.extend((!item.is_empty()).then_some(item));
    }
    all
}

/// Splits `Key=value; Key=value;`.
///
/// A semicolon ends a value only at the end or before the next key: values have semicolons too (`Name=PIP2;8;`, DOIs).
pub(crate) fn split_statements(text: &str, starts: fn(&str) -> bool) -> impl Iterator<Item = &str> {
    let mut rest = text.trim_ascii();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        for at in memchr::memchr_iter(b';', rest.as_bytes()) {
            let after = &rest[at + 1..];
            let next = after.trim_ascii_start();
            if next.is_empty() || (next.len() < after.len() && starts(next)) {
                let found = &rest[..at];
                rest = next;
                return Some(found.trim_ascii());
            }
        }
        Some(std::mem::take(&mut rest))
    })
    .filter(|part| !part.is_empty() && *part != ";")
}

/// Whether a text starts with a key such as `Name=`, `Named isoforms=` or `PubMed=`.
pub(crate) fn starts_with_key(text: &str) -> bool {
    const MAX_KEY_BYTES: usize = 32;
    let head = &text.as_bytes()[..text.len().min(MAX_KEY_BYTES)];
    let Some(end) = memchr::memchr(b'=', head) else { return false };
    let is_key_byte = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'_' | b'(' | b')' | b'-');
    end > 0 && head[0].is_ascii_alphabetic() && head[..end].iter().all(is_key_byte) && head[end - 1] != b' '
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_joined_at_spaces_hyphens_and_slashes() {
        let check = |lines: &[&str], expect: &str| assert_eq!(join(lines), expect);
        check(&["one", "two"], "one two");
        check(&["O-phospho-L-tyrosyl-", "[protein]"], "O-phospho-L-tyrosyl-[protein]");
        check(&["colon/esophagus/", "gastric"], "colon/esophagus/gastric");
        check(&["the N-", "and C-termini"], "the N- and C-termini");
        check(&["a whim -", "Issue 127"], "a whim - Issue 127");
        check(&[], "");
    }

    #[test]
    fn evidence_is_taken_out() {
        let check = |text: &str, expect: &str, evidence: &[&str]| {
            let (left, found) = take_evidence(&Cow::Borrowed(text));
            assert_eq!(left, expect);
            assert_eq!(found, evidence);
        };
        check("Magnesium transporter. {ECO:1|PubMed:2}.", "Magnesium transporter.", &["ECO:1|PubMed:2"]);
        check("Cytoplasm {ECO:1}; Multi-pass {ECO:2, ECO:1}.", "Cytoplasm; Multi-pass.", &["ECO:1", "ECO:2"]);
        check("Name {ECO:1}", "Name", &["ECO:1"]);
        check("A. {ECO:1}. Note=B. {ECO:2}.", "A. Note=B.", &["ECO:1", "ECO:2"]);
        check("X=a; Evidence={ECO:1}; Y=b;", "X=a; Y=b;", &["ECO:1"]);
        check("no {set} here", "no {set} here", &[]);
        check("broken {ECO:1", "broken {ECO:1", &[]);
        check("wrapped {ECO:0000255| X:1}", "wrapped", &["ECO:0000255|X:1"]);
    }

    #[test]
    fn a_semicolon_inside_a_value_does_not_end_it() {
        let parts: Vec<_> = split_statements("PubMed=1; DOI=10.1002/3.0.CO;2-5;", starts_with_key).collect();
        assert_eq!(parts, ["PubMed=1", "DOI=10.1002/3.0.CO;2-5"]);
        let parts: Vec<_> = split_statements("Name=PIP2;8 {ECO:1}; Synonyms=A, B;", starts_with_key).collect();
        assert_eq!(parts, ["Name=PIP2;8 {ECO:1}", "Synonyms=A, B"]);
        assert_eq!(split_statements(";", starts_with_key).count(), 0);
    }

    #[test]
    fn a_list_over_lines_is_split() {
        let found = split_lines(&["Zinc; Cell", "cycle; DNA-", "binding;", "Lyase."], ';', '.');
        assert_eq!(found, ["Zinc", "Cell cycle", "DNA-binding", "Lyase"]);
        assert!(matches!(found[3], Cow::Borrowed(_)));
        assert_eq!(split_lines(&[";"], ',', ';').len(), 0);
    }

    #[test]
    fn a_list_is_split_outside_of_evidence() {
        let parts: Vec<_> = split_list("A {ECO:1, ECO:2}, B,C").collect();
        assert_eq!(parts, ["A {ECO:1, ECO:2}", "B,C"]);
    }

    proptest! {
        #[test]
        fn any_text_can_be_taken_apart(text in "[A-Za-z{}:;,. =ECO\u{e9}-]{0,60}") {
            let text: Text<'_> = Cow::Borrowed(&text);
            let (left, _) = take_evidence(&text);
            prop_assert!(left.len() <= text.len());
            let _ = split_list(&text).count() + split_statements(&text, starts_with_key).count();
        }
    }
}
