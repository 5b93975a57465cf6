//! Converts schemas to the form that client generators and linters understand: one notation per construct.
//!
//! JSON Schema has several notations for the same set of values, and schemas of Rust types and of tools use all of
//! them. Generators know the oldest: an `enum` with its `type`, `items` of every array, formats of the registry.

use serde_json::{Map, Value, json};

/// Keywords whose value is a schema.
const ONE: [&str; 10] = [
    "items",
    "additionalProperties",
    "not",
    "contains",
    "propertyNames",
    "if",
    "then",
    "else",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Keywords whose value is a list of schemas.
const LIST: [&str; 4] = ["oneOf", "anyOf", "allOf", "prefixItems"];

/// Keywords whose value is a map of schemas.
const NAMED: [&str; 4] = ["properties", "patternProperties", "dependentSchemas", "$defs"];

/// Formats that generators have types for (<https://spec.openapis.org/registry/format/>); others are only annotations.
const FORMATS: [&str; 8] = ["int32", "int64", "float", "double", "date", "date-time", "uuid", "uri"];

/// Keywords that a constant may have.
const OF_A_CONSTANT: [&str; 5] = ["const", "enum", "type", "title", "description"];

/// Converts every schema of a document; the set of valid values is unchanged.
pub fn plain(document: &mut Value) {
    match document {
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), value) {
                    ("schema", value) => schema(value),
                    ("schemas", Value::Object(named)) => named.values_mut().for_each(schema),
                    (_, value) => plain(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(plain),
        _ => {}
    }
}

fn schema(value: &mut Value) {
    if *value == Value::Bool(true) {
        *value = json!({});
    }
    let Value::Object(node) = value else { return };
    for (name, inner) in node.iter_mut() {
        match inner {
            // Both keywords may also be booleans.
            Value::Bool(_) if ["additionalProperties", "unevaluatedProperties"].contains(&name.as_str()) => {}
            inner if ONE.contains(&name.as_str()) => schema(inner),
            Value::Array(list) if LIST.contains(&name.as_str()) => list.iter_mut().for_each(schema),
            Value::Object(named) if NAMED.contains(&name.as_str()) => named.values_mut().for_each(schema),
            _ => {}
        }
    }
    node.remove("$schema");
    if let Some(Value::Object(properties)) = node.get_mut("properties") {
        properties.values_mut().filter_map(Value::as_object_mut).for_each(default_in_words);
    }
    constant(node);
    for keyword in ["oneOf", "anyOf"] {
        choice(node, keyword);
    }
    enumeration(node);
    if is_of_type(node, "array") && !node.get("items").is_some_and(Value::is_object) {
        node.insert("items".to_owned(), json!({}));
    }
    if node.get("format").and_then(Value::as_str).is_some_and(|format| !FORMATS.contains(&format)) {
        node.remove("format");
    }
}

/// Moves the default of a property to its description: generators treat a property with a `default` as always present,
/// so that every caller would have to set it. A default of null only means that it may be absent.
fn default_in_words(property: &mut Map<String, Value>) {
    let Some(value) = property.remove("default").filter(|value| !value.is_null()) else { return };
    let words = format!("Default: `{value}`.");
    let description = property.get("description").and_then(Value::as_str);
    let text = description.map_or(words.clone(), |description| format!("{description} {words}"));
    property.insert("description".to_owned(), json!(text));
}

/// Converts `const` to an `enum` with one value.
fn constant(node: &mut Map<String, Value>) {
    if let Some(value) = node.remove("const") {
        node.insert("enum".to_owned(), json!([value]));
    }
}

/// Removes duplicates from an `enum`, and adds the type of its values.
fn enumeration(node: &mut Map<String, Value>) {
    let Some(Value::Array(values)) = node.get_mut("enum") else { return };
    let mut kept: Vec<Value> = Vec::new();
    for value in values.drain(..) {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    let mut types: Vec<&str> = kept.iter().map(type_of).collect();
    types.sort_unstable();
    types.dedup();
    let types = if let [only] = types[..] { json!(only) } else { json!(types) };
    *values = kept;
    node.entry("type").or_insert(types);
}

/// Merges the constants of a choice into one `enum`, with their meanings in its description; the choice itself is
/// removed if no other branches are left.
fn choice(node: &mut Map<String, Value>, keyword: &str) {
    let Some(Value::Array(branches)) = node.get_mut(keyword) else { return };
    let (constants, mut others): (Vec<Value>, Vec<Value>) = branches.drain(..).partition(is_constant);
    let merged = merged(&constants);
    if others.is_empty() {
        node.remove(keyword);
        let meanings = merged.get("description").and_then(Value::as_str);
        if let Some(text) = paragraphs(node.get("description").and_then(Value::as_str), meanings) {
            node.insert("description".to_owned(), json!(text));
        }
        node.extend(merged.into_iter().filter(|(name, _)| name != "description"));
        return;
    }
    if !constants.is_empty() {
        others.insert(0, Value::Object(merged));
    }
    *branches = others;
}

/// Whether a schema only allows constant strings.
fn is_constant(branch: &Value) -> bool {
    let Some(branch) = branch.as_object() else { return false };
    branch.keys().all(|name| OF_A_CONSTANT.contains(&name.as_str()))
        && branch.get("enum").and_then(Value::as_array).is_some_and(|values| values.iter().all(Value::is_string))
}

fn merged(constants: &[Value]) -> Map<String, Value> {
    let mut all = Map::new();
    let values: Vec<&Value> = constants.iter().filter_map(|branch| branch["enum"].as_array()).flatten().collect();
    let meanings = constants.iter().filter_map(|branch| {
        let names: Vec<String> = branch["enum"].as_array()?.iter().filter_map(Value::as_str).map(quoted).collect();
        Some(format!("{}: {}", names.join(", "), branch["description"].as_str()?))
    });
    // A single constant needs no list of meanings.
    let meanings: Vec<String> = match constants {
        [only] => only["description"].as_str().map(str::to_owned).into_iter().collect(),
        _ => meanings.collect(),
    };
    all.insert("type".to_owned(), json!("string"));
    all.insert("enum".to_owned(), json!(values));
    if !meanings.is_empty() {
        all.insert("description".to_owned(), json!(meanings.join("\n")));
    }
    all
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}

fn paragraphs(first: Option<&str>, second: Option<&str>) -> Option<String> {
    let both: Vec<&str> = [first, second].into_iter().flatten().collect();
    (!both.is_empty()).then(|| both.join("\n\n"))
}

fn is_of_type(node: &Map<String, Value>, wanted: &str) -> bool {
    match node.get("type") {
        Some(Value::String(name)) => name == wanted,
        Some(Value::Array(names)) => names.iter().any(|name| name == wanted),
        _ => false,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(value: &Value) -> Value {
        let mut document = json!({ "schema": value });
        plain(&mut document);
        document["schema"].take()
    }

    #[test]
    fn a_choice_of_constants_is_an_enum_that_says_what_each_means() {
        let choice = json!({ "description": "Where it is.", "oneOf": [
            { "const": "a", "type": "string", "description": "First." }, { "enum": ["b", "c"], "type": "string" } ] });
        let plain = json!({ "type": "string", "enum": ["a", "b", "c"], "description": "Where it is.\n\n`a`: First." });
        assert_eq!(made(&choice), plain);
    }

    #[test]
    fn constants_among_other_branches_are_one_branch() {
        let choice = json!({ "anyOf": [{ "const": "a" }, { "const": "b" }, { "type": "null" }] });
        let plain = json!({ "anyOf": [{ "type": "string", "enum": ["a", "b"] }, { "type": "null" }] });
        assert_eq!(made(&choice), plain);
        let of_objects = json!({ "oneOf": [{ "type": "object" }, { "$ref": "#/components/schemas/A" }] });
        assert_eq!(made(&of_objects), of_objects);
    }

    #[test]
    fn an_enum_has_a_type_and_no_value_twice() {
        assert_eq!(made(&json!({ "enum": ["a", "a", "b"] })), json!({ "type": "string", "enum": ["a", "b"] }));
        assert_eq!(made(&json!({ "const": 1 })), json!({ "type": "integer", "enum": [1] }));
        assert_eq!(made(&json!({ "enum": ["a", null] })), json!({ "type": ["null", "string"], "enum": ["a", null] }));
    }

    #[test]
    fn an_array_has_items_and_only_known_formats_stay() {
        for bare in [json!({ "type": "array" }), json!({ "type": "array", "items": true })] {
            assert_eq!(made(&bare), json!({ "type": "array", "items": {} }));
        }
        let odd = json!({ "$schema": "x", "type": "integer", "format": "uint16" });
        assert_eq!(made(&odd), json!({ "type": "integer" }));
    }

    #[test]
    fn the_default_of_a_property_is_in_its_description() {
        let given = json!({ "properties": { "a": { "type": "integer", "default": 20, "description": "How many." },
            "b": { "type": ["string", "null"], "default": null } } });
        let plain = json!({ "properties": { "a": { "type": "integer", "description": "How many. Default: `20`." },
            "b": { "type": ["string", "null"] } } });
        assert_eq!(made(&given), plain);
        let of_a_parameter = json!({ "type": "integer", "default": 20 });
        assert_eq!(made(&of_a_parameter), of_a_parameter);
    }

    #[test]
    fn a_property_may_have_the_name_of_a_keyword_and_a_default_is_a_value() {
        let properties = json!({ "const": { "type": "string" }, "enum": { "enum": ["a"], "type": "string" } });
        let named = json!({ "properties": properties,
            "default": { "const": 1, "type": "array" } });
        assert_eq!(made(&named), named);
    }
}
