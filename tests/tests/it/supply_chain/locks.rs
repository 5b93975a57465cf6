//! The lock files of scripts/locks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{is_hex, logical_lines, read, words};

const REGISTRY: &str = "https://registry.npmjs.org/";

/// The normalized name and the version of `name[extra]==version`.
fn pinned(requirement: &str) -> Option<(String, String)> {
    let (name, version) = requirement.split_once("==")?;
    let name = name.split('[').next()?.to_lowercase().replace(['_', '.'], "-");
    let plain = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    (plain(&name, "-") && plain(version, ".+*!-")).then(|| (name, version.to_owned()))
}

/// Faults of a pip lock file; it may contain only packages with version and SHA-256.
fn faults_of_pip(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for line in logical_lines(text) {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let (requirement, hashes) = line.split_once(" --hash=").unwrap_or((&line, ""));
        let requirement = requirement.split(" ;").next().unwrap_or_default().trim();
        if pinned(requirement).is_none_or(|(_, version)| version.contains('*')) {
            faults.push(format!("{requirement} is not a package and its version"));
        }
        let hashes = hashes.split_whitespace().map(|hash| hash.trim_start_matches("--hash="));
        if !hashes.clone().all(|hash| hash.strip_prefix("sha256:").is_some_and(|hash| is_hex(hash, 64)))
            || hashes.count() == 0
        {
            faults.push(format!("{requirement} has no SHA-256, or something else beside it"));
        }
    }
    faults
}

/// Faults of an npm lock file.
fn faults_of_npm(manifest: &Value, lock: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    if manifest["dependencies"] != lock["packages"][""]["dependencies"] || lock["lockfileVersion"] != 3 {
        faults.push("the lock is not that of package.json".to_owned());
    }
    for (name, version) in manifest["dependencies"].as_object().expect("dependencies") {
        let version = version.as_str().expect("text");
        let version = version.rsplit_once('@').map_or(version, |(_, version)| version);
        let exact = version.starts_with(|c: char| c.is_ascii_digit())
            && version.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
        if !exact || lock["packages"][format!("node_modules/{name}")]["version"] != version {
            faults.push(format!("{name} has no exact version, or another one in the lock"));
        }
    }
    for (path, package) in lock["packages"].as_object().expect("packages") {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let hash = text("integrity").strip_prefix("sha512-").is_some_and(|hash| hash.len() == 88);
        if !(path.is_empty() || hash && text("resolved").starts_with(REGISTRY)) {
            faults.push(format!("{path} has no SHA-512, or does not come from the registry"));
        }
    }
    faults
}

fn listed() -> Vec<PathBuf> {
    let dir = std::fs::read_dir(tests::root().join("scripts/locks")).expect("there");
    dir.map(|entry| entry.expect("readable").path()).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("read")).expect("JSON")
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().into_owned()
}

#[test]
fn every_package_is_named_by_version_and_hash() {
    let (mut pip, mut npm) = (0, 0);
    for path in listed() {
        let text = || std::fs::read_to_string(&path).expect("read");
        let beside = |extension: &str| path.with_extension(extension);
        match path.extension().and_then(|e| e.to_str()) {
            Some("txt") => {
                assert!(beside("in").exists(), "{}: it is not said of what it was made", path.display());
                assert_eq!(faults_of_pip(&text()), Vec::<String>::new(), "{}", path.display());
                pip += 1;
            }
            Some("in") => {
                let lock = std::fs::read_to_string(beside("txt")).expect("`make locks` was run");
                let locked: BTreeMap<String, String> =
                    lock.lines().filter_map(|line| pinned(line.split_whitespace().next()?)).collect();
                for line in text().lines().filter(|line| !line.starts_with('#')) {
                    let (name, version) = pinned(line).unwrap_or_else(|| panic!("{}: {line}", path.display()));
                    let has = locked.get(&name).unwrap_or_else(|| panic!("{}: {name} is not locked", path.display()));
                    let fits = version.strip_suffix('*').map_or(*has == version, |start| has.starts_with(start));
                    assert!(fits, "{}: {name} is locked as {has}: run `make locks`", path.display());
                }
            }
            None if path.is_dir() => {
                let (manifest, lock) = (json(&path.join("package.json")), json(&path.join("package-lock.json")));
                assert_eq!(faults_of_npm(&manifest, &lock), Vec::<String>::new(), "{}", path.display());
                npm += 1;
            }
            _ => panic!("{} is neither a lock nor what one is made of", path.display()),
        }
    }
    assert!(pip >= 20 && npm >= 3, "the locks are read");
}

