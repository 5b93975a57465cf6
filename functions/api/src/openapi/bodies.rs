//! Bodies that name a tool and have the parameters of exactly that one, as schemas with names of their own.

use serde_json::{Map, Value, json};
use shared::tools::{Kind, Tool};

/// The dotted name of a tool as a name of types: `PubmedSync`.
fn type_name(tool: &Tool) -> String {
    let words = tool.name.split(['.', '_']);
    words.flat_map(|word| word[..1].to_uppercase().chars().chain(word[1..].chars()).collect::<Vec<_>>()).collect()
}

/// A request body that is one of these tools' calls. `suffix` tells bodies of different routes apart; `more` are the
/// properties that they have beside tool and parameters. The schemas are added to those of the document.
///
/// Only the dotted name of a tool is in the document: the server takes `_` for `.` too, but both spellings are one name
/// in most languages.
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

/// Adds the call of a tool and its parameters: the name of its schema.
fn call(tool: &Tool, suffix: &str, more: impl Fn(Kind) -> Value, schemas: &mut Map<String, Value>) -> String {
    let (params, name) = (format!("{}Params", type_name(tool)), format!("{}{suffix}", type_name(tool)));
    let mut input = tool.input_schema.clone();
    // Its own title is the same for several tools.
    input["title"] = json!(params);
    let has_required = input["required"].as_array().is_some_and(|names| !names.is_empty());
    let mut properties =
        json!({ "tool": { "const": tool.name }, "params": { "$ref": format!("#/components/schemas/{params}") } });
    if let (Some(properties), Some(more)) = (properties.as_object_mut(), more(tool.kind()).as_object()) {
        properties.extend(more.clone());
    }
    // A job always needs to be told what to do.
    let required: &[&str] = if has_required || tool.kind() == Kind::Job { &["tool", "params"] } else { &["tool"] };
    let call = json!({ "title": name, "type": "object", "description": tool.title, "properties": properties,
        "required": required, "additionalProperties": false });
    schemas.insert(params, input);
    schemas.insert(name.clone(), call);
    name
}
