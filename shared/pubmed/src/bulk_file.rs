//! Names and MD5 files of PubMed's bulk files.

use md5::Digest;

use bio_mcp_core::sha256::hex;

/// The number of a bulk file, prefixed with its year: `pubmed26n1335.xml.gz` is 261335. Numbers continue from the
/// baseline to the updates and restart each year. None for other names.
///
/// ```
/// use bio_mcp_pubmed::bulk_file::number;
///
/// assert_eq!(number("pubmed26n1335.xml.gz"), Some(261_335));
/// assert_eq!(number("notes.xml"), None);
/// ```
pub fn number(file_name: &str) -> Option<i32> {
    let rest = file_name.strip_prefix("pubmed")?;
    let (year, rest) = rest.split_at_checked(2)?;
    let (number, rest) = rest.strip_prefix('n')?.split_at_checked(4)?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let fine = digits(year) && digits(number) && matches!(rest, ".xml.gz" | ".xml");
    fine.then(|| format!("{year}{number}").parse().ok()).flatten()
}

/// Why an MD5 file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SideFileError {
    /// It does not contain exactly one MD5.
    #[error("the .md5 file does not contain exactly one MD5")]
    NoSum,
    /// It is the MD5 of another file.
    #[error("the .md5 file belongs to another file")]
    OtherFile,
}

/// The MD5 (lower-case hex) in an MD5 file, in the OpenSSL form of NLM, `MD5(name)= sum`, or the coreutils form,
/// `sum  name`. It is the MD5 of the compressed bytes.
///
/// ```
/// use bio_mcp_pubmed::bulk_file::side_file_md5;
///
/// let text = "MD5(pubmed26n0001.xml.gz)= d41d8cd98f00b204e9800998ecf8427e\n";
/// assert_eq!(side_file_md5(text, "pubmed26n0001.xml.gz").as_deref(), Ok("d41d8cd98f00b204e9800998ecf8427e"));
/// ```
pub fn side_file_md5(text: &str, file_name: &str) -> Result<String, SideFileError> {
    let is_sum = |word: &&str| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words = || text.split(|c: char| c.is_whitespace() || "()=*".contains(c)).filter(|w| !w.is_empty());
    let mut sums = words().filter(is_sum);
    let (Some(sum), None) = (sums.next(), sums.next()) else { return Err(SideFileError::NoSum) };
    let names_other = words().any(|w| !is_sum(&w) && w != "MD5" && w != file_name && w.contains('.'));
    if names_other { Err(SideFileError::OtherFile) } else { Ok(sum.to_ascii_lowercase()) }
}

/// An incremental MD5, for comparison with an MD5 file.
#[derive(Default)]
pub struct Md5(md5::Md5);

impl Md5 {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest in lower-case hex.
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bulk_files_have_a_number() {
        assert_eq!(number("pubmed26n1335.xml.gz"), Some(261_335));
        assert_eq!(number("pubmed09n0001.xml"), Some(90_001));
        for other in ["pubmed26n133.xml.gz", "pubmed26n1335.xml.gz.md5", "x.xml", "pubmedéén1335.xml.gz", "pubmed2"] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn both_forms_of_side_files_are_read() {
        let sum = "fb7c05737f47f7e07245f0c064c6e00a";
        let name = "pubmed26n0001.xml.gz";
        assert_eq!(side_file_md5(&format!("MD5({name})= {sum}\n"), name), Ok(sum.to_owned()));
        assert_eq!(side_file_md5(&format!("{}  {name}", sum.to_uppercase()), name), Ok(sum.to_owned()));
        assert_eq!(side_file_md5(sum, name), Ok(sum.to_owned()));
        assert_eq!(side_file_md5(&format!("MD5(other.xml.gz)= {sum}"), name), Err(SideFileError::OtherFile));
        assert_eq!(side_file_md5("MD5(pubmed26n0001.xml.gz)= fb7c", name), Err(SideFileError::NoSum));
        assert_eq!(side_file_md5(&format!("{sum} {sum}"), name), Err(SideFileError::NoSum));
    }
}
