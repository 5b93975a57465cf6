//! A reader that closes its end of a pipe ends the output of a command, but does not change its exit code.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use samples::files::write_sample;
use samples::record::Record;
use tests::program::{Archive, text};
use tests::serving::{Running, client};

/// A pipe whose reader has closed it before anything is written.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn file(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("written");
    path
}

/// The exit code is the same whether output is read, closed, or closed together with standard error.
fn check(archive: &Archive, arguments: &[&str], code: i32) {
    archive.run(arguments).expect(code);
    let silent = archive.command(arguments).stdout(closed_pipe()).output().expect("runs");
    assert_eq!(silent.status.code(), Some(code), "{arguments:?}: {}", String::from_utf8_lossy(&silent.stderr));
    let arguments = [&["--output", "json"], arguments].concat();
    let mut both = archive.command(&arguments);
    both.stdout(closed_pipe()).stderr(closed_pipe()).env("BIO_MCP_LOG_LEVEL", "trace").env("BIO_MCP_JSON_LOGS", "true");
    assert_eq!(both.status().expect("runs").code(), Some(code), "{arguments:?} without standard error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_never_changes_the_exit_code() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    let sample = write_sample(&dir.join("s"), 120).expect("written");
    archive.ingest(&sample.baseline);
    archive.ingest(&sample.update);
    let whole = std::fs::read(&sample.baseline).expect("there");
    let cut = file(dir, "cut.xml.gz", &whole[..whole.len() / 2]);
    let bad = "<PubmedArticle><a></b></PubmedArticle>";
    let bad = file(
        dir,
        "bad.xml",
        format!("<PubmedArticleSet>{}{bad}</PubmedArticleSet>", Record::new(1, 0).xml()).as_bytes(),
    );

    let revised = sample.changes.revised[0].to_string();
    let deleted = sample.changes.deleted.to_string();
    check(&archive, &["ingest", text(&sample.baseline)], 0);
    check(&archive, &["ingest", text(&cut)], 2);
    check(&archive, &["ingest", text(&bad)], 5);
    check(&archive, &["parse", text(&sample.baseline)], 0);
    check(&archive, &["parse", text(&cut)], 2);
    check(&archive, &["parse", text(&bad)], 5);
    check(&archive, &["get", &revised], 0);
    check(&archive, &["get", &revised, "--xml"], 0);
    check(&archive, &["get", &deleted], 3);
    check(&archive, &["get", &revised, &deleted], 3);
    check(&archive, &["history", &revised], 0);
    check(&archive, &["diff", &revised], 0);
    check(&archive, &["status"], 0);
    check(&archive, &["tools"], 0);
    check(&archive, &["call", "ping"], 0);
    check(&archive, &["jobs", "list"], 0);
    check(&archive, &["quarantine", "list"], 0);
    check(&archive, &["token", "new"], 0);
    check(&archive, &["export"], 0);
    check(&archive, &["verify"], 0);

    // One object is missing: only the exit code reports it.
    std::fs::remove_file(object(&archive, &revised)).expect("removed");
    check(&archive, &["verify"], 1);
    check(&archive, &["get", &revised], 1);
    check(&archive, &["export"], 5);
}

fn object(archive: &Archive, pmid: &str) -> PathBuf {
    let digits = format!("{pmid:0>11}");
    let folder = format!("pmid={}/{}/{}", &digits[..3], &digits[3..6], &digits[6..9]);
    archive.data_dir().join("archive/pubmed/raw").join(folder).join(format!("{pmid}.json.zst"))
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_cannot_be_written_for_another_reason_is_a_failure() {
    let archive = Archive::new().await;
    let sample = write_sample(archive.dir.path(), 120).expect("written");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full device");
    let mut parse = archive.command(&["parse", text(&sample.baseline)]);
    let run = tests::program::Run::from(parse.stdout(full).output().expect("runs")).expect(4);
    assert!(run.err.contains("No space left"), "{run:?}");
    archive.ingest(&sample.baseline);
    for arguments in [&["--help"][..], &["--version"], &["ingest", "--help"], &["status"], &["tools"], &["export"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full device");
        let run = tests::program::Run::from(archive.command(arguments).stdout(full).output().expect("runs")).expect(4);
        assert!(run.err.contains("cannot write standard output: No space left"), "{arguments:?}: {run:?}");
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full device");
    let mut status = archive.command(&["--output", "json", "status"]);
    let run = tests::program::Run::from(status.stdout(full).output().expect("runs")).expect(4);
    assert!(!run.err.contains("ARCHIVE_ERROR"), "{run:?}");
}

/// A log that is not read fills its pipe (64 kB) after some hundred lines; requests are still served.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_read_does_not_stop_the_server() {
    const REQUESTS: usize = 2_000;
    let archive = Archive::new().await;
    let mut serve = Running(archive.start(&["serve", "--listen", "127.0.0.1:0"], &[("BIO_MCP_LOG_LEVEL", "debug")]));
    let (address, http) = (serve.address(), client());
    let all = async {
        for _ in 0..REQUESTS {
            let response = http.get(format!("{address}/healthz")).send().await.expect("responded");
            assert_eq!(response.status(), 200);
        }
    };
    let responded = tokio::time::timeout(Duration::from_secs(60), all).await;
    serve.0.kill().expect("it runs");
    let mut log = Vec::new();
    serve.0.stderr.take().expect("piped").read_to_end(&mut log).expect("read");
    responded.expect("every request is responded while the log waits for a reader");
    assert!(log.len() >= 48 * 1024, "the pipe was full: {} bytes", log.len());
}
