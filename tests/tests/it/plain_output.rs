//! Output of commands: each fact once, with the right number, in plain words.

use std::path::{Path, PathBuf};

use samples::files::{HEAD, TAIL};
use samples::record::Record;
use tests::program::{Archive, text};

fn xml_file(dir: &Path, name: &str, records: &[String]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, format!("{HEAD}{}\n{TAIL}", records.join("\n"))).expect("written");
    path
}

#[tokio::test]
async fn a_record_that_stays_bad_is_named_once() {
    let archive = Archive::new().await;
    for n in 0..3 {
        let bad =
            format!("<PubmedArticle><MedlineCitation><PMID>4</PMID>&undefined{n};</MedlineCitation></PubmedArticle>");
        archive.run(&["ingest", text(&xml_file(archive.dir.path(), &format!("{n}.xml"), &[bad]))]).expect(5);
    }
    let list = archive.run(&["--output", "json", "quarantine", "list"]).expect(0).json();
    assert_eq!(list["quarantine"].as_array().map(Vec::len), Some(3), "{list}");
    let run = archive.run(&["quarantine", "retry", "--all"]).expect(5);
    assert!(run.out.contains("0 of 3 archived"), "{run:?}");
    assert!(run.out.lines().any(|line| line == "fetch the rest again: bio-mcp sync --pmids 4"), "{run:?}");
}

#[tokio::test]
async fn an_export_distinguishes_missing_from_damaged_objects() {
    let archive = Archive::new().await;
    let records = [Record::new(1, 0).xml(), Record::new(2, 0).xml()];
    archive.ingest(&xml_file(archive.dir.path(), "two.xml", &records));
    let run = archive.run(&["export", "--pmids", "1,7"]).expect(5);
    assert!(run.err.contains("1 record omitted: not in the archive"), "{run:?}");
    assert!(!run.err.contains("verify") && run.err.lines().any(|line| line == "1 record"), "{run:?}");
    std::fs::write(archive.object(2), "damaged").expect("written");
    let run = archive.run(&["export", "--pmids", "1,2,7,8"]).expect(5);
    assert!(run.err.contains("2 records omitted: not in the archive"), "{run:?}");
    assert!(run.err.contains("1 record omitted: `bio-mcp verify` reports the cause"), "{run:?}");
}

#[tokio::test]
async fn a_purge_is_reported_with_its_reason() {
    let archive = Archive::new().await;
    archive.ingest(&xml_file(archive.dir.path(), "one.xml", &[Record::new(1, 0).xml()]));
    archive.run(&["purge", "1", "--reason", "test it"]).expect(0);
    let run = archive.run(&["get", "1"]).expect(3);
    assert!(run.err.contains("PMID 1 was purged: test it (as of "), "{run:?}");
}

#[tokio::test]
async fn a_topic_that_is_added_again_keeps_what_is_not_given() {
    let archive = Archive::new().await;
    let add =
        |more: &[&str]| archive.run(&[&["topics", "add", "asthma", "--query-key", "a"], more].concat()).expect(0).out;
    let topic = || archive.run(&["--output", "json", "topics", "list"]).expect(0).json()["topics"][0].clone();
    assert!(add(&[]).contains("every 1d"));
    assert!(add(&["--every", "1h", "--priority", "7"]).contains("every 1h"));
    assert!(add(&[]).contains("every 1h"));
    assert_eq!((&topic()["every_secs"], &topic()["priority"]), (&3600.into(), &7.into()));
    assert!(add(&["--priority", "0"]).contains("every 1h"));
    assert_eq!((&topic()["every_secs"], &topic()["priority"]), (&3600.into(), &0.into()));
}

#[tokio::test]
async fn ended_jobs_are_reported_as_ended() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    let run = archive.run(&["ingest", text(&xml_file(dir, "one.xml", &[Record::new(1, 0).xml()]))]).expect(0);
    assert!(run.out.contains("succeeded: 1 record in "), "{run:?}");
    std::fs::write(dir.join("none.xml"), "<html/>").expect("written");
    let run = archive.run(&["ingest", text(&dir.join("none.xml"))]).expect(2);
    assert!(run.out.contains("failed: 0 records in ") && !run.out.contains("yet"), "{run:?}");
    let jobs = archive.run(&["--output", "json", "jobs", "list"]).expect(0).json();
    for job in jobs["jobs"].as_array().expect("jobs") {
        let shown = archive.run(&["jobs", "show", job["job_id"].as_str().expect("an id")]).expect(0);
        assert!(shown.out.lines().any(|line| line.starts_with("time left") && line.ends_with(" -")), "{shown:?}");
        assert!(!shown.out.contains("yet"), "{shown:?}");
    }
    let one = xml_file(dir, "two.xml", &[Record::new(2, 0).xml()]);
    let detached = archive.run(&["--output", "json", "ingest", "--detach", text(&one)]).expect(0).json();
    let job = detached["job_id"].as_str().expect("an id");
    archive.run(&["jobs", "cancel", job]).expect(0);
    let again = archive.run(&["jobs", "cancel", job]).expect(0);
    assert!(again.out.contains("has already ended as cancelled: nothing changed"), "{again:?}");
    let wrong = archive.run(&["jobs", "show", "nope"]).expect(2);
    assert!(wrong.err.contains("an id has 32 hexadecimal digits"), "{wrong:?}");
}

#[tokio::test]
async fn a_socket_makes_no_folder() {
    let archive = Archive::new().await;
    let folder = archive.dir.path().join("nowhere");
    let address = format!("unix:{}/x.sock", folder.display());
    let run = archive.run(&["serve", "--listen", &address]).expect(2);
    assert!(run.err.contains("not found: create it first") && !folder.exists(), "{run:?}");
}
