//! Other users of the machine: the one that root's Postgres runs as, and those that hold a lock.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use samples::record::Record;
use tests::hostile::{Shared, USERS, is_root, mode, set_mode, shell_as, state_of};
use tests::program::{Run, text};

/// A `PATH` without `unshare`: root's Postgres runs as another user of the machine.
const WITHOUT_NAMESPACES: &str = "/nowhere";

fn one_record(folder: &Path) -> PathBuf {
    let path = folder.join("one.xml");
    let record = Record::new(1, 0).xml();
    fs::write(&path, format!("<PubmedArticleSet>{record}</PubmedArticleSet>")).expect("written");
    path
}

fn run(shared: &Shared, data: &Path, path: Option<&str>, arguments: &[&str]) -> Run {
    let arguments: Vec<&str> = ["--data-dir", text(data)].into_iter().chain(arguments.iter().copied()).collect();
    let mut command = shared.command(&tests::program::path(), shared.path(), &arguments);
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command.output().expect("the program starts").into()
}

/// An archive of one record, made from a file, in a folder that every user can enter.
struct Archive {
    shared: Shared,
    data: PathBuf,
    file: PathBuf,
}

impl Archive {
    fn new() -> Self {
        let shared = Shared::new();
        let data = shared.path().join("data");
        let file = one_record(shared.path());
        run(&shared, &data, None, &["ingest", text(&file)]).expect(0);
        Self { shared, data, file }
    }
}

/// The directory of the cluster of a data directory when it runs as another user.
fn cluster_of(data: &Path) -> PathBuf {
    let within = data.join("postgres/cluster");
    if within.exists() {
        return within;
    }
    let name = fs::read_to_string(data.join("postgres/place")).expect("it has a place");
    PathBuf::from(format!("/var/tmp/bio-mcp-{name}"))
}

