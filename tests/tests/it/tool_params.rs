//! Parameters of tools: every parameter of every tool, as clients and models write it.

use serde_json::{Value, json};
use shared::tools::{Tool, catalogue};
use tests::http::World;
use tests::mcp;

/// Internal words of this program, which no message may contain.
const INSIDES: [&str; 13] = [
    "u8",
    "u32",
    "u64",
    "i16",
    "i32",
    "i64",
    "usize",
    "invalid type",
    "UUID",
    "struct",
    "variant",
    "expected a ",
    "sequence",
];

/// Valid parameters of a tool.
fn fine(tool: &str) -> Value {
    match tool {
        "ping" | "corpus.checkpoint.list" => json!({}),
        "pubmed.search" => json!({ "term": "asthma" }),
        "pubmed.get" => json!({ "pmid": "123" }),
        "pubmed.get_many" => json!({ "pmids": ["123"] }),
        "pubmed.sync" | "pubmed.sync.incremental" => json!({ "query": "asthma" }),
        "pubmed.ingest_files" => json!({ "files": ["pubmed26n0001.xml.gz"] }),
        "corpus.checkpoint.create" => json!({ "name": "A" }),
        "corpus.checkpoint.get" | "corpus.checkpoint.delete" => json!({ "checkpoint_id": "a" }),
        "corpus.checkpoint.diff" => json!({ "from_checkpoint_id": "a", "to_checkpoint_id": "b" }),
        "job.get" | "job.cancel" => json!({ "job_id": "01907f3c-5d6e-7a8b-9c0d-1e2f3a4b5c6d" }),
        other => panic!("{other} has no parameters here"),
    }
}

/// A schema without `null`.
fn present(schema: &Value) -> Value {
    let variants = ["anyOf", "oneOf"].iter().find_map(|name| schema[*name].as_array());
    match variants.map(|all| all.iter().filter(|one| one["type"] != "null").collect::<Vec<_>>()).as_deref() {
        Some([one]) => present(one),
        _ => schema.clone(),
    }
}

fn kind(schema: &Value) -> &str {
    let types =
        schema["type"].as_array().and_then(|types| types.iter().filter_map(Value::as_str).find(|t| *t != "null"));
    types.or_else(|| schema["type"].as_str()).unwrap_or("string")
}

fn choice(schema: &Value) -> Option<&str> {
    schema["enum"][0].as_str().or_else(|| schema["oneOf"][0]["const"].as_str())
}

/// One parameter of a tool and its path.
struct Place<'a> {
    tool: &'a Tool,
    path: Vec<String>,
    schema: Value,
    is_required: bool,
}

impl Place<'_> {
    /// The tool's parameters with this value.
    fn with(&self, value: Value) -> Value {
        let mut params = fine(self.tool.name);
        let mut at = &mut params;
        for name in &self.path[..self.path.len() - 1] {
            at = &mut at[name];
        }
        at[self.path.last().expect("a name")] = value;
        params
    }

    /// The parsed value.
    fn understood(&self, value: Value) -> Result<Value, String> {
        let understood = self.tool.understood(self.with(value)).map_err(|error| error.fields[0].reason.clone())?;
        Ok(self.path.iter().fold(understood, |value, name| value[name].clone()))
    }

    fn is(&self, given: Value, expected: &Value) {
        let place = format!("{given} as {} of {}", self.path.join("."), self.tool.name);
        assert_eq!(self.understood(given).as_ref(), Ok(expected), "{place}");
    }

    /// The value is refused with its pointer and a message in the caller's terms.
    fn refused(&self, given: Value, said: &str) {
        let place = format!("{given} as {} of {}", self.path.join("."), self.tool.name);
        let error = self.tool.understood(self.with(given)).expect_err(&place);
        let fault = &error.fields[0];
        assert!(fault.pointer.starts_with(&format!("/{}", self.path.join("/"))), "{place}: {fault:?}");
        assert!(fault.reason.contains(said), "{place}: {}", fault.reason);
        let inside = INSIDES.iter().find(|word| fault.reason.contains(**word));
        assert_eq!(inside, None, "{place}: {}", fault.reason);
    }

    fn check(&self) {
        if !self.is_required {
            for left_out in [json!(""), json!([]), json!(null)] {
                self.is(left_out, &Value::Null);
            }
        }
        let bound = |name: &str| self.schema[name].as_i64();
        match kind(&self.schema) {
            "integer" => {
                let (from, to) = (bound("minimum").unwrap_or(0), bound("maximum"));
                let float = json!(from).as_f64().expect("a number");
                for given in
                    [json!(from.to_string()), json!(format!("{from}.0")), json!(float), json!(format!(" {from} "))]
                {
                    self.is(given, &json!(from));
                }
                for given in [
                    json!("many"),
                    json!(float + 0.5),
                    json!(true),
                    json!({}),
                    json!([1, 2]),
                    json!("99999999999999999999"),
                ] {
                    self.refused(given, "must be a whole number");
                }
                self.refused(json!(from - 1), &format!(" {from}"));
                if let Some(to) = to {
                    self.refused(json!((to + 1).to_string()), &format!("from {from} to {to}"));
                }
            }
            "boolean" => {
                for (given, expected) in
                    [(json!("true"), true), (json!("False"), false), (json!(1), true), (json!("0"), false)]
                {
                    self.is(given, &json!(expected));
                }
                self.refused(json!("perhaps"), "must be true or false");
            }
            "array" => {
                let item = choice(&self.schema["items"]).unwrap_or("1001");
                if !item_is_file(&self.schema) {
                    self.is(json!(item), &json!([item]));
                    self.is(json!(format!("[\"{item}\"]")), &json!([item]));
                    self.refused(json!([{}]), "must be ");
                }
                self.refused(json!(true), "must be ");
            }
            "object" => self.refused(json!("x"), "must be an object"),
            _ if choice(&self.schema).is_some() => {
                let choice = choice(&self.schema).expect("one");
                self.is(json!(choice.to_uppercase().replace('_', " ")), &json!(choice));
                self.refused(json!("nonsense"), choice);
            }
            _ if self.schema["format"] == "uuid" => self.refused(json!("5"), "must be a job id such as 0190"),
            _ if self.schema["format"] == "date-time" => self.refused(json!(2024), "must be a time such as 2026"),
            _ => {
                self.is(json!(2024), &json!("2024"));
                self.is(json!(2024.0), &json!("2024"));
                self.refused(json!({}), "must be text");
                self.refused(json!([1, 2]), "must be text");
            }
        }
        for (name, below) in self.schema["properties"].as_object().into_iter().flatten() {
            let mut path = self.path.clone();
            path.push(name.clone());
            Place { tool: self.tool, path, schema: present(below), is_required: false }.check();
        }
    }
}

