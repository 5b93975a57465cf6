//! Input schemas as MCP lists them: plain objects of a few keywords.
//!
//! A client passes the schemas of all tools to its model's provider with every request, and one schema that the
//! provider does not support makes it refuse the whole conversation. So this is an allow list: keywords that the server
//! checks anyway are omitted, others are simplified, and anything else is an error in the tool's definition, found when
//! the catalogue is created.

use serde_json::{Map, Value, json};

/// Maximum length of a description that every provider accepts, in characters.
const MAX_DESCRIPTION_CHARS: usize = 1024;

/// Maximum length of a name of a tool or parameter that every provider accepts, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Maximum depth of nested objects and arrays.
const MAX_DEPTH: usize = 5;

/// Keywords that every provider interprets alike.
const KEPT: [&str; 5] = ["minimum", "maximum", "minItems", "maxItems", "required"];

/// Keywords that the server checks anyway, or that have no effect.
const LEFT_OUT: [&str; 9] = [
    "$schema",
    "title",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "uniqueItems",
    "examples",
    // Unknown parameters are refused by name, whatever the schema states; one provider's adapter fails on this keyword.
    "additionalProperties",
];

/// Why a schema cannot be listed: the position and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {reason}")]
pub struct ListingFault {
    /// JSON pointer into the parameters.
    pub at: String,
    pub reason: String,
}

fn fault<T>(at: &str, reason: impl Into<String>) -> Result<T, ListingFault> {
    Err(ListingFault { at: at.to_owned(), reason: reason.into() })
}

/// The listed form of a tool's input schema.
pub fn input_schema(schema: &Value) -> Result<Value, ListingFault> {
    if ["oneOf", "anyOf", "allOf", "not", "const", "enum"].iter().any(|keyword| schema.get(keyword).is_some()) {
        return fault(
            "",
            "parameters are a plain object: check conditions in the tool, and say them in its description",
        );
    }
    let mut listed = plain(schema, "", 0)?;
    if listed["type"] != "object" {
        return fault("", "parameters are an object");
    }
    // The type's own description is for readers of the code; the tool has another one.
    listed.remove("description");
    Ok(Value::Object(listed))
}

