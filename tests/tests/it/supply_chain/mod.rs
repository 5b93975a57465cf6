//! What the project fetches, and from where: every package by version and hash, every action and image by digest, in one
//! place each; and what does not fit its hash is refused.

mod crates;
mod images;
mod locks;
mod refused;
mod ways;
mod workflow;

use std::process::Command;

/// Every committed file that is text, by its path.
fn tracked() -> Vec<(String, String)> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(tests::root()).output().expect("git runs");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("names are text");
    let read = |name: &str| Some((name.to_owned(), std::fs::read_to_string(tests::root().join(name)).ok()?));
    let files: Vec<_> = names.split('\0').filter(|name| !name.is_empty()).filter_map(read).collect();
    assert!(files.len() > 300, "the project is read");
    files
}

/// A file of the project.
fn read(name: &str) -> String {
    std::fs::read_to_string(tests::root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Lines as a shell sees them: one that ends with a backslash goes on in the next.
fn logical_lines(text: &str) -> Vec<String> {
    text.replace("\\\n", " ").lines().map(str::to_owned).collect()
}

/// Words without what stands around them in scripts, tables and programs; of a path the last part.
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

/// Whether an image is named by its digest.
fn has_digest(image: &str) -> bool {
    image.split_once("@sha256:").is_some_and(|(name, digest)| !name.is_empty() && is_hex(digest, 64))
}
