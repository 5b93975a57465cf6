//! What model providers accept as the schema of a function, according to their documentation and error messages.

use serde_json::{Map, Value};

const PLAIN: [&str; 10] =
    ["type", "description", "properties", "required", "items", "enum", "minimum", "maximum", "minItems", "maxItems"];

/// The errors of an input schema in MCP's list; empty for a plain object.
pub fn listed(schema: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for keyword in ["oneOf", "anyOf", "allOf", "not", "const", "enum"] {
        if schema.get(keyword).is_some() {
            faults.push(format!("{keyword} at the top"));
        }
    }
    if schema["type"] != "object" || !schema["properties"].is_object() {
        faults.push("the top is an object with properties".to_owned());
    }
    walk(schema, "", &mut |at, fields| {
        let other = fields.keys().filter(|keyword| !PLAIN.contains(&keyword.as_str()));
        faults.extend(other.map(|keyword| format!("{at}: {keyword}")));
        if !fields.get("type").is_some_and(Value::is_string) {
            faults.push(format!("{at}: type is one name"));
        }
        let required = fields.get("required").and_then(Value::as_array).into_iter().flatten();
        let properties = fields.get("properties").and_then(Value::as_object);
        for name in required.filter_map(Value::as_str) {
            if properties.is_none_or(|properties| !properties.contains_key(name)) {
                faults.push(format!("{at}: {name} is required and unknown"));
            }
        }
    });
    faults
}

/// What a provider refuses in a function that a client has created for it. `to` is `openai`, `openai-strict`,
/// `anthropic`, `gemini` or `google-json`.
pub fn refused(to: &str, function: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let name = function["name"].as_str().unwrap_or_default();
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if name.is_empty() || name.len() > 64 || !is_name(name) {
        faults.push(format!("the name {name}"));
    }
    if function["description"].as_str().is_none_or(|text| text.is_empty() || text.len() > 1024) {
        faults.push("the description".to_owned());
    }
    let schema = if to == "anthropic" { &function["input_schema"] } else { &function["parameters"] };
    if !schema["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("object")) {
        faults.push("the top is an object".to_owned());
    }
    for keyword in ["oneOf", "anyOf", "allOf", "not", "enum", "const"] {
        if schema.get(keyword).is_some() {
            faults.push(format!("{keyword} at the top"));
        }
    }
    walk(schema, "", &mut |at, fields| {
        let is = |kind: &str| fields.get("type").is_some_and(|one| has_type(one, kind));
        let mut refuse = |what: &str| faults.push(format!("{at}: {what}"));
        let properties = fields.get("properties").and_then(Value::as_object);
        if is("array") && fields.get("items").is_none() {
            refuse("an array without items");
        }
        if properties.is_some_and(|all| all.keys().any(|name| name.len() > 64 || !is_name(name))) {
            refuse("a property's name");
        }
        match to {
            "openai" if is("object") && properties.is_none() => refuse("an object without properties"),
            "openai-strict" => {
                if is("object") && fields.get("additionalProperties") != Some(&Value::Bool(false)) {
                    refuse("an object that is open");
                }
                let required = fields.get("required").and_then(Value::as_array).map_or(0, Vec::len);
                if properties.is_some_and(|all| all.len() != required) {
                    refuse("a property that is not required");
                }
                for keyword in ["default", "oneOf", "allOf", "not", "patternProperties", "uniqueItems", "contains"] {
                    if fields.contains_key(keyword) {
                        refuse(keyword);
                    }
                }
            }
            "gemini" | "google-json" => {
                if is("object") && properties.is_none_or(Map::is_empty) {
                    refuse("an object without properties");
                }
                if fields.contains_key("enum") && !is("string") {
                    refuse("an enum of something else than texts");
                }
                for keyword in ["oneOf", "allOf", "not", "const", "$ref", "additional_properties", "format"] {
                    if fields.contains_key(keyword) {
                        refuse(keyword);
                    }
                }
            }
            _ => {}
        }
    });
    faults
}

fn has_type(named: &Value, kind: &str) -> bool {
    match named {
        Value::String(one) => one.eq_ignore_ascii_case(kind),
        Value::Array(all) => all.iter().any(|one| has_type(one, kind)),
        _ => false,
    }
}

/// Visits every subschema with its JSON pointer.
fn walk(schema: &Value, at: &str, visit: &mut impl FnMut(&str, &Map<String, Value>)) {
    let Value::Object(fields) = schema else { return };
    visit(at, fields);
    for (name, field) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(field, &format!("{at}/{name}"), visit);
    }
    if let Some(items) = fields.get("items") {
        walk(items, &format!("{at}/items"), visit);
    }
    for keyword in ["anyOf", "any_of", "oneOf", "allOf"] {
        for one in fields.get(keyword).and_then(Value::as_array).into_iter().flatten() {
            walk(one, &format!("{at}/{keyword}"), visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_provider_refuses_is_found_at_every_depth() {
        let top = json!({ "type": "object", "properties": {}, "oneOf": [{ "required": ["a"] }] });
        assert!(listed(&top).iter().any(|fault| fault.contains("oneOf at the top")));
        let deep = json!({ "type": "object", "properties": { "a": { "type": "array", "items": {
            "type": "object", "properties": { "b": { "type": ["string", "null"] } } } } } });
        assert_eq!(listed(&deep), ["/a/items/b: type is one name"]);
        let function = |schema: Value| json!({ "name": "f", "description": "d", "parameters": schema });
        let open = json!({ "type": "object", "properties": { "a": { "type": "string", "default": "x" } } });
        assert_eq!(refused("openai-strict", &function(open)).len(), 3);
        let bare = json!({ "type": "OBJECT", "properties": { "a": { "type": "ARRAY" } } });
        assert_eq!(refused("gemini", &function(bare)), ["/a: an array without items"]);
    }
}
