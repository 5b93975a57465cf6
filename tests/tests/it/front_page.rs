//! The README shows the actual output of the program.

use tests::program::{Archive, Run};

fn readme() -> String {
    std::fs::read_to_string(tests::root().join("README.md")).expect("there")
}

/// The code blocks of a language, in order.
fn blocks(readme: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in readme.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(of)) => open = Some((of == language, String::new())),
            (Some((is_wanted, block)), Some(_)) => {
                if *is_wanted {
                    blocks.push(std::mem::take(block));
                }
                open = None;
            }
            (Some((_, block)), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// A line without its durations.
fn without_times(line: &str) -> String {
    let is_time = |word: &str| word.contains('.') && word.parse::<f64>().is_ok();
    line.split(' ').map(|word| if is_time(word) { "T" } else { word }).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_prints_what_the_readme_shows() {
    let readme = readme();
    let shown =
        blocks(&readme, "").into_iter().find(|block| block.starts_with("1. ")).expect("the output of make demo");
    let archive = Archive::new().await;
    let run: Run = archive.command(&["demo"]).output().expect("it starts").into();
    let run = run.expect(0);
    let mut printed = run.out.lines().map(without_times);
    for line in shown.lines() {
        let line = without_times(line);
        assert!(printed.any(|one| one == line), "not printed, or not in this order: {line}\n{}", run.out);
    }
    assert!(shown.lines().count() > 10, "{shown}");

    // The deleted record, as the server returns it.
    let json = blocks(&readme, "json").into_iter().find(|block| block.contains("last_hash")).expect("a deleted record");
    let start = json.split("\"last_hash\":\"").nth(1).and_then(|rest| rest.split('…').next()).expect("a hash");
    let call: Run =
        archive.command(&["call", "pubmed.get", "{\"pmid\": 30000077}"]).output().expect("it starts").into();
    let call = call.expect(0).out;
    assert!(call.contains("30000077") && call.contains(start), "{call}");
}

#[test]
fn the_configuration_of_an_mcp_client_starts_this_program() {
    let json =
        blocks(&readme(), "json").into_iter().find(|block| block.contains("mcpServers")).expect("a configuration");
    let server = &serde_json::from_str::<serde_json::Value>(&json).expect("JSON")["mcpServers"]["bio-mcp"];
    assert_eq!(server["command"], "bio-mcp");
    let arguments = server["args"].as_array().expect("arguments").iter().map(|one| one.as_str().expect("text"));
    let help = std::process::Command::new(tests::program::path()).args(arguments).arg("--help").output();
    let help = help.expect("it starts");
    assert!(help.status.success(), "{}", String::from_utf8_lossy(&help.stderr));
    assert!(String::from_utf8_lossy(&help.stdout).contains(" mcp"), "the help of the command");
}
