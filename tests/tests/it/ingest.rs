//! `ingest` as a user runs it: what is archived, skipped and deleted, and in which order.

use std::path::{Path, PathBuf};

use samples::files::{FileWriter, HEAD, TAIL, write_sample};
use samples::record::Record;
use serde_json::Value;
use tests::program::{Archive, text};
use tests::{invariants, program};

fn xml_file(dir: &Path, name: &str, records: &[String]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, format!("{HEAD}{}\n{TAIL}", records.join("\n"))).expect("written");
    path
}

fn bulk(dir: &Path, name: &str, mtime: u32, records: &[String], deleted: &[u32]) -> PathBuf {
    let path = dir.join(name);
    let mut file = FileWriter::create(&path, mtime).expect("created");
    for record in records {
        file.record(record).expect("written");
    }
    file.finish(deleted).expect("finished");
    path
}

fn counts(result: &Value) -> [i64; 6] {
    ["requested", "archived", "skipped", "failed", "deleted", "missing"].map(|name| result[name].as_i64().expect(name))
}

fn reasons(result: &Value) -> Vec<String> {
    let manifest = tests::record_files::path_of(result["manifest"].as_str().expect("a manifest"));
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).expect("readable")).expect("JSON");
    let mut reasons = Vec::new();
    for part in manifest["parts"].as_array().expect("parts") {
        let path = tests::record_files::path_of(part["uri"].as_str().expect("an address"));
        let text = zstd::decode_all(&std::fs::read(path).expect("readable")[..]).expect("zstd");
        for line in String::from_utf8(text).expect("UTF-8").lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            reasons.push(line["reason"].as_str().unwrap_or("-").to_owned());
        }
    }
    reasons
}

#[tokio::test]
async fn a_baseline_its_repetition_and_an_update() {
    let archive = Archive::new().await;
    let sample = write_sample(&archive.dir.path().join("s"), 300).expect("written");
    let n = i64::try_from(sample.baseline_records).expect("small");
    assert_eq!(counts(&archive.ingest(&sample.baseline)), [n, n, 0, 0, 0, 0]);
    let db = archive.database().await;
    let dump = |db: sqlx::PgPool| async move {
        sqlx::query_scalar::<_, Option<String>>(
            "select md5(string_agg(t::text, '|' order by t::text)) from (
                 select * from (select a::text from pubmed_archive a) x union all
                 select h::text from pubmed_archive_history h union all select e::text from archive_events e) t",
        )
        .fetch_one(&db)
        .await
        .expect("readable")
    };
    let before = dump(db.clone()).await;
    let objects = || walk(&archive.data_dir().join("archive/pubmed/raw"));
    let objects_before = objects();
    assert_eq!(counts(&archive.ingest(&sample.baseline)), [n, 0, n, 0, 0, 0]);
    assert_eq!(dump(db.clone()).await, before, "an unchanged rerun writes no row");
    assert_eq!(objects(), objects_before, "an unchanged rerun writes no object");

    let update = archive.ingest(&sample.update);
    assert_eq!(counts(&update), [37, 31, 5, 0, 1, 0]);
    assert_eq!(invariants::broken(&db).await, Vec::<String>::new());
    archive.run(&["verify"]).expect(0);

    let revised = sample.changes.revised[0].to_string();
    let history = archive.run(&["--output", "json", "history", &revised]).expect(0).json();
    assert_eq!(history["events"].as_array().map(Vec::len), Some(2));
    let diff = archive.run(&["--output", "json", "diff", &revised]).expect(0).json();
    let fields: Vec<&str> =
        diff["changes"].as_array().expect("changes").iter().filter_map(|c| c["field"].as_str()).collect();
    assert_eq!(fields, ["date_revised", "mesh_headings[]", "title"]);

    let retracted = archive.run(&["--output", "json", "get", &sample.changes.retracted.to_string()]).expect(0).json();
    assert_eq!(retracted["integrity"]["status"], "retracted");
    let deleted = sample.changes.deleted.to_string();
    let gone = archive.run(&["--output", "json", "get", &deleted]).expect(3).json();
    assert_eq!(
        (&gone["found"], gone["deleted_at"].is_string(), gone["last_hash"].is_string()),
        (&Value::Bool(false), true, true)
    );
    archive.run(&["get", &deleted, "--as-of", "2000-01-01"]).expect(3);
    let first = archive.run(&["--output", "json", "history", &deleted]).expect(0).json();
    let then = first["events"][0]["accepted_at"].as_str().expect("a time").to_owned();
    archive.run(&["get", &deleted, "--as-of", &then]).expect(0);
}