fn item_is_file(schema: &Value) -> bool {
    schema["items"]["pattern"].as_str().is_some_and(|pattern| pattern.contains("xml"))
}

#[test]
fn every_parameter_of_every_tool_is_parsed_leniently_or_refused_clearly() {
    let mut seen = 0;
    for tool in catalogue() {
        let own = fine(tool.name);
        assert_eq!(tool.understood(own.clone()).as_ref(), Ok(&own), "{}", tool.name);
        for (name, schema) in tool.input_schema["properties"].as_object().into_iter().flatten() {
            let is_required = tool.input_schema["required"].as_array().is_some_and(|all| all.contains(&json!(name)));
            // A parameter among the valid ones is required, if only as one of two.
            let is_required = is_required || own.get(name).is_some();
            Place { tool: &tool, path: vec![name.clone()], schema: present(schema), is_required }.check();
            seen += 1;
        }
        let error = tool.understood(json!({ "nonsense": 1 })).expect_err(tool.name);
        assert!(error.fields[0].reason.starts_with("is not a parameter"), "{error:?}");
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn all_invalid_parameters_are_reported_together() {
    let search = shared::tools::find("pubmed_search").expect("a tool");
    let params = json!({ "limit": "0", "offset": -1, "sort": "best", "filters": { "species": "fish", "x": 1 } });
    let error = search.understood(params).expect_err("refused");
    let mut pointers: Vec<&str> = error.fields.iter().map(|fault| fault.pointer.as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/filters/species", "/filters/x", "/limit", "/offset", "/sort"]);
    assert_eq!(
        error.fields.iter().find(|one| one.pointer == "/limit").expect("told").reason,
        "must be a whole number from 1 to 100"
    );
    let both = search.understood(json!({ "q": "a", "term": "b" })).expect_err("refused");
    assert_eq!(both.fields[0].pointer, "/q");
    for same in [json!({ "q": "a" }), json!({ "query": "a", "term": "" }), json!({ "q": "a", "term": "a" })] {
        assert_eq!(search.understood(same), Ok(json!({ "term": "a" })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_as_text_are_the_same_job_and_the_same_call_at_every_interface() {
    let World { simulator: _ncbi, server } = tests::http::plain().await;
    let submit = async |limit: Value, overlap: Value| {
        let params = json!({ "query": "all", "limit": limit, "overlap_days": overlap, "query_key": "" });
        let body = json!({ "tool": "pubmed.sync.incremental", "params": params, "idempotency_key": "same" });
        let response = server.post("/v1/jobs", &body).await;
        (response.status.as_u16(), response.body["job_id"].clone())
    };
    let (status, job) = submit(json!(5), json!(3)).await;
    assert_eq!(status, 202);
    for (limit, overlap) in [(json!("5"), json!("3")), (json!(5.0), json!("3.0")), (json!("5.0"), json!(3))] {
        assert_eq!(submit(limit, overlap).await, (200, job.clone()), "a replay");
    }
    assert_eq!(submit(json!(6), json!(3)).await.0, 422, "another job");
    let get = json!({ "name": "pubmed_get", "arguments": { "pmid": 1003, "include": "abstract", "as_of": "", "max_chars": "5000" } });
    let (called, is_error) = mcp::tool_result(&mcp::send(&server, "tools/call", get, false).await.body);
    let read = server.get("/v1/pubmed/1003?include=abstract&max_chars=5000&as_of=").await.body;
    assert!(!is_error && called["found"] == true && called.get("authors").is_none(), "{called}");
    assert_eq!((&called["title"], &called["abstract"]), (&read["title"], &read["abstract"]));
    let refused = server.get("/v1/pubmed/1003?include=abstract,nonsense&max_chars=many").await;
    assert_eq!(refused.error(), (400, "VALIDATION_ERROR"));
    let details = refused.body["details"].to_string();
    assert!(
        details.contains("/include/1") && details.contains("must be a whole number from 1000 to 400000"),
        "{details}"
    );
}
