//! Crates: Cargo.lock names only those of the registry, and builds use exactly its versions.

use super::{has_extension, is_hex, logical_lines, read, tracked, words};

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn every_crate_comes_from_the_registry_and_has_a_checksum() {
    for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let mut counted = 0;
        for package in read(lock).split("[[package]]").skip(1) {
            let key = |name: &str| {
                let line = package.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")))?;
                Some(line.trim_matches('"'))
            };
            let name = key("name").expect("a name");
            match key("source") {
                Some(source) => {
                    assert_eq!(source, REGISTRY, "{lock}: {name}");
                    assert!(key("checksum").is_some_and(|sum| is_hex(sum, 64)), "{lock}: {name} has no checksum");
                    counted += 1;
                }
                None => assert_eq!(key("version"), Some("0.1.0"), "{lock}: {name} is neither ours nor of the registry"),
            }
        }
        assert!(counted > 300, "{lock} is read");
    }
}

#[test]
fn no_manifest_takes_a_crate_from_elsewhere() {
    for (name, text) in tracked() {
        if name.ends_with("Cargo.toml") {
            for line in text.lines() {
                let elsewhere = line.contains("git = ") || line.contains("registry = ") || line.starts_with("[patch");
                assert!(!elsewhere, "{name}: {line}");
            }
        }
        assert!(!name.contains(".cargo/config"), "{name} could name a source");
    }
}

#[test]
fn the_audit_has_its_rules() {
    let rules = read("deny.toml");
    for section in ["[advisories]", "[licenses]", "[bans]", "[sources]"] {
        assert!(rules.contains(section), "{section}");
    }
    for rule in [
        "yanked = \"deny\"",
        "unknown-registry = \"deny\"",
        "unknown-git = \"deny\"",
        "allow-git = []",
        "wildcards = \"deny\"",
        "allow-registry = [\"https://github.com/rust-lang/crates.io-index\"]",
    ] {
        assert!(rules.lines().any(|line| line == rule), "{rule}");
    }
    assert!(read(".ci/run").lines().any(|line| line == "make audit"), "it runs before anything lands");
}

/// Whether a line calls cargo with a command that resolves packages, and so needs `--locked`.
fn resolves(line: &str) -> bool {
    let words = words(line);
    let after = |at: usize| words.get(at).copied().unwrap_or_default();
    let verbs = ["build", "test", "run", "clippy", "doc", "metadata", "check", "bench", "rustc"];
    words.iter().enumerate().any(|(at, word)| {
        let (verb, second) = (after(at + 1), after(at + 2));
        let two = [("nextest", "run"), ("lambda", "build")].contains(&(verb, second));
        ["cargo", "CARGO"].contains(word) && (verbs.contains(&verb) || two)
    })
}

#[test]
fn scripts_never_take_other_crates_than_the_lock_says() {
    let mut found = 0;
    for (name, text) in tracked() {
        let script = ["scripts/", "deploy/", ".ci/"].iter().any(|start| name.starts_with(start));
        if !(script || name == "Makefile" || has_extension(&name, "md")) || name == "CHANGELOG.md" {
            continue;
        }
        for line in logical_lines(&text) {
            // In prose, commands are in backticks.
            let prose = has_extension(&name, "md") && line.contains('`');
            if prose || !resolves(&line) || line.trim_start().starts_with('#') {
                continue;
            }
            assert!(line.contains("--locked"), "{name}: {line}");
            found += 1;
        }
    }
    assert!(found >= 12, "{found} commands");
    assert!(
        resolves("cargo build")
            && resolves("cargo lambda build --release")
            && resolves("\t$(CARGO) clippy --workspace")
    );
    assert!(!resolves("cargo nextest --version") && !resolves("cargo fmt --all --check"));
}
