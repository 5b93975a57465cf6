//! The style of documents, help texts and sources: whom they name, how long their lines are, whether their links
//! resolve, and whether the messages they quote are those of the program.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Name the caller, the worker or the client instead, or use the passive.
const PERSONIFIED: [&str; 5] = ["somebody", "nobody", "anybody", "everybody", "whoever"];

/// Sources that still have one of those words, or quote a name or record with it: parts of their paths.
const NOT_YET: [&str; 4] = [
    // Migrations are never edited once merged.
    "migrations/",
    // Names in constructed records.
    "samples/src/shapes.rs",
    "tests/src/tokens.py",
    "tests/tests/it/prose.rs",
];

/// Folders whose comments are limited to the width of the code.
const WRAPPED: [&str; 12] = [
    "bench/",
    "fuzz/",
    "functions/migrate/",
    "functions/scheduler/",
    "functions/worker/",
    "samples/",
    "shared/src/checkpoints/",
    "shared/engine/src/ingest/",
    "shared/src/records/",
    "shared/src/syncs/",
    "shared/src/tools/",
    "simulator/",
];

/// rustfmt's width.
const WIDTH: usize = 120;

/// A table row cannot be wrapped.
const ROW_WIDTH: usize = 250;

fn read(path: &str) -> String {
    std::fs::read_to_string(tests::root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Committed files with one of these endings.
fn tracked(endings: &[&str]) -> Vec<String> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(tests::root()).output().expect("git runs");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("names are text");
    let wanted = |name: &&str| endings.iter().any(|ending| name.ends_with(ending));
    // A file that is removed but not committed is listed too.
    let exists = |name: &&str| tests::root().join(name).is_file();
    names.split('\0').filter(wanted).filter(exists).map(str::to_owned).collect()
}

/// README, ARCHITECTURE, CONTRIBUTING and the files of docs/.
fn documents() -> Vec<(String, String)> {
    let mut names = tracked(&[".md"]);
    names.retain(|name| name.starts_with("docs/") || (!name.contains('/') && name != "CHANGELOG.md"));
    assert!(names.len() > 20 && names.iter().any(|name| name == "README.md"), "{names:?}");
    names.into_iter().map(|name| (name.clone(), read(&name))).collect()
}

/// The personified words of a line. `nobody` in quotes, or as part of an address or a name, is the Unix user.
fn personified(line: &str) -> Vec<&'static str> {
    let lower = line.to_lowercase();
    let mut found = Vec::new();
    for word in PERSONIFIED {
        for (at, _) in lower.match_indices(word) {
            let before = lower[..at].chars().next_back().unwrap_or(' ');
            let after = lower[at + word.len()..].chars().next().unwrap_or(' ');
            let joined = |c: char| c.is_alphanumeric() || "_-/@.".contains(c);
            let is_part = joined(before) || (joined(after) && after != '.');
            let is_quoted = word == "nobody" && ['`', '"', '\''].contains(&before) && before == after;
            if !is_part && !is_quoted {
                found.push(word);
            }
        }
    }
    found
}

#[test]
fn the_rule_knows_the_words() {
    for line in
        ["Nobody asked", "it is whoever's", "so that somebody else", "// anybody.", "(everybody)", "\"nobody tells\""]
    {
        assert_eq!(personified(line).len(), 1, "{line}");
    }
    for line in
        ["as `postgres` or `nobody`", "[\"-u\", \"nobody\"]", "postgres://nobody@127.0.0.1", "a-nobody-x", "body"]
    {
        assert!(personified(line).is_empty(), "{line}");
    }
}

/// Every help text of the program, by its command.
fn help_texts() -> Vec<(String, String)> {
    let (mut left, mut texts) = (vec![Vec::<String>::new()], Vec::new());
    while let Some(command) = left.pop() {
        let output = Command::new(tests::program::path()).args(&command).arg("--help").output().expect("it starts");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("help is text");
        let listed = text.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
        for line in listed.lines() {
            // Continued descriptions have a deeper indent.
            let name =
                line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')).and_then(|rest| rest.split(' ').next());
            if let Some(name) = name.filter(|name| *name != "help") {
                left.push([&command[..], &[name.to_owned()]].concat());
            }
        }
        texts.push((format!("bio-mcp {} --help", command.join(" ")), text));
    }
    assert!(texts.len() > 30, "every command is asked: {}", texts.len());
    texts
}

