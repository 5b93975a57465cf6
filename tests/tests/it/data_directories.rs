//! Which directory `--data-dir` may name; a refused one is left unchanged.

use std::fs;
use std::path::{Path, PathBuf};

use samples::files::{HEAD, TAIL};
use samples::record::Record;
use tests::hostile::{USERS, is_root, mode, set_mode};
use tests::program::{Archive, Run, text};

/// The program with a data directory and a database of the test server.
struct Directory {
    archive: Archive,
    path: PathBuf,
    file: PathBuf,
}

impl Directory {
    async fn new(mode: u32) -> Self {
        let archive = Archive::new().await;
        let file = archive.dir.path().join("one.xml");
        fs::write(&file, format!("{HEAD}{}{TAIL}", Record::new(1, 0).xml())).expect("written");
        let path = archive.data_dir();
        fs::create_dir(&path).expect("made");
        set_mode(&path, mode);
        Self { archive, path, file }
    }

    fn ingest(&self) -> Run {
        self.archive.run(&["ingest", text(&self.file)])
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.path).expect("readable").map(|entry| entry.expect("readable").file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }
}

fn put(path: &Path) {
    fs::write(path, "not yours").expect("written");
}

#[tokio::test]
async fn a_directory_of_something_else_is_left_as_it_is() {
    for wide in [0o755, 0o775, 0o1777] {
        let directory = Directory::new(wide).await;
        put(&directory.path.join("letter.txt"));
        fs::create_dir(directory.path.join("downloads")).expect("made");
        let before = directory.names();
        let runs =
            [&["status"][..], &["verify", "--repair"], &["worker", "--once"], &["topics", "list"], &["db", "migrate"]];
        for run in runs.map(|arguments| directory.archive.run(arguments)).into_iter().chain([directory.ingest()]) {
            let migrated = run.code == Some(0) && run.out.contains("schema version ");
            assert!(migrated || run.code == Some(2) && run.err.contains("is not a data directory"), "{run:?}");
            assert_eq!(mode(&directory.path), wide, "{run:?}");
            assert_eq!(directory.names(), before, "{run:?}");
        }
    }
}

#[tokio::test]
async fn a_directory_with_entries_of_another_user_is_refused_and_unchanged() {
    if !is_root() {
        return;
    }
    let directory = Directory::new(0o1777).await;
    for name in ["archive", "letter.txt"] {
        let theirs = directory.path.join(name);
        put(&theirs);
        std::os::unix::fs::chown(&theirs, Some(USERS[0]), None).expect("given away");
        for run in [directory.archive.run(&["status"]), directory.ingest()] {
            assert_eq!(run.code, Some(2), "{name}: {run:?}");
            assert_eq!(mode(&directory.path), 0o1777, "{name}: {run:?}");
        }
    }
}

#[tokio::test]
async fn only_commands_that_make_an_archive_take_an_empty_directory() {
    let directory = Directory::new(0o755).await;
    for arguments in [&["status"][..], &["get", "1"], &["verify"], &["jobs", "list"]] {
        let run = directory.archive.run(arguments).expect(3);
        assert!(run.err.contains("no archive in"), "{run:?}");
        assert_eq!((mode(&directory.path), directory.names()), (0o755, Vec::new()), "{run:?}");
    }
    directory.ingest().expect(0);
    assert_eq!(mode(&directory.path), 0o700, "it is a data directory now");
    // Another file beside the program's own does not matter.
    put(&directory.path.join("letter.txt"));
    directory.archive.run(&["status"]).expect(0);
    directory.archive.run(&["get", "1"]).expect(0);
    // As an earlier version left it.
    fs::remove_file(directory.path.join("bio-mcp-data")).expect("removed");
    set_mode(&directory.path, 0o755);
    directory.archive.run(&["status"]).expect(0);
    assert_eq!(mode(&directory.path), 0o700);
    // Only the objects were restored.
    for name in directory.names().iter().filter(|name| *name != "archive") {
        let path = directory.path.join(name);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
    }
    directory.archive.run(&["get", "1"]).expect(0);
}

#[tokio::test]
async fn a_directory_for_every_user_is_not_taken_over() {
    let directory = Directory::new(0o1777).await;
    let run = directory.ingest().expect(2);
    assert!(run.err.contains("shared by all users"), "{run:?}");
    assert_eq!((mode(&directory.path), directory.names()), (0o1777, Vec::new()));
}
