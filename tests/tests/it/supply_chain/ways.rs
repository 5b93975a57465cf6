//! All commands that can download something, and the few places where each is allowed.

use super::{has_extension, logical_lines, read, tracked, words};

/// Files that describe rules about downloads, or a past state.
const NOT_READ: [&str; 6] =
    ["tests/tests/it/supply_chain/", "scripts/locks/", "tests/golden/", "tests/mutants/", "CHANGELOG.md", "Cargo.lock"];

/// Programs that download with one of these verbs anywhere on the line.
const FETCHERS: [(&str, &[&str]); 9] = [
    ("pip", &["install", "download", "wheel"]),
    ("npm", &["install", "i", "ci", "add", "exec", "x", "update", "init", "create"]),
    ("yarn", &["install", "add", "dlx", "create"]),
    ("pnpm", &["install", "i", "add", "dlx", "exec", "create"]),
    ("uv", &["pip", "tool", "sync", "add", "run"]),
    ("cargo", &["install", "binstall", "add", "update"]),
    ("conda", &["install", "create"]),
    ("bun", &["install", "i", "add", "x", "create"]),
    ("rustup", &["install", "toolchain", "component", "target", "update", "default"]),
];

/// The same if the verb is the next word: these are English words or common names.
const NEXT_TO: [(&str, &[&str]); 13] = [
    ("apt", &["install", "update", "download"]),
    ("apt-get", &["install", "update", "download", "source"]),
    ("apk", &["add"]),
    ("dnf", &["install"]),
    ("yum", &["install"]),
    ("brew", &["install"]),
    ("gem", &["install"]),
    ("go", &["install", "get", "run"]),
    ("snap", &["install"]),
    ("git", &["clone", "submodule"]),
    ("docker", &["pull"]),
    ("deno", &["run", "install"]),
    ("poetry", &["install", "add"]),
];

/// Programs that only download.
const ALWAYS: [&str; 8] = ["npx", "pipx", "uvx", "bunx", "wget", "aria2c", "easy_install", "urlretrieve"];

const INTERPRETERS: [&str; 10] = ["sh", "bash", "zsh", "dash", "python", "python3", "node", "perl", "ruby", "sudo"];

/// The program that a word names: `pip3.11`, `npm-cli.js` and `-mpip` are programs too.
fn program(word: &str) -> &str {
    let word = word.strip_prefix("-m").unwrap_or(word).trim_start_matches(['.', '-']);
    let word = word.split('@').next().unwrap_or_default();
    match word.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') {
        "npm-cli.js" => "npm",
        program => program,
    }
}

/// What a line downloads, in words; `None` if it downloads nothing.
fn fetches(line: &str) -> Option<String> {
    let words = words(line);
    for (at, word) in words.iter().enumerate() {
        let (program, rest) = (program(word), &words[at + 1..]);
        let found = |(name, verbs): &(&str, &[&str]), near: bool| {
            let within = if near { &rest[..rest.len().min(1)] } else { rest };
            *name == program && within.iter().any(|word| verbs.contains(word))
        };
        if FETCHERS.iter().any(|one| found(one, false)) || NEXT_TO.iter().any(|one| found(one, true)) {
            return Some(format!("{program} fetches"));
        }
        if ALWAYS.contains(&program) && !rest.is_empty() {
            return Some(program.to_owned());
        }
    }
    // A response is executed: `curl … | sh`, `sh -c "$(curl …)"`, `bash <(curl …)`.
    let asks = |text: &str| super::words(text).iter().any(|word| ["curl", "fetch", "http"].contains(word));
    let mut parts = line.split('|');
    if asks(parts.next().unwrap_or_default()) {
        for part in parts {
            let piped = super::words(part);
            let runs = piped.first().is_some_and(|first| INTERPRETERS.contains(first));
            if runs && !piped.get(1).is_some_and(|second| second.starts_with("-c")) {
                return Some("an answer is run".to_owned());
            }
        }
    }
    let substituted = line.contains("$(curl") || line.contains("<(curl") || line.contains("`curl");
    let executed = ["sh -c", "bash -c", "eval", "source ", "bash <(", "sh <(", ". <("];
    (substituted && executed.iter().any(|way| line.contains(way))).then(|| "an answer is run".to_owned())
}

/// Whether a line downloads with verified hashes and builds nothing.
fn is_locked(line: &str) -> bool {
    let has = |flags: &[&str]| flags.iter().all(|flag| line.contains(flag));
    has(&["--require-hashes", "--only-binary :all:"]) || has(&["npm ci", "--ignore-scripts"])
}

