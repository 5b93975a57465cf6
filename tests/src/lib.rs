//! Test support: databases, archives, the program itself, invariants.

pub mod aws;
pub mod cloud;
pub mod counting;
pub mod databases;
pub mod engine;
pub mod event_source;
pub mod failing_store;
pub mod faulty_line;
pub mod feed;
pub mod forged;
pub mod hostile;
pub mod http;
pub mod invariants;
pub mod lambda;
pub mod lease_conformance;
pub mod mcp;
pub mod mcp_clients;
pub mod mcp_fixture;
pub mod mcp_rules;
pub mod program;
pub mod random;
pub mod record_files;
pub mod roles;
pub mod s3;
pub mod serving;
pub mod silent_proxy;
pub mod slow_store;
pub mod store_conformance;
pub mod store_parts;
pub mod sync;
pub mod terminal;

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Reads an environment variable of the test process.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration but their environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Root directory of the project.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the project").to_owned()
}

/// Runs `run` for each item, in parallel on all cores; returns the results in the order of the items.
pub fn at_once<T: Sync, R: Send>(items: &[T], run: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, R)> = std::thread::scope(|all| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let lanes: Vec<_> = (0..cores.min(items.len()))
            .map(|_| {
                all.spawn(|| {
                    let turns = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
                    turns.map_while(|n| Some((n, run(items.get(n)?)))).collect::<Vec<_>>()
                })
            })
            .collect();
        // A failed check has already printed its message.
        lanes.into_iter().flat_map(|lane| lane.join().unwrap_or_else(|told| resume_unwind(told))).collect()
    });
    done.sort_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The directory of real files, if it exists; a test that needs it prints that it is skipped.
pub fn real_data() -> Option<PathBuf> {
    let dir = variable("BIO_MCP_TEST_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    if dir.join("pubmed").is_dir() {
        return Some(dir);
    }
    eprintln!("SKIPPED: no real files in {} (set BIO_MCP_TEST_DATA)", dir.display());
    None
}

/// The real PubMed files.
pub fn real_pubmed_files() -> Vec<PathBuf> {
    let Some(dir) = real_data() else { return Vec::new() };
    let mut files = Vec::new();
    let mut dirs = vec![dir.join("pubmed")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("a readable directory") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "xml" || e == "gz") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
