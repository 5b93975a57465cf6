//! Files as NLM publishes them: a set of records, gzip, and an `.md5` file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use md5::{Digest, Md5};

use crate::record::Record;
use crate::shapes;

/// Beginning of a published file.
pub const HEAD: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!DOCTYPE PubmedArticleSet PUBLIC \"-//NLM//DTD PubMedArticle, 1st January 2025//EN\" \"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd\">\n<PubmedArticleSet>\n";

/// End of a published file.
pub const TAIL: &str = "</PubmedArticleSet>\n";

/// Writes a record file record by record.
pub struct FileWriter {
    gzip: GzEncoder<BufWriter<File>>,
    path: PathBuf,
}

impl FileWriter {
    /// Starts a gzip file whose modification time is `mtime` (seconds since 1970).
    pub fn create(path: &Path, mtime: u32) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        let mut gzip = GzBuilder::new().mtime(mtime).write(file, Compression::new(6));
        gzip.write_all(HEAD.as_bytes())?;
        Ok(Self { gzip, path: path.to_owned() })
    }

    pub fn record(&mut self, xml: &str) -> io::Result<()> {
        self.gzip.write_all(xml.as_bytes())?;
        self.gzip.write_all(b"\n")
    }

    /// Ends the file with the list of deletions, and writes its `.md5` file.
    pub fn finish(mut self, deleted: &[u32]) -> io::Result<()> {
        if !deleted.is_empty() {
            self.gzip.write_all(b"<DeleteCitation>\n")?;
            for pmid in deleted {
                writeln!(self.gzip, "<PMID Version=\"1\">{pmid}</PMID>")?;
            }
            self.gzip.write_all(b"</DeleteCitation>\n")?;
        }
        self.gzip.write_all(TAIL.as_bytes())?;
        self.gzip.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        let digest = Md5::digest(std::fs::read(&self.path)?);
        let sum = digest.iter().fold(String::new(), |sum, byte| sum + &format!("{byte:02x}"));
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        std::fs::write(format!("{}.md5", self.path.display()), format!("MD5({name})= {sum}\n"))
    }
}

/// PMIDs of ordinary records in the sample files start after this one.
pub const FIRST: u32 = 30_000_000;

/// Approximate size of an ordinary record of the sample files, in bytes.
pub fn size_of(pmid: u32) -> usize {
    3000 + (pmid.saturating_sub(FIRST) as usize * 37) % 9000
}

/// The changes of the sample update, so that a reader of the demo can check them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    pub added: Vec<u32>,
    pub revised: Vec<u32>,
    /// The record that is retracted (its payload changes, but it is not in `revised`).
    pub retracted: u32,
    /// The record that is deleted.
    pub deleted: u32,
    /// Records that the update contains unchanged.
    pub repeated: Vec<u32>,
}

/// The sample files of the demo.
#[derive(Clone, Debug)]
pub struct Sample {
    /// A file like NLM's baseline.
    pub baseline: PathBuf,
    /// Number of records in the baseline.
    pub baseline_records: usize,
    pub update: PathBuf,
    pub changes: Changes,
}

/// Writes the sample files into `dir`: a baseline with `ordinary` records and every shape, then an update.
pub fn write_sample(dir: &Path, ordinary: u32) -> io::Result<Sample> {
    assert!(ordinary >= 100, "the update needs records to change");
    std::fs::create_dir_all(dir)?;
    let baseline = dir.join("pubmed26n0001.xml.gz");
    let update = dir.join("pubmed26n0002.xml.gz");
    let shapes = shapes::all();
    let ordinary_record = |pmid: u32, revision: u32| Record { bytes: size_of(pmid), ..Record::new(pmid, revision) };
    let mut file = FileWriter::create(&baseline, 1_769_731_200)?;
    for n in 1..=ordinary {
        file.record(&ordinary_record(FIRST + n, 0).xml())?;
    }
    for shape in &shapes {
        file.record(&shape.xml)?;
    }
    file.finish(&[])?;

    let changes = Changes {
        added: (1..=20).map(|n| FIRST + ordinary + n).collect(),
        revised: (1..=10).map(|n| FIRST + n * 3).collect(),
        retracted: FIRST + 50,
        deleted: FIRST + 77,
        repeated: (81..=85).map(|n| FIRST + n).collect(),
    };
    let mut file = FileWriter::create(&update, 1_769_904_000)?;
    for pmid in &changes.added {
        file.record(&ordinary_record(*pmid, 0).xml())?;
    }
    for pmid in &changes.revised {
        file.record(&ordinary_record(*pmid, 1).xml())?;
    }
    file.record(&Record { retracted: true, ..ordinary_record(changes.retracted, 1) }.xml())?;
    for pmid in &changes.repeated {
        file.record(&ordinary_record(*pmid, 0).xml())?;
    }
    file.finish(&[changes.deleted])?;
    Ok(Sample { baseline, baseline_records: ordinary as usize + shapes.len(), update, changes })
}

/// Writes a large file for a benchmark: `records` records of about `bytes` bytes each.
pub fn write_large(path: &Path, records: u32, bytes: usize) -> io::Result<()> {
    let mut file = FileWriter::create(path, 1_769_731_200)?;
    for n in 1..=records {
        file.record(&Record { bytes, ..Record::new(FIRST + n, 0) }.xml())?;
    }
    file.finish(&[])
}
