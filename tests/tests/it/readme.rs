//! The README's commands work as written.

use std::process::Command;

use samples::files::write_sample;
use simulator::{Corpus, Options};
use tests::sync::simulator;

/// The lines of the README's second shell block that run `bio-mcp`.
fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(tests::root().join("README.md")).expect("there");
    let blocks: Vec<&str> = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let lines = blocks.iter().flat_map(|block| block.lines());
    lines
        .map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned())
        .filter(|line| line.starts_with("bio-mcp ") || line.starts_with("zstd "))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_readme_works() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let sample = write_sample(dir.path(), 200).expect("written");
    let database = tests::databases::empty_database().await;
    let mut corpus = Corpus::new(shared::syncs::ncbi_day(shared::core::clock::now()));
    for pmid in 31_000_000..31_000_050 {
        corpus.add(pmid, "asthma");
    }
    let ncbi = simulator(corpus, Options::default()).await;
    let mut path = std::ffi::OsString::from(tests::program::path().parent().expect("a directory"));
    path.push(":/usr/bin:/bin:/usr/local/bin");
    let run = |command: &str| {
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(dir.path())
            .env("PATH", &path)
            .env("XDG_STATE_HOME", dir.path())
            .env("BIO_MCP_DATABASE_URL", &database)
            .env("BIO_MCP_PUBMED_BASE_URL", ncbi.eutils_url())
            .env("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", "100")
            .output()
            .expect("runs");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command}: {text}");
        text
    };
    let commands = commands();
    assert!(commands.len() >= 15, "{commands:?}");
    for command in &commands {
        // Tools that the README uses beside the program may be missing on a machine.
        if command.starts_with("zstd ")
            && Command::new("sh").args(["-c", "command -v zstd jq"]).output().is_ok_and(|o| !o.status.success())
        {
            eprintln!("SKIPPED: {command}: zstd or jq is not installed");
            continue;
        }
        run(command);
        if command.starts_with("bio-mcp ingest") {
            // So that there is a change to compare.
            run(&format!("bio-mcp ingest {}", sample.update.display()));
        }
    }
}

#[test]
fn every_variable_that_is_read_is_in_the_example_file() {
    let dir = std::fs::read_dir(tests::root().join("shared/src/config")).expect("there");
    // The program does not read what its unit tests read.
    let program = |text: String| text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
    let config: String = dir
        .map(|file| program(std::fs::read_to_string(file.expect("listed").path()).expect("read")))
        .collect::<Vec<_>>()
        .join("\n");
    let example = std::fs::read_to_string(tests::root().join(".env.example")).expect("there");
    let mut names: Vec<&str> = config
        .split('"')
        .filter(|word| {
            ["BIO_MCP_", "AWS_ENDPOINT", "AWS_LAMBDA_FUNCTION", "OTEL_"].iter().any(|start| word.starts_with(start))
                && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit())
        })
        .collect();
    // The limit of each tool is defined in the tool's file.
    let limits = shared::tools::limits();
    names.extend(limits.iter().map(|limit| limit.variable));
    // Derived from the names of secrets.
    names.extend([
        "BIO_MCP_DATABASE_URL_SECRET_ARN",
        "BIO_MCP_DATABASE_ROLE_SECRET_ARN",
        "BIO_MCP_PUBMED_API_KEY_SECRET_ARN",
        "BIO_MCP_AUTH_TOKENS_SECRET_ARN",
        "BIO_MCP_SETTINGS_SECRET_ARN",
    ]);
    names.extend(["BIO_MCP_DATA_DIR", "BIO_MCP_OUTPUT", "BIO_MCP_LISTEN"]);
    names.sort_unstable();
    names.dedup();
    for name in &names {
        assert!(example.contains(&format!("{name}=")), ".env.example lacks {name}");
    }
    for line in example.lines().filter_map(|line| line.trim_start_matches("# ").split_once('=')) {
        assert!(names.contains(&line.0), ".env.example has {} which no program reads", line.0);
    }
}
