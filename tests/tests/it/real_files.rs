//! The splitter and the parser compared with independent ones, on every real file and every shape of record.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use samples::files::write_sample;
use serde_json::{Value, json};
use shared::core::Sha256;
use shared::pubmed::source::FileSource;
use shared::pubmed::{Article, Item, Splitter};
use tests::{real_pubmed_files, root};

/// Runs a reference program on files and returns its lines.
fn reference(program: &str, files: &[PathBuf]) -> Vec<Value> {
    let run = Command::new("python3").arg(root().join("bench/reference").join(program)).args(files).output();
    let run = run.expect("python3 is there");
    assert!(run.status.success(), "{program}: {}", String::from_utf8_lossy(&run.stderr));
    let text = String::from_utf8(run.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Splits a file through readers that return few bytes at a time, so that every boundary is exercised.
fn slices(path: &Path, chunk: usize) -> Vec<(&'static str, Vec<u8>)> {
    struct Few<R>(R, usize);
    impl<R: Read> Read for Few<R> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let n = buffer.len().min(self.1);
            self.0.read(&mut buffer[..n])
        }
    }
    let source = FileSource::open(path, u64::MAX).expect("opens");
    let mut splitter = Splitter::new(Few(source, chunk), 64 << 20);
    let mut found = Vec::new();
    while let Some(item) = splitter.next().unwrap_or_else(|e| panic!("{}: {e}", path.display())) {
        found.push(match item {
            Item::Record { bytes, defect } => {
                assert_eq!(defect, None, "{}", path.display());
                ("record", bytes.to_vec())
            }
            Item::Deletion { bytes } => ("deletion", bytes.to_vec()),
        });
    }
    found
}

fn files() -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let sample = write_sample(dir.path(), 200).expect("written");
    let mut files = vec![sample.baseline, sample.update];
    files.extend(real_pubmed_files());
    (dir, files)
}

/// Compares the results for each file with the reference program's output for all of them in sequence: one start is
/// cheaper than one per file.
fn compare(
    program: &str,
    files: &[PathBuf],
    found: impl Fn(&Path) -> Vec<Value> + Sync,
    check: impl Fn(&Path, &Value, &Value),
) -> usize {
    let (expected, found) = std::thread::scope(|all| {
        let expected = all.spawn(|| reference(program, files));
        let found = tests::at_once(files, |path| found(path));
        (expected.join().expect("it ends"), found)
    });
    let (mut of_all, count) = (expected.iter(), expected.len());
    for (path, found) in files.iter().zip(&found) {
        for one in found {
            let expected = of_all.next().unwrap_or_else(|| panic!("{}: one too many", path.display()));
            check(path, one, expected);
        }
    }
    assert_eq!(of_all.next(), None, "all are found");
    count
}

#[test]
fn slices_are_those_of_an_independent_splitter() {
    let (_dir, files) = files();
    let found = |path: &Path| -> Vec<Value> {
        let [whole, in_pieces] = [usize::MAX, 4093].map(|chunk| slices(path, chunk));
        assert!(whole == in_pieces, "{}: the size of reads makes no difference", path.display());
        whole.iter().map(|(kind, bytes)| json!([kind, bytes.len(), Sha256::of(bytes).to_hex()])).collect()
    };
    let slices = compare("slices.py", &files, found, |path, found, expected| {
        assert_eq!(found, expected, "{}", path.display());
    });
    println!("{slices} slices compared");
}

/// The typed records of a file.
fn typed(path: &Path) -> Vec<Value> {
    slices(path, usize::MAX)
        .iter()
        .filter(|(kind, _)| *kind == "record")
        .map(|(_, bytes)| {
            let xml = std::str::from_utf8(bytes).expect("UTF-8");
            serde_json::to_value(Article::parse(xml).expect("a record")).expect("JSON")
        })
        .collect()
}

#[test]
fn typed_records_are_those_that_lxml_gives() {
    let (_dir, files) = files();
    let compared = compare("typed.py", &files, typed, |path, found, expected| {
        let (found, expected) = (found.as_object().expect("an object"), expected.as_object().expect("an object"));
        for (key, value) in expected {
            assert_eq!(found.get(key), Some(value), "{}: {} {key}", path.display(), expected["pmid"]);
        }
        assert_eq!(found.len(), expected.len(), "{}: {} keys", path.display(), expected["pmid"]);
    });
    println!("{compared} typed records compared");
}

#[test]
fn the_parse_command_prints_what_the_parser_gives() {
    let (_dir, files) = files();
    for path in files.iter().take(4) {
        let mut parse = Command::new(tests::program::path());
        let run = parse.args(["parse", "--deletions=false"]).arg(path).output().expect("runs");
        assert!(run.status.success());
        let printed: Vec<Value> = String::from_utf8(run.stdout)
            .expect("UTF-8")
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(printed, typed(path), "{}: the same records in the same order", path.display());
    }
}
