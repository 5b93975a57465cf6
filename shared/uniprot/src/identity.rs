//! What an entry is stored under: its accession, its version, and the digest of its bytes.

use bio_mcp_core::Sha256;

use crate::accession::Accession;

/// Identity of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The primary accession, the first of the AC lines.
    pub accession: Accession,
    /// The entry version of the DT lines; none before 2006, when they named a release instead.
    pub entry_version: Option<u32>,
    /// Digest of the exact bytes.
    pub sha256: Sha256,
}

/// Why an entry has no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// There is no AC line.
    #[error("the entry has no AC line")]
    NoAccession,
    /// The primary accession is none.
    #[error("the primary accession is malformed: {0:?}")]
    MalformedAccession(String),
}

impl Identity {
    /// Reads the identity of an entry from its first lines, without parsing the others.
    ///
    /// ```
    /// use bio_mcp_uniprot::Identity;
    ///
    /// let entry = b"ID   A_HUMAN   Reviewed;   3 AA.\nAC   P12345;\nDT   12-OCT-2022, entry version 208.\n//\n";
    /// let identity = Identity::of(entry)?;
    /// assert_eq!((identity.accession.as_str(), identity.entry_version), ("P12345", Some(208)));
    /// # Ok::<(), bio_mcp_uniprot::IdentityError>(())
    /// ```
    pub fn of(entry: &[u8]) -> Result<Self, IdentityError> {
        let mut accession = None;
        let mut entry_version = None;
        for line in entry.split(|b| *b == b'\n') {
            match line {
                [b'A', b'C', content @ ..] if accession.is_none() => accession = Some(primary(content)?),
                [b'D', b'T', content @ ..] => entry_version = entry_version.or_else(|| version(content)),
                [b'I', b'D', ..] | [b'A', b'C', ..] | [b'*', b'*', ..] => {}
                _ if accession.is_some() => break,
                _ => {}
            }
        }
        let accession = accession.ok_or(IdentityError::NoAccession)?;
        Ok(Self { accession, entry_version, sha256: Sha256::of(entry) })
    }
}

fn primary(content: &[u8]) -> Result<Accession, IdentityError> {
    let first = content.trim_ascii().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let first = String::from_utf8_lossy(first);
    Accession::parse(&first).map_err(|_| IdentityError::MalformedAccession(shortened(&first)))
}

/// At most as much of a foreign text as a message should have.
fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 32;
    text.chars().take(MAX_CHARS).collect()
}

fn version(content: &[u8]) -> Option<u32> {
    crate::header::version_after(std::str::from_utf8(content).ok()?, "entry version ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_is_that_of_the_bytes() {
        let entry = b"ID   A\r\nAC   P12345;\r\nAC   Q12345;\r\nDT   01-JAN-2020, entry version 7.\r\n//\r\n";
        let identity = Identity::of(entry).expect("there");
        assert_eq!(identity.accession.as_str(), "P12345");
        assert_eq!(identity.entry_version, Some(7));
        assert_eq!(identity.sha256, Sha256::of(entry));
    }

    #[test]
    fn an_entry_without_a_valid_accession_has_none() {
        assert_eq!(Identity::of(b"ID   A\n//\n"), Err(IdentityError::NoAccession));
        let malformed = Identity::of(b"ID   A\nAC   ../x;\n//\n");
        assert_eq!(malformed, Err(IdentityError::MalformedAccession("../x".to_owned())));
    }

    #[test]
    fn an_entry_before_2006_has_no_version() {
        let identity = Identity::of(b"ID   A\nAC   P12345;\nDT   01-JAN-1990 (Rel. 13, Created)\n//\n").expect("there");
        assert_eq!(identity.entry_version, None);
    }
}
