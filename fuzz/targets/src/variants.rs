//! Variants of an input, for a replay without libFuzzer: a few bytes changed, removed, repeated, or copied from
//! another.

use fastrand::Rng;

/// Pieces to insert into inputs: markup, whole or in parts, and separators.
const PIECES: [&str; 40] = [
    "<",
    ">",
    "</",
    "/>",
    "<!--",
    "-->",
    "--",
    "<![CDATA[",
    "]]>",
    "<?",
    "?>",
    "<!DOCTYPE PubmedArticleSet>",
    "[",
    "&",
    ";",
    "&amp;",
    "&#x3bc;",
    "&#0;",
    "&#",
    "'",
    "\"",
    "=",
    " a='1'",
    "<a>",
    "</a>",
    "<a/>",
    "<PubmedArticleSet>",
    "</PubmedArticleSet>",
    "<PubmedArticle>",
    "</PubmedArticle>",
    "<DeleteCitation>",
    "</DeleteCitation>",
    "<PMID Version='1'>1</PMID>",
    "\r\n",
    "\0",
    "é",
    "?versionId=",
    "%2F",
    "/../",
    "\u{a0}",
];

/// The `n`th variant of an input: up to four changes, the same in every run. `other` is another input.
pub fn variant(input: &[u8], other: &[u8], n: u64) -> Vec<u8> {
    let mut random = Rng::with_seed(crate::seed_of(input) ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes = input.to_vec();
    for _ in 0..random.usize(1..=4) {
        change(&mut bytes, other, &mut random);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Rng) {
    let at = random.usize(..=bytes.len());
    let end = (at + random.usize(..16)).min(bytes.len());
    match random.u8(..8) {
        0 if at < bytes.len() => bytes[at] = random.u8(..),
        1 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        4 => bytes.truncate(at),
        5 if !other.is_empty() => {
            let from = random.usize(..other.len());
            let to = (from + random.usize(..64)).min(other.len());
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        // Changes a name to another name.
        6 if bytes.get(at).is_some_and(u8::is_ascii_alphabetic) => bytes.insert(at, random.u8(b'a'..=b'z')),
        _ => {
            let piece = PIECES[random.usize(..PIECES.len())];
            bytes.splice(at..at, piece.bytes());
        }
    }
}