/// What the server's user does in its directory `$1`, with `$2` a folder of root's.
const ATTACKS: [(&str, &str); 7] = [
    ("the directory of the socket", r#"rm -rf "$1/socket" && ln -s "$2" "$1/socket""#),
    ("the settings", r#"rm -f "$1/data/bio-mcp.conf" && ln -s "$2/file" "$1/data/bio-mcp.conf""#),
    ("the log", r#"rm -f "$1/log" && ln -s "$2/file" "$1/log""#),
    ("a lock file", r#"rm -f "$1/data/postmaster.pid" && ln -s "$2/file" "$1/data/postmaster.pid""#),
    ("the version", r#"rm -f "$1/data/PG_VERSION" && ln -s "$2/file" "$1/data/PG_VERSION""#),
    ("the cluster", r#"rm -rf "$1/data" && ln -s "$2" "$1/data""#),
    ("the unfinished cluster", r#"rm -rf "$1/data" "$1/data.new" && ln -s "$2" "$1/data.new""#),
];

fn root_changes_nothing_for_the_user_of_its_postgres(is_private: bool) {
    let shared = Shared::new();
    let base = shared.folder("base", None, if is_private { 0o700 } else { 0o755 });
    let file = one_record(&base);
    // Root's, but readable, like /etc.
    let victim = shared.folder("victim", None, 0o755);
    for name in ["file", "postmaster.pid", "postgresql.conf"] {
        fs::write(victim.join(name), "root's\n").expect("written");
    }
    let before = state_of(&victim);
    for (n, (what, attack)) in ATTACKS.iter().enumerate() {
        let data = base.join(format!("data-{n}"));
        run(&shared, &data, Some(WITHOUT_NAMESPACES), &["ingest", text(&file)]).expect(0);
        let cluster = cluster_of(&data);
        let owner = fs::metadata(&cluster).expect("there").uid();
        assert_ne!(owner, 0, "root's Postgres has a user of its own");
        assert_eq!(mode(&data) & 0o066, 0, "no other user reads or writes it");
        assert!(!shell_as(owner, r#"ls "$1" || ls "$1/archive" || : > "$1/postgres/start.lock""#, &[&data]));
        assert!(shell_as(owner, attack, &[&cluster, &victim]), "{what}");
        for arguments in [&["status"][..], &["db", "start"], &["db", "stop"]] {
            // Whether it works again depends on what was destroyed.
            run(&shared, &data, Some(WITHOUT_NAMESPACES), arguments);
            assert_eq!(state_of(&victim), before, "{what}: {arguments:?}");
        }
        if !cluster.starts_with(&data) {
            fs::remove_dir_all(&cluster).expect("removed");
        }
    }
}

#[test]
fn root_changes_nothing_for_the_user_of_its_postgres_beside_its_data() {
    if is_root() {
        root_changes_nothing_for_the_user_of_its_postgres(false);
    }
}

#[test]
fn root_changes_nothing_for_the_user_of_its_postgres_elsewhere() {
    if is_root() {
        root_changes_nothing_for_the_user_of_its_postgres(true);
    }
}

#[test]
fn with_namespaces_no_other_user_comes_near_the_cluster() {
    if !is_root() {
        return;
    }
    let Archive { data, .. } = Archive::new();
    if data.join("postgres/cluster").exists() {
        eprintln!("SKIPPED: there are no user namespaces here");
        return;
    }
    for user in USERS.into_iter().chain([101]) {
        assert!(!shell_as(user, r#"ls "$1" || : > "$1/postgres/socket/x""#, &[&data]), "{user}");
    }
}

#[test]
fn root_writes_nowhere_where_another_user_decides() {
    if !is_root() {
        return;
    }
    let shared = Shared::new();
    let file = one_record(shared.path());
    let user = USERS[0];
    let theirs = shared.folder("theirs", Some(user), 0o755);
    let refused = |run: Run| {
        let run = run.expect(2);
        assert!(run.err.contains("belongs to another user"), "{run:?}");
    };
    for path in [None, Some(WITHOUT_NAMESPACES)] {
        // Below the user's folder, in it, and in a directory of root's inside it.
        refused(run(&shared, &theirs.join("new/data"), path, &["ingest", text(&file)]));
        refused(run(&shared, &theirs, path, &["ingest", text(&file)]));
        let own = shared.folder("theirs/own", None, 0o700);
        refused(run(&shared, &own, path, &["ingest", text(&file)]));
        fs::remove_dir(&own).expect("empty");
        // Through symbolic links: the data directory itself, and inside it.
        let data = shared.path().join("linked");
        symlink(&theirs, &data).expect("linked");
        refused(run(&shared, &data, path, &["ingest", text(&file)]));
        fs::remove_file(&data).expect("removed");
        for name in ["archive", "postgres", "workers", "downloads"] {
            let data = shared.folder(&format!("data-{name}"), None, 0o700);
            symlink(&theirs, data.join(name)).expect("linked");
            refused(run(&shared, &data, path, &["ingest", text(&file)]));
            fs::remove_dir_all(&data).expect("removed");
        }
        // The archive in another location.
        let data = shared.path().join("data");
        let mut command =
            shared.command(&tests::program::path(), shared.path(), &["--data-dir", text(&data), "ingest", text(&file)]);
        command.env("BIO_MCP_ARCHIVE_BUCKET", format!("file://{}", theirs.join("archive").display()));
        refused(command.output().expect("starts").into());
        assert_eq!(state_of(&theirs).len(), 1, "nothing was written");
    }
}

#[test]
fn directories_and_locks_are_closed_to_other_users() {
    let Archive { shared, data, file } = Archive::new();
    let locks = ["postgres/start.lock", "postgres/use.lock"].map(|name| data.join(name));
    let folders = ["", "archive", "workers", "downloads", "postgres"].map(|name| data.join(name));
    let check = || {
        for lock in &locks {
            assert_eq!(mode(lock), 0o600, "{}", lock.display());
        }
        for folder in &folders {
            let mode = mode(folder);
            // Without user namespaces root's Postgres has to enter two of them.
            assert!(mode == 0o700 || mode == 0o711 && !data.join("postgres/data").exists(), "{}", folder.display());
        }
    };
    check();
    // As earlier versions left them.
    for lock in &locks {
        set_mode(lock, 0o644);
    }
    for folder in &folders[..1] {
        set_mode(folder, 0o755);
    }
    set_mode(&folders[4], 0o755);
    run(&shared, &data, None, &["status"]).expect(0);
    check();
    // A symbolic link is not accepted as a lock file.
    fs::remove_file(&locks[0]).expect("removed");
    symlink(&file, &locks[0]).expect("linked");
    let before = fs::read_to_string(&file).expect("there");
    run(&shared, &data, None, &["status"]).expect(2);
    assert_eq!(fs::read_to_string(&file).expect("there"), before);
}

#[test]
fn a_lock_that_another_user_holds_hangs_no_command() {
    if !is_root() {
        return;
    }
    let Archive { shared, data, file } = Archive::new();
    let lock = data.join("postgres/start.lock");
    // As an earlier version left it, when another user opened it.
    for (path, mode) in [(&data, 0o755), (&data.join("postgres"), 0o755), (&lock, 0o644)] {
        set_mode(path, mode);
    }
    let mut holding = Command::new("flock");
    holding.args(["--shared"]).arg(&lock).arg("cat").current_dir("/").stdin(Stdio::piped());
    let Ok(mut holder) = holding.uid(USERS[1]).gid(USERS[1]).spawn() else {
        eprintln!("SKIPPED: there is no program `flock`");
        return;
    };
    let own = File::open(&lock).expect("there");
    while own.try_lock().is_ok() {
        own.unlock().expect("unlocked");
        std::thread::yield_now();
    }
    drop(own);
    for arguments in [&["status"][..], &["db", "stop"], &["ingest", text(&file)]] {
        let run = run(&shared, &data, None, arguments).expect(4);
        let holder = format!("process {} of another user (uid {})", holder.id(), USERS[1]);
        assert!(run.err.contains("start.lock is locked by") && run.err.contains(&holder), "{run:?}");
    }
    let mut input = holder.stdin.take().expect("piped");
    input.write_all(b"").expect("open");
    drop(input);
    holder.wait().expect("ends");
    run(&shared, &data, None, &["status"]).expect(0);
    assert!(!shell_as(USERS[1], r#"exec flock --shared "$1" true"#, &[&lock]), "it is closed now");
    // A lock file owned by another user is not used either.
    chown(&lock, Some(USERS[1]), None).expect("given away");
    let run = run(&shared, &data, None, &["status"]).expect(2);
    assert!(run.err.contains("belongs to another user"), "{run:?}");
}
