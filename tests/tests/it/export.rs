//! `export` and `get`: what is written, what is omitted, and that an interrupted export is resumed.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use samples::files::{FileWriter, HEAD, TAIL};
use samples::record::Record;
use serde_json::Value;
use simulator::{Corpus, Options};
use tests::program::{Archive, Run, text};
use tests::sync::simulator;

fn bulk(dir: &Path, name: &str, mtime: u32, records: &[(u32, u32)], deleted: &[u32]) -> PathBuf {
    let path = dir.join(name);
    let mut file = FileWriter::create(&path, mtime).expect("created");
    for (pmid, revision) in records {
        file.record(&Record::new(*pmid, *revision).xml()).expect("written");
    }
    file.finish(deleted).expect("finished");
    path
}

/// The lines of an exported file, decompressed according to its name.
fn lines(path: &Path) -> Vec<Value> {
    let bytes = std::fs::read(path).expect("there");
    let mut unpacked = Vec::new();
    match path.extension().and_then(|e| e.to_str()) {
        Some("gz") => drop(flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).expect("gzip")),
        Some("zst") => unpacked = zstd::decode_all(&bytes[..]).expect("zstd"),
        _ => unpacked = bytes,
    }
    parsed(&String::from_utf8(unpacked).expect("plain text"))
}

