//! Independent clients as people use them: each lists every tool, converts the tools into functions for models, calls
//! every tool that reads, and receives the error message of a wrong call of every tool.

use std::process::Command;

use serde_json::{Value, json};
use shared::core::Role;
use shared::ingest::Settings;
use simulator::{Corpus, Options, Simulator, Spread};
use tests::http::{Server, settings as http_settings, sync_of};
use tests::mcp_clients::{Plan, WRONG, node, output, python, right_calls, wrong_calls};
use tests::program::Archive;
use tests::sync::{client, day, engine, settings, simulator};

/// A server with a few records, a finished job and two checkpoints.
struct World {
    ncbi: Simulator,
    server: Server,
    job_id: String,
}

impl World {
    async fn new() -> Self {
        let corpus = Corpus::generated(day("2026-03-10"), 1000, 30, 1, Spread::Even(30));
        let ncbi = simulator(corpus, Options::default()).await;
        let client = client(settings(&ncbi));
        let engine = engine(tests::engine::pool(8).await, client.clone(), Settings::default());
        let mut server = Server::start(engine, client, &http_settings(&[])).await;
        server.work();
        let mut job_id = String::new();
        for (name, records) in [("before", 1001..1004), ("after", 1001..1005)] {
            let job = server.post("/v1/jobs", &sync_of(records)).await.body;
            job_id = job["job_id"].as_str().unwrap_or_else(|| panic!("no job: {job}")).to_owned();
            server.ended(&job_id).await;
            let create =
                json!({ "tool": "corpus.checkpoint.create", "params": { "checkpoint_id": name, "name": name } });
            assert_eq!(server.post("/v1/mcp/invoke", &create).await.status, 200);
        }
        Self { ncbi, server, job_id }
    }

    fn plan(&self) -> Plan {
        let role = Role::Submit;
        let calls = right_calls(&self.job_id).into_iter().chain(wrong_calls(role)).collect();
        Plan { target: json!({ "url": format!("{}/mcp", self.server.url) }), calls, role }
    }
}

/// The program with a separate archive, as clients start it.
async fn program(ncbi: &Simulator) -> (Archive, Value) {
    let archive = Archive::new().await;
    let command = archive.command(&[]);
    let env = command.get_envs().filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)));
    let url = ncbi.eutils_url();
    let more = [("BIO_MCP_PUBMED_BASE_URL", url.as_str()), ("PATH", "/usr/bin:/bin")];
    let env: serde_json::Map<String, Value> =
        env.chain(more).map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let data_dir = archive.data_dir();
    let started = json!({ "command": tests::program::path(), "args": ["--data-dir", data_dir, "mcp"], "env": env });
    (archive, started)
}

async fn over_http(client: Option<Command>, converted: &[&str]) {
    let Some(client) = client else { return };
    World::new().await.plan().carry_out(client, converted).await;
}