fn walk(dir: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("readable") {
            let entry = entry.expect("readable");
            if entry.file_type().expect("a type").is_dir() {
                dirs.push(entry.path());
            } else {
                found.push((entry.path(), entry.metadata().expect("there").modified().expect("a time")));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn an_object_can_be_checked_with_zstd_and_sha256_alone() {
    let archive = Archive::new().await;
    let record = Record::new(12_345_678, 0).xml();
    archive.ingest(&xml_file(archive.dir.path(), "one.xml", std::slice::from_ref(&record)));
    let path = archive.data_dir().join("archive/pubmed/raw/pmid=000/123/456/12345678.json.zst");
    let json = zstd::decode_all(&std::fs::read(path).expect("there")[..]).expect("zstd");
    let envelope: Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(envelope["payload"]["xml"], record.as_str());
    assert_eq!(envelope["hash"]["value"], shared::core::Sha256::of(record.as_bytes()).to_hex().as_str());
    assert_eq!(archive.run(&["get", "12345678", "--xml"]).expect(0).out, record);
}

#[tokio::test]
async fn a_record_keeps_its_compression_when_another_is_configured() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    archive.ingest(&xml_file(dir, "a.xml", &[Record::new(1, 0).xml()]));
    let gzip = |arguments: &[&str]| -> program::Run {
        archive.command(arguments).env("BIO_MCP_ARCHIVE_COMPRESSION", "gzip").output().expect("runs").into()
    };
    let file = xml_file(dir, "b.xml", &[Record::new(1, 1).xml(), Record::new(2, 0).xml()]);
    assert_eq!(counts(&gzip(&["--output", "json", "ingest", text(&file)]).expect(0).json()), [2, 2, 0, 0, 0, 0]);
    assert!(archive.data_dir().join("archive/pubmed/raw/pmid=000/000/000/2.json.gz").exists());
    for run in [gzip(&["verify"]), archive.run(&["verify"])] {
        run.expect(0);
    }
    for pmid in ["1", "2"] {
        archive.run(&["get", pmid]).expect(0);
        gzip(&["history", pmid]).expect(0);
    }
    gzip(&["diff", "1"]).expect(0);
}

#[tokio::test]
async fn pointers_are_rebuilt_from_the_objects_alone() {
    let archive = Archive::new().await;
    let sample = write_sample(&archive.dir.path().join("s"), 120).expect("written");
    archive.ingest(&sample.baseline);
    archive.ingest(&sample.update);
    let db = archive.database().await;
    let rows = |db: sqlx::PgPool| async move {
        // Not the order columns: an equal payload of a later file advanced them and left no object.
        sqlx::query_as::<_, (String, String, Option<String>, String, bool)>(
            "select pmid, s3_uri, content_hash, object_etag, deleted_at is not null from pubmed_archive order by pmid",
        )
        .fetch_all(&db)
        .await
        .expect("readable")
    };
    let before = rows(db.clone()).await;
    sqlx::raw_sql("truncate pubmed_archive, pubmed_archive_history, archive_events")
        .execute(&db)
        .await
        .expect("emptied");
    let found = archive.run(&["--output", "json", "verify"]).expect(1).json();
    assert_eq!(found["report"]["problem_count"], i64::try_from(before.len()).expect("small"));
    archive.run(&["verify", "--repair"]).expect(0);
    assert_eq!(rows(db.clone()).await, before);
    assert_eq!(invariants::broken(&db).await, Vec::<String>::new());
    let again = archive.run(&["verify", "--repair"]).expect(0).out;
    assert!(
        again.contains("0 pointers, 0 versions, 0 history rows and 0 events"),
        "a second repair writes nothing: {again}"
    );

    // One flipped byte is detected; ingesting the record's file again restores it.
    let path = archive.data_dir().join("archive/pubmed/raw/pmid=000/300/001/30000101.json.zst");
    let mut bytes = std::fs::read(&path).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let found = archive.run(&["--output", "json", "verify"]).expect(1).json();
    let problems = found["report"]["problems"].as_array().expect("a list");
    assert!(problems.iter().all(|p| p["pmid"] == "30000101"), "{problems:?}");
    // After a repair it is restored from its file; so is one whose object is missing.
    archive.run(&["verify", "--repair"]).expect(1);
    assert_eq!(archive.ingest(&sample.baseline)["archived"], 1);
    archive.run(&["verify"]).expect(0);
    std::fs::remove_file(&path).expect("removed");
    let found = archive.run(&["--output", "json", "verify"]).expect(1).json();
    assert_eq!(found["report"]["problems"][0]["kind"], "missing_object");
    archive.run(&["verify", "--repair"]).expect(1);
    assert_eq!(archive.ingest(&sample.baseline)["archived"], 1);
    archive.run(&["verify"]).expect(0);
}

#[tokio::test]
async fn files_in_any_order_end_in_the_same_pointers() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let r = |pmid, revision| Record::new(pmid, revision).xml();
    let second_version = r(3, 0).replacen("<PMID Version=\"1\">3<", "<PMID Version=\"2\">3<", 1);
    let files = [
        bulk(dir.path(), "pubmed26n0001.xml.gz", 1000, &[r(1, 0), r(2, 0), r(3, 0), r(4, 0)], &[]),
        bulk(dir.path(), "pubmed26n0002.xml.gz", 2000, &[r(1, 1), second_version, r(5, 0)], &[2]),
        bulk(dir.path(), "pubmed26n0003.xml.gz", 3000, &[r(1, 2), r(3, 1), r(2, 3)], &[4, 5]),
    ];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let mut ends = Vec::new();
    for order in orders {
        let archive = Archive::new().await;
        for n in order {
            archive.ingest(&files[n]);
        }
        archive.run(&["verify"]).expect(0);
        let rows: Vec<(String, Option<String>, i32, i32, i64)> = sqlx::query_as(
            "select pmid, content_hash, record_version, file_number, position from pubmed_archive order by pmid",
        )
        .fetch_all(&archive.database().await)
        .await
        .expect("readable");
        ends.push(rows);
    }
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:#?}");
    let of = |pmid: &str| ends[0].iter().find(|row| row.0 == pmid).expect("a row").clone();
    assert_eq!(of("1").3, 260_003, "the newest revision");
    assert_eq!(of("3").2, 2, "the higher version beats the later revision");
    assert!(of("2").1.is_some(), "deleted, then published again");
    assert!(of("4").1.is_none() && of("5").1.is_none(), "deleted");
}

#[tokio::test]
async fn another_spelling_of_the_same_record_is_skipped_and_a_real_change_is_not() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    let record = Record::new(7, 0).xml();
    archive.ingest(&xml_file(dir, "a.xml", std::slice::from_ref(&record)));
    let spelt = record
        .replace("><", ">\n<")
        .replace("Status=\"MEDLINE\" IndexingMethod=\"Automated\"", "IndexingMethod='Automated' Status='MEDLINE'");
    assert_ne!(spelt, record);
    let result = archive.ingest(&xml_file(dir, "b.xml", &[spelt]));
    assert_eq!(counts(&result), [1, 0, 1, 0, 0, 0]);
    assert_eq!(reasons(&result), ["format_only"]);
    let changed = record.replacen("<ArticleTitle>", "<ArticleTitle>Not ", 1);
    assert_eq!(counts(&archive.ingest(&xml_file(dir, "c.xml", &[changed]))), [1, 1, 0, 0, 0, 0]);
    // A → B → A: three changes, two payloads, and the first payload again.
    assert_eq!(counts(&archive.ingest(&xml_file(dir, "d.xml", std::slice::from_ref(&record)))), [1, 1, 0, 0, 0, 0]);
    let history = archive.run(&["--output", "json", "history", "7"]).expect(0).json();
    assert_eq!(history["events"].as_array().map(Vec::len), Some(3));
    assert_eq!(history["events"][0]["content_hash"], history["events"][2]["content_hash"]);
    let db = archive.database().await;
    let payloads: i64 =
        sqlx::query_scalar("select count(*) from pubmed_archive_history").fetch_one(&db).await.expect("one");
    assert_eq!(payloads, 2);
    archive.run(&["verify"]).expect(0);
}