fn parsed(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// PMIDs of lines; deletions have a minus sign.
fn named(lines: &[Value]) -> Vec<String> {
    let name = |line: &Value| {
        let sign = if line["kind"] == "deletion" { "-" } else { "" };
        format!("{sign}{}", line["pmid"].as_str().expect("a PMID"))
    };
    lines.iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_objects_are_left_out_and_named_and_everything_else_is_written() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    archive.ingest(&bulk(dir, "pubmed26n0001.xml.gz", 9, &(1..=9).map(|pmid| (pmid, 0)).collect::<Vec<_>>(), &[]));
    let flip = |pmid| {
        let mut bytes = std::fs::read(archive.object(pmid)).expect("there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    std::fs::remove_file(archive.object(1)).expect("removed");
    std::fs::write(archive.object(2), flip(2)).expect("flipped");
    std::fs::write(archive.object(3), &std::fs::read(archive.object(3)).expect("there")[..90]).expect("cut");
    std::fs::write(archive.object(4), "").expect("emptied");
    std::fs::copy(archive.object(9), archive.object(5)).expect("replaced");
    std::fs::remove_file(archive.object(6)).expect("removed");
    std::fs::create_dir(archive.object(6)).expect("replaced by a folder");

    let out = dir.join("out.ndjson");
    let run = archive.run(&["export", "--out", text(&out)]).expect(5);
    assert_eq!(named(&lines(&out)), ["7", "8", "9"]);
    for pmid in 1..=6 {
        assert!(run.err.contains(&format!("PMID {pmid} omitted: ")), "{run:?}");
    }
    assert!(run.err.contains("6 records omitted"), "{run:?}");
    assert_eq!(named(&parsed(&archive.run(&["export"]).expect(5).out)), ["7", "8", "9"]);

    // Damaged objects are reported as damaged, missing ones as missing.
    let said = |pmid: &str| archive.run(&["get", pmid]).expect(1).err;
    assert!(said("1").contains("not found in the archive"), "{}", said("1"));
    for pmid in ["2", "3", "4"] {
        assert!(said(pmid).contains("is damaged") && said(pmid).contains("verify"), "{}", said(pmid));
    }
    archive.run(&["get", "7"]).expect(0);
    // Several records: each is printed or named, and the most severe failure determines the exit code.
    let several = archive.run(&["--output", "json", "get", "2", "7", "77", "8"]).expect(1);
    assert_eq!(named(&parsed(&several.out)), ["7", "77", "8"]);
    assert!(several.err.contains("damaged") && several.err.contains("PMID 77 is not in the archive"), "{several:?}");
    archive.run(&["get", "7", "77"]).expect(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_earlier_version_is_damaged_too() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    archive.ingest(&bulk(dir, "pubmed26n0001.xml.gz", 9, &[(1, 0)], &[]));
    let history = |archive: &Archive| archive.run(&["--output", "json", "history", "1"]).expect(0).json();
    let then = history(&archive)["events"][0]["accepted_at"].as_str().expect("a time").to_owned();
    archive.ingest(&bulk(dir, "pubmed26n0002.xml.gz", 10, &[(1, 1)], &[]));
    archive.run(&["get", "1", "--as-of", &then]).expect(0);
    let mut folders = vec![archive.data_dir().join("archive/.versions")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                std::fs::write(path, "overwritten").expect("written");
            }
        }
    }
    let run = archive.run(&["get", "1", "--as-of", &then]).expect(1);
    assert!(run.err.contains("is damaged"), "{run:?}");
    archive.run(&["get", "1"]).expect(0);
    let found = archive.run(&["--output", "json", "verify"]).expect(1).json();
    assert_eq!(found["report"]["problems"][0]["kind"], "history_damaged", "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_the_file_says_how_it_is_compressed() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    archive.ingest(&bulk(dir, "pubmed26n0001.xml.gz", 9, &[(1, 0), (2, 0), (3, 0)], &[2]));
    let plain = archive.run(&["export"]).expect(0);
    assert_eq!(named(&parsed(&plain.out)), ["1", "3"], "not compressed on standard output");
    for name in ["out.ndjson", "out.ndjson.gz", "out.ndjson.zst", "out.json"] {
        let path = dir.join(name);
        archive.run(&["export", "-o", text(&path)]).expect(0);
        assert_eq!(lines(&path), parsed(&plain.out), "{name}");
        let beside: Vec<_> =
            std::fs::read_dir(dir).expect("readable").map(|e| e.expect("readable").file_name()).collect();
        assert!(!beside.iter().any(|name| name.to_string_lossy().contains("unfinished")), "{beside:?}");
    }
    let xml = parsed(&archive.run(&["export", "--format", "xml"]).expect(0).out);
    assert_eq!(xml[0]["xml"], Record::new(1, 0).xml());
    let summary = archive.run(&["--output", "json", "export", "-o", text(&dir.join("x.ndjson"))]).expect(0).json();
    assert_eq!((&summary["records"], &summary["left_out"]), (&2.into(), &0.into()));

    let nowhere = archive.run(&["export", "-o", text(&dir.join("nowhere/out.ndjson"))]).expect(2);
    assert!(nowhere.err.contains("cannot write"), "{nowhere:?}");
    let folder = archive.run(&["export", "-o", text(dir)]).expect(2);
    assert!(folder.err.contains("it is a directory"), "{folder:?}");
    archive.run(&["export", "-o", "/dev/null"]).expect(0);
    let full = archive.run(&["export", "-o", "/dev/full"]).expect(4);
    assert!(full.err.contains("No space left"), "{full:?}");
    assert!(!Path::new("/dev/null").is_file() && !Path::new("/dev/full").is_file(), "devices stay what they are");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_takes_queries_lists_checkpoints_and_what_changed_since() {
    let mut corpus = Corpus::new(shared::syncs::ncbi_day(shared::core::clock::now()));
    for pmid in 11..=14 {
        corpus.add(pmid, "asthma");
    }
    let ncbi = simulator(corpus, Options::default()).await;
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    let url = ncbi.eutils_url();
    let run = |arguments: &[&str]| -> Run {
        let mut command = archive.command(arguments);
        command.env("BIO_MCP_PUBMED_BASE_URL", &url).env("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", "1000");
        command.output().expect("runs").into()
    };
    let export = |arguments: &[&str]| named(&parsed(&run(&[&["export"], arguments].concat()).expect(0).out));
    let last_event = || {
        let path = dir.join("all.ndjson");
        run(&["--output", "json", "export", "-o", text(&path)]).expect(0).json()["last_event"].to_string()
    };
    archive.ingest(&bulk(dir, "pubmed26n0001.xml.gz", 9, &[(1, 0), (2, 0), (3, 0)], &[]));
    run(&["sync", "asthma", "--query-key", "a", "--incremental"]).expect(0);
    run(&["call", "corpus.checkpoint.create", r#"{"name": "then", "checkpoint_id": "then"}"#]).expect(0);
    let since = last_event();
    assert_eq!(export(&["--query-key", "a"]), ["11", "12", "13", "14"]);
    assert_eq!(export(&["--since", &since]), Vec::<String>::new());

    // Published after the records were fetched, and deletes one upstream.
    let published = u32::try_from(shared::core::clock::now().timestamp() + 60).expect("a time of gzip");
    ncbi.corpus().remove(13);
    archive.ingest(&bulk(dir, "pubmed26n0002.xml.gz", published, &[(1, 1), (1, 2), (4, 0), (12, 1)], &[2, 13]));
    assert_eq!(export(&[]), ["1", "11", "12", "14", "3", "4"]);
    assert_eq!(export(&["--checkpoint", "then"]), ["1", "11", "12", "13", "14", "2", "3"], "as it was");
    assert_eq!(export(&["--query-key", "a"]), ["11", "12", "14"]);
    let changes = parsed(&run(&["export", "--since", &since]).expect(0).out);
    let mut sorted = named(&changes);
    sorted.sort();
    assert_eq!(sorted, ["-13", "-2", "1", "12", "4"], "each once, as it is now");
    let deletion = changes.iter().find(|line| line["pmid"] == "2").expect("a deletion");
    assert_eq!(deletion.to_string(), r#"{"kind":"deletion","pmid":"2","version":1}"#);
    let mut of_query = export(&["--since", &since, "--query-key", "a"]);
    of_query.sort();
    assert_eq!(of_query, ["-13", "12"]);

    // Records that were archived before but joined the query since are new to a mirror of the query.
    let since = last_event();
    let added = |pmids: &[u32]| {
        let mut corpus = ncbi.corpus();
        for pmid in pmids {
            corpus.add(*pmid, "asthma");
        }
    };
    added(&[3, 15]);
    run(&["sync", "--query-key", "a", "--incremental"]).expect(0);
    let mut joined = export(&["--since", &since, "--query-key", "a"]);
    joined.sort();
    assert_eq!(joined, ["15", "3"]);

    let listed = run(&["export", "--pmids", "12,2", "3", "999"]).expect(5);
    assert_eq!(named(&parsed(&listed.out)), ["-2", "3", "12"]);
    assert!(listed.err.contains("PMID 999 omitted: not in the archive"), "{listed:?}");
    let list = dir.join("pmids.txt");
    std::fs::write(&list, "14\r\n3, 14\n").expect("written");
    assert_eq!(export(&["--pmids-file", text(&list)]), ["3", "14"]);

    for (arguments, code, says) in [
        (&["--query-key", "nothing"][..], 3, "query key nothing not found"),
        (&["--checkpoint", "nothing"], 3, "checkpoint nothing not found"),
        (&["--since", "1000000"], 2, "later than the last event"),
        (&["--pmids", "x"], 2, "not a PMID: \"x\""),
        (&["--pmids-file", "nowhere.txt"], 2, "cannot read"),
        (&["--since", "1", "--checkpoint", "then"], 2, "cannot be used with"),
        (&["--restart"], 2, "required"),
    ] {
        let refused = run(&[&["export"], arguments].concat()).expect(code);
        assert!(refused.err.contains(says), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_export_is_resumed_with_the_same_result() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    let records: Vec<(u32, u32)> = (1..=2200).map(|pmid| (pmid, 0)).collect();
    archive.ingest(&bulk(dir, "pubmed26n0001.xml.gz", 9, &records, &[]));
    std::fs::remove_file(archive.object(1)).expect("removed");
    let export = |name: &str| archive.run(&["export", "--format", "xml", "-o", text(&dir.join(name))]).expect(5);
    let kill = |name: &str, point: &str| {
        let out = dir.join(name);
        let arguments = ["export", "--format", "xml", "-o", text(&out)];
        let status = archive.start(&arguments, &[("BIO_MCP_CRASH_AT", point)]).wait().expect("ends");
        assert_eq!(status.signal(), Some(9), "{point} is passed");
        assert!(!out.exists(), "it has its name when it is complete");
    };
    for name in ["whole.gz", "whole.zst"] {
        export(name);
    }
    // Killed after a page is written but not recorded, and between two pages.
    kill("killed.gz", "after_frame:2");
    kill("killed.zst", "after_page:1");
    // Records that are archived meanwhile belong to the next export.
    archive.ingest(&bulk(dir, "pubmed26n0002.xml.gz", 10, &[(2, 1), (2100, 1), (9999, 0)], &[2150]));
    for ending in ["gz", "zst"] {
        let again = export(&format!("killed.{ending}"));
        assert!(again.err.contains("resuming the export of event 2200 after 999 records"), "{again:?}");
        assert!(again.err.contains("1 record omitted"), "{again:?}");
        let read = |name: &str| std::fs::read(dir.join(format!("{name}.{ending}"))).expect("there");
        assert!(read("killed") == read("whole"), "{ending}");
    }
    // An export without new records is still a valid file of its format.
    for name in ["none.ndjson.gz", "none.ndjson.zst"] {
        let sql = "select max(seq) from archive_events";
        let last: i64 = sqlx::query_scalar(sql).fetch_one(&archive.database().await).await.expect("read");
        let last = last.to_string();
        archive.run(&["export", "--since", &last, "-o", text(&dir.join(name))]).expect(0);
        let empty = std::fs::read(dir.join(name)).expect("there");
        assert!(empty.starts_with(&[0x1f, 0x8b]) || empty.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]), "{name}: {empty:?}");
    }
    // A different selection, an explicit restart, and a missing progress file start at the beginning.
    let path = dir.join("other.ndjson");
    for (point, arguments, code, count) in [
        ("after_page:1", &["--pmids", "7"][..], 0, 1),
        ("after_page:1", &["--format", "xml", "--restart"], 5, 2199),
        ("after_frame:1", &["--format", "xml"], 5, 2199),
    ] {
        kill("other.ndjson", point);
        let run = archive.run(&[&["export", "-o", text(&path)], arguments].concat()).expect(code);
        assert!(!run.err.contains("resuming"), "{run:?}");
        assert_eq!(lines(&path).len(), count, "{arguments:?}");
        std::fs::remove_file(&path).expect("removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn get_takes_several_records_and_versions_and_has_one_shape() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    let version = |n: u32, revision| {
        Record::new(9, revision).xml().replacen("<PMID Version=\"1\">9<", &format!("<PMID Version=\"{n}\">9<"), 1)
    };
    let write = |name: &str, record: &str| {
        let path = dir.join(name);
        std::fs::write(&path, format!("{HEAD}{record}{TAIL}")).expect("written");
        path
    };
    archive.ingest(&write("a.xml", &version(1, 0)));
    archive.ingest(&write("b.xml", &version(1, 1)));
    archive.ingest(&write("c.xml", &version(2, 2)));
    archive.ingest(&write("d.xml", &Record::new(10, 0).xml()));
    let xml = |name: &str| archive.run(&["get", name, "--xml"]).expect(0).out;
    assert_eq!(xml("9"), version(2, 2));
    assert_eq!(xml("9.2"), version(2, 2));
    assert_eq!(xml("9.1"), version(1, 1), "the newest of that version");
    let missing = archive.run(&["get", "9.3"]).expect(3);
    assert!(missing.err.contains("version 3 of PMID 9 is not in the archive"), "{missing:?}");
    archive.run(&["get", "9.0"]).expect(2);
    archive.run(&["get"]).expect(2);

    let both = archive.run(&["get", "9.1,10", "--xml"]).expect(0).out;
    assert_eq!(both, format!("{}\n{}\n", version(1, 1), Record::new(10, 0).xml()));
    let several = archive.run(&["get", "9", "10", "--json"]).expect(0).out;
    assert_eq!(several, archive.run(&["--output", "json", "get", "9", "10"]).expect(0).out, "one shape");
    let lines = parsed(&several);
    assert_eq!(named(&lines), ["9", "10"]);
    assert!(lines[0]["found"] == true && lines[0]["title"].is_string() && lines[0]["content_hash"].is_string());
    let people = archive.run(&["get", "9", "10"]).expect(0).out;
    assert!(people.contains("PMID 9 version 2") && people.contains("PMID 10 version 1"), "{people}");
}
