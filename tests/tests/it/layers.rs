//! Architecture rules as tests: which module may use which, and which may use external APIs.

use std::path::{Path, PathBuf};

/// Modules of `shared` by layer; a module uses only modules of lower layers.
const LAYERS: [(&str, u8); 15] = [
    ("invocation", 0),
    ("observability", 0),
    ("aws", 0),
    ("config", 1),
    ("secrets", 2),
    ("records", 3),
    ("syncs", 3),
    ("checkpoints", 3),
    ("projections", 4),
    ("sources", 5),
    ("verify", 5),
    ("readiness", 5),
    ("gauges", 5),
    ("tools", 6),
    ("deployment", 7),
];

/// What `shared` re-exports from the crates below it, which Cargo separates: below every layer.
const CRATES: [&str; 9] = ["archive", "core", "db", "file_lock", "ingest", "jobs", "limits", "pubmed", "queue"];

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "rs" || e == "sql") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn module_of(path: &Path) -> String {
    let source = tests::root().join("shared/src");
    let first = path.strip_prefix(source).expect("below").components().next().expect("a part");
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// Modules that a source file names after `crate::`, also inside braces.
fn used(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in source.match_indices("crate::") {
        let rest = &source[at + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        for name in names {
            found.push(name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found
}

#[test]
fn modules_use_only_lower_layers() {
    let layer = |module: &str| LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer);
    let mut looked_at = 0;
    for path in files(&tests::root().join("shared/src")) {
        let module = module_of(&path);
        if module == "lib" || path.extension().is_some_and(|e| e == "sql") {
            continue;
        }
        let own = layer(&module).unwrap_or_else(|| panic!("{module} has no layer: add it to the list"));
        for other in used(&std::fs::read_to_string(&path).expect("readable")) {
            if other == module || CRATES.contains(&other.as_str()) {
                continue;
            }
            let of = layer(&other).unwrap_or_else(|| panic!("{}: {other} has no layer", path.display()));
            // `jobs` and `records`, `sources` and `verify` are siblings that do not use each other.
            assert!(of < own, "{} (layer {own}) uses {other} (layer {of})", path.display());
            looked_at += 1;
        }
    }
    assert!(looked_at > 50, "the test reads the sources");
}

/// Paths that may name an AWS crate.
const AWS: [&str; 11] = [
    "shared/src/aws/sdk.rs",
    "shared/src/aws/secrets_manager.rs",
    "shared/archive/src/s3",
    "shared/archive/src/lazy_store.rs",
    "shared/engine/src/aws.rs",
    "shared/engine/src/queue/sqs.rs",
    "shared/engine/src/limits/dynamodb",
    "functions/worker",
    "functions/scheduler",
    "functions/migrate",
    "tests/",
];

/// `(text, path prefixes that may contain it)`.
const PLACES: [(&str, &[&str]); 18] = [
    (
        "sqlx::query",
        &[
            "shared/engine/src",
            "shared/src/records",
            "shared/src/syncs",
            "shared/src/checkpoints",
            "shared/src/projections",
            "shared/src/sources/pubmed_files/local_files.rs",
            "tests/",
        ],
    ),
    // Only one function builds an engine; tests change its pipelines.
    ("sources::all(", &["shared/src/deployment.rs", "tests/"]),
    // Every connection uses the relay, which limits its statements; long ones use `db::patient`.
    ("PgPoolOptions", &["shared/engine/src/db/mod.rs"]),
    ("PgListener", &["shared/engine/src/db/listen.rs"]),
    ("PgPool::connect", &["tests/"]),
    ("PgConnection::connect", &["tests/"]),
    ("connect_options()", &["shared/engine/src/db/", "shared/engine/src/jobs/wake.rs", "tests/"]),
    ("statement_timeout", &["shared/engine/src/db/session.rs", "shared/engine/src/db/patient.rs", "tests/"]),
    ("std::env::var", &["shared/src/config/mod.rs", "shared/core/src/crash.rs", "tests/"]),
    // A closed pipe must not abort a command.
    ("io::stdout()", &["cli/src/out.rs", "shared/src/observability/mod.rs", "tests/"]),
    ("Utc::now", &["shared/core/src/clock.rs"]),
    ("tracing_subscriber", &["shared/src/observability/"]),
    ("set_global_recorder", &["shared/src/observability/"]),
    ("opentelemetry", &["shared/src/observability/", "tests/tests/it/toolchain.rs"]),
    ("unsafe ", &[]),
    ("aws_", &AWS),
    (
        "reqwest::",
        &[
            "shared/pubmed/src/eutils",
            "shared/pubmed/src/download.rs",
            "shared/pubmed/src/resolver.rs",
            // URLs are parsed as the HTTP client parses them.
            "shared/src/config/address.rs",
            "shared/src/observability/export.rs",
            "functions/api/src/oidc",
            "functions/migrate/src",
            "tests/",
        ],
    ),
    ("axum::", &["simulator/src/server", "functions/api/src", "tests/"]),
];

#[test]
fn each_external_interface_is_used_in_one_module() {
    for package in [
        "shared/core/src",
        "shared/pubmed/src",
        "shared/archive/src",
        "shared/engine/src",
        "shared/src",
        "functions/api/src",
        "functions/worker/src",
        "functions/scheduler/src",
        "functions/migrate/src",
        "cli/src",
        "samples/src",
        "simulator/src",
        "bench/src",
        "tests/src",
        "tests/tests",
    ] {
        for path in files(&tests::root().join(package)) {
            let name = path.strip_prefix(tests::root()).expect("below").display().to_string();
            if name.ends_with("layers.rs") {
                continue;
            }
            let source = std::fs::read_to_string(&path).expect("readable");
            for (what, places) in PLACES {
                let named = source.lines().any(|l| l.contains(what) && !l.trim_start().starts_with("//"));
                assert!(!named || places.iter().any(|place| name.starts_with(place)), "{name} must not name {what}");
            }
            assert!(!source.contains(" in (select") || !name.contains("claim"), "{name}: claim by a materialised list");
        }
    }
}

/// Ways to inspect the text of an error, or to distinguish failures by their message.
const MATCHED_TEXTS: [&str; 6] = [
    "to_string().contains(",
    "to_string().ends_with(",
    "error.to_string() ==",
    "chain(&error).contains(",
    "{ action: \"",
    "{ action, ..",
];

/// Errors are matched by type: their messages are for people, and change.
#[test]
fn no_error_is_matched_by_its_text() {
    let mut looked_at = 0;
    for package in ["shared", "functions", "cli/src"] {
        for path in files(&tests::root().join(package)) {
            let source = std::fs::read_to_string(&path).expect("readable");
            let shipped = source.split("#[cfg(test)]").next().unwrap_or_default();
            for text in MATCHED_TEXTS {
                let is_pattern = |line: &str| !text.starts_with('{') || line.contains("..");
                let found = shipped.lines().find(|line| line.contains(text) && is_pattern(line));
                assert_eq!(found, None, "{}: match by type", path.display());
            }
            looked_at += 1;
        }
    }
    assert!(looked_at > 200, "the test reads the sources");
}

#[test]
fn functions_do_not_depend_on_each_other() {
    for package in ["shared", "samples"] {
        let manifest = std::fs::read_to_string(tests::root().join(package).join("Cargo.toml")).expect("there");
        for above in ["bio-mcp", "tests", "bench"] {
            let depends =
                |line: &str| line.starts_with(&format!("{above}.")) || line.starts_with(&format!("{above} ="));
            assert!(!manifest.lines().any(depends), "{package} must not depend on {above}");
        }
    }
}

/// Not a limit: prints the longest files for review.
#[test]
fn sizes_of_files() {
    let mut sizes: Vec<(usize, String)> =
        ["shared/src", "cli/src", "samples/src", "bench/src", "tests/src", "tests/tests"]
            .iter()
            .flat_map(|package| files(&tests::root().join(package)))
            .map(|path| {
                let lines = std::fs::read_to_string(&path).expect("readable").lines().count();
                (lines, path.strip_prefix(tests::root()).expect("below").display().to_string())
            })
            .collect();
    sizes.sort_by(|a, b| b.cmp(a));
    for (lines, name) in sizes.iter().take(15) {
        println!("{lines:>5} {name}");
    }
    assert!(sizes.len() > 60);
}

/// The modules of the test program.
fn modules_of_tests() -> Vec<String> {
    let main = std::fs::read_to_string(tests::root().join("tests/tests/it/main.rs")).expect("readable");
    main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')).map(str::to_owned).collect()
}

/// A file that main.rs does not name would silently never run.
#[test]
fn every_file_of_tests_is_part_of_the_program() {
    let mut there: Vec<String> = std::fs::read_dir(tests::root().join("tests/tests/it"))
        .expect("readable")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| !path.ends_with("main.rs"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    // A module with submodules may be a file and a folder.
    there.sort();
    there.dedup();
    let mut named = modules_of_tests();
    named.sort();
    assert_eq!(named, there);
    let others: Vec<_> = std::fs::read_dir(tests::root().join("tests/tests")).expect("readable").collect();
    assert_eq!(others.len(), 1, "one program of tests, linked once: {others:?}");
}

/// `make mutants` takes long; this quickly checks that its patches still apply and that the tests they name exist.
#[test]
fn every_planted_bug_still_applies_and_names_its_tests() {
    let directory = tests::root().join("tests/tests/it");
    let sources: String =
        files(&directory).iter().map(|path| std::fs::read_to_string(path).expect("readable")).collect();
    let modules = modules_of_tests();
    let mut patches = 0;
    for entry in std::fs::read_dir(tests::root().join("tests/mutants")).expect("there") {
        let patch = entry.expect("readable").path();
        let mut git = std::process::Command::new("git");
        let check = git.args(["apply", "--check"]).arg(&patch).current_dir(tests::root()).output().expect("git runs");
        assert!(check.status.success(), "{}: {}", patch.display(), String::from_utf8_lossy(&check.stderr));
        let text = std::fs::read_to_string(&patch).expect("readable");
        let line = |name: &str| {
            let found = text.lines().take(3).find_map(|line| line.strip_prefix(name));
            found.unwrap_or_else(|| panic!("{}: no line {name:?} at its top", patch.display())).to_owned()
        };
        let builds = line("# builds: ");
        assert!(["it", "it program"].contains(&builds.as_str()), "{}: builds {builds}", patch.display());
        for part in line("# caught by: ").split(" | ") {
            let name = part.strip_prefix("test(").and_then(|rest| rest.strip_suffix(')'));
            let name =
                name.unwrap_or_else(|| panic!("{}: {part} is neither test(…) nor test(/^…::/)", patch.display()));
            let is_there = match name.strip_prefix("/^").and_then(|rest| rest.strip_suffix("::/")) {
                Some(module) => modules.contains(&module.to_owned()),
                None => sources.contains(&format!("fn {name}")),
            };
            assert!(is_there, "{}: there is no {part}", patch.display());
        }
        patches += 1;
    }
    assert!(patches > 0, "there are some");
}