#[tokio::test]
async fn several_versions_and_repetitions_in_one_file() {
    let archive = Archive::new().await;
    let v1 = Record::new(9, 0).xml();
    let v2 = Record::new(9, 1).xml().replacen("<PMID Version=\"1\">9<", "<PMID Version=\"2\">9<", 1);
    let v3 = v2.replacen("<PMID Version=\"2\">9<", "<PMID Version=\"3\">9<", 1);
    let file = bulk(archive.dir.path(), "pubmed26n0001.xml.gz", 5, &[v1.clone(), v3.clone(), v2, v3, v1], &[]);
    let result = archive.ingest(&file);
    // Each version has its newest payload.
    assert_eq!(counts(&result), [5, 3, 2, 0, 0, 0]);
    assert_eq!(reasons(&result), ["-", "-", "-", "-", "-"]);
    let got = archive.run(&["get", "9", "--json"]).expect(0).json();
    assert_eq!(got["version"], 3);
    archive.run(&["verify"]).expect(0);
}

#[tokio::test]
async fn a_bad_record_is_quarantined_and_the_rest_of_its_file_archived() {
    let archive = Archive::new().await;
    let good = |pmid| Record::new(pmid, 0).xml();
    let bad = [
        good(1),
        "<PubmedArticle><MedlineCitation><Article/></MedlineCitation></PubmedArticle>".to_owned(),
        "<PubmedArticle><MedlineCitation><PMID>3</PMID><b></MedlineCitation></PubmedArticle>".to_owned(),
        "<PubmedArticle><MedlineCitation><PMID>4</PMID>&undefined;</MedlineCitation></PubmedArticle>".to_owned(),
        "<Unknown><PMID>5</PMID></Unknown>".to_owned(),
        good(6),
    ];
    let path = xml_file(archive.dir.path(), "bad.xml", &bad);
    let mut bytes = std::fs::read(&path).expect("there");
    let at = bytes.windows(6).position(|w| w == b"<PMID ").expect("a PMID");
    bytes.splice(at..at, *b"<X>\xff\xfe</X>"); // makes the first good one invalid UTF-8
    std::fs::write(&path, bytes).expect("written");
    let run = archive.run(&["--output", "json", "ingest", text(&path)]).expect(5);
    assert_eq!(counts(&run.json()), [6, 1, 0, 5, 0, 0]);
    let list = archive.run(&["--output", "json", "quarantine", "list"]).expect(0).json();
    let entries = list["quarantine"].as_array().expect("a list");
    assert_eq!(entries.len(), 5);
    for entry in entries {
        let id = entry["id"].to_string();
        let shown = archive.command(&["quarantine", "show", &id]).output().expect("runs");
        assert!(shown.status.success());
        let raw = std::fs::read(&path).expect("there");
        assert!(raw.windows(shown.stdout.len()).any(|w| w == shown.stdout), "the exact bytes are kept: {entry}");
    }
    archive.run(&["verify"]).expect(0);
}

