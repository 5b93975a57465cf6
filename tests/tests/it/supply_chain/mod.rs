//! The project's downloads and their sources: every package by version and hash, every action and image by digest, each
//! in one file; whatever does not match its hash is refused.

mod crates;
mod images;
mod locks;
mod refused;
mod ways;
mod workflow;

use std::process::Command;

/// Every committed text file by its path.
fn tracked() -> Vec<(String, String)> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(tests::root()).output().expect("git runs");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("names are text");
    let read = |name: &str| Some((name.to_owned(), std::fs::read_to_string(tests::root().join(name)).ok()?));
    let files: Vec<_> = names.split('\0').filter(|name| !name.is_empty()).filter_map(read).collect();
    assert!(files.len() > 300, "the project is read");
    files
}

/// The text of a file of the project.
fn read(name: &str) -> String {
    std::fs::read_to_string(tests::root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Logical lines of a shell script: a trailing backslash joins a line with the next.
fn logical_lines(text: &str) -> Vec<String> {
    text.replace("\\\n", " ").lines().map(str::to_owned).collect()
}

/// Words without surrounding punctuation of scripts, tables and code; of a path only the last part.
fn words(line: &str) -> Vec<&str> {
    line.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.+@".contains(c)))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| !word.is_empty())
        .collect()
}

fn has_extension(name: &str, extension: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|of_name| of_name == extension)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Whether an image is pinned by digest.
fn has_digest(image: &str) -> bool {
    image.split_once("@sha256:").is_some_and(|(name, digest)| !name.is_empty() && is_hex(digest, 64))
}