/// `(file, text on the line)`: the allowed downloads.
const PLACES: [(&str, &str); 7] = [
    ("scripts/fetch.sh", "--require-hashes"),
    ("scripts/fetch.sh", "npm-cli.js\" ci"),
    ("scripts/lock.py", "--require-hashes"),
    ("scripts/lock.py", "uv, \"pip\", \"compile\""),
    ("scripts/lock.py", "--package-lock-only"),
    // apt verifies downloads against Debian's signed index.
    ("scripts/sam_local.sh", "apt-get download -qq docker.io containerd runc"),
    // rustup verifies downloads against the manifest of the release that rust-toolchain.toml names.
    (".github/workflows/ci.yml", "rustup toolchain install --no-self-update --profile default"),
];

#[test]
fn nothing_is_fetched_in_another_way() {
    let mut found = 0;
    for (name, text) in tracked() {
        if NOT_READ.iter().any(|start| name.starts_with(start)) {
            continue;
        }
        for line in logical_lines(&text) {
            let Some(how) = fetches(&line) else { continue };
            let placed = PLACES.iter().any(|(file, what)| *file == name && line.contains(what));
            let local_clone = name == "scripts/mutants.sh" && line.contains("git clone --quiet \"$root\" \"$tree\"");
            assert!(is_locked(&line) || placed || local_clone, "{name}: {how}: {line}");
            found += 1;
        }
    }
    assert!(found >= 3, "the places are there");
}

#[test]
fn the_places_that_fetch_compare_hashes_and_build_nothing() {
    let fetch = read("scripts/fetch.sh");
    let calls: Vec<String> = logical_lines(&fetch)
        .into_iter()
        .filter(|line| line.contains("-m pip") && !line.contains("--version"))
        .collect();
    assert!(!calls.is_empty(), "{calls:?}");
    for call in calls {
        for flag in ["--require-hashes", "--only-binary :all:", "--no-deps"] {
            assert!(call.contains(flag) || call.trim_start().starts_with("echo "), "{flag} is missing: {call}");
        }
    }
    assert!(fetch.contains("npm-cli.js\" ci ") && fetch.contains("--ignore-scripts"), "npm runs no scripts");
    let renewed = read("scripts/lock.py");
    for flag in ["\"--require-hashes\", \"--only-binary\", \":all:\"", "\"--package-lock-only\", \"--ignore-scripts\""]
    {
        assert!(renewed.contains(flag), "{flag}");
    }
}

/// A download from a fixed URL is verified on its line or within the two lines after it.
#[test]
fn what_is_downloaded_from_a_fixed_address_is_compared() {
    let mut found = 0;
    for (name, text) in tracked() {
        let shown = has_extension(&name, "rs") || name.starts_with("tests/") || name.starts_with("samples/");
        if shown || NOT_READ.iter().any(|start| name.starts_with(start)) {
            continue;
        }
        let lines = logical_lines(&text);
        for (at, line) in lines.iter().enumerate() {
            if !(words(line).contains(&"curl") && line.contains("https://")) {
                continue;
            }
            let near = &lines[at..lines.len().min(at + 3)];
            assert!(
                near.iter().any(|line| line.contains("sha256sum --check --strict")),
                "{name}: not compared: {line}"
            );
            found += 1;
        }
    }
    assert_eq!(found, 1, "terraform in the workflow");
}

#[test]
fn the_rule_knows_what_fetches() {
    for line in [
        "pip install checkov",
        "RUN pip3 install -r requirements.txt",
        "python3 -m pip install --quiet x==1.0",
        "python3.12 -mpip install x",
        "subprocess.run([sys.executable, \"-m\", \"pip\", \"install\", \"x\"])",
        ".venv/bin/pip --no-input download x",
        "    - run: npm install",
        "npm --prefix web i",
        "npm exec -- x",
        "npx openapi-typescript openapi.json",
        "uvx ruff check",
        "uv pip install x",
        "pnpm dlx x",
        "cargo install cargo-nextest",
        "cargo +stable install --locked cargo-deny",
        "rustup toolchain install 1.95 --profile minimal",
        "apt-get install -y unzip",
        "sudo apt install jq",
        "curl -sSf https://sh.rustup.rs | sh -s -- -y",
        "curl -sSL https://example.org/x.py | python3 -",
        "curl -sSL https://example.org/x | sudo bash",
        "bash <(curl -s https://example.org/x)",
        "sh -c \"$(curl -fsSL https://example.org/x)\"",
        "wget https://example.org/x.tar.gz",
        "go install example.org/x@latest",
        "git clone https://example.org/x",
        "docker pull debian:bookworm",
    ] {
        assert!(fetches(line).is_some_and(|_| !is_locked(line)), "{line}");
    }
    for line in [
        "They need a Rust toolchain, a C compiler, Python 3 with pip, and make.",
        "curl -s http://127.0.0.1:8080/readyz | python3 -c 'import json,sys; print(1)'",
        "cargo build --release --locked",
        "go on where it was",
        "npm and pip have lock files",
    ] {
        assert!(fetches(line).is_none(), "{line}: {:?}", fetches(line));
    }
}