#[tokio::test]
async fn bad_files_are_typed_errors_and_nothing_is_lost() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    let records: Vec<String> = (1..=1500).map(|n| Record::new(n, 0).xml()).collect();
    let good = bulk(dir, "pubmed26n0001.xml.gz", 9, &records, &[]);
    let bytes = std::fs::read(&good).expect("there");
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let check = |path: &Path, code: i32, says: &str| {
        let run = archive.run(&["ingest", text(path)]).expect(code);
        assert!(format!("{}{}", run.out, run.err).contains(says), "{says}: {run:#?}");
    };
    check(&dir.join("nowhere.xml"), 2, "cannot read");
    check(Path::new("/dev/null"), 2, "is not a file");
    check(&write("page.xml.gz", b"<html>404</html>"), 2, "not a gzip file");
    check(&write("empty.xml", b""), 2, "empty");
    check(&write("page.xml", b"<html>404</html>"), 2, "the root element is <html>");
    check(&write("error.xml", b"<eFetchResult><ERROR>x</ERROR></eFetchResult>"), 2, "<eFetchResult>");
    check(&write("utf16.xml", &[0xff, 0xfe, b'<', 0]), 2, "UTF-16");
    check(&write("latin.xml", b"<?xml version='1.0' encoding='ISO-8859-1'?><PubmedArticleSet/>"), 2, "ISO-8859-1");
    let bomb = b"<!DOCTYPE PubmedArticleSet [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><PubmedArticleSet>&b;</PubmedArticleSet>";
    check(&write("entities.xml", bomb), 2, "internal subset");
    check(&write("prolog.xml", HEAD.as_bytes()), 2, "truncated");
    check(&write("pubmed26n0002.xml.gz.txt", b"plain text"), 2, "not XML");
    let wrong = write("pubmed26n0003.xml.gz", &bytes);
    write("pubmed26n0003.xml.gz.md5", b"MD5(pubmed26n0003.xml.gz)= 00000000000000000000000000000000\n");
    check(&wrong, 2, "MD5");
    let db = archive.database().await;
    let objects: i64 = sqlx::query_scalar("select count(*) from pubmed_archive").fetch_one(&db).await.expect("one");
    assert_eq!(objects, 0, "nothing was archived from any of them");

    // Records before a truncation are kept; the whole file adds the rest.
    let document = format!("{HEAD}{}", records.join("\n"));
    check(&write("cut.xml", &document.as_bytes()[..document.len() * 9 / 10]), 2, "truncated");
    let kept: i64 = sqlx::query_scalar("select count(*) from pubmed_archive").fetch_one(&db).await.expect("one");
    assert!((1000..1500).contains(&kept), "{kept}");
    let result = archive.ingest(&good);
    assert_eq!(result["archived"].as_i64().expect("a count") + result["skipped"].as_i64().expect("a count"), 1500);
    archive.run(&["verify"]).expect(0);
    assert_eq!(invariants::broken(&db).await, Vec::<String>::new());
}

