//! A gzip file shows only at its end that it is damaged: no part of such a file is archived.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use samples::files::{HEAD, TAIL};
use samples::record::Record;
use shared::pubmed::bulk_file::Md5;
use tests::program::{Archive, text};

/// A gzip member that is stored, not compressed: its text can be changed without touching its structure.
fn stored(xml: &str) -> Vec<u8> {
    let mut member = GzEncoder::new(Vec::new(), Compression::none());
    member.write_all(xml.as_bytes()).expect("written");
    member.finish().expect("finished")
}

fn document(pmids: std::ops::RangeInclusive<u32>) -> String {
    let records: Vec<String> = pmids.map(|n| Record::new(n, 0).xml()).collect();
    format!("{HEAD}{}\n{TAIL}", records.join("\n"))
}

/// The first offset of a text.
fn place(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).expect("the text is there")
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("written");
    path
}

#[tokio::test]
async fn a_damaged_gzip_file_is_refused_whole() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    let good = stored(&document(1001..=1050));
    // One flipped bit: PMID 1002 reads 1003 or similar, and the file still decompresses as well-formed XML.
    let mut flipped = good.clone();
    let at = place(&flipped, ">1002<") + 4;
    flipped[at] ^= 1;
    let second = stored(&document(2001..=2010));
    let mut second_flipped = second.clone();
    let at = place(&second_flipped, ">2002<") + 4;
    second_flipped[at] ^= 1;
    let mut wrong_length = good.clone();
    *wrong_length.last_mut().expect("not empty") ^= 1;
    let names = [
        ("flipped.xml.gz", flipped.clone(), "the gzip stream is damaged"),
        ("length.xml.gz", wrong_length, "the gzip stream is damaged"),
        ("cut.xml.gz", good[..good.len() * 9 / 10].to_vec(), "the gzip stream ends early"),
        ("without-sum.xml.gz", good[..good.len() - 8].to_vec(), "the gzip stream ends early"),
        ("second-member.xml.gz", [good.clone(), second_flipped].concat(), "the gzip stream is damaged"),
        ("second-cut.xml.gz", [&good[..], &second[..second.len() / 2]].concat(), "the gzip stream ends early"),
        ("no-ending-in-gz", flipped, "the gzip stream is damaged"),
    ];
    for (name, bytes, says) in &names {
        let run = archive.run(&["ingest", text(&write(dir, name, bytes))]).expect(2);
        assert!(run.err.contains(says) && run.err.contains("no record of the file is archived"), "{name}: {run:?}");
        assert!(run.err.contains(name), "{name}: {run:?}");
    }
    let db = archive.database().await;
    let rows = async || -> i64 {
        sqlx::query_scalar("select count(*) from pubmed_archive").fetch_one(&db).await.expect("counted")
    };
    assert_eq!(rows().await, 0, "nothing was archived from any of them");
    let jobs: i64 = sqlx::query_scalar("select count(*) from jobs").fetch_one(&db).await.expect("counted");
    assert_eq!(jobs, 0, "no job was made of a file that is refused");

    // Valid files beside a damaged one are archived.
    let path = write(dir, "good.xml.gz", &[good, second].concat());
    let run = archive.run(&["--output", "json", "ingest", text(&path), text(&dir.join("flipped.xml.gz"))]).expect(2);
    assert_eq!(run.json()["archived"], 60, "{run:?}");
    assert_eq!(rows().await, 60);
    archive.run(&["verify"]).expect(0);
}

#[tokio::test]
async fn an_md5_file_that_agrees_is_enough() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    let file = stored(&document(1..=20));
    // Truncated after the last record: the .md5 file confirms the bytes as published, so the missing trailer of the
    // gzip stream is only a warning.
    let cut = &file[..file.len() - 8];
    let path = write(dir, "pubmed26n0001.xml.gz", cut);
    let mut sum = Md5::default();
    sum.update(cut);
    let sum = sum.finish();
    write(dir, "pubmed26n0001.xml.gz.md5", format!("MD5(pubmed26n0001.xml.gz)= {sum}\n").as_bytes());
    let run = archive.run(&["ingest", text(&path)]).expect(2);
    assert!(run.out.contains("20 archived") && run.out.contains("the gzip stream ends early"), "{run:?}");
}
