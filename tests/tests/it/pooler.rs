//! A pgbouncer before the database: session pooling works, transaction pooling is refused.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tests::lambda::free_port;
use tests::program::{Archive, text};
use tests::silent_proxy::SilentProxy;

/// The path of pgbouncer, if it is installed.
fn pgbouncer() -> Option<PathBuf> {
    let places = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"].map(PathBuf::from);
    let found = places.into_iter().find(|place| place.exists());
    if found.is_none() {
        eprintln!("SKIPPED: pgbouncer is not installed");
    }
    found
}

struct Pooler(Child);

impl Pooler {
    async fn start(program: &Path, dir: &Path, before: &SilentProxy, mode: &str) -> (Self, u16) {
        let port = free_port();
        let config = dir.join(format!("{mode}.ini"));
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres dbname={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n",
            before.port,
            before.database(),
        );
        std::fs::write(&config, settings).expect("written");
        // pgbouncer refuses to run as root.
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
        let as_user: &[&str] = if is_root { &["-u", "nobody"] } else { &[] };
        let mut command = Command::new(program);
        let child = command.args(as_user).arg(text(&config)).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let pooler = Self(child.expect("it starts"));
        let listens = async { while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(20), listens).await.expect("it listens");
        (pooler, port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_of_transactions_is_refused_and_one_of_sessions_works() {
    let Some(program) = pgbouncer() else { return };
    let direct = Archive::with_empty_database().await;
    let proxy = SilentProxy::before(direct.url().expect("on the test server")).await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("one.xml");
    let write = |pmid: u32| {
        let record = samples::record::Record::new(pmid, 0).xml();
        std::fs::write(&file, format!("<PubmedArticleSet>{record}</PubmedArticleSet>")).expect("written");
    };
    write(1);
    direct.ingest(&file);
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");

    let (_transactions, port) = Pooler::start(&program, dir.path(), &proxy, "transaction").await;
    let refused = direct.with_url(&proxy.url_at(port)).run(&["status"]).expect(4);
    assert!(refused.err.contains("pool_mode to session"), "{refused:?}");

    let (_sessions, port) = Pooler::start(&program, dir.path(), &proxy, "session").await;
    let behind = direct.with_url(&proxy.url_at(port));
    behind.run(&["status"]).expect(0);
    write(2);
    assert_eq!(behind.ingest(&file)["archived"], 1);
}
