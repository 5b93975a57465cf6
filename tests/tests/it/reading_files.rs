//! Files as users have them: folders, side files, pipes, concatenated and damaged files, in `ingest` and `parse`.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::{Compression, write::GzEncoder};
use samples::record::Record;
use serde_json::Value;
use tests::program::{Archive, Run, path, text};

fn record(pmid: u32) -> String {
    Record::new(pmid, 0).xml()
}

fn set(records: &[u32], deletions: &str) -> String {
    let records: String = records.iter().map(|pmid| record(*pmid)).collect();
    let head = "<?xml version=\"1.0\"?>\n<!DOCTYPE PubmedArticleSet>\n";
    format!("{head}<PubmedArticleSet>{records}{deletions}</PubmedArticleSet>\n")
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("written");
    encoder.finish().expect("finished")
}

fn write(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("written");
    path
}

fn parse(arguments: &[&str]) -> Run {
    Command::new(path()).arg("parse").args(arguments).stdin(Stdio::null()).output().expect("runs").into()
}

fn parse_input(bytes: &[u8]) -> Run {
    let mut child = Command::new(path())
        .args(["parse", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("an input").write_all(bytes).expect("written");
    child.wait_with_output().expect("ends").into()
}

/// The printed PMIDs, in order.
fn pmids(run: &Run) -> Vec<u32> {
    let pmid = |line: &str| -> u32 {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line["pmid"].as_str().expect("a PMID").parse().expect("a number")
    };
    run.out.lines().map(pmid).collect()
}

#[test]
fn deletions_are_lines_in_the_order_of_the_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let deletions = "<DeleteCitation><PMID Version=\"2\">7</PMID><PMID>8</PMID></DeleteCitation>";
    let first = write(dir.path(), "a.xml", set(&[1, 2], deletions));
    let run = parse(&[text(&first), text(&write(dir.path(), "b.xml", set(&[3], "")))]).expect(0);
    assert_eq!(pmids(&run), [1, 2, 7, 8, 3]);
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines[2], r#"{"kind":"deletion","pmid":"7","version":2}"#);
    assert_eq!(lines[3], r#"{"kind":"deletion","pmid":"8","version":null}"#);
    assert!(run.err.contains("2 deletions") && !run.err.contains("b.xml"), "{run:?}");
    let run = parse(&["--deletions=false", text(&first)]).expect(0);
    assert_eq!(pmids(&run), [1, 2]);
    assert!(run.err.contains("2 deletions, omitted"), "{run:?}");
    assert_eq!(pmids(&parse(&["--deletions", text(&first)]).expect(0)), [1, 2, 7, 8]);
    let bad = write(dir.path(), "bad.xml", set(&[1], "<DeleteCitation><PMID>x</PMID></DeleteCitation>"));
    let run = parse(&[text(&bad)]).expect(5);
    assert!(run.err.contains("record 2: deletion"), "{run:?}");
}

#[test]
fn concatenated_documents_members_and_bare_records_are_read_whole() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let two = format!("{}\u{feff}{}", set(&[1], ""), set(&[2, 3], ""));
    let members = [gzip(&set(&[1], "")), gzip(&set(&[2, 3], ""))].concat();
    let padded = [&gzip(&set(&[1], ""))[..], &[0; 512], &gzip(&set(&[2, 3], ""))].concat();
    let bare = [record(1), record(2), record(3)].join("\n");
    for (name, bytes) in [
        ("two.xml", two.clone().into_bytes()),
        ("two.xml.gz", gzip(&two)),
        ("members.xml.gz", members),
        ("padded.xml.gz", padded),
        ("bare.xml", bare.clone().into_bytes()),
        ("bare.xml.gz", gzip(&bare)),
    ] {
        let file = write(dir.path(), name, &bytes);
        assert_eq!(pmids(&parse(&[text(&file)]).expect(0)), [1, 2, 3], "{name}");
        assert_eq!(pmids(&parse_input(&bytes).expect(0)), [1, 2, 3], "{name} through a pipe");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_the_gzip_data_is_warned_about_and_a_cut_member_is_an_error() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    let whole = gzip(&set(&[1, 2], ""));
    for (name, rest, ignored) in [
        ("zeros.xml.gz", &[0u8; 512][..], "512 bytes"),
        ("text.xml.gz", b"garbage", "7 bytes"),
        ("one.xml.gz", &[0x1f], "1 byte"),
    ] {
        let bytes = [&whole[..], rest].concat();
        let warning = format!("ignored {ignored} after the gzip data");
        let file = write(dir, name, &bytes);
        for run in [parse(&[text(&file)]), parse_input(&bytes), archive.run(&["ingest", text(&file)])] {
            let run = run.expect(0);
            assert!(run.err.contains(&warning), "{name}: {run:?}");
        }
        let jobs = archive.run(&["--output", "json", "jobs", "list"]).expect(0).json();
        let logs = archive.run(&["jobs", "logs", jobs["jobs"][0]["job_id"].as_str().expect("an id")]).expect(0);
        assert!(logs.out.contains(&warning), "{logs:?}");
    }
    let clean = parse(&[text(&write(dir, "clean.xml.gz", &whole))]).expect(0);
    assert_eq!(clean.err, "");
    let cut = &whole[..whole.len() - 4];
    for bytes in [cut.to_vec(), [&whole[..], cut].concat(), [&whole[..], &[0; 9], &whole[..12]].concat()] {
        let run = parse(&[text(&write(dir, "cut.xml.gz", &bytes))]).expect(2);
        assert!(run.err.contains("ends early"), "{run:?}");
    }
    let mut damaged = whole.clone();
    let crc = damaged.len() - 6;
    damaged[crc] ^= 1;
    let run = parse(&[text(&write(dir, "damaged.xml.gz", &damaged))]).expect(2);
    assert!(run.err.contains("damaged"), "{run:?}");
}

#[test]
fn parse_continues_after_a_bad_file_and_reports_it_at_the_end() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bad = [
        write(dir.path(), "empty.xml", ""),
        write(dir.path(), "page.xml.gz", "<html/>"),
        write(dir.path(), "page.xml", "<html/>"),
        write(dir.path(), "utf16.xml", [0xff, 0xfe, b'<', 0]),
        write(dir.path(), "cut.xml", &set(&[5], "").as_bytes()[..800]),
        dir.path().join("nowhere.xml"),
    ];
    let (first, last) = (write(dir.path(), "a.xml", set(&[1], "")), write(dir.path(), "z.xml", set(&[2], "")));
    for bad in &bad {
        let run = parse(&[text(&first), text(bad), text(&last)]).expect(2);
        assert_eq!(pmids(&run), [1, 2], "{}", bad.display());
        assert!(run.err.contains(text(bad)), "{run:?}");
    }
    let byte_order_mark = write(dir.path(), "bom.xml", format!("\u{feff}{}", set(&[3], "")));
    assert_eq!(pmids(&parse(&[text(&byte_order_mark)]).expect(0)), [3]);
}

#[test]
fn parse_reads_a_named_pipe() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let fifo = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let writer = {
        let fifo = fifo.clone();
        std::thread::spawn(move || std::fs::write(fifo, gzip(&set(&[1, 2], ""))).expect("written"))
    };
    assert_eq!(pmids(&parse(&[text(&fifo)]).expect(0)), [1, 2]);
    writer.join().expect("wrote");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_ingested_with_its_side_files() {
    let archive = Archive::new().await;
    let dir = archive.dir.path().join("files");
    std::fs::create_dir_all(dir.join("below")).expect("made");
    write(&dir, "a.xml", set(&[1], ""));
    write(&dir, "B.XML.GZ", gzip(&set(&[2], "")));
    write(&dir, "c.xml.gz", gzip(&set(&[3], "")));
    write(&dir.join("below"), "d.xml", set(&[4], ""));
    write(&dir, "README.txt", "read me");
    write(&dir, "._a.xml", "left by a file manager");
    assert!(Command::new("mkfifo").arg(dir.join("pipe.xml")).status().expect("mkfifo runs").success());
    let sum = Command::new("md5sum").arg(dir.join("c.xml.gz")).output().expect("md5sum runs").stdout;
    let sum = String::from_utf8(sum).expect("text")[..32].to_owned();
    let side = write(&dir, "c.xml.gz.md5", format!("MD5(c.xml.gz)= {sum}\n"));

    let run = archive.run(&["--output", "json", "ingest", text(&dir)]).expect(0);
    assert_eq!(run.json()["archived"], 3, "{run:?}");
    assert!(run.err.contains("pipe.xml is not a file"), "{run:?}");
    assert_eq!(pmids(&parse(&[text(&dir)]).expect(0)), [2, 1, 3], "in the order of their names");
    // As a shell expands dir/*: side files among the files.
    let named = [text(&dir.join("a.xml")).to_owned(), text(&dir.join("c.xml.gz")).to_owned(), text(&side).to_owned()];
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let run = archive.run(&[&["--output", "json", "ingest"], &named[..]].concat()).expect(0);
    assert_eq!(run.json()["requested"], 2, "{run:?}");
    assert_eq!(pmids(&parse(&named).expect(0)), [1, 3]);
    // The checksums are used; an error in some files does not exclude the others.
    std::fs::write(&side, "MD5(c.xml.gz)= 00000000000000000000000000000000\n").expect("written");
    symlink("loop.xml", dir.join("loop.xml")).expect("linked");
    write(&dir, "page.xml.gz", "<html/>");
    write(&dir, "z.xml", set(&[5], ""));
    let run = archive.run(&["--output", "json", "ingest", text(&dir)]).expect(2);
    assert_eq!((&run.json()["requested"], &run.json()["archived"]), (&3.into(), &1.into()), "{run:?}");
    for says in ["its .md5 file says", "loop.xml", "page.xml.gz"] {
        assert!(run.err.contains(says), "{says}: {run:?}");
    }
    assert_eq!(pmids(&parse(&[text(&dir)]).expect(2)), [2, 1, 3, 5]);

    let only = archive.run(&["ingest", text(&side)]).expect(2);
    assert!(only.err.contains("only .md5 files"), "{only:?}");
    let empty = archive.dir.path().join("empty");
    std::fs::create_dir(&empty).expect("made");
    let run = archive.run(&["ingest", text(&empty)]).expect(2);
    assert!(run.err.contains("no .xml or .xml.gz files"), "{run:?}");
    let looped = archive.run(&["ingest", text(&dir.join("loop.xml"))]).expect(2);
    assert!(looped.err.contains("cannot read"), "{looped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_that_is_refused_is_named_at_once_and_equal_names_are_different_files() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    for folder in ["a", "b"] {
        std::fs::create_dir(dir.join(folder)).expect("made");
    }
    let one = write(&dir.join("a"), "x.xml", set(&[1], ""));
    let other = write(&dir.join("b"), "x.xml", set(&[2], ""));
    let run = archive.run(&["--output", "json", "ingest", text(&one), text(&other), text(&one)]).expect(0);
    assert_eq!(run.json()["archived"], 2, "{run:?}");
    let (first, second) = (write(dir, "1.xml.gz", "<html/>"), write(dir, "2.xml.gz", "<html/>"));
    for files in [&[&first, &second][..], &[&first, &one, &second]] {
        let files: Vec<&str> = files.iter().map(|file| text(file)).collect();
        let run = archive.run(&[&["ingest"], &files[..]].concat()).expect(2);
        assert!(run.err.contains("1.xml.gz") && run.err.contains("2.xml.gz"), "{run:?}");
    }
}

#[test]
fn records_before_a_truncation_are_read() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let pmids: Vec<u32> = (1..=400).collect();
    let whole = gzip(&set(&pmids, ""));
    let cut = write(dir.path(), "cut.xml.gz", &whole[..whole.len() * 3 / 4]);
    let run = parse(&[text(&cut)]).expect(2);
    let read = run.out.lines().count();
    assert!(read > 200 && read < 400, "{read} records stood before the end");
}

#[test]
fn an_invalid_deletion_does_not_affect_other_records() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for odd in ["<PMID Version=\"1\"/>", "some text", "<Other>9</Other>", "<![CDATA[9]]>"] {
        let deletions = format!("<DeleteCitation>{odd}<PMID Version=\"1\">5</PMID></DeleteCitation>");
        let path = write(dir.path(), "odd.xml", set(&[1, 2], &deletions));
        let run = parse(&[text(&path)]);
        assert!(matches!(run.code, Some(0 | 5)), "{odd}: {run:?}");
        let lines: Vec<Value> = run.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.iter().filter(|line| line["kind"] == "deletion" && line["pmid"] == "5").count(), 1, "{odd}");
        assert_eq!(lines.iter().filter(|line| line["pmid"] == "1" || line["pmid"] == "2").count(), 2, "{odd}");
    }
}