#[test]
fn documents_and_help_texts_name_who_acts() {
    let described =
        ["docs/openapi.json", "tests/golden/tools.json", ".env.example"].map(|name| (name.to_owned(), read(name)));
    for (name, text) in documents().into_iter().chain(help_texts()).chain(described) {
        for (at, line) in text.lines().enumerate() {
            assert!(personified(line).is_empty(), "{name}, line {}: {:?}: {line}", at + 1, personified(line));
        }
    }
}

#[test]
fn sources_name_who_acts() {
    let mut lines = 0;
    for name in tracked(&[".rs", ".sql", ".sh", ".py", ".tf", ".yaml", ".yml", "Makefile"]) {
        if NOT_YET.iter().any(|part| name.contains(part)) {
            continue;
        }
        for (at, line) in read(&name).lines().enumerate() {
            assert!(personified(line).is_empty(), "{name}, line {}: {:?}: {line}", at + 1, personified(line));
            lines += 1;
        }
    }
    assert!(lines > 30_000, "sources are read: {lines} lines");
}

/// A line without its link targets, which cannot be wrapped.
fn without_addresses(line: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("](") {
        kept.push_str(before);
        kept.push(']');
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    kept.push_str(rest);
    kept.split(' ').filter(|word| !word.contains("https://")).collect::<Vec<_>>().join(" ")
}

#[test]
fn prose_wraps_and_rows_end() {
    let mut faults = Vec::new();
    for (name, text) in documents() {
        let mut in_block = false;
        for (at, line) in text.lines().enumerate() {
            let is_fence = line.starts_with("```");
            in_block ^= is_fence;
            let width = if in_block || is_fence || line.starts_with('|') { ROW_WIDTH } else { WIDTH };
            let length = without_addresses(line).chars().count();
            if length > width {
                faults.push(format!("{name}, line {}: {length} characters, over {width}", at + 1));
            }
        }
        assert!(!in_block, "{name}: a block is not closed");
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn comments_are_within_the_width_of_code() {
    let mut faults = Vec::new();
    let mut comments = 0;
    for name in tracked(&[".rs"]).into_iter().filter(|name| WRAPPED.iter().any(|folder| name.starts_with(folder))) {
        for (at, line) in read(&name).lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("//")) {
            comments += 1;
            if line.chars().count() > WIDTH {
                faults.push(format!("{name}, line {}", at + 1));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    assert!(comments > 300, "comments are read: {comments}");
}

/// The anchors of a document, as GitHub derives them from its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let anchor = |heading: &str| {
        let kept = heading.trim().to_lowercase();
        kept.chars()
            .filter(|c| c.is_alphanumeric() || "_- ".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    text.lines().filter_map(|line| line.strip_prefix('#')).map(|rest| anchor(rest.trim_start_matches('#'))).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut links = 0;
    for (name, text) in documents() {
        let folder = Path::new(&name).parent().expect("a folder").to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { name.clone() } else { folder.join(path).display().to_string() };
            assert!(tests::root().join(&target).exists(), "{name}: {link} is not there");
            if !anchor.is_empty() {
                assert!(anchors(&read(&target)).contains(anchor), "{name}: {link}: no heading has that anchor");
            }
            links += 1;
        }
    }
    assert!(links > 40, "links are read: {links}");
}

/// Messages that the troubleshooting table quotes, split at their variable parts.
fn quoted_messages() -> Vec<String> {
    let text = read("docs/operations.md");
    let table = text.split("## Troubleshooting").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the table");
    let symptoms = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let quoted = symptoms.flat_map(|symptom| symptom.split('"').skip(1).step_by(2));
    quoted
        .flat_map(|message| message.split('…').map(str::trim).map(str::to_owned).collect::<Vec<_>>())
        .map(|part| part.trim_end_matches(" N").to_owned())
        .filter(|part| part.len() >= 8)
        .collect()
}

#[test]
fn documents_quote_messages_as_the_program_prints_them() {
    let mut sources = String::new();
    for name in tracked(&[".rs"]).into_iter().filter(|name| !name.starts_with("tests/") && !name.starts_with("fuzz/")) {
        sources.push_str(&read(&name));
    }
    // Joins string literals that span several lines.
    let mut joined = String::with_capacity(sources.len());
    let mut rest = sources.as_str();
    while let Some((before, after)) = rest.split_once("\\\n") {
        joined.push_str(before);
        rest = after.trim_start_matches(' ');
    }
    joined.push_str(rest);
    let messages = quoted_messages();
    assert!(messages.len() >= 14, "{messages:?}");
    for message in messages {
        assert!(joined.contains(&message), "no program says {message:?}");
    }
}
