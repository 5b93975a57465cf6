//! A folder from elsewhere runs nothing: neither programs that it names nor the database in it.

use std::fs;
use std::path::Path;
use std::process::Command;

use samples::record::Record;
use tests::hostile::{Shared, USERS, is_root, set_mode, write_false_postgres};
use tests::program::{Run, text};

/// Commands that search for a data directory.
const COMMANDS: [&[&str]; 11] = [
    &["status"],
    &["get", "1"],
    &["ingest", "one.xml"],
    &["worker", "--once"],
    &["serve", "--listen", "127.0.0.1:0"],
    &["export"],
    &["verify", "--repair"],
    &["db", "start"],
    &["db", "stop"],
    &["db", "psql"],
    &["call", "ping"],
];

fn one_record(folder: &Path) {
    let record = Record::new(1, 0).xml();
    fs::write(folder.join("one.xml"), format!("<PubmedArticleSet>{record}</PubmedArticleSet>")).expect("written");
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().expect("cp runs").success());
}

fn refused(run: Run, why: &str) {
    let run = run.expect(2);
    assert!(run.err.contains("is not used: ") && run.err.contains(why) && run.err.contains("--data-dir"), "{run:?}");
}

#[test]
fn programs_that_a_data_directory_names_are_not_run() {
    let shared = Shared::new();
    let clone = shared.folder("clone", None, 0o755);
    let trace = shared.path().join("trace");
    write_false_postgres(&clone.join("bin"), &trace);
    let postgres = clone.join(".bio-mcp/postgres");
    fs::create_dir_all(&postgres).expect("made");
    fs::write(postgres.join("programs"), text(&clone.join("bin"))).expect("written");
    one_record(&clone);
    let below = shared.folder("clone/src/deep", None, 0o755);
    for arguments in COMMANDS {
        refused(shared.run(&clone, arguments), "neither created nor named");
        if arguments[0] != "ingest" {
            refused(shared.run(&below, arguments), "neither created nor named");
        }
    }
    // `demo` stops and removes what an earlier demo left, but only that of this user.
    let demo = clone.join(".bio-mcp-demo");
    copy(&clone.join(".bio-mcp"), &demo);
    fs::write(demo.join("made-by-demo"), "").expect("written");
    refused(shared.run(&clone, &["demo"]), "neither created nor named");
    // A named data directory cannot choose which programs run either.
    shared.run(&clone, &["--data-dir", ".bio-mcp", "db", "url"]);
    shared.run(&clone, &["--data-dir", ".bio-mcp", "db", "stop"]);
    assert_eq!(fs::read_to_string(&trace).expect("there"), "", "a planted program ran");
}

#[test]
fn a_cluster_that_came_with_a_folder_is_not_started() {
    let shared = Shared::new();
    let (own, clone) = (shared.folder("own", None, 0o755), shared.folder("clone", None, 0o755));
    one_record(&own);
    shared.run(&own, &["ingest", "one.xml"]).expect(0);
    shared.run(&shared.folder("own/src", None, 0o755), &["get", "1"]).expect(0);
    copy(&own.join(".bio-mcp"), &clone);
    let (trace, settings) = (shared.path().join("trace"), clone.join(".bio-mcp/postgres/data/postgresql.conf"));
    fs::write(&trace, "").expect("written");
    set_mode(&trace, 0o666);
    if settings.exists() {
        let planted = format!(
            "archive_mode = on\narchive_command = 'echo archive >> {0}'\n\
             ssl = on\nssl_passphrase_command = 'echo ssl >> {0}'\n",
            trace.display()
        );
        let text = fs::read_to_string(&settings).expect("there");
        fs::write(&settings, text + &planted).expect("written");
    }
    one_record(&clone);
    for arguments in COMMANDS {
        refused(shared.run(&clone, arguments), "neither created nor named");
    }
    assert_eq!(fs::read_to_string(&trace).expect("there"), "", "a planted setting ran a program");
    // A harmless copy: once named, it is found.
    let moved = shared.folder("moved", None, 0o755);
    copy(&own.join(".bio-mcp"), &moved);
    refused(shared.run(&moved, &["status"]), "neither created nor named");
    shared.run(&moved, &["--data-dir", ".bio-mcp", "status"]).expect(0);
    shared.run(&moved, &["status"]).expect(0);
    // A directory with another id in the location of a known one is not trusted.
    fs::write(own.join(".bio-mcp/id"), "0123").expect("written");
    refused(shared.run(&own, &["status"]), "neither created nor named");
    fs::remove_file(own.join(".bio-mcp/id")).expect("removed");
    refused(shared.run(&own, &["status"]), "neither created nor named");
}

