//! Responses to messages, headers and addresses that violate the protocol, what is listed at which interface, and what
//! remote callers receive.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use simulator::Options;
use tests::http::{ADMIN, ApiResponse, Server, World, plain, sync_of};
use tests::mcp::{request, send, tool_result};
use tests::mcp_rules;
use tests::program::Archive;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A message without MCP headers, as older clients send it.
async fn legacy(server: &Server, message: &Value) -> ApiResponse {
    server.post("/mcp", message).await
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_parameters_of_every_method_are_named() {
    let world = plain().await;
    let good =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "a", "version": "1" } });
    let with = |name: &str, value: Value| {
        let mut params = good.clone();
        params[name] = value;
        params
    };
    for (method, params, named) in [
        ("tools/call", json!({}), "name"),
        ("tools/call", json!({ "name": 7 }), "name"),
        ("tools/call", json!({ "name": ["ping"] }), "name"),
        ("tools/call", json!({ "name": "ping", "arguments": [1] }), "arguments"),
        ("tools/call", json!({ "name": "ping", "arguments": "{}" }), "arguments"),
        ("tools/call", json!([]), "params"),
        ("tools/call", json!("ping"), "params"),
        ("tools/list", json!({ "cursor": 7 }), "cursor"),
        ("tools/list", json!({ "cursor": "page2" }), "cursor"),
        ("resources/list", json!({ "cursor": {} }), "cursor"),
        ("resources/templates/list", json!({ "cursor": [] }), "cursor"),
        ("resources/read", json!({ "uri": 7 }), "uri"),
        ("resources/read", json!({}), "uri"),
        ("initialize", json!({}), "protocolVersion"),
        ("initialize", with("capabilities", json!([])), "capabilities"),
        ("initialize", with("clientInfo", json!({ "name": "a" })), "version"),
        // Errors deeper than the names of parameters: what the library cannot parse.
        ("initialize", with("capabilities", json!({ "experimental": 7 })), "initialize"),
        ("tools/call", json!({ "name": "ping", "_meta": 7 }), "_meta"),
        ("ping", json!({ "_meta": { "progressToken": {} } }), "progressToken"),
    ] {
        let message = json!({ "jsonrpc": "2.0", "id": 3, "method": method, "params": params });
        let body = legacy(&world.server, &message).await.body;
        assert_eq!((&body["error"]["code"], &body["id"]), (&json!(-32602), &json!(3)), "{message}: {body}");
        let said = body["error"]["message"].as_str().unwrap_or_default();
        assert!(said.contains(named), "{message}: {said}");
    }
    for (method, params) in [
        ("tasks/get", json!({})),
        ("tasks/get", json!({ "taskId": 7 })),
        ("tasks/cancel", json!({ "taskId": null })),
        ("tasks/update", json!({ "taskId": "a" })),
        ("tasks/update", json!({ "taskId": "a", "inputResponses": 7 })),
        ("tools/call", json!({ "arguments": {} })),
        ("resources/read", json!({ "uri": {} })),
        ("tools/list", json!({ "cursor": 1 })),
    ] {
        let body = send(&world.server, method, params.clone(), true).await.body;
        assert_eq!(body["error"]["code"], -32602, "{method} of {params}: {body}");
    }
    for method in ["tools/cal", "prompts/get", "completion/complete", "x"] {
        let message = json!({ "jsonrpc": "2.0", "id": 3, "method": method, "params": { "name": [] } });
        let body = legacy(&world.server, &message).await.body;
        assert_eq!(body["error"]["code"], -32601, "{method}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_tool_is_text_alone() {
    let World { simulator: _ncbi, server } = World::new(5, Options::default(), &[ADMIN]).await;
    let server = server.as_admin();
    for tool in shared::tools::catalogue() {
        let call = json!({ "name": tool.flat_name(), "arguments": { "no_such_parameter": 1 } });
        let body = send(&server, "tools/call", call, false).await.body;
        assert!(body["result"].get("structuredContent").is_none(), "{body}");
        let (error, is_error) = tool_result(&body);
        assert!(is_error && error["error_code"] == "VALIDATION_ERROR", "{}: {error}", tool.name);
        assert_eq!(error["details"][0]["pointer"], "/no_such_parameter", "{}: {error}", tool.name);
        assert!(error["trace_id"].as_str().is_some_and(|id| id.len() == 32), "{error}");
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
    }
}

#[test]
fn every_listed_schema_is_a_plain_object_and_the_same_for_a_client_of_any_provider() {
    let settings = tests::http::settings(&[]);
    for tool in api::mcp::listing(&shared::tools::catalogue(), &settings.toolsets) {
        let schema = json!(tool.input_schema);
        assert_eq!(mcp_rules::listed(&schema), Vec::<String>::new(), "{}: {schema}", tool.name);
        for (to, key) in [("openai", "parameters"), ("anthropic", "input_schema"), ("gemini", "parameters")] {
            let function = json!({ "name": tool.name, "description": tool.description, key: schema });
            assert_eq!(mcp_rules::refused(to, &function), Vec::<String>::new(), "{to}: {}", tool.name);
        }
    }
}

#[test]
fn a_tool_is_named_as_its_client_knows_it() {
    let tools = shared::tools::catalogue();
    let listed = json!(api::mcp::listing(&tools, &tests::http::settings(&[]).toolsets)).to_string();
    for tool in tools.iter().filter(|tool| tool.name.contains('.')) {
        assert!(!listed.contains(tool.name), "{} is listed as {}", tool.name, tool.flat_name());
    }
    assert!(listed.contains("with pubmed_get"), "one description names another tool");
}

/// A caller cannot run commands or open paths of the server. Searches the source: no test covers every message.
#[test]
fn no_message_of_a_tool_tells_a_command_to_run() {
    let mut dirs = ["shared/src/tools", "functions/api/src/mcp"].map(|dir| tests::root().join(dir)).to_vec();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source file");
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                assert!(!line.contains("`bio-mcp "), "{}: {line}", path.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_chosen_toolsets_are_listed_and_every_tool_can_be_called() {
    let world = World::new(3, Options::default(), &[("BIO_MCP_TOOLSETS", "jobs, Core")]).await;
    let list = send(&world.server, "tools/list", json!({}), false).await.body;
    let names = list["result"]["tools"].as_array().expect("a list").iter().map(|tool| tool["name"].as_str());
    let names: Vec<&str> = names.map(|name| name.expect("a name")).collect();
    assert!(names.contains(&"ping") && names.contains(&"job_get") && names.contains(&"pubmed_sync"), "{names:?}");
    assert!(names.iter().all(|name| !name.starts_with("corpus_")), "{names:?}");
    let call = json!({ "name": "corpus_checkpoint_list", "arguments": {} });
    assert!(!tool_result(&send(&world.server, "tools/call", call, false).await.body).1);
    assert_eq!(world.server.get("/v1/mcp/tools").await.body["tools"].as_array().map(Vec::len), Some(all().len()));
}

fn all() -> Vec<shared::tools::Tool> {
    shared::tools::catalogue()
}

#[test]
fn an_unknown_toolset_is_an_error_of_the_configuration() {
    let read = |value: &str| {
        let lookup = |name: &str| (name == "BIO_MCP_TOOLSETS").then(|| value.to_owned());
        shared::config::Config::read(&shared::tools::limits(), lookup)
    };
    let said = read("core,everything").expect_err("an unknown one").to_string();
    assert!(said.contains("BIO_MCP_TOOLSETS") && said.contains("literature"), "{said}");
    assert_eq!(read("").expect("all").http.toolsets.len(), 7);
    assert_eq!(read("core, RAG").expect("two").http.toolsets.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_alone_and_a_slash_at_the_end_are_fine() {
    let world = plain().await;
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
    let post = |path: &str, accept: &[&str]| {
        let mut request =
            world.server.request("POST", path).header("content-type", "application/json").body(ping.clone());
        for value in accept {
            request = request.header("accept", *value);
        }
        world.server.send(request)
    };
    for path in ["/mcp", "/mcp/"] {
        for accept in [
            &[][..],
            &["application/json"],
            &["*/*"],
            &["application/*;q=0.5"],
            &["text/html, application/json;q=0.9"],
            &["text/event-stream", "application/json"],
        ] {
            let response = post(path, accept).await;
            assert_eq!(response.status, 200, "{path} {accept:?}: {}", response.body);
            assert!(response.body["result"]["tools"].is_array());
        }
        for accept in ["text/event-stream", "text/html", "application/json;q=0"] {
            let response = post(path, &[accept]).await;
            assert_eq!((response.status.as_u16(), &response.body["error"]["code"]), (406, &json!(-32600)), "{accept}");
        }
    }
}

const PAGE: &str = "https://app.lab";

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_origin_can_read_the_response() {
    let more = [
        ("BIO_MCP_ALLOWED_ORIGINS", PAGE),
        ("BIO_MCP_AUTH_TOKENS", "0000000000000000000000000000000000000000000000000000000000000000"),
    ];
    let world = World::new(3, Options::default(), &more).await;
    let preflight = |path: &str, origin: &str| {
        let request = world.server.request("OPTIONS", path).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        let asked = "authorization,content-type,mcp-protocol-version,mcp-method,mcp-name,mcp-param-x";
        let request = request.header("access-control-request-headers", asked);
        world.server.send(request.header("access-control-request-private-network", "true"))
    };
    let metadata = "/.well-known/oauth-protected-resource";
    for path in ["/mcp", "/mcp/", "/v1/mcp/invoke", "/v1/jobs", metadata, "/healthz", "/readyz"] {
        let granted = preflight(path, PAGE).await;
        assert_eq!(granted.status, 204, "{path}: a browser sends no credentials here");
        assert_eq!(granted.header("access-control-allow-origin"), Some(PAGE));
        assert!(granted.header("access-control-allow-methods").is_some_and(|all| all.contains("POST")));
        let headers = granted.header("access-control-allow-headers").unwrap_or_default();
        for name in ["authorization", "mcp-protocol-version", "mcp-name", "mcp-param-x"] {
            assert!(headers.contains(name), "{name}: {headers}");
        }
        assert_eq!(granted.header("access-control-allow-private-network"), Some("true"));
        assert_eq!(granted.header("access-control-allow-credentials"), None);
        assert_eq!(granted.header("vary"), Some("origin"));
        let refused = preflight(path, "https://evil.example").await;
        assert_eq!(refused.error(), (403, "FORBIDDEN"), "{path}");
        assert_eq!(refused.header("access-control-allow-origin"), None);
    }
    // The response itself too, also an error: a page must be able to read why.
    let call = world.server.request("POST", "/mcp").header("origin", PAGE).header("content-type", "application/json");
    let refused = world.server.send(call.body("{}")).await;
    assert_eq!(refused.error(), (401, "UNAUTHENTICATED"));
    assert_eq!(refused.header("access-control-allow-origin"), Some(PAGE));
    let exposed = refused.header("access-control-expose-headers").unwrap_or_default();
    for name in ["mcp-protocol-version", "www-authenticate", "x-trace-id", "retry-after"] {
        assert!(exposed.contains(name), "{name}: {exposed}");
    }
    let plain = world.server.get("/openapi.json").await;
    assert_eq!(plain.header("access-control-allow-origin"), None, "no page asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_one_host() {
    let world = plain().await;
    let address = world.server.url.trim_start_matches("http://").to_owned();
    for (head, status) in [
        (format!("GET /llms.txt HTTP/1.1\r\nHost: {address}\r\n"), "200"),
        (format!("GET /llms.txt HTTP/1.1\r\nHost: {address}\r\nHost: {address}\r\n"), "400"),
        (format!("GET /llms.txt HTTP/1.1\r\nHost: {address}\r\nHost: evil.example\r\n"), "400"),
        (format!("GET /llms.txt HTTP/1.1\r\nHost: evil.example\r\nHost: {address}\r\n"), "400"),
        (format!("GET http://evil.example/llms.txt HTTP/1.1\r\nHost: {address}\r\n"), "403"),
        ("GET /llms.txt HTTP/1.0\r\n".to_owned(), "403"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(&address).await.expect("connected");
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.expect("written");
        let mut said = String::new();
        stream.read_to_string(&mut said).await.expect("read");
        assert_eq!(said.split(' ').nth(1), Some(status), "{head}: {said}");
    }
}

/// The program over stdio.
struct Program {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    archive: Archive,
}

impl Program {
    fn start(archive: Archive, world: &World) -> Self {
        let mut command = archive.command(&["mcp"]);
        command.env("BIO_MCP_PUBMED_BASE_URL", world.simulator.eutils_url());
        command.env("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", "1000");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, output, archive }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().expect("piped"), "{line}").expect("written");
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("read");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let message = request("tools/call", json!({ "name": tool, "arguments": arguments }), false);
        self.say(&message.to_string());
        tool_result(&self.hear()).0
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_the_input_before_its_first_message_ends_the_program_without_an_error() {
    let archive = Archive::new().await;
    let run = archive.run(&["mcp"]).expect(0);
    assert_eq!(run.out, "", "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_standard_input_is_refused_and_the_next_message_read() {
    let world = plain().await;
    let mut program = Program::start(Archive::new().await, &world);
    let list = request("tools/list", json!({}), false).to_string();
    for round in 0..2 {
        for (line, code) in [
            ("garbage", -32700),
            ("{\"jsonrpc\":\"2.0\",", -32700),
            ("\u{feff}{}", -32700),
            ("[]", -32600),
            ("7", -32600),
            ("{\"id\":1,\"method\":\"tools/list\"}", -32600),
            ("{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"tools/list\"}", -32600),
            ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{}}", -32602),
            ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{}}", -32602),
        ] {
            program.say(line);
            let said = program.hear();
            assert_eq!(said["error"]["code"], code, "{round}: {line}: {said}");
        }
        // These lines get no response.
        program.say("");
        program.say("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":7}");
        program.say("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"no\"}}");
        program.say(&list);
        assert!(program.hear()["result"]["tools"].is_array(), "{round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_caller_receives_no_file_address() {
    let mut world = plain().await;
    world.server.work();
    let job_id = world.server.submit(&sync_of(1001..1003)).await;
    assert!(world.server.ended(&job_id).await["state"] == "succeeded");
    let get = json!({ "name": "job_get", "arguments": { "job_id": job_id } });
    let told = [
        send(&world.server, "tools/call", get, false).await.body,
        send(&world.server, "tasks/get", json!({ "taskId": job_id }), true).await.body,
        send(&world.server, "resources/read", json!({ "uri": "bio-mcp://sync/recent" }), false).await.body,
    ];
    for body in told {
        assert!(!body.to_string().contains("file:"), "{body}");
        assert!(body.to_string().contains("requested"), "the result itself is there: {body}");
    }
    let mut program = Program::start(Archive::new().await, &world);
    let job = program.call("pubmed_sync", &json!({ "pmids": ["1001"] }));
    let ended = loop {
        let seen = program.call("job_get", &json!({ "job_id": job["job_id"] }));
        if seen["completed_at"].is_string() {
            break seen;
        }
    };
    let manifest = ended["result"]["manifest"].as_str().unwrap_or_default();
    let dir = program.archive.data_dir();
    assert!(manifest.starts_with("file:///"), "who started the program can open it: {ended} {}", dir.display());
}
