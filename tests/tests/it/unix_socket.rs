//! `serve --listen unix:PATH`: only the owner of the socket can connect.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tests::hostile::{USERS, is_root, mode, set_mode};
use tests::program::{Archive, Run, text};
use tests::serving::{Running, exchange};
use tokio::net::UnixStream;

fn start(archive: &Archive, command: &str, socket: &Path) -> Running {
    Running(archive.start(&[command, "--listen", &address(socket)], &[]))
}

/// A server that already listens.
fn started(archive: &Archive, socket: &Path) -> Running {
    let mut server = start(archive, "serve", socket);
    server.address();
    server
}

fn address(socket: &Path) -> String {
    format!("unix:{}", text(socket))
}

fn refused(archive: &Archive, socket: &Path, why: &str) {
    let run: Run = archive.run(&["serve", "--listen", &address(socket)]).expect(2);
    assert!(run.err.contains(why), "{run:?}");
}

async fn request(socket: &Path, host: &str, method: &str, path: &str, body: &str) -> String {
    let stream = UnixStream::connect(socket).await.expect("connects");
    exchange(stream, host, method, path, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_a_socket_need_no_tokens() {
    let archive = Archive::new().await;
    let socket = archive.dir.path().join("run/http.sock");
    fs::create_dir(archive.dir.path().join("run")).expect("made");
    set_mode(&archive.dir.path().join("run"), 0o700);
    for command in ["serve", "up"] {
        let mut server = start(&archive, command, &socket);
        assert_eq!(server.address(), address(&socket));
        assert_eq!((mode(&socket), mode(socket.parent().expect("a folder"))), (0o600, 0o700));
        let healthy = request(&socket, "localhost", "GET", "/healthz", "").await;
        assert!(healthy.starts_with("HTTP/1.1 200"), "{healthy}");
        let ping = request(&socket, "localhost", "POST", "/v1/mcp/invoke", r#"{"tool":"ping","params":{}}"#).await;
        assert!(ping.starts_with("HTTP/1.1 200") && ping.contains("pong"), "{ping}");
        let jobs = request(&socket, "localhost", "GET", "/v1/jobs", "").await;
        assert!(jobs.starts_with("HTTP/1.1 200"), "{jobs}");
        let other = request(&socket, "evil.example", "GET", "/v1/jobs", "").await;
        assert!(other.starts_with("HTTP/1.1 403"), "names are checked as ever: {other}");
        refused(&archive, &socket, "is locked by process");
        assert_eq!(server.end("-INT"), Some(0));
        let left: Vec<_> = fs::read_dir(socket.parent().expect("a folder")).expect("there").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_of_a_killed_server_is_replaced_and_any_other_file_is_not() {
    let archive = Archive::new().await;
    let dir = archive.dir.path();
    let socket = dir.join("http.sock");
    started(&archive, &socket).end("-KILL");
    assert!(socket.exists(), "it could not remove it");
    assert_eq!(started(&archive, &socket).end("-TERM"), Some(0));
    assert!(!socket.exists());
    fs::write(&socket, "mine").expect("written");
    refused(&archive, &socket, "it exists and is not a socket of this user");
    assert_eq!(fs::read_to_string(&socket).expect("there"), "mine");
    fs::remove_file(&socket).expect("removed");
    std::os::unix::fs::symlink(dir.join("elsewhere"), &socket).expect("linked");
    refused(&archive, &socket, "it exists and is not a socket of this user");
    fs::remove_file(&socket).expect("removed");
    let listening = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    refused(&archive, &socket, "another server is listening on it");
    drop(listening);
    refused(&archive, &dir.join("x".repeat(120)), "a maximum of 107 bytes");
    let open = dir.join("open");
    fs::create_dir(&open).expect("made");
    set_mode(&open, 0o777);
    refused(&archive, &open.join("http.sock"), "is writable by other users");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_does_not_connect() {
    if !is_root() {
        return;
    }
    let archive = Archive::new().await;
    // In a directory that every user can enter.
    set_mode(archive.dir.path(), 0o755);
    let socket = archive.dir.path().join("http.sock");
    let theirs: PathBuf = archive.dir.path().join("theirs");
    fs::create_dir(&theirs).expect("made");
    std::os::unix::fs::chown(&theirs, Some(USERS[0]), None).expect("given away");
    refused(&archive, &theirs.join("http.sock"), "belongs to another user");
    let server = started(&archive, &socket);
    let script = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\n\
                  try: s.connect(sys.argv[1]); print('connected')\nexcept PermissionError: print('refused')";
    let connect = |user: u32| {
        let mut python = Command::new("python3");
        python.args(["-c", script, text(&socket)]).current_dir("/").stdin(Stdio::null());
        let output = python.uid(user).gid(user).output();
        output
            .ok()
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
            .filter(|said| !said.is_empty())
    };
    for user in USERS {
        match connect(user).as_deref() {
            None => eprintln!("SKIPPED: user {user} cannot run python3"),
            said => assert_eq!(said, Some("refused"), "{user}"),
        }
    }
    assert_eq!(connect(0).as_deref(), Some("connected"));
    // A socket that another user created is not removed.
    assert_eq!(server.end("-TERM"), Some(0));
    std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    std::os::unix::fs::chown(&socket, Some(USERS[0]), None).expect("given away");
    refused(&archive, &socket, "it exists and is not a socket of this user");
    assert!(socket.exists());
}
