//! File names, records, queries and errors contain terminal escape sequences: none is sent to a terminal.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use samples::files::{HEAD, TAIL};
use samples::record::Record;
use serde_json::json;
use simulator::{Corpus, Options};
use tests::program::Archive;
use tests::sync::{day, simulator};
use tests::terminal::{obeyed, sent};

/// Changes the title, requests a report, clears the screen: in 7-bit and 8-bit form; and reverses the text direction.
const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{1b}[6n\u{1b}[2J\u{9b}31m\u{9d}0;x\u{9c}\u{7f}\u{202e}";

fn file(archive: &Archive, name: &[u8], inside: &[u8]) -> PathBuf {
    let path = archive.dir.path().join(OsStr::from_bytes(name));
    std::fs::write(&path, [HEAD.as_bytes(), inside, TAIL.as_bytes()].concat()).expect("written");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn no_foreign_escape_sequence_reaches_a_terminal() {
    let archive = Archive::new().await;
    let ncbi = simulator(Corpus::new(day("2026-03-10")), Options::default()).await;
    let url = ncbi.eutils_url();
    let titled = |pmid: u32, revision: u32| {
        let xml = Record::new(pmid, revision).xml();
        let at = xml.find("<ArticleTitle>").expect("a title") + "<ArticleTitle>".len();
        format!("{}{HOSTILE}{}", &xml[..at], &xml[at..])
    };
    // Bytes that are not UTF-8, too.
    let bad =
        [b"<PubmedArticle><a></b>".as_slice(), HOSTILE.as_bytes(), b"\x9b31m\x1b]0;x\x07\xff</PubmedArticle>"].concat();
    let name = [b"records-", HOSTILE.as_bytes(), b".xml"].concat();
    let inside = [titled(1, 0).as_bytes(), &bad].concat();
    let records = file(&archive, &name, &inside);
    let dashed = [b"--", HOSTILE.as_bytes()].concat();

    let show = |arguments: &[&OsStr], is_plain: bool| {
        let mut command = archive.command(&[]);
        command.env("BIO_MCP_PUBMED_BASE_URL", &url).env("BIO_MCP_PUBMED_EMAIL", "t@example.org").args(arguments);
        let sent = sent(&command);
        assert!(!sent.is_empty(), "{arguments:?} says something");
        assert_eq!(obeyed(&sent, is_plain), None, "{arguments:?}");
        String::from_utf8_lossy(&sent).into_owned()
    };
    // A progress bar moves the cursor when a job is followed.
    let said = show(&["ingest".as_ref(), records.as_os_str()], false);
    file(&archive, b"next.xml", titled(1, 1).as_bytes());
    let _ = show(&["ingest".as_ref(), "next.xml".as_ref()], false);
    let db = archive.database().await;
    let (id, job): (i64, uuid::Uuid) =
        sqlx::query_as("select id, job_id from quarantine").fetch_one(&db).await.unwrap_or_else(|_| panic!("{said}"));
    // In every column, however the text got there.
    for sql in [
        "insert into ingestion_job_logs (job_id, level, message, fields) values ($1, 'warn', $2, jsonb_build_object('x', $2::text))",
        "insert into ingestion_failures (job_id, unit_id, record_type, record_id, outcome, reason) \
         select $1, unit_id, 'pubmed', '5', 'failed', $2 from quarantine",
        "update jobs set error = jsonb_build_object('code', 'INTERNAL', 'message', $2::text), query_key = $2 where id = $1",
        "update quarantine set reason = $2, source = $2 where job_id = $1",
    ] {
        // Not every schema has all of these columns.
        let _ = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(job).bind(HOSTILE).execute(&db).await;
    }
    let (id, job) = (id.to_string(), job.to_string());
    let missing = [b"missing-", HOSTILE.as_bytes(), b"\x9b2J.xml"].concat();
    let text = OsStr::from_bytes(HOSTILE.as_bytes());
    let json = json!({ "pmid": 1 }).to_string();
    let commands: [&[&OsStr]; 25] = [
        &["get".as_ref(), "1".as_ref()],
        &["get".as_ref(), "1".as_ref(), "--xml".as_ref()],
        &["get".as_ref(), "1".as_ref(), "--json".as_ref()],
        &["get".as_ref(), text],
        &["history".as_ref(), "1".as_ref()],
        &["diff".as_ref(), "1".as_ref()],
        &["export".as_ref(), "--format".as_ref(), "xml".as_ref()],
        &["parse".as_ref(), records.as_os_str()],
        &["parse".as_ref(), OsStr::from_bytes(&missing)],
        &["ingest".as_ref(), OsStr::from_bytes(&missing)],
        &["ingest".as_ref(), OsStr::from_bytes(&dashed)],
        &["quarantine".as_ref(), "list".as_ref()],
        &["quarantine".as_ref(), "show".as_ref(), id.as_ref()],
        &["quarantine".as_ref(), "retry".as_ref(), id.as_ref()],
        &["--output".as_ref(), "json".as_ref(), "quarantine".as_ref(), "list".as_ref()],
        &["jobs".as_ref(), "list".as_ref()],
        &["jobs".as_ref(), "show".as_ref(), job.as_ref()],
        &["jobs".as_ref(), "logs".as_ref(), job.as_ref()],
        &["jobs".as_ref(), "failures".as_ref(), job.as_ref()],
        &["topics".as_ref(), "add".as_ref(), text],
        &["topics".as_ref(), "list".as_ref()],
        &["search".as_ref(), text],
        &["call".as_ref(), "pubmed.get".as_ref(), json.as_ref()],
        &["call".as_ref(), text, "{}".as_ref()],
        &["status".as_ref()],
    ];
    for arguments in commands {
        let _ = show(arguments, true);
    }
    // The log at its most verbose level.
    let _ = show(&["--verbose".as_ref(), "ingest".as_ref(), records.as_os_str()], false);

    // Output that is not a terminal gets the bytes unchanged.
    let raw = archive.command(&["quarantine", "show", &id]).output().expect("runs").stdout;
    assert_eq!(raw, bad);
    let raw = archive.command(&["get", "1", "--xml"]).output().expect("runs").stdout;
    assert!(String::from_utf8_lossy(&raw).contains(HOSTILE));
}
