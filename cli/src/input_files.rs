//! Which files of records the arguments of a command name.

use std::path::{Path, PathBuf};

use crate::failure::CliError;
use crate::out;

/// The files that are named: of a folder its `.xml` and `.xml.gz` files, in the order of their names, without those in
/// folders below. Side files with sums (`.md5`) are left out: they are read with the file that they are about.
pub fn expand(given: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Vec::new();
    for path in given {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => files.extend(of_folder(path)?),
            Ok(_) if has_ending(path, &[".md5"]) => {}
            // What is not there may be the name of a file at NCBI, or `-`: the command says so if not.
            _ => files.push(path.clone()),
        }
    }
    if files.is_empty() {
        return Err(CliError::usage("only .md5 files given: name the files that they belong to, or their folder"));
    }
    Ok(files)
}

fn of_folder(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let unreadable = |error: std::io::Error| CliError::usage(format!("cannot read {}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if !has_ending(&path, &[".xml", ".xml.gz"]) {
            continue;
        }
        // Opening a pipe would wait for its writer. What cannot be read is found out when it is.
        match std::fs::metadata(&path) {
            Ok(metadata) if !metadata.is_file() => {
                out::note(format_args!("skipped: {} is not a file", path.display()));
            }
            _ => files.push(path),
        }
    }
    if files.is_empty() {
        return Err(CliError::usage(format!("{} has no .xml or .xml.gz files", folder.display())));
    }
    files.sort();
    Ok(files)
}

/// Whether a file that is not hidden has a name with one of these endings, in upper or lower case.
fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    !name.starts_with('.') && endings.iter().any(|ending| name.ends_with(ending))
}