#[test]
fn commands_that_start_at_a_time_make_one_data_directory() {
    let shared = Shared::new();
    let folder = shared.folder("own", None, 0o755);
    one_record(&folder);
    let start = || {
        let mut command = shared.command(&tests::program::path(), &folder, &["ingest", "one.xml"]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("starts")
    };
    let children: Vec<_> = (0..4).map(|_| start()).collect();
    for child in children {
        Run::from(child.wait_with_output().expect("ends")).expect(0);
    }
    let left: Vec<_> = fs::read_dir(&folder).expect("listed").map(|entry| entry.expect("read").file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_data_directory_that_another_user_could_have_planted_is_not_used() {
    let shared = Shared::new();
    let folder = shared.folder("own", None, 0o755);
    one_record(&folder);
    shared.run(&folder, &["ingest", "one.xml"]).expect(0);
    let refused = |run: Run, why: &str| refused(run, why);
    for (mode, is_fine) in [(0o775, false), (0o777, false), (0o1777, true), (0o755, true)] {
        // Only the user's private group may have write permission.
        if mode == 0o775 && !fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0) {
            continue;
        }
        set_mode(&folder, mode);
        let run = shared.run(&folder, &["db", "stop"]);
        if is_fine {
            run.expect(0);
        } else {
            refused(run, "is writable by other users");
        }
    }
    set_mode(&folder, 0o777);
    let new = shared.folder("open", None, 0o777);
    one_record(&new);
    let run = shared.run(&new, &["ingest", "one.xml"]).expect(2);
    assert!(run.err.contains("writable by other users") && !new.join(".bio-mcp").exists(), "{run:?}");
    set_mode(&folder, 0o755);
    // Through a symbolic link to it.
    let link = shared.folder("link", None, 0o755);
    std::os::unix::fs::symlink(folder.join(".bio-mcp"), link.join(".bio-mcp")).expect("linked");
    shared.run(&link, &["db", "stop"]).expect(0);
    set_mode(&link, 0o777);
    shared.run(&link, &["db", "stop"]).expect(2);
}

#[test]
fn two_users_do_not_find_each_others_data_directories() {
    if !is_root() {
        return;
    }
    let shared = Shared::new();
    let [one, two] = USERS;
    let common = shared.folder("common", None, 0o1777);
    one_record(&common);
    // In a folder like /tmp every user may make one, and finds it again.
    for _ in 0..2 {
        let run = shared.run_as(one, &common, &["topics", "list"]);
        // The only Postgres may be in root's home directory.
        assert!(run.code == Some(0) || run.err.contains("no PostgreSQL"), "{run:?}");
    }
    assert!(common.join(".bio-mcp").exists());
    for user in [two, 0] {
        let folder = shared.folder(&format!("common/{user}"), Some(user), 0o700);
        let run = if user == 0 { shared.run(&folder, &["status"]) } else { shared.run_as(user, &folder, &["status"]) };
        refused(run, "belongs to another user");
    }
    // A data directory in a folder of another user, who could replace it, is not used either.
    let folder = shared.folder("ones", Some(one), 0o777);
    let data = folder.join(".bio-mcp");
    fs::create_dir(&data).expect("made");
    refused(shared.run(&folder, &["status"]), "belongs to another user");
}

#[test]
fn programs_beside_the_program_are_run_only_if_no_other_user_could_change_them() {
    let shared = Shared::new();
    let trace = shared.path().join("trace");
    let bin = shared.path().join(".tools/postgres/bin");
    write_false_postgres(&bin, &trace);
    let data = shared.path().join("data");
    let start = |path: &str| {
        let mut command = shared.command(&shared.program(), shared.path(), &["--data-dir", text(&data), "db", "stop"]);
        fs::create_dir_all(data.join("postgres")).expect("made");
        let ran = command.env("PATH", path).env_remove("BIO_MCP_POSTGRES_BIN").output().expect("starts");
        let text = fs::read_to_string(&trace).expect("there");
        fs::write(&trace, "").expect("written");
        (text, Run::from(ran))
    };
    let path = "/usr/bin:/bin";
    for path in [path, "/nowhere"] {
        // No other user can write it: it is run for its version, without the caller's environment.
        let (ran, run) = start(path);
        assert!(ran.contains("ran ") && !ran.contains("SECRET") && !ran.contains("XDG"), "{ran}: {run:?}");
        assert!(!ran.lines().any(|line| line == "0"), "not as root: {ran}");
    }
    let hidden = shared.folder(".tools", None, 0o777);
    assert_eq!(start(path).0, "", "another user could have written it");
    set_mode(&hidden, 0o755);
    set_mode(&bin.join("postgres"), 0o757);
    assert_eq!(start(path).0, "", "another user can write a program");
    set_mode(&bin.join("postgres"), 0o755);
    if is_root() {
        std::os::unix::fs::chown(&hidden, Some(USERS[0]), None).expect("given away");
        assert_eq!(start(path).0, "", "another user has placed it");
        assert_eq!(start("/usr/bin:/bin:.tools/postgres/bin").0, "", "nor is it found in the folder of the caller");
        let given = format!("/usr/bin:/bin:{}", bin.display());
        assert_eq!(start(&given).0, "", "nor by the path of another user");
    }
}
