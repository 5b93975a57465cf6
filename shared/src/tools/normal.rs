//! Converts parameters to the types of a tool's schema where their meaning is unambiguous: clients and models write
//! numbers as text, text as numbers, one value for a list, and an empty text for an omitted parameter.
//!
//! Other values stay unchanged, and [`super::check`] refuses them with their position.

use serde_json::{Map, Number, Value};

/// The types that a schema can name, with their details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// Text.
    Text,
    /// A list.
    List,
    /// Fields by name.
    Object,
    /// Anything.
    Any,
}

/// The part of a schema for a value that is present: without `null` if it is nullable.
pub fn of_present(schema: &Value) -> &Value {
    if schema.get("type").is_some() {
        return schema;
    }
    let variants = ["anyOf", "oneOf"].iter().find_map(|name| schema.get(*name)?.as_array());
    let present = variants.into_iter().flatten().filter(|one| one["type"] != "null").collect::<Vec<_>>();
    match present[..] {
        [one] => of_present(one),
        _ => schema,
    }
}

/// The type of a schema as [`of_present`] gives it.
pub fn kind(schema: &Value) -> ValueKind {
    let named = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|one| *one != "null"),
        one => one.as_str(),
    };
    match named {
        Some("integer") => ValueKind::Integer,
        Some("number") => ValueKind::Number,
        Some("boolean") => ValueKind::Boolean,
        Some("string") => ValueKind::Text,
        Some("array") => ValueKind::List,
        Some("object") => ValueKind::Object,
        _ if !choices(schema).is_empty() => ValueKind::Text,
        _ => ValueKind::Any,
    }
}

/// The texts that a schema allows, if it lists them.
pub fn choices(schema: &Value) -> Vec<&str> {
    let listed = schema["enum"].as_array().into_iter().flatten().chain(schema.get("const")).filter_map(Value::as_str);
    let constants = schema["oneOf"].as_array().into_iter().flatten();
    listed
        .chain(constants.flat_map(|one| {
            one["const"]
                .as_str()
                .into_iter()
                .chain(one["enum"].as_array().into_iter().flatten().filter_map(Value::as_str))
        }))
        .collect()
}

/// Whether an object schema requires a field.
pub fn is_required(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name))
}

/// Converts a value to the type of the schema, if its meaning is unambiguous.
pub fn value(schema: &Value, given: Value) -> Value {
    let schema = of_present(schema);
    match (kind(schema), given) {
        (ValueKind::Integer, Value::String(text)) => whole_number(&text).map_or(Value::String(text), Value::from),
        (ValueKind::Integer | ValueKind::Number, Value::Number(number)) => Value::Number(without_zero_fraction(number)),
        (ValueKind::Number, Value::String(text)) => {
            number(&text).map_or(Value::String(text), |number| Value::Number(without_zero_fraction(number)))
        }
        (ValueKind::Boolean, Value::String(text)) => boolean(&text).map_or(Value::String(text), Value::Bool),
        (ValueKind::Boolean, Value::Number(number)) => match number.as_f64() {
            Some(0.0) => Value::Bool(false),
            Some(1.0) => Value::Bool(true),
            _ => Value::Number(number),
        },
        (ValueKind::Text, Value::Number(number)) => Value::String(without_zero_fraction(number).to_string()),
        (ValueKind::Text, Value::String(text)) => Value::String(choice(schema, &text).map_or(text, str::to_owned)),
        (ValueKind::List, given) => list(schema, given),
        (ValueKind::Object, Value::String(text)) if text.trim_start().starts_with('{') => {
            match serde_json::from_str(&text) {
                Ok(Value::Object(fields)) => Value::Object(object(schema, fields)),
                _ => Value::String(text),
            }
        }
        (ValueKind::Object, Value::Object(fields)) => Value::Object(object(schema, fields)),
        (_, given) => given,
    }
}

/// Converts the fields to their types, without those that were omitted.
pub fn object(schema: &Value, fields: Map<String, Value>) -> Map<String, Value> {
    let properties = &schema["properties"];
    let known = fields.into_iter().map(|(name, given)| match properties.get(&name) {
        Some(property) => {
            let normal = value(property, given);
            (name, normal)
        }
        None => (name, given),
    });
    known
        .filter(|(name, normal)| {
            let Some(property) = properties.get(name) else { return true };
            let kind = kind(of_present(property));
            let keeps_empty = is_required(schema, name) && matches!(kind, ValueKind::Text | ValueKind::List);
            let is_misplaced = match normal {
                Value::Object(_) => kind != ValueKind::Object,
                Value::Array(items) => kind != ValueKind::List && !items.is_empty(),
                _ => kind == ValueKind::Any,
            };
            !is_empty(normal) || is_misplaced || (keeps_empty && !normal.is_null())
        })
        .collect()
}

/// Whether clients send this value for an omitted parameter.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(|item| item.is_null() || item == ""),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn list(schema: &Value, given: Value) -> Value {
    let item_schema = of_present(&schema["items"]);
    let items = match given {
        Value::Array(items) => items,
        Value::String(text) if text.is_empty() => return Value::String(text),
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(Value::Array(items)) => items,
            _ => separated(item_schema, &text),
        },
        one @ (Value::Number(_) | Value::Bool(_)) => vec![one],
        one @ Value::Object(_) if kind(item_schema) == ValueKind::Object => vec![one],
        other => return other,
    };
    Value::Array(items.into_iter().map(|item| value(item_schema, item)).collect())
}

