//! Tools in the form of `tools/list`. A client gives the whole list to its model with every request, so it has a
//! budget: at most 24 kB and 6,000 tokens for all planned tools.

use std::collections::BTreeSet;
use std::sync::Arc;

use rmcp::model::{JsonObject, Tool as McpTool, ToolAnnotations};
use serde_json::{Map, Value, json};
use shared::config::Toolset;
use shared::tools::{Kind, Tool, output_schema};

use super::names::flat_names;
use crate::routes::jobs;

/// Maximum size of the list with schemas of results, in bytes. A token is at least three bytes of JSON, so this is at
/// most 6,000 tokens.
const MAX_BYTES_WITH_OUTPUT_SCHEMAS: usize = 18_000;

/// Keywords that are kept of a result's schema: the rest is prose, or narrower than a client needs.
const KEPT: [&str; 4] = ["type", "required", "enum", "const"];

/// Lists the tools of these groups. Schemas of results are included as far as they fit.
pub fn listing(tools: &[Tool], toolsets: &BTreeSet<Toolset>) -> Vec<McpTool> {
    let chosen: Vec<&Tool> = tools.iter().filter(|tool| toolsets.contains(&tool.toolset)).collect();
    let mut listed: Vec<McpTool> = chosen.iter().map(|tool| described(tool, tools)).collect();
    let mut bytes: usize = listed.iter().map(|tool| json!(tool).to_string().len() + 1).sum();
    for (listed, tool) in listed.iter_mut().zip(chosen) {
        let schema = result_schema(tool);
        let more = schema.to_string().len() + r#","outputSchema":"#.len();
        if bytes + more <= MAX_BYTES_WITH_OUTPUT_SCHEMAS {
            bytes += more;
            *listed = listed.clone().with_raw_output_schema(object(schema));
        }
    }
    listed
}

fn described(tool: &Tool, all: &[Tool]) -> McpTool {
    let annotations = tool.annotations;
    let mut listed_annotations =
        ToolAnnotations::new().read_only(annotations.read_only).open_world(annotations.open_world);
    // These annotations have no meaning for a read-only tool.
    if !annotations.read_only {
        listed_annotations = listed_annotations.destructive(annotations.destructive).idempotent(annotations.idempotent);
    }
    let schema = with_flat_names(&tool.listed_schema, all);
    McpTool::new(tool.flat_name(), flat_names(all, tool.description), object(schema))
        .with_title(tool.title)
        .with_annotations(listed_annotations)
}

/// Replaces names of tools in a schema's descriptions by their MCP spelling.
fn with_flat_names(schema: &Value, tools: &[Tool]) -> Value {
    match schema {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                let value = match (name.as_str(), value) {
                    ("description", Value::String(text)) => json!(flat_names(tools, text)),
                    _ => with_flat_names(value, tools),
                };
                (name.clone(), value)
            });
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

/// The schema of what a call returns: for a job tool the job, or its result when it was called as a task.
fn result_schema(tool: &Tool) -> Value {
    let result = without_prose(&tool.output_schema);
    match tool.kind() {
        Kind::Fast => result,
        Kind::Job => {
            let job = without_prose(&output_schema::<jobs::Submitted>());
            let fields = |schema: &Value| schema["properties"].as_object().cloned().unwrap_or_default();
            let mut both = fields(&job);
            for (name, schema) in fields(&result) {
                let is_other = both.get(&name).is_some_and(|one| *one != schema);
                both.insert(name, if is_other { json!({}) } else { schema });
            }
            json!({ "type": "object", "properties": both })
        }
    }
}

fn without_prose(schema: &Value) -> Value {
    let Value::Object(schema) = schema else { return schema.clone() };
    let mut kept = Map::new();
    for (keyword, value) in schema {
        let value = match (keyword.as_str(), value) {
            ("properties", Value::Object(fields)) => {
                fields.iter().map(|(name, field)| (name.clone(), without_prose(field))).collect()
            }
            ("anyOf" | "oneOf" | "allOf", Value::Array(all)) => all.iter().map(without_prose).collect(),
            ("items" | "additionalProperties", schema) => without_prose(schema),
            (keyword, value) if KEPT.contains(&keyword) => value.clone(),
            _ => continue,
        };
        kept.insert(keyword.clone(), value);
    }
    Value::Object(kept)
}

fn object(schema: Value) -> Arc<JsonObject> {
    Arc::new(match schema {
        Value::Object(schema) => schema,
        _ => JsonObject::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::tools::catalogue;

    #[test]
    fn a_schema_of_a_result_never_takes_the_place_of_a_tool() {
        // Three times the current tools, as planned.
        let many: Vec<Tool> = (0..3).flat_map(|_| catalogue()).collect();
        let all = Toolset::ALL.iter().map(|(_, set)| *set).collect();
        let listed = listing(&many, &all);
        assert_eq!(listed.len(), many.len());
        assert!(listed.iter().any(|tool| tool.output_schema.is_none()), "not all of them fit");
        let small = listing(&catalogue()[..1], &all);
        assert!(small[0].output_schema.is_some(), "what fits is there");
    }

    #[test]
    fn fields_that_are_named_like_keywords_stay() {
        let schema = json!({ "type": "object", "description": "prose", "properties": {
            "title": { "type": "string", "description": "prose" }, "description": { "type": ["string", "null"] } } });
        let kept = json!({ "type": "object", "properties": {
            "title": { "type": "string" }, "description": { "type": ["string", "null"] } } });
        assert_eq!(without_prose(&schema), kept);
    }
}