/// Checks that every provider accepts a name as that of a function or a parameter.
pub fn check_name(name: &str) -> Result<(), ListingFault> {
    let is_fine = (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_fine { Ok(()) } else { fault(name, format!("a name is 1 to {MAX_NAME_BYTES} letters, digits and _")) }
}

/// Checks that a description is short enough for every provider.
pub fn check_description(at: &str, text: &str) -> Result<(), ListingFault> {
    match text.chars().count() {
        1..=MAX_DESCRIPTION_CHARS => Ok(()),
        _ => fault(at, format!("a description is 1 to {MAX_DESCRIPTION_CHARS} characters")),
    }
}

fn plain(schema: &Value, at: &str, depth: usize) -> Result<Map<String, Value>, ListingFault> {
    if depth > MAX_DEPTH {
        return fault(at, format!("nests deeper than {MAX_DEPTH} levels"));
    }
    let Value::Object(schema) = schema else { return fault(at, "any value at all: name a type") };
    let schema = without_alternatives(schema.clone(), at)?;
    let mut listed = Map::new();
    let kind = kind(&schema, at)?;
    listed.insert("type".to_owned(), json!(kind));
    for (keyword, value) in &schema {
        match keyword.as_str() {
            // Handled below; a default is added to the description.
            "type" | "properties" | "items" | "default" => {}
            "enum" => {
                let Some(words) = words(value) else { return fault(at, "an enum has texts only") };
                listed.insert(keyword.clone(), words);
            }
            "description" => {
                let text = value.as_str().unwrap_or_default();
                check_description(at, text)?;
                // Line ends of the source are not part of it.
                listed.insert(keyword.clone(), json!(text.split_whitespace().collect::<Vec<_>>().join(" ")));
            }
            keyword if KEPT.contains(&keyword) => {
                listed.insert(keyword.to_owned(), value.clone());
            }
            "additionalProperties" if value != false => return fault(at, "an object names all of its fields"),
            keyword if LEFT_OUT.contains(&keyword) => {}
            other => return fault(at, format!("{other} is not understood by every provider")),
        }
    }
    if let Some(default) = schema.get("default").and_then(default_words) {
        let said = listed.get("description").and_then(Value::as_str).unwrap_or_default();
        let text = format!("{} Default {default}.", said.trim()).trim().to_owned();
        check_description(at, &text)?;
        listed.insert("description".to_owned(), json!(text));
    }
    match kind {
        "object" => {
            let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
            if properties.is_empty() && depth > 0 {
                return fault(at, "an object names all of its fields");
            }
            let properties = properties.iter().map(|(name, field)| {
                check_name(name)?;
                Ok((name.clone(), Value::Object(plain(field, &format!("{at}/{name}"), depth + 1)?)))
            });
            listed.insert("properties".to_owned(), Value::Object(properties.collect::<Result<_, _>>()?));
        }
        "array" => {
            let Some(items) = schema.get("items") else { return fault(at, "an array says what its items are") };
            listed.insert("items".to_owned(), Value::Object(plain(items, &format!("{at}/items"), depth + 1)?));
        }
        _ => {}
    }
    Ok(listed)
}

/// A default as text: one provider refuses the keyword if it enforces a schema. An empty default is omitted.
fn default_words(default: &Value) -> Option<String> {
    match default {
        Value::Number(_) | Value::Bool(true) => Some(default.to_string()),
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Array(items) => {
            let words: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            words.filter(|words| !words.is_empty()).map(|words| words.join(", "))
        }
        Value::Null | Value::Bool(false) | Value::Object(_) => None,
    }
}

/// Simplifies `anyOf` and `oneOf` that only add null, or list texts.
fn without_alternatives(mut schema: Map<String, Value>, at: &str) -> Result<Map<String, Value>, ListingFault> {
    for keyword in ["anyOf", "oneOf"] {
        let Some(all) = schema.remove(keyword) else { continue };
        let mut all = all.as_array().cloned().unwrap_or_default();
        all.retain(|one| one["type"] != "null");
        if let [Value::Object(only)] = &mut all[..] {
            let only = without_alternatives(std::mem::take(only), at)?;
            for (keyword, value) in only {
                schema.entry(keyword).or_insert(value);
            }
            continue;
        }
        let texts = all.iter().map(|one| words(one.get("enum").unwrap_or(&json!([one.get("const")]))));
        let Some(texts) = texts.collect::<Option<Vec<_>>>() else {
            return fault(at, format!("{keyword} of different types: take one, and understand the others in the tool"));
        };
        schema.insert("enum".to_owned(), texts.iter().filter_map(Value::as_array).flatten().cloned().collect());
    }
    if let Some(one) = schema.remove("const") {
        schema.insert("enum".to_owned(), json!([one]));
    }
    Ok(schema)
}

/// The one type of a schema, without null.
fn kind<'a>(schema: &'a Map<String, Value>, at: &str) -> Result<&'a str, ListingFault> {
    let named = match schema.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).filter(|one| *one != "null").collect(),
        _ if schema.contains_key("enum") => vec!["string"],
        _ => Vec::new(),
    };
    match named[..] {
        [one @ ("object" | "array" | "string" | "integer" | "number" | "boolean")] => Ok(one),
        [] => fault(at, "any value at all: name a type"),
        _ => fault(at, "several types: take one, and understand the others in the tool"),
    }
}

