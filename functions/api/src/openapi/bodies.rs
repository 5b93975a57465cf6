//! Request bodies that name a tool and have exactly that tool's parameters, as named schemas.

use serde_json::{Map, Value, json};
use shared::tools::{Kind, Tool};

/// The dotted name of a tool as a type name: `PubmedSync`.
fn type_name(tool: &Tool) -> String {
    let words = tool.name.split(['.', '_']);
    words.flat_map(|word| word[..1].to_uppercase().chars().chain(word[1..].chars()).collect::<Vec<_>>()).collect()
}

/// A request body that is a call of one of these tools. `suffix` distinguishes the bodies of different routes; `more`
/// returns their properties in addition to tool and parameters. The schemas are added to those of the document.
///
/// The document has only the dotted name of a tool: the server accepts `_` for `.` too, but in most languages both
/// spellings would become the same name.
pub fn body(tools: &[&Tool], suffix: &str, more: impl Fn(Kind) -> Value, schemas: &mut Map<String, Value>) -> Value {
    let (mut one_of, mut mapping) = (Vec::new(), Map::new());
    for tool in tools {
        let reference = json!({ "$ref": format!("#/components/schemas/{}", call(tool, suffix, &more, schemas)) });
        mapping.insert(tool.name.to_owned(), reference["$ref"].clone());
        one_of.push(reference);
    }
    let schema = json!({ "oneOf": one_of, "discriminator": { "propertyName": "tool", "mapping": mapping } });
    json!({ "required": true, "content": { "application/json": { "schema": schema } } })
}

/// Adds the schemas of a tool's call and its parameters; returns the name of the call's schema.
fn call(tool: &Tool, suffix: &str, more: impl Fn(Kind) -> Value, schemas: &mut Map<String, Value>) -> String {
    let (params, name) = (format!("{}Params", type_name(tool)), format!("{}{suffix}", type_name(tool)));
    let mut input = tool.input_schema.clone();
    // Titles of input schemas are not unique among tools.
    input["title"] = json!(params);
    let has_required = input["required"].as_array().is_some_and(|names| !names.is_empty());
    let mut properties =
        json!({ "tool": { "const": tool.name }, "params": { "$ref": format!("#/components/schemas/{params}") } });
    if let (Some(properties), Some(more)) = (properties.as_object_mut(), more(tool.kind()).as_object()) {
        properties.extend(more.clone());
    }
    // A job needs parameters even if none of them is required.
    let required: &[&str] = if has_required || tool.kind() == Kind::Job { &["tool", "params"] } else { &["tool"] };
    let call = json!({ "title": name, "type": "object", "description": tool.title, "properties": properties,
        "required": required, "additionalProperties": false });
    schemas.insert(params, input);
    schemas.insert(name.clone(), call);
    name
}
