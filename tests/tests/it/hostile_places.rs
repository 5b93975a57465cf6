//! Files, links and servers of others: nothing is written through them, and no request is redirected elsewhere.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use samples::files::{HEAD, TAIL};
use samples::record::Record;
use shared::pubmed::download::{DownloadError, FilesServer};
use tests::program::{Archive, text};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server that responds to every connection with this response.
async fn responding(response: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut piece = [0; 1024];
                match stream.read(&mut piece).await {
                    Ok(n) if n > 0 => request.extend_from_slice(&piece[..n]),
                    _ => break,
                }
            }
            let response = response(String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or_default());
            let _ = stream.write_all(response.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_files_leads_to_no_other_address() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let elsewhere = responding(move |path| {
        let _ = told.send(path.to_owned());
        String::new()
    });
    let elsewhere = elsewhere.await;
    let port = elsewhere.rsplit(':').next().expect("a port").to_owned();
    let dir = tempfile::tempdir().expect("a temporary directory");
    for to in [
        format!("{elsewhere}/x"),
        format!("http://localhost:{port}/x"),
        format!("http://[::ffff:127.0.0.1]:{port}/x"),
        format!("//127.0.0.1:{port}/x"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[fe80::1]/".to_owned(),
        "http://[::ffff:169.254.169.254]/".to_owned(),
        "http://2852039166/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let location = to.clone();
        let server = responding(move |_| {
            format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        });
        let server = FilesServer::new(&server.await);
        let download = server.download("pubmed26n0001.xml.gz", dir.path());
        let refused = tokio::time::timeout(Duration::from_secs(20), download).await.expect("at once");
        assert!(matches!(&refused, Err(DownloadError::Server { .. })), "{to}: {refused:?}");
        assert_eq!(std::fs::read_dir(dir.path()).expect("read").count(), 0, "{to}");
        assert!(heard.try_recv().is_err(), "{to} was asked");
    }
    // A redirect loop.
    let circle = responding(|path| {
        format!("HTTP/1.1 302 Found\r\nlocation: {path}x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    });
    let refused = FilesServer::new(&circle.await).download("pubmed26n0001.xml.gz", dir.path()).await;
    assert!(matches!(&refused, Err(DownloadError::Server { .. })), "{refused:?}");
    // An .md5 file without end.
    let long = responding(|_| format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "0".repeat(1 << 20)));
    let refused = FilesServer::new(&long.await).download("pubmed26n0001.xml.gz", dir.path()).await;
    assert!(matches!(&refused, Err(DownloadError::Server { what, .. }) if what.contains("longer")), "{refused:?}");
}

fn one_record(archive: &Archive) {
    let path = archive.dir.path().join("one.xml");
    std::fs::write(&path, format!("{HEAD}{}{TAIL}", Record::new(1, 0).xml())).expect("written");
    archive.ingest(&path);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_written_into_no_file_of_another_user() {
    let archive = Archive::new().await;
    one_record(&archive);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (out, victim) = (dir.path().join("out.ndjson"), dir.path().join("victim"));
    std::fs::write(&victim, "mine").expect("written");
    let unfinished = |ending: &str| dir.path().join(format!("out.ndjson.unfinished{ending}"));
    let refused = |what: &str| {
        let run = archive.run(&["export", "--out", text(&out)]);
        assert!(matches!(run.code, Some(2 | 4)) && !out.exists(), "{what}: {run:?}");
        assert_eq!(std::fs::read_to_string(&victim).expect("there"), "mine", "{what}");
        run.err
    };
    let clear = |path: &Path| std::fs::remove_file(path).expect("removed");
    for ending in ["", ".json.next"] {
        symlink(&victim, unfinished(ending)).expect("linked");
        refused("a link");
        clear(&unfinished(ending));
        std::fs::hard_link(&victim, unfinished(ending)).expect("linked");
        assert!(refused("a second name of a file").contains("remove it"));
        clear(&unfinished(ending));
        let made = std::process::Command::new("mkfifo").arg(unfinished(ending)).status().expect("mkfifo runs");
        assert!(made.success());
        refused("a pipe that nothing reads");
        clear(&unfinished(ending));
        // A file left by an earlier refusal belongs to this user.
        let _ = std::fs::remove_file(unfinished(""));
    }
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        // As another user of a shared directory could: with a file that claims progress.
        for ending in ["", ".json"] {
            std::fs::write(unfinished(ending), "{}").expect("written");
            std::os::unix::fs::chown(unfinished(ending), Some(65_534), Some(65_534)).expect("given away");
        }
        assert!(refused("another user's file").contains("remove it"));
        clear(&unfinished(""));
    } else {
        eprintln!("SKIPPED: only root can give a file away");
    }
    archive.run(&["export", "--out", text(&out)]).expect(0);
    assert!(std::fs::read_to_string(&out).expect("written").contains("\"pmid\":\"1\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_never_sent_in_plain_text() {
    let archive = Archive::new().await;
    for base in [
        "http://example.org/",
        "http://169.254.169.254/",
        "http://localhost.example/",
        "http://example.org\\@127.0.0.1/",
    ] {
        let mut command = archive.command(&["search", "asthma"]);
        command.env("BIO_MCP_PUBMED_BASE_URL", base).env("BIO_MCP_PUBMED_API_KEY", "hunter2");
        let run: tests::program::Run = command.output().expect("runs").into();
        assert!(
            run.code == Some(2) && run.err.contains("unencrypted") && !run.err.contains("hunter2"),
            "{base}: {run:?}"
        );
    }
    // Not to a proxy on the way to this machine either.
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let proxy = responding(move |path| {
        let _ = told.send(path.to_owned());
        "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
    });
    let mut command = archive.command(&["search", "asthma"]);
    command.env("BIO_MCP_PUBMED_BASE_URL", "http://127.0.0.1:9/").env("BIO_MCP_PUBMED_API_KEY", "hunter2");
    command.env("http_proxy", proxy.await).env_remove("no_proxy").env_remove("NO_PROXY");
    let run = tokio::task::spawn_blocking(move || command.output().expect("runs")).await.expect("joined");
    assert!(!run.status.success(), "nothing listens there");
    assert!(heard.try_recv().is_err(), "a proxy was asked");
}