/// The official clients also start the program; its archive is empty.
async fn over_http_and_stdio(client: impl Fn() -> Option<Command>) {
    let (Some(first), Some(second)) = (client(), client()) else { return };
    let world = World::new().await;
    world.plan().carry_out(first, &[]).await;
    let (_archive, stdio) = program(&world.ncbi).await;
    let ping = ("ping".to_owned(), json!({ "message": "hello" }), true);
    let role = Role::Admin;
    let calls = std::iter::once(ping).chain(wrong_calls(role)).collect();
    Plan { target: json!({ "stdio": stdio }), calls, role }.carry_out(second, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_of_the_first_generation() {
    over_http_and_stdio(|| python("mcp-langchain", "python_1.py")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_of_the_second_generation_in_both_eras() {
    over_http_and_stdio(|| python("mcp", "python_2.py")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_client_of_the_first_generation() {
    over_http_and_stdio(|| with(node("typescript.mjs"), "1")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_client_of_the_second_generation_in_both_eras() {
    over_http_and_stdio(|| with(node("typescript.mjs"), "2")).await;
}

fn with(command: Option<Command>, argument: &str) -> Option<Command> {
    let mut command = command?;
    command.arg(argument);
    Some(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn langchain_and_its_functions_for_anthropic_and_openai() {
    let client = python("mcp-langchain", "langchain_client.py");
    over_http(client, &["anthropic", "openai", "openai-strict"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_agents_and_its_strict_functions() {
    over_http(python("mcp-agents", "openai_agents.py"), &["openai", "openai-strict"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pydantic_ai_and_its_functions_for_openai_and_google() {
    over_http(python("mcp-agents", "pydantic_ai_client.py"), &["openai-strict", "google-json"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_genai_and_its_functions_for_gemini() {
    over_http(python("mcp-agents", "google_genai.py"), &["gemini"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fastmcp() {
    over_http(python("mcp-agents", "fast_mcp.py"), &[]).await;
}

/// Both Inspectors start a process per call, so one call of each kind of tool represents the others.
#[tokio::test(flavor = "multi_thread")]
async fn the_inspectors_show_results_and_the_reason_of_a_wrong_call() {
    let world = World::new().await;
    let url = format!("{}/mcp", world.server.url);
    let old = || {
        let mut command = node("@modelcontextprotocol/inspector-cli/build/index.js")?;
        command.args([url.as_str(), "--transport", "http"]);
        Some(command)
    };
    let new = || {
        let mut command = tests::mcp::node("@modelcontextprotocol/inspector/clients/launcher/build/index.js")?;
        command.args(["--cli", url.as_str(), "--transport", "http"]);
        Some(command)
    };
    let wrong = format!("{WRONG}=1");
    let calls: [(&[&str], &str); 4] = [
        (&["--method", "tools/list"], "corpus_checkpoint_create"),
        (&["--method", "tools/call", "--tool-name", "pubmed_get", "--tool-arg", "pmid=1001"], "1001"),
        (&["--method", "tools/call", "--tool-name", "job_get", "--tool-arg", &wrong], WRONG),
        (&["--method", "tools/call", "--tool-name", "pubmed_sync", "--tool-arg", &wrong], WRONG),
    ];
    for inspector in [&old as &(dyn Fn() -> Option<Command> + Sync), &new] {
        for (arguments, wanted) in calls {
            let Some(mut command) = inspector() else { return };
            command.args(arguments);
            let (_, said) = tests::mcp::ran(command).await;
            assert!(said.contains(wanted), "{arguments:?}:\n{said}");
            assert!(wanted != WRONG || said.contains("VALIDATION_ERROR"), "{arguments:?}:\n{said}");
        }
    }
}

/// The whole list as a client passes it to its model, with a reserve for planned tools.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_tools_is_small_enough_for_a_model() {
    const PLANNED: usize = 37;
    // The reserve for a planned tool, without its output schema.
    const BYTES_EACH: usize = 500;
    const TOKENS_EACH: usize = 120;
    let tools = shared::tools::catalogue();
    let to_come = PLANNED.saturating_sub(tools.len());
    let list = json!(api::mcp::listing(&tools, &http_settings(&[]).toolsets));
    let mut bare = list.clone();
    for tool in bare.as_array_mut().expect("a list") {
        tool.as_object_mut().expect("a tool").remove("outputSchema");
    }
    for (text, to_come) in [(list.to_string(), 0), (bare.to_string(), to_come)] {
        let bytes = text.len() + to_come * BYTES_EACH;
        assert!(bytes <= 24_000, "{bytes} bytes with {to_come} tools to come");
        let Some(counter) = node("tokens.mjs") else { return };
        let said = output(counter, text).await;
        for line in said.lines() {
            let (name, tokens) = line.split_once(' ').expect("a name and a number");
            let tokens = tokens.parse::<usize>().expect("a number") + to_come * TOKENS_EACH;
            assert!(tokens <= 6_000, "{tokens} tokens of {name} with {to_come} tools to come");
        }
        assert_eq!(said.lines().count(), 2, "two vocabularies: {said}");
    }
}