/// Items in one text, separated by commas or spaces if no item can contain these.
fn separated(item_schema: &Value, text: &str) -> Vec<Value> {
    let is_atom = item_schema["pattern"].is_string()
        || !choices(item_schema).is_empty()
        || kind(item_schema) == ValueKind::Integer;
    if !is_atom {
        return vec![Value::from(text)];
    }
    text.split([',', ';', ' ', '\t', '\n', '\r']).filter(|item| !item.is_empty()).map(Value::from).collect()
}

/// The allowed text that differs only in case, or in `-` and spaces for `_`.
fn choice<'a>(schema: &'a Value, text: &str) -> Option<&'a str> {
    let alike = |text: &str| text.trim().to_lowercase().replace(['-', ' '], "_");
    choices(schema).into_iter().find(|one| alike(one) == alike(text))
}

/// `5`, `-5`, `5.0`: canonical decimal, so that `007` and `1e3` stay what they are.
pub fn whole_number(text: &str) -> Option<i64> {
    let text = text.trim();
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    let number: i64 = whole.parse().ok()?;
    (number.to_string() == whole).then_some(number)
}

fn number(text: &str) -> Option<Number> {
    let text = text.trim();
    let is_decimal = text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-');
    is_decimal.then(|| serde_json::from_str(text).ok()).flatten()
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// Converts `10.0` to 10, in the range in which a float represents every integer.
fn without_zero_fraction(number: Number) -> Number {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT => {
            format!("{float:.0}").parse::<i64>().map_or(number, Number::from)
        }
        _ => number,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: &Value, cases: &[(Value, Value)]) {
        for (given, expected) in cases {
            assert_eq!(value(schema, given.clone()), *expected, "{given} as {schema}");
        }
    }

    #[test]
    fn what_is_plain_gets_its_type_and_nothing_else_does() {
        let whole = [
            (json!("5"), json!(5)),
            (json!(" 5 "), json!(5)),
            (json!("10.0"), json!(10)),
            (json!(10.0), json!(10)),
            (json!(1e2), json!(100)),
            (json!(-3), json!(-3)),
            (json!("007"), json!("007")),
            (json!("5.5"), json!("5.5")),
            (json!(5.5), json!(5.5)),
            (json!("five"), json!("five")),
            (json!(1e30), json!(1e30)),
        ];
        check(&json!({ "type": "integer" }), &whole);
        check(&json!({ "type": ["integer", "null"] }), &whole);
        check(&json!({ "anyOf": [{ "type": "integer" }, { "type": "null" }] }), &whole);
        check(
            &json!({ "type": "number" }),
            &[(json!("0.5"), json!(0.5)), (json!("2.0"), json!(2)), (json!("x"), json!("x"))],
        );
        check(
            &json!({ "type": "boolean" }),
            &[
                (json!("true"), json!(true)),
                (json!("False"), json!(false)),
                (json!(1), json!(true)),
                (json!(2), json!(2)),
                (json!("yes!"), json!("yes!")),
            ],
        );
        check(
            &json!({ "type": "string" }),
            &[
                (json!(123), json!("123")),
                (json!(123.0), json!("123")),
                (json!(" a "), json!(" a ")),
                (json!(true), json!(true)),
            ],
        );
        check(
            &json!({ "enum": ["pub_date"] }),
            &[(json!("Pub Date"), json!("pub_date")), (json!("date"), json!("date"))],
        );
        check(&json!({ "oneOf": [{ "const": "author" }] }), &[(json!("Author"), json!("author"))]);
        let texts = json!({ "type": "array", "items": { "type": "string" } });
        check(
            &texts,
            &[
                (json!("Smith J, Jr"), json!(["Smith J, Jr"])),
                (json!([1]), json!(["1"])),
                (json!("[\"a\"]"), json!(["a"])),
            ],
        );
        let pmids = json!({ "type": "array", "items": { "type": "string", "pattern": "^[0-9]+$" } });
        check(
            &pmids,
            &[
                (json!("1, 2 3"), json!(["1", "2", "3"])),
                (json!(7), json!(["7"])),
                (json!([1, "2"]), json!(["1", "2"])),
            ],
        );
    }

    #[test]
    fn what_was_left_out_is_not_there() {
        let schema = json!({ "type": "object", "required": ["name", "files", "count"], "properties": {
            "name": { "type": "string" }, "files": { "type": "array", "items": { "type": "string" } },
            "count": { "type": "integer" }, "limit": { "type": "integer" },
            "filters": { "type": "object", "properties": { "authors": { "type": "array", "items": { "type": "string" } } } },
        } });
        let given = json!({
            "name": "", "files": [], "count": "", "limit": [], "filters": "{\"authors\": [\"\"]}", "unknown": "",
        });
        assert_eq!(value(&schema, given), json!({ "name": "", "files": [], "unknown": "" }));
    }
}
