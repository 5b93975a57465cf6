//! Names of packs: `{prefix}/packs/{file}-{md5 first 8}.{n}.ndjson.zst`.
//!
//! The MD5 is that of the source file: a file that was changed under its name has packs of its own.

use std::fmt;
use std::num::NonZeroU32;

use crate::layout::Layout;
use crate::store::Key;

/// The extension of a pack.
const EXTENSION: &str = ".ndjson.zst";

/// Number of hexadecimal digits of the MD5 in a name.
const MD5_DIGITS: usize = 8;

/// Maximum length of the name of a source file, in bytes: with the rest it is below the limit of file systems.
const MAX_FILE_BYTES: usize = 200;

/// The name of a pack: its source file and part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackName {
    file: String,
    md5_start: String,
    part: NonZeroU32,
}

/// A source file cannot be part of the name of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPackName {
    /// The name of the file is not a plain one.
    #[error("the name of a packed file has 1 to {MAX_FILE_BYTES} letters, digits, '-', '_' and '.', first no '.'")]
    File,
    /// The MD5 is not hexadecimal.
    #[error("the MD5 of a packed file has 32 lower-case hexadecimal digits")]
    Md5,
}

impl PackName {
    /// The name of a part (from 1) of the pack of a file: its name without extension (`pubmed26n0001`), and the MD5 of
    /// its bytes in lower-case hexadecimal digits.
    pub fn new(file: &str, md5: &str, part: NonZeroU32) -> Result<Self, InvalidPackName> {
        if !is_file(file) {
            return Err(InvalidPackName::File);
        }
        let start =
            md5.get(..MD5_DIGITS).filter(|_| md5.len() == 32 && is_lower_hex(md5)).ok_or(InvalidPackName::Md5)?;
        Ok(Self { file: file.to_owned(), md5_start: start.to_owned(), part })
    }

    /// The name of a pack with this key; none for any other key.
    pub fn of_key(layout: &Layout, key: &Key) -> Option<Self> {
        let name = key.as_str().strip_prefix(&layout.packs())?.strip_suffix(EXTENSION)?;
        let (name, number) = name.rsplit_once('.')?;
        let part: NonZeroU32 = number.parse().ok()?;
        let (file, md5_start) = name.rsplit_once('-')?;
        let is_name = is_file(file) && md5_start.len() == MD5_DIGITS && is_lower_hex(md5_start);
        (is_name && part.to_string() == number).then(|| Self {
            file: file.to_owned(),
            md5_start: md5_start.to_owned(),
            part,
        })
    }

    /// The key of the pack.
    pub fn key(&self, layout: &Layout) -> Key {
        Key::new(format!("{}{self}", layout.packs()))
    }

    /// The common start of the keys of all parts of the pack.
    pub fn key_start(&self, layout: &Layout) -> String {
        format!("{}{}-{}.", layout.packs(), self.file, self.md5_start)
    }

    /// Name of the source file, without extension.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The first 8 digits of the MD5 of the source file.
    pub fn md5_start(&self) -> &str {
        &self.md5_start
    }

    /// Number of the part, from 1.
    pub fn part(&self) -> NonZeroU32 {
        self.part
    }
}

impl fmt::Display for PackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.{}{EXTENSION}", self.file, self.md5_start, self.part)
    }
}

fn is_file(name: &str) -> bool {
    (1..=MAX_FILE_BYTES).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::Compression;

    const MD5: &str = "0123abcd0123abcd0123abcd0123abcd";

    fn layout() -> Layout {
        Layout::new("a/pubmed", Compression::Gzip).expect("a valid prefix")
    }

    fn part(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).expect("from 1")
    }

    #[test]
    fn keys_are_the_published_ones() {
        let name = PackName::new("pubmed26n0001", MD5, part(2)).expect("a name");
        assert_eq!(name.key(&layout()).as_str(), "a/pubmed/packs/pubmed26n0001-0123abcd.2.ndjson.zst");
        assert_eq!(name.key_start(&layout()), "a/pubmed/packs/pubmed26n0001-0123abcd.");
        assert_eq!((name.file(), name.md5_start(), name.part()), ("pubmed26n0001", "0123abcd", part(2)));
    }

    #[test]
    fn other_files_are_refused() {
        let long = "a".repeat(MAX_FILE_BYTES + 1);
        for file in ["", ".hidden", "..", "a/b", "a b", "a?b", "é", long.as_str()] {
            assert_eq!(PackName::new(file, MD5, part(1)), Err(InvalidPackName::File), "{file}");
        }
        for md5 in
            [String::new(), MD5[..8].to_owned(), MD5.to_uppercase(), MD5.replace('a', "g"), MD5.replace("ab", "é")]
        {
            assert_eq!(PackName::new("a", &md5, part(1)), Err(InvalidPackName::Md5), "{md5}");
        }
    }

    #[test]
    fn other_keys_are_not_those_of_packs() {
        for name in [
            "packs/a-0123abcd.0.ndjson.zst",
            "packs/a-0123abcd.01.ndjson.zst",
            "packs/a-0123abcd.+1.ndjson.zst",
            "packs/a-0123abcd.4294967296.ndjson.zst",
            "packs/a-0123abcd.ndjson.zst",
            "packs/a-0123ABCD.1.ndjson.zst",
            "packs/a-0123abc.1.ndjson.zst",
            "packs/a-0123abcde.1.ndjson.zst",
            "packs/-0123abcd.1.ndjson.zst",
            "packs/b/a-0123abcd.1.ndjson.zst",
            "packs/a-0123abcd.1.ndjson.gz",
            "raw/a-0123abcd.1.ndjson.zst",
        ] {
            let key = Key::parse(&format!("a/pubmed/{name}")).expect("a key");
            assert_eq!(PackName::of_key(&layout(), &key), None, "{name}");
        }
        let elsewhere = Key::parse("pubmed/packs/a-0123abcd.1.ndjson.zst").expect("a key");
        assert_eq!(PackName::of_key(&layout(), &elsewhere), None);
    }

    proptest! {
        #[test]
        fn a_name_comes_back(file in "[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,30}", md5 in "[0-9a-f]{32}", n in 1..=u32::MAX) {
            let name = PackName::new(&file, &md5, part(n)).expect("a name");
            prop_assert_eq!(PackName::of_key(&layout(), &name.key(&layout())), Some(name));
        }
    }
}
