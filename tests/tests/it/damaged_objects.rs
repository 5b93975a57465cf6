//! Objects that were swapped, removed or made unreadable outside the program: results of reads, `verify` and
//! `--repair`.

use tests::program::{Archive, Run, limited};
use tests::record_files::{file, ingest, record, title};

#[tokio::test]
async fn swapped_objects_are_damaged_and_never_read_as_each_other() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    let records = [record(104, 1, "2026-01-01", "four"), record(105, 1, "2026-01-01", "five")];
    let source = file(dir, "pubmed26n0001.xml", &records, &[]);
    archive.ingest(&source);
    let (one, other, aside) = (archive.object(104), archive.object(105), dir.join("aside"));
    for (from, to) in [(&one, &aside), (&other, &one), (&aside, &other)] {
        std::fs::rename(from, to).expect("moved");
    }
    let found = archive.run(&["--output", "json", "verify"]).expect(1).json();
    assert!(found["report"]["problems"].to_string().contains("under the key of PMID 104"), "{found}");
    archive.run(&["get", "104"]).expect(1);
    archive.run(&["verify", "--repair"]).expect(1);
    assert_eq!(archive.ingest(&source)["archived"], 2);
    assert_eq!(title(&archive, "104").as_deref(), Some("four"));
    assert_eq!(title(&archive, "105").as_deref(), Some("five"));
    archive.run(&["verify"]).expect(0);
}

#[tokio::test]
async fn a_record_whose_newest_object_is_gone_falls_back_to_an_older_one() {
    let archive = Archive::new().await;
    ingest(&archive, "pubmed26n0001.xml", &[record(101, 1, "2026-01-01", "older")], &[]);
    ingest(&archive, "pubmed26n0002.xml", &[record(101, 1, "2026-01-02", "newer")], &[]);
    std::fs::remove_file(archive.object(101)).expect("removed");
    let db = archive.database().await;
    sqlx::query("truncate pubmed_archive, pubmed_archive_history, archive_events").execute(&db).await.expect("emptied");
    let found = archive.run(&["--output", "json", "verify"]).expect(1).json();
    assert!(found["report"]["problems"].to_string().contains("orphan_object"), "{found}");
    archive.run(&["verify", "--repair"]).expect(0);
    assert_eq!(title(&archive, "101").as_deref(), Some("older"));
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_named_and_everything_else_is_checked() {
    let archive = Archive::new().await;
    let records = [record(1, 1, "2026-01-01", "one"), record(2, 1, "2026-01-01", "two")];
    ingest(&archive, "pubmed26n0001.xml", &records, &[]);
    // A directory under its name cannot be read as a file, not even by root.
    std::fs::remove_file(archive.object(1)).expect("removed");
    std::fs::create_dir(archive.object(1)).expect("made");
    for arguments in [&["--output", "json", "verify"][..], &["--output", "json", "verify", "--repair"]] {
        let found = archive.run(arguments).expect(1).json();
        let problems = found["report"]["problems"].as_array().expect("a list");
        assert!(problems.iter().any(|one| one["kind"] == "unreadable_object"), "{found}");
        assert!(problems.iter().all(|one| one["pmid"] == "1"), "{found}");
    }
}

/// An object larger than any record is neither read nor used as the record.
#[tokio::test]
async fn an_oversized_object_is_reported_and_replaced_and_never_read() {
    let archive = Archive::new().await;
    let records = [record(1, 1, "2026-01-01", "one"), record(2, 1, "2026-01-01", "two")];
    let source = file(archive.dir.path(), "pubmed26n0001.xml", &records, &[]);
    archive.ingest(&source);
    std::fs::remove_file(archive.object(1)).expect("removed");
    // A sparse file: it uses no disk space, and is larger than the memory that the program has.
    std::fs::File::create(archive.object(1)).and_then(|file| file.set_len(8 << 30)).expect("made");
    let run = |arguments: &[&str]| -> Run {
        limited(&archive.command(arguments), "-v 4000000").output().expect("the program starts").into()
    };
    for arguments in [&["--output", "json", "verify"][..], &["--output", "json", "verify", "--repair"]] {
        let found = run(arguments).expect(1).json();
        let problems = found["report"]["problems"].as_array().expect("a list");
        assert!(problems.iter().all(|one| one["pmid"] == "1"), "{found}");
        let is_named =
            |one: &serde_json::Value| one["detail"].as_str().is_some_and(|text| text.contains("was not read"));
        let set_aside = found["report"]["set_aside"].as_array().expect("a list");
        assert!(problems.iter().any(is_named) || !set_aside.is_empty(), "{found}");
    }
    let refused = run(&["get", "1"]).expect(1);
    assert!(refused.err.contains("was not read"), "{refused:?}");
    run(&["get", "2"]).expect(0);
    assert_eq!(run(&["--output", "json", "ingest", &source.to_string_lossy()]).expect(0).json()["archived"], 1);
    assert_eq!(title(&archive, "1").as_deref(), Some("one"));
    run(&["verify"]).expect(0);
}