#[tokio::test]
async fn gzip_bombs_and_oversized_records_stop_at_their_limits() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    // A record over the limit is quarantined; the record after it is archived.
    let giant = Record::new(1, 0).xml().replacen("<Abstract>", &format!("<Abstract>{}", "x".repeat(3 << 20)), 1);
    let file = bulk(dir, "giant.xml.gz", 1, &[giant, Record::new(2, 0).xml()], &[]);
    let limited = |limits: &[(&str, &str)], path: &Path| -> program::Run {
        let mut command = archive.command(&["--output", "json", "ingest", text(path)]);
        command.envs(limits.iter().copied()).output().expect("runs").into()
    };
    let run = limited(&[("BIO_MCP_MAX_RECORD_BYTES", "1048576")], &file).expect(5);
    assert_eq!(counts(&run.json()), [2, 1, 0, 1, 0, 0]);
    let list = archive.run(&["quarantine", "list"]).expect(0).out;
    assert!(list.contains("over the limit of 1048576"), "{list}");
    // A file over the limit is refused; without its .md5 file, before a job is created.
    let error = |run: &program::Run| run.json()["error"]["message"].as_str().expect("a message").to_owned();
    let run = limited(&[("BIO_MCP_MAX_FILE_BYTES", "1048576")], &file).expect(2);
    assert!(error(&run).contains("unpacks to more"), "{run:?}");
    let remove_side_file = |path: &Path| std::fs::remove_file(path.with_added_extension("md5")).expect("removed");
    remove_side_file(&file);
    let run = limited(&[("BIO_MCP_MAX_FILE_BYTES", "1048576")], &file).expect(2);
    assert!(run.err.contains("unpacks to more") && run.out.is_empty(), "{run:?}");
    // A gzip bomb: 100 MB of one letter, a thousand times smaller on disk.
    let bomb = bulk(dir, "bomb.xml.gz", 1, &[format!("<PubmedArticle>{}", "y".repeat(100 << 20))], &[]);
    let run = limited(&[], &bomb).expect(2);
    assert!(error(&run).contains("times its size"), "{run:?}");
    remove_side_file(&bomb);
    let run = limited(&[], &bomb).expect(2);
    assert!(run.err.contains("times its size") && run.out.is_empty(), "{run:?}");
}

#[tokio::test]
async fn usage_errors_say_what_to_do() {
    let archive = Archive::new().await;
    let run = archive.run(&["status"]).expect(3);
    assert!(run.err.contains("no archive in") && run.err.contains("bio-mcp ingest"), "{run:?}");
    assert!(!archive.data_dir().exists(), "a command that reads makes no data directory");
    archive.run(&["get", "0012"]).expect(2);
    archive.run(&["get", "1", "--xml", "--json"]).expect(2);
    archive.run(&["frobnicate"]).expect(2);
    let mut command = archive.command(&["status"]);
    let run = program::Run::from(
        command.env("BIO_MCP_JOB_UNITS", "x").env("BIO_MCP_SWEEP_SECS", "-1").output().expect("runs"),
    );
    assert!(run.err.contains("BIO_MCP_JOB_UNITS") && run.err.contains("BIO_MCP_SWEEP_SECS"), "all at once: {run:?}");
    assert_eq!(run.code, Some(2));
    let one = xml_file(archive.dir.path(), "one.xml", &[Record::new(1, 0).xml()]);
    archive.ingest(&one);
    let run = archive.run(&["--output", "json", "get", "2"]).expect(3);
    let error: Value = serde_json::from_str(run.err.trim()).expect("errors are JSON too");
    assert_eq!((&error["ok"], &error["error_code"]), (&Value::Bool(false), &Value::from("NOT_FOUND")));
    archive.run(&["jobs", "show", "00000000-0000-0000-0000-000000000000"]).expect(3);
    archive.run(&["diff", "1"]).expect(3);
}
