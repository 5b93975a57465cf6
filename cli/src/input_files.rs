//! Expands the record files that the arguments of a command name.

use std::path::{Path, PathBuf};

use crate::failure::CliError;
use crate::out;

/// The named files: of a folder its `.xml` and `.xml.gz` files, in the order of their names, without subfolders.
/// Checksum files (`.md5`) are skipped: they are read with their file.
pub fn expand(given: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Vec::new();
    for path in given {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => files.extend(of_folder(path)?),
            Ok(_) if has_ending(path, &[".md5"]) => {}
            // A missing path may be the name of a file at NCBI, or `-`: the command reports it if not.
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
        // Opening a pipe would wait for its writer. An unreadable file is reported when it is read.
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

/// Whether a file is not hidden and its name has one of these endings, in upper or lower case.
fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    !name.starts_with('.') && endings.iter().any(|ending| name.ends_with(ending))
}