/// The texts of an enum without null; none if it has other values.
fn words(all: &Value) -> Option<Value> {
    let words = all.as_array()?.iter().filter(|one| !one.is_null());
    let words: Vec<&str> = words.map(Value::as_str).collect::<Option<_>>()?;
    (!words.is_empty()).then(|| json!(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::JsonSchema;

    #[test]
    fn what_can_be_said_plainly_is() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Params", "type": "object",
            "description": "What to do.",
            "properties": {
                "text": { "type": ["string", "null"], "description": "A\n text.", "pattern": "\\S", "default": null },
                "sort": { "description": "Order.", "anyOf": [
                    { "oneOf": [{ "type": "string", "const": "a", "description": "A." }, { "enum": ["b", "c"] }] },
                    { "type": "null" },
                ] },
                "ids": { "type": "array", "items": { "type": "string", "format": "uuid" }, "maxItems": 3 },
                "n": { "type": "integer", "format": "uint32", "minimum": 0, "default": 5 },
                "deep": { "type": "object", "additionalProperties": false, "required": ["kind"],
                          "properties": { "kind": { "const": "x" } } },
            },
            "required": ["text"], "additionalProperties": false,
        });
        let listed = json!({
            "type": "object",
            "properties": {
                "text": { "type": "string", "description": "A text." },
                "sort": { "type": "string", "description": "Order.", "enum": ["a", "b", "c"] },
                "ids": { "type": "array", "items": { "type": "string" }, "maxItems": 3 },
                "n": { "type": "integer", "minimum": 0, "description": "Default 5." },
                "deep": { "type": "object", "required": ["kind"],
                          "properties": { "kind": { "type": "string", "enum": ["x"] } } },
            },
            "required": ["text"],
        });
        assert_eq!(input_schema(&schema).expect("plain"), listed);
        assert_eq!(input_schema(&listed).expect("plain"), listed, "it is its own listed form");
    }

    #[test]
    fn what_a_provider_may_refuse_is_a_fault_of_the_definition() {
        let object = |field: Value| json!({ "type": "object", "properties": { "field": field } });
        let mut nested = json!({ "type": "string" });
        for _ in 0..6 {
            nested = json!({ "type": "array", "items": nested });
        }
        for (schema, at) in [
            (json!({ "type": "object", "oneOf": [{ "required": ["a"] }, { "required": ["b"] }] }), ""),
            (json!({ "type": "object", "not": { "required": ["a"] } }), ""),
            (json!({ "type": "array", "items": { "type": "string" } }), ""),
            (json!(true), ""),
            (object(json!({})), "/field"),
            (object(json!({ "type": ["string", "integer"] })), "/field"),
            (object(json!({ "anyOf": [{ "type": "string" }, { "type": "integer" }] })), "/field"),
            (object(json!({ "allOf": [{ "type": "string" }] })), "/field"),
            (object(json!({ "type": "array" })), "/field"),
            (object(json!({ "type": "array", "items": {} })), "/field/items"),
            (object(json!({ "type": "array", "prefixItems": [{ "type": "string" }] })), "/field"),
            (object(json!({ "type": "object" })), "/field"),
            (object(json!({ "type": "object", "additionalProperties": { "type": "string" } })), "/field"),
            (object(json!({ "$ref": "#/$defs/a" })), "/field"),
            (object(json!({ "enum": [1, 2] })), "/field"),
            (object(json!({ "type": "string", "description": "x".repeat(1025) })), "/field"),
            (object(nested), "/field/items/items/items/items/items"),
            (json!({ "type": "object", "properties": { "a.b": { "type": "string" } } }), "a.b"),
        ] {
            let fault = input_schema(&schema).expect_err(&schema.to_string());
            assert_eq!(fault.at, at, "{fault}: {schema}");
        }
    }

    #[derive(JsonSchema)]
    #[schemars(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Filters {
        /// From this day on.
        date_from: Option<chrono::NaiveDate>,
        authors: Option<Vec<String>>,
        sort: Option<crate::tools::Kind>,
    }

    #[test]
    fn what_types_of_rust_become_is_listed() {
        let schema = crate::tools::output_schema::<Option<Filters>>();
        let listed = plain(&schema, "", 0).expect("plain");
        assert_eq!(listed["properties"]["sort"]["enum"], json!(["fast", "job"]));
        assert_eq!(listed["properties"]["sort"]["type"], "string");
        assert_eq!(listed["properties"]["authors"]["items"], json!({ "type": "string" }));
    }
}
