//! The private Postgres: shared, stopped by its last user, taken over, recovered.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use samples::files::write_sample;
use samples::record::Record;
use tests::program::{Archive, text};

fn one_record(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("one.xml");
    let record = Record::new(1, 0).xml();
    std::fs::write(&path, format!("<PubmedArticleSet>{record}</PubmedArticleSet>")).expect("written");
    path
}

/// The PID of the server, if it runs.
fn server(archive: &Archive) -> Option<String> {
    let pid_file = archive.data_dir().join("postgres/data/postmaster.pid");
    let pid = std::fs::read_to_string(pid_file).ok()?.lines().next()?.trim().to_owned();
    std::fs::read_to_string(format!("/proc/{pid}/comm")).ok().filter(|name| name.trim() == "postgres").map(|_| pid)
}

fn kill(signal: &str, pid: &str) {
    assert!(std::process::Command::new("kill").args([signal, pid]).status().expect("kill runs").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_with_the_first_command_and_stops_with_the_last() {
    let archive = Archive::with_private_postgres();
    archive.ingest(&one_record(archive.dir.path()));
    assert_eq!(server(&archive), None, "the last one out stops it");
    let mode = std::fs::metadata(archive.data_dir().join("postgres/data")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let url = archive.run(&["db", "start"]).expect(0).out;
    let pid = server(&archive).expect("kept");
    archive.run(&["status"]).expect(0);
    assert_eq!(server(&archive), Some(pid.clone()), "the same server");
    assert!(url.starts_with("postgres://postgres@localhost/bio_mcp?host=/"), "{url}");
    let listening = std::fs::read_to_string(archive.data_dir().join("postgres/data/bio-mcp.conf")).expect("there");
    assert!(listening.contains("listen_addresses = ''"), "no network port");

    // kill -9 of the server: the next command recovers it.
    kill("-KILL", &pid);
    let got = archive.run(&["get", "1"]).expect(0);
    assert!(got.out.contains("PMID 1 "), "{got:?}");
    assert!(archive.run(&["db", "stop"]).expect(0).out.contains("stopped"));
    assert_eq!(server(&archive), None);
    assert!(archive.run(&["db", "stop"]).expect(0).out.contains("not running"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_command_leaves_it_to_the_next() {
    let archive = Archive::with_private_postgres();
    archive.ingest(&one_record(archive.dir.path()));
    let mut worker = archive.start(&["worker"], &[]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while server(&archive).is_none() {
        assert!(Instant::now() < deadline, "it starts");
        std::thread::yield_now();
    }
    worker.kill().expect("killed");
    worker.wait().expect("ends");
    // Whether the killed command was using it or starting it: the next command works, and stops it.
    archive.run(&["status"]).expect(0);
    assert_eq!(server(&archive), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commands_at_once_share_it() {
    let archive = Archive::with_private_postgres();
    let sample = write_sample(archive.dir.path(), 100).expect("written");
    let children: Vec<_> = (0..5)
        .map(|n| {
            archive.start(
                &["--output", "json", "ingest", text(if n % 2 == 0 { &sample.baseline } else { &sample.update })],
                &[],
            )
        })
        .collect();
    for child in children {
        tests::program::Run::from(child.wait_with_output().expect("ends")).expect(0);
    }
    assert_eq!(server(&archive), None);
    archive.run(&["verify"]).expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_restarted_when_it_dies_in_the_middle_of_a_job() {
    let archive = Archive::with_private_postgres();
    let dir = archive.dir.path();
    let path = dir.join("pubmed26n0009.xml.gz");
    let mut file = samples::files::FileWriter::create(&path, 1).expect("created");
    for n in 1..=3000 {
        file.record(&Record::new(n, 0).xml()).expect("written");
    }
    file.finish(&[]).expect("finished");
    archive.run(&["db", "start"]).expect(0);
    let child = archive.start(&["--output", "json", "ingest", text(&path)], &[("BIO_MCP_BATCH_RECORDS", "20")]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::read_dir(archive.data_dir().join("archive/pubmed/raw")).is_err() {
        assert!(Instant::now() < deadline, "objects appear");
        std::thread::yield_now();
    }
    kill("-KILL", &server(&archive).expect("runs"));
    let run = tests::program::Run::from(child.wait_with_output().expect("ends")).expect(0);
    assert_eq!(run.json()["requested"], 3000, "{run:?}");
    archive.run(&["verify"]).expect(0);
    archive.run(&["db", "stop"]).expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_longer_than_a_socket_may_be_is_fine() {
    let mut archive = Archive::with_private_postgres();
    let deep = tempfile::Builder::new().prefix(&"long-".repeat(30)).tempdir_in(archive.dir.path()).expect("made");
    let file = one_record(archive.dir.path());
    let outer = std::mem::replace(&mut archive.dir, deep.into());
    archive.ingest(&file);
    archive.run(&["verify"]).expect(0);
    drop(archive);
    drop(outer);
}

/// Without `unshare` in the PATH, root runs the server as another user, with its files where that user can reach them.
#[tokio::test(flavor = "multi_thread")]
async fn root_without_user_namespaces_uses_an_unprivileged_user() {
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    if !root {
        eprintln!("SKIPPED: not root");
        return;
    }
    let archive = Archive::with_private_postgres();
    let file = one_record(archive.dir.path());
    let mut command = archive.command(&["--output", "json", "ingest", text(&file)]);
    let run = tests::program::Run::from(command.env("PATH", "/nowhere").output().expect("runs")).expect(0);
    assert_eq!(run.json()["archived"], 1);
}

/// The initdb of a killed command continues to write into its directory.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_initdb_still_writes_disturbs_no_start() {
    let archive = Archive::with_private_postgres();
    let postgres = archive.data_dir().join("postgres");
    let orphans = ["data.new", "data.new.0123456789abcdef"].map(|name| postgres.join(name).join("base/4"));
    let done = std::sync::atomic::AtomicBool::new(false);
    let done = &done;
    std::thread::scope(|scope| {
        for orphan in &orphans {
            std::fs::create_dir_all(orphan).expect("made");
            scope.spawn(move || {
                let mut n = 0_u32;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    n = (n + 1) % 500;
                    let written = std::fs::write(orphan.join(n.to_string()), "x");
                    if written.is_err() {
                        let _ = std::fs::create_dir_all(orphan);
                    }
                }
            });
        }
        let run = archive.run(&["db", "start"]);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        run.expect(0);
    });
    archive.run(&["db", "stop"]).expect(0);
    archive.run(&["status"]).expect(0);
    let left = std::fs::read_dir(&postgres).expect("there").map(|entry| entry.expect("read").file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("data.new")).collect();
    assert!(left.is_empty(), "{left:?}: it goes with the next start");
}

/// Programs of Postgres, one of them replaced by a script: `$real` is the real program.
struct Programs(tempfile::TempDir);

impl Programs {
    fn with(name: &str, script: &str) -> Self {
        let programs = Self(tempfile::tempdir().expect("a temporary directory"));
        // Another user may run them.
        set_mode(programs.0.path(), 0o755);
        for program in ["initdb", "pg_ctl", "postgres"] {
            let real = real_programs().join(program);
            let script = if program == name { script } else { "exec \"$real\" \"$@\"" };
            let path = programs.0.path().join(program);
            std::fs::write(&path, format!("#!/bin/sh\nreal='{}'\n{script}\n", text(&real))).expect("written");
            set_mode(&path, 0o755);
        }
        programs
    }

    fn run(&self, archive: &Archive, arguments: &[&str]) -> tests::program::Run {
        let mut command = archive.command(arguments);
        command.env("BIO_MCP_POSTGRES_BIN", self.0.path()).output().expect("the program starts").into()
    }
}

/// The directory of the programs that tests use, or of the newest ones of the system.
fn real_programs() -> std::path::PathBuf {
    if let Some(dir) = tests::variable("BIO_MCP_POSTGRES_BIN") {
        return dir.into();
    }
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut installed: Vec<_> = installed.map(|entry| entry.expect("read").path().join("bin")).collect();
    installed.retain(|dir| ["initdb", "pg_ctl", "postgres"].iter().all(|program| dir.join(program).is_file()));
    installed.sort();
    installed.pop().expect("PostgreSQL is installed, or `make setup` was run")
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
}

/// Directories of clusters, complete or not.
fn clusters(archive: &Archive) -> Vec<String> {
    let postgres = archive.data_dir().join("postgres");
    let places = [postgres.join("cluster"), postgres];
    let entries = places.iter().filter_map(|place| std::fs::read_dir(place).ok()).flatten();
    let names = entries.map(|entry| entry.expect("read").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("data")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_initdb_that_failed_leaves_no_cluster() {
    let archive = Archive::with_private_postgres();
    let file = one_record(archive.dir.path());
    // At its end, and in the middle, as when the disk is full and nothing cleans up.
    for script in [
        "\"$real\" \"$@\" && exit 1",
        "for last in \"$@\"; do :; done; mkdir \"$last/base\" && echo 18 > \"$last/PG_VERSION\" && exit 1",
        "kill -KILL $$",
    ] {
        let run = Programs::with("initdb", script).run(&archive, &["ingest", text(&file)]).expect(4);
        assert!(run.err.contains("failed at initdb"), "{script}: {run:?}");
        assert_eq!(clusters(&archive), Vec::<String>::new(), "{script}");
    }
    archive.ingest(&file);
    assert_eq!((clusters(&archive), server(&archive)), (vec!["data".to_owned()], None));
}

/// The server runs, but its database cannot be created.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_failed_leaves_no_server() {
    let archive = Archive::with_private_postgres();
    let file = one_record(archive.dir.path());
    let only_read = "[ \"$1\" != start ] || set -- \"$@\" -o '-c default_transaction_read_only=on'\n\
                     exec \"$real\" \"$@\"";
    let programs = Programs::with("pg_ctl", only_read);
    for _ in 0..2 {
        let run = programs.run(&archive, &["ingest", text(&file)]);
        let left = server(&archive);
        if let Some(pid) = &left {
            // Stops it, so that it does not outlive this test.
            kill("-QUIT", pid);
        }
        assert_eq!((run.code, left), (Some(4), None), "{run:?}");
        assert_eq!(clusters(&archive), ["data"], "what was made is whole, and is used by the next start");
    }
    archive.ingest(&file);
    archive.run(&["verify"]).expect(0);
    assert_eq!(server(&archive), None);
}

/// Postgres' disk is full, the archive's is not.
#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_postgres_being_full_is_said_and_leaves_no_server() {
    let small = tempfile::tempdir().expect("a temporary directory");
    let archive = Archive::with_private_postgres();
    // Smaller than an empty cluster: initdb fails.
    let script = "mount -t tmpfs -o size=8m none \"$1\" && shift && exec \"$@\"";
    let data = small.path().join("data");
    let program = tests::program::path();
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(small.path()).arg(&program);
    command.arg("--data-dir").arg(&data).args(["db", "start"]).current_dir(archive.dir.path());
    command.env_remove("BIO_MCP_DATABASE_URL");
    let run = tests::program::Run::from(command.output().expect("unshare runs"));
    if run.err.contains("unshare:") || run.err.contains("mount:") {
        eprintln!("SKIPPED: this machine lets us mount nothing");
        return;
    }
    let run = run.expect(4);
    assert!(run.err.contains("no space left for") && run.err.contains("free some space"), "{run:?}");
    let log = run.err.split("its log is ").nth(1).expect("a log").trim().lines().next().expect("a line");
    assert!(log.ends_with("last-command.log"), "the server had not begun to write one: {run:?}");
}

/// A read-only directory is reported as such, as is a disk that is temporarily unavailable.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_file_system_is_named() {
    let archive = Archive::new().await;
    let file = one_record(archive.dir.path());
    archive.ingest(&file);
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    let read_only = |archive: &Archive, dir: &Path, arguments: &[&str]| {
        let inner = archive.command(arguments);
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(dir);
        command.arg(inner.get_program()).args(inner.get_args()).current_dir(archive.dir.path());
        for (key, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        tests::program::Run::from(command.output().expect("unshare runs"))
    };
    let other = archive.dir.path().join("two.xml");
    std::fs::write(&other, format!("<PubmedArticleSet>{}</PubmedArticleSet>", Record::new(2, 0).xml()))
        .expect("written");
    let run = read_only(&archive, &archive.data_dir().join("archive"), &["ingest", text(&other)]);
    if run.err.contains("unshare:") || run.err.contains("mount:") {
        eprintln!("SKIPPED: this machine lets us mount nothing");
        return;
    }
    let run = run.expect(4);
    assert!(run.err.to_lowercase().contains("read-only file system"), "{run:?}");
    let run = read_only(&archive, &archive.data_dir(), &["ingest", text(&other)]).expect(4);
    assert!(run.err.to_lowercase().contains("read-only file system"), "{run:?}");
    read_only(&archive, &archive.data_dir(), &["get", "1"]).expect(0);
    // A private server cannot run there, and a new directory cannot be created.
    let private = Archive::with_private_postgres();
    private.ingest(&file);
    let run = read_only(&private, &private.data_dir(), &["get", "1"]).expect(4);
    assert!(run.err.contains("Read-only file system"), "{run:?}");
    let new = Archive::with_private_postgres();
    let run = read_only(&new, new.dir.path(), &["ingest", text(&file)]).expect(4);
    assert!(run.err.contains("Read-only file system"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_is_a_typed_error_and_nothing_is_lost() {
    // A small file system for the test, if the machine allows a mount.
    let small = tempfile::tempdir().expect("a temporary directory");
    let script = "mount -t tmpfs -o size=3m none \"$1\" && shift && exec \"$@\"";
    let wrapped = |archive: &Archive, arguments: &[&str]| {
        let inner = archive.command(arguments);
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(small.path());
        command.arg(inner.get_program()).args(inner.get_args()).current_dir(archive.dir.path());
        for (key, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command.env("BIO_MCP_ARCHIVE_BUCKET", format!("file://{}", small.path().display()));
        tests::program::Run::from(command.output().expect("unshare runs"))
    };
    let archive = Archive::new().await;
    let sample = write_sample(&archive.dir.path().join("s"), 2000).expect("written");
    let run = wrapped(&archive, &["--output", "json", "ingest", text(&sample.baseline)]);
    if run.err.contains("unshare:") || run.err.contains("mount:") {
        eprintln!("SKIPPED: this machine lets us mount nothing");
        return;
    }
    let run = run.expect(4);
    assert!(run.err.contains("ARCHIVE_ERROR") && run.err.contains("no space left"), "{run:?}");
    // The job waits. With free space, the same command resumes it, and nothing is lost.
    let db = archive.database().await;
    let state: String = sqlx::query_scalar("select state from jobs").fetch_one(&db).await.expect("one job");
    assert_eq!(state, "running");
    let result = archive.ingest(&sample.baseline);
    assert_eq!(result["requested"], i64::try_from(sample.baseline_records).expect("small"));
    let jobs: i64 = sqlx::query_scalar("select count(*) from jobs").fetch_one(&db).await.expect("counted");
    assert_eq!(jobs, 1, "it was the same job");
    assert_eq!(tests::invariants::broken(&db).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_works_twice_and_leaves_other_directories_alone() {
    let archive = Archive::with_private_postgres();
    for _ in 0..2 {
        let run = archive.run(&["demo"]).expect(0);
        for line in
            ["2. Ingest it again: nothing is written", "no problems", "Try next", "2,024 skipped", "31 archived"]
        {
            assert!(run.out.contains(line), "{line}: {run:?}");
        }
    }
    assert_eq!(server(&archive), None);
    // A file of the user, and a directory that is not the demo's.
    let file = one_record(archive.dir.path());
    let other = Archive::with_private_postgres();
    other.ingest(&file);
    let refused = other.run(&["demo"]).expect(2);
    assert!(refused.err.contains("was not created by the demo"), "{refused:?}");
    let run = archive.run(&["demo", text(&file)]).expect(0);
    assert!(run.out.contains("1 record in"), "{run:?}");
}
