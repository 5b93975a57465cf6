//! Addresses of payloads: an object version, or a byte range and a line of a pack.
//!
//! `s3://bucket/key?versionId=V`, `file:///dir/key?versionId=V`, and either with `#bytes=OFF-LEN&line=N` for a part of
//! a pack. An address is parsed when a row is read; [`crate::Layout`] finds its key, which is always below the
//! archive's own prefix, regardless of the row.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::store::{ByteRange, Key, VersionId};

/// Characters of a path that are percent-encoded in a URI.
const PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`');

/// The address of a payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The original text: rows are compared by it.
    text: String,
    scheme: Scheme,
    /// The key in its bucket or memory; on disk the whole path, decoded.
    path: String,
    version: VersionId,
    part: Option<PackPart>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scheme {
    S3,
    File,
    Memory,
}

/// The position of an envelope in a pack: a line of the text of one compressed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PackPart {
    /// Byte range of the frame.
    pub bytes: ByteRange,
    /// Line number in the text of the frame, from 1.
    pub line: NonZeroU32,
}

/// Text that is not an address, or not the address of the requested payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the address of this payload: {fault}")]
pub struct InvalidAddress {
    pub text: String,
    /// What is wrong with it.
    pub fault: AddressFault,
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// No store has this scheme.
    #[error("it begins with neither s3:// nor file:///")]
    Scheme,
    /// The bucket is missing or invalid.
    #[error("it has no bucket")]
    Bucket,
    /// The path is invalid.
    #[error("its path is not that of an object")]
    Path,
    /// The version is missing or invalid.
    #[error("it has no version")]
    Version,
    /// The text after the version is not a position in a pack.
    #[error("the text after its version is not #bytes=OFFSET-LENGTH&line=N")]
    Part,
    /// The path has no folder of an archive.
    #[error("it is outside this archive")]
    Elsewhere,
    /// The object belongs to another record.
    #[error("it is the address of another object of this archive")]
    Other,
}

/// The root of a store: with a key and a version, it forms an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// A bucket.
    Bucket(String),
    /// A folder, by its absolute path.
    Folder(String),
    /// The memory of this process.
    Memory,
}

impl Root {
    /// The address of a version.
    pub fn address(&self, key: &Key, version: &VersionId) -> Address {
        let (scheme, path) = match self {
            Self::Bucket(_) => (Scheme::S3, key.to_string()),
            Self::Folder(folder) => (Scheme::File, below(folder, key)),
            Self::Memory => (Scheme::Memory, key.to_string()),
        };
        let text = format!("{}{version}", self.location(key));
        Address { text, scheme, path, version: version.clone(), part: None }
    }

    /// The common start of the addresses of a key: all but the version.
    pub fn location(&self, key: &Key) -> String {
        match self {
            Self::Bucket(bucket) => format!("s3://{bucket}/{key}?versionId="),
            Self::Folder(folder) => {
                format!("file://{}?versionId=", utf8_percent_encode(&below(folder, key), PATH))
            }
            Self::Memory => format!("memory:///{key}?versionId="),
        }
    }
}

/// The path of a key in a folder.
fn below(folder: &str, key: &Key) -> String {
    let slash = if folder.ends_with('/') { "" } else { "/" };
    format!("{folder}{slash}{key}")
}

impl Address {
    /// Parses an address.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        Self::read(text).map_err(|fault| InvalidAddress { text: text.to_owned(), fault })
    }

    fn read(text: &str) -> Result<Self, AddressFault> {
        let (location, query) = text.split_once('?').unwrap_or((text, ""));
        let (scheme, path) = if let Some(rest) = location.strip_prefix("s3://") {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if bucket.is_empty() || !bucket.bytes().all(is_name) {
                return Err(AddressFault::Bucket);
            }
            (Scheme::S3, Key::parse(key).ok_or(AddressFault::Path)?.to_string())
        } else if let Some(path) = location.strip_prefix("file://") {
            let path = percent_decode_str(path).decode_utf8().map_err(|_| AddressFault::Path)?;
            if !path.starts_with('/') || path.contains('\0') || location.contains('#') {
                return Err(AddressFault::Path);
            }
            (Scheme::File, path.into_owned())
        } else if let Some(key) = location.strip_prefix("memory:///") {
            (Scheme::Memory, Key::parse(key).ok_or(AddressFault::Path)?.to_string())
        } else {
            return Err(AddressFault::Scheme);
        };
        let version = query.strip_prefix("versionId=").ok_or(AddressFault::Version)?;
        let (version, part) = match version.split_once('#') {
            Some((version, part)) => (version, Some(PackPart::read(part).ok_or(AddressFault::Part)?)),
            None => (version, None),
        };
        let version = VersionId::parse(version).ok_or(AddressFault::Version)?;
        Ok(Self { text: text.to_owned(), scheme, path, version, part })
    }

    /// The object version in an address of a row; none if the text is not an address, or is that of a part of a pack:
    /// the versions of a pack are not those of a record's object.
    pub fn version_in(text: &str) -> Option<VersionId> {
        Self::read(text).ok().filter(|address| address.part.is_none()).map(|address| address.version)
    }

    /// The same address with the position of an envelope in the pack at that address.
    #[must_use]
    pub fn with_part(mut self, part: PackPart) -> Self {
        let start = self.text.split('#').next().unwrap_or_default().len();
        self.text.truncate(start);
        self.text.push_str(&part.to_string());
        self.part = Some(part);
        self
    }

    /// The original text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The object version.
    pub fn version(&self) -> &VersionId {
        &self.version
    }

    /// The position of the payload in its object, if that is a pack.
    pub fn part(&self) -> Option<PackPart> {
        self.part
    }

    /// The path on disk, if the address is that of a file.
    pub fn file_path(&self) -> Option<&str> {
        (self.scheme == Scheme::File).then_some(self.path.as_str())
    }

    /// The key, or the whole path on disk, in which a layout searches for a key.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The error for this address.
    pub(crate) fn invalid(&self, fault: AddressFault) -> InvalidAddress {
        InvalidAddress { text: self.text.clone(), fault }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        Self::parse(text)
    }
}

impl PackPart {
    fn read(text: &str) -> Option<Self> {
        let (bytes, line) = text.strip_prefix("bytes=")?.split_once("&line=")?;
        let (offset, length) = bytes.split_once('-')?;
        let line = NonZeroU32::new(number(line)?.try_into().ok()?)?;
        Some(Self { bytes: ByteRange::new(number(offset)?, number(length)?)?, line })
    }
}

impl fmt::Display for PackPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#bytes={}-{}&line={}", self.bytes.offset(), self.bytes.length(), self.line)
    }
}

/// Parses a number without sign or leading zeros.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> VersionId {
        VersionId::parse(text).expect("a version")
    }

    #[test]
    fn an_address_gives_back_its_path_version_and_part() {
        let key = Key::parse("pmid=000/1.json.zst").expect("a key");
        let address = Root::Folder("/tmp/a dir/50%?#".to_owned()).address(&key, &version("0123abcd"));
        let text = "file:///tmp/a%20dir/50%25%3F%23/pmid=000/1.json.zst?versionId=0123abcd";
        assert_eq!(address.as_str(), text);
        assert_eq!(Address::parse(text), Ok(address.clone()));
        assert_eq!(address.file_path(), Some("/tmp/a dir/50%?#/pmid=000/1.json.zst"));
        let packed: Address = format!("{text}#bytes=0-1024&line=7").parse().expect("an address");
        let part =
            PackPart { bytes: ByteRange::new(0, 1024).expect("a range"), line: NonZeroU32::MIN.saturating_add(6) };
        assert_eq!(packed.part(), Some(part));
        assert_eq!(address.with_part(part), packed);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_kind() {
        let fault = |text: &str| Address::parse(text).expect_err(text).fault;
        for text in ["", "s3:/a/b?versionId=1", "http://a/b?versionId=1", "S3://a/b?versionId=1", "/srv/a?versionId=1"]
        {
            assert_eq!(fault(text), AddressFault::Scheme, "{text}");
        }
        for text in ["s3:///a?versionId=1", "s3://a b/c?versionId=1", "s3://"] {
            assert_eq!(fault(text), AddressFault::Bucket, "{text}");
        }
        for text in ["s3://a?versionId=1", "s3://a/../b?versionId=1", "s3://a//b?versionId=1", "s3://a/b#c?versionId=1"]
        {
            assert_eq!(fault(text), AddressFault::Path, "{text}");
        }
        for text in
            ["file://a/b?versionId=1", "file:///%ff?versionId=1", "file:///a%00?versionId=1", "memory:///?versionId=1"]
        {
            assert_eq!(fault(text), AddressFault::Path, "{text}");
        }
        for text in ["s3://a/b", "s3://a/b?", "s3://a/b?versionId=", "s3://a/b?version=1", "s3://a/b?versionId=1 2"] {
            assert_eq!(fault(text), AddressFault::Version, "{text}");
        }
        for part in [
            "",
            "bytes=1-2",
            "line=1",
            "bytes=1-0&line=1",
            "bytes=1-2&line=0",
            "bytes=01-2&line=1",
            "bytes=+1-2&line=1",
            "bytes=1-2&line=1&x",
            "bytes=18446744073709551615-2&line=1",
            "bytes=1-2&line=4294967296",
        ] {
            assert_eq!(fault(&format!("s3://a/b?versionId=1#{part}")), AddressFault::Part, "{part}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            folder in "(/\\PC{0,8}){1,4}",
            parts in prop::collection::vec("[a-zA-Z0-9_=-][a-zA-Z0-9._= %&é-]{0,8}", 1..4),
            id in "[a-zA-Z0-9._/-]{1,40}",
            bucket in "[a-z0-9][a-z0-9.-]{2,20}",
            location in prop::option::of((any::<u32>(), 1..=u64::from(u32::MAX), any::<NonZeroU32>())),
        ) {
            let key = Key::parse(&parts.join("/")).expect("plain names");
            let id = version(&id);
            for root in [Root::Folder(folder.clone()), Root::Bucket(bucket.clone()), Root::Memory] {
                let mut address = root.address(&key, &id);
                if let Some((offset, length, line)) = location {
                    let bytes = ByteRange::new(offset.into(), length).expect("a range");
                    address = address.with_part(PackPart { bytes, line });
                }
                prop_assert_eq!(&Address::parse(address.as_str()).expect("what was written"), &address);
                prop_assert_eq!(address.version(), &id);
                prop_assert!(address.path().ends_with(key.as_str()));
            }
        }

        #[test]
        fn an_address_is_the_text_it_was_read_from(text in "(s3://|file:///|memory:///)[a-z%0-9/.]{1,20}\\?versionId=[a-z0-9#=&]{1,20}") {
            match Address::parse(&text) {
                Ok(address) => prop_assert_eq!(address.to_string(), text),
                Err(invalid) => prop_assert_eq!(invalid.text, text),
            }
        }
    }
}