/// Faults planted into a lock file are found.
#[test]
fn a_lock_that_pins_less_is_found() {
    let lock = read("scripts/locks/python.txt");
    assert_eq!(faults_of_pip(&lock), Vec::<String>::new());
    let hash = format!("--hash=sha256:{}", "a".repeat(64));
    for planted in [
        "other==1.0\n".to_owned(),
        format!("other>=1.0 {hash}\n"),
        format!("other {hash}\n"),
        format!("other==1.* {hash}\n"),
        "--index-url https://example.org/simple\n".to_owned(),
        "--no-binary :all:\n".to_owned(),
        format!("-r more.txt {hash}\n"),
        format!("other @ https://example.org/other-1.0.tar.gz {hash}\n"),
        format!("git+https://example.org/other {hash}\n"),
        format!("other==1.0 --hash=md5:{}\n", "a".repeat(32)),
        "other==1.0 --hash=sha256:abc\n".to_owned(),
        format!("other==1.0 {hash} --config-settings=x\n"),
    ] {
        assert_ne!(faults_of_pip(&format!("{lock}{planted}")), Vec::<String>::new(), "{planted}");
    }

    let dir = tests::root().join("scripts/locks/openapi-node");
    let (manifest, lock) = (json(&dir.join("package.json")), json(&dir.join("package-lock.json")));
    for change in [
        |manifest: &mut Value, _: &mut Value| manifest["dependencies"]["typescript"] = "^5.9.3".into(),
        |manifest: &mut Value, _: &mut Value| manifest["dependencies"]["other"] = "1.0.0".into(),
        |_: &mut Value, lock: &mut Value| lock["packages"]["node_modules/typescript"]["version"] = "5.9.2".into(),
        |_: &mut Value, lock: &mut Value| lock["packages"]["node_modules/typescript"]["integrity"] = Value::Null,
        |_: &mut Value, lock: &mut Value| lock["packages"]["node_modules/typescript"]["integrity"] = "sha1-AAAA".into(),
        |_: &mut Value, lock: &mut Value| {
            lock["packages"]["node_modules/typescript"]["resolved"] = "https://example.org/typescript/-/t.tgz".into();
        },
        |_: &mut Value, lock: &mut Value| {
            lock["packages"]["node_modules/other"] =
                serde_json::json!({ "resolved": "git+ssh://x/y", "version": "1.0.0" });
        },
    ] {
        let (mut manifest, mut lock) = (manifest.clone(), lock.clone());
        change(&mut manifest, &mut lock);
        assert_ne!(faults_of_npm(&manifest, &lock), Vec::<String>::new(), "{manifest}");
    }
}

/// Setup names lock files, never packages; and every lock file is used.
#[test]
fn setup_fetches_locks_and_every_lock_is_used() {
    let setup = read("scripts/setup.sh");
    let names: Vec<String> = listed().iter().map(|path| stem(path)).collect();
    let mut fetched = Vec::new();
    for line in logical_lines(&setup) {
        let said: Vec<&str> = words(&line);
        let locks = match line.trim().split(' ').next().unwrap_or_default() {
            "fetch" | "install_tree" | "install_packages" => {
                // The part after the directory.
                let rest = line.trim().split_once(' ').expect("a directory").1;
                rest.split_once(' ').map_or_else(Vec::new, |(_, locks)| words(locks))
            }
            "tree" => said[1..2].to_vec(),
            _ => continue,
        };
        assert!(!locks.is_empty(), "{line}: it names no lock");
        for lock in locks {
            assert!(names.iter().any(|name| name == lock), "{line}: {lock} is no lock");
            fetched.push(lock.to_owned());
        }
    }
    assert!(fetched.len() >= 18, "setup is read: {fetched:?}");
    let elsewhere = format!("{}{}", read("scripts/lock.py"), read("docs/deploying.md"));
    for name in names {
        let used = fetched.contains(&name)
            || elsewhere.contains(&format!("\"{name}\""))
            || elsewhere.contains(&format!("{name}.txt"));
        assert!(used, "scripts/locks/{name} is not used");
    }
}
