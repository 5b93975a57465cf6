//! Checks parameters against the tool's own schema, with messages in the caller's terms.

use serde_json::{Map, Value};

use super::error::FieldError;
use super::normal::{ValueKind, choices, is_required, kind, of_present};
use super::params::escape;

/// Maximum number of listed faults.
pub(super) const MAX_FAULTS: usize = 20;

/// An id, as an example in messages.
pub const AN_ID: &str = "must be a job id such as 01907f3c-5d6e-7a8b-9c0d-1e2f3a4b5c6d";

/// A time, as an example in messages.
pub const A_TIME: &str = "must be a time such as 2026-03-10T17:00:00Z (RFC 3339)";

/// Every fault of normalised parameters; patterns are checked by the types.
pub fn faults(schema: &Value, params: &Map<String, Value>) -> Vec<FieldError> {
    let mut found = Vec::new();
    object(schema, params, "", &mut found);
    found.truncate(MAX_FAULTS);
    found
}

fn object(schema: &Value, fields: &Map<String, Value>, pointer: &str, found: &mut Vec<FieldError>) {
    let Some(properties) = schema["properties"].as_object() else {
        // A tool without parameters forbids all of them.
        if schema["additionalProperties"] == false {
            found.extend(
                fields.keys().map(|name| fault(&pointer_to(pointer, name), "is not a parameter: this tool has none")),
            );
        }
        return;
    };
    for (name, value) in fields {
        match properties.get(name) {
            Some(property) => one(property, value, &pointer_to(pointer, name), found),
            None if schema["additionalProperties"] == false => {
                let known: Vec<&str> = properties.keys().map(String::as_str).collect();
                let reason = format!("is not a parameter, expected {}", one_of(&known));
                found.push(fault(&pointer_to(pointer, name), &reason));
            }
            None => {}
        }
    }
    let missing = properties.keys().filter(|name| is_required(schema, name) && !fields.contains_key(*name));
    found.extend(missing.map(|name| fault(&pointer_to(pointer, name), "is required")));
}

fn one(schema: &Value, value: &Value, pointer: &str, found: &mut Vec<FieldError>) {
    let schema = of_present(schema);
    let is_fine = match (kind(schema), value) {
        (ValueKind::Any, _) | (ValueKind::Boolean, Value::Bool(_)) => true,
        (ValueKind::Integer, Value::Number(number)) => !number.is_f64() && is_within(schema, number.as_f64()),
        (ValueKind::Number, Value::Number(number)) => is_within(schema, number.as_f64()),
        (ValueKind::Text, Value::String(text)) => is_text_fine(schema, text),
        (ValueKind::List, Value::Array(items)) => {
            for (n, item) in items.iter().enumerate() {
                one(&schema["items"], item, &pointer_to(pointer, &n.to_string()), found);
                if found.len() >= MAX_FAULTS {
                    break;
                }
            }
            is_between(items.len(), &schema["minItems"], &schema["maxItems"])
        }
        (ValueKind::Object, Value::Object(fields)) => {
            object(schema, fields, pointer, found);
            true
        }
        _ => false,
    };
    if !is_fine {
        found.push(fault(pointer, &demand(schema)));
    }
}

fn is_text_fine(schema: &Value, text: &str) -> bool {
    let choices = choices(schema);
    if !choices.is_empty() {
        return choices.contains(&text);
    }
    if schema["format"] == "uuid" {
        return uuid::Uuid::parse_str(text).is_ok();
    }
    is_between(text.chars().count(), &schema["minLength"], &schema["maxLength"])
}

fn is_within(schema: &Value, number: Option<f64>) -> bool {
    let Some(number) = number else { return false };
    let from = schema["minimum"].as_f64().is_none_or(|from| number >= from);
    from && schema["maximum"].as_f64().is_none_or(|to| number <= to)
}

fn is_between(count: usize, from: &Value, to: &Value) -> bool {
    let bound = |value: &Value| value.as_u64().and_then(|bound| usize::try_from(bound).ok());
    bound(from).is_none_or(|from| count >= from) && bound(to).is_none_or(|to| count <= to)
}

/// Describes the required value in one phrase.
fn demand(schema: &Value) -> String {
    let bounds = |from: &str, to: &str| bounds(&schema[from], &schema[to]);
    let counted = |from: &str, to: &str| bounds(from, to).replacen("from ", "of ", 1);
    let text = match kind(schema) {
        ValueKind::Integer => format!("must be a whole number {}", bounds("minimum", "maximum")),
        ValueKind::Number => format!("must be a number {}", bounds("minimum", "maximum")),
        ValueKind::Boolean => "must be true or false".to_owned(),
        ValueKind::Object => "must be an object".to_owned(),
        ValueKind::Any => "is not valid".to_owned(),
        ValueKind::List => match counted("minItems", "maxItems") {
            none if none.is_empty() => "must be a list".to_owned(),
            bounds => format!("must be a list {bounds} items"),
        },
        ValueKind::Text if !choices(schema).is_empty() => format!("must be {}", one_of(&choices(schema))),
        ValueKind::Text => match (schema["format"].as_str(), counted("minLength", "maxLength")) {
            (Some("uuid"), _) => AN_ID.to_owned(),
            (Some("date-time"), _) => A_TIME.to_owned(),
            (_, none) if none.is_empty() => "must be text".to_owned(),
            (_, bounds) => format!("must be text {bounds} characters"),
        },
    };
    text.trim_end().to_owned()
}

fn bounds(from: &Value, to: &Value) -> String {
    match (from.is_number(), to.is_number()) {
        (true, true) => format!("from {from} to {to}"),
        (true, false) => format!("of at least {from}"),
        (false, true) => format!("of at most {to}"),
        (false, false) => String::new(),
    }
}

fn one_of(names: &[&str]) -> String {
    match names {
        [one] => (*one).to_owned(),
        names => format!("one of {}", names.join(", ")),
    }
}

fn pointer_to(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", escape(name))
}

fn fault(pointer: &str, reason: &str) -> FieldError {
    FieldError { pointer: pointer.to_owned(), reason: reason.to_owned() }
}
