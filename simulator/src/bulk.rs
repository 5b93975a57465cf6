//! Bulk files: `/pubmed/{baseline,updatefiles}/pubmedYYnNNNN.xml.gz` and its `.md5` file.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use md5::{Digest, Md5};
use samples::files::{HEAD, TAIL};

/// A published bulk file.
#[derive(Clone, Debug)]
pub struct BulkFile {
    /// `baseline` or `updatefiles`.
    pub folder: &'static str,
    pub name: String,
    /// Content of the gzip file.
    pub bytes: Vec<u8>,
    /// `Last-Modified`, in seconds since 1970.
    pub modified: i64,
}

impl BulkFile {
    /// A file of records, followed by deletions.
    pub fn new(folder: &'static str, name: &str, records: &[String], deleted: &[u32], modified: i64) -> Self {
        let mut xml = HEAD.to_owned();
        for record in records {
            xml.push_str(record);
            xml.push('\n');
        }
        if !deleted.is_empty() {
            xml.push_str("<DeleteCitation>\n");
            for pmid in deleted {
                let _ = writeln!(xml, "<PMID Version=\"1\">{pmid}</PMID>");
            }
            xml.push_str("</DeleteCitation>\n");
        }
        xml.push_str(TAIL);
        let mut gzip = GzBuilder::new().write(Vec::new(), Compression::fast());
        gzip.write_all(xml.as_bytes()).expect("memory does not fail");
        Self { folder, name: name.to_owned(), bytes: gzip.finish().expect("memory does not fail"), modified }
    }

    /// Content of its `.md5` file.
    pub fn md5(&self) -> String {
        let digest = Md5::digest(&self.bytes);
        let sum = digest.iter().fold(String::new(), |sum, byte| sum + &format!("{byte:02x}"));
        format!("MD5({})= {sum}\n", self.name)
    }
}
