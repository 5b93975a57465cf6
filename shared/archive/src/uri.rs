//! Addresses of stored versions, as kept in `s3_uri`.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::store::{Key, VersionId};

/// What a path may not hold as it is inside a URI.
const PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`');

/// `file://` address of a version under an absolute path.
pub fn file(path: &str, version: &VersionId) -> String {
    format!("file://{}?versionId={}", utf8_percent_encode(path, PATH), version.0)
}

/// `s3://` address of a version in a bucket.
pub fn s3(bucket: &str, key: &Key, version: &VersionId) -> String {
    format!("s3://{bucket}/{key}?versionId={}", version.0)
}

/// The version an address names, whatever its scheme.
pub fn version_of(uri: &str) -> Option<VersionId> {
    let (_, version) = uri.split_once("?versionId=")?;
    (!version.is_empty()).then(|| VersionId(version.to_owned()))
}

/// The plain path of a `file://` address.
pub fn path_of(uri: &str) -> Option<String> {
    let path = uri.strip_prefix("file://")?.split('?').next()?;
    percent_decode_str(path).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gives_back_its_path_and_version() {
        let version = VersionId("0123abcd".into());
        let uri = file("/tmp/a dir/50%?#/pmid=000/1.json.zst", &version);
        assert_eq!(uri, "file:///tmp/a%20dir/50%25%3F%23/pmid=000/1.json.zst?versionId=0123abcd");
        assert_eq!(version_of(&uri), Some(version));
        assert_eq!(path_of(&uri).as_deref(), Some("/tmp/a dir/50%?#/pmid=000/1.json.zst"));
    }
}
