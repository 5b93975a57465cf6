//! Parameters: from JSON to the type of a tool, each fault with its position.
//!
//! ```text
//! JSON ─▶ names (aliases) ─▶ types of the schema (`normal`) ─▶ faults by the schema (`check`) ─▶ the tool's type
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use super::check::{self, AN_ID};
use super::error::{FieldError, ToolError};
use super::normal;

/// Other names of parameters: the other name, then the parameter's own.
pub type Aliases = &'static [(&'static str, &'static str)];

/// Reads the parameters of a tool: accepts what is unambiguous, and reports every fault together.
pub fn read<T: DeserializeOwned>(schema: &Value, aliases: Aliases, params: Value) -> Result<T, ToolError> {
    let params = understood(schema, aliases, params)?;
    parse(&params).map_err(|first| with_other_items::<T>(params, first))
}

/// The faults of all items of a list, if the first fault is in an item: that is removed, and the rest is read again.
fn with_other_items<T: DeserializeOwned>(mut params: Value, first: ToolError) -> ToolError {
    let mut taken: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    let mut faults = Vec::new();
    let mut next = Some(first.clone());
    while let Some(FieldError { pointer, reason }) = next.and_then(|error| error.fields.into_iter().next()) {
        let item = pointer.rsplit_once('/').and_then(|(list, n)| Some((list.to_owned(), n.parse::<usize>().ok()?)));
        let items = item.as_ref().and_then(|(list, _)| params.pointer_mut(list)?.as_array_mut());
        let (Some((list, n)), Some(items)) = (item, items.filter(|items| !items.is_empty())) else {
            // This list is too short only because items were removed.
            if !taken.contains_key(&pointer) {
                faults.push(FieldError { pointer, reason });
            }
            break;
        };
        items.remove(n);
        let before = taken.entry(list.clone()).or_default();
        // The position before others were removed.
        let n = before.iter().fold(n, |n, one| if *one <= n { n + 1 } else { n });
        before.insert(n);
        faults.push(FieldError { pointer: format!("{list}/{n}"), reason });
        if faults.len() >= check::MAX_FAULTS {
            break;
        }
        next = parse::<T>(&params).err();
    }
    if faults.len() > 1 { ToolError::invalid(faults) } else { first }
}

/// Parameters under their own names, in the types of the schema and within its bounds.
pub fn understood(schema: &Value, aliases: Aliases, params: Value) -> Result<Value, ToolError> {
    let Value::Object(given) = params else { return Err(no_object()) };
    let normal = normal::object(schema, under_own_names(given, aliases)?);
    let faults = check::faults(schema, &normal);
    if faults.is_empty() { Ok(Value::Object(normal)) } else { Err(ToolError::invalid(faults)) }
}

fn no_object() -> ToolError {
    ToolError::invalid(vec![FieldError { pointer: String::new(), reason: "must be a JSON object".to_owned() }])
}

fn under_own_names(mut given: Map<String, Value>, aliases: Aliases) -> Result<Map<String, Value>, ToolError> {
    for (alias, name) in aliases {
        let Some(value) = given.remove(*alias) else { continue };
        let is_left_out = |value: &Value| value.is_null() || value == "";
        match given.get(*name) {
            Some(other) if !is_left_out(other) && !is_left_out(&value) && *other != value => {
                return Err(ToolError::invalid_field(alias, format!("is another name of {name}: give one of them")));
            }
            Some(other) if !is_left_out(other) => {}
            _ => {
                given.insert((*name).to_owned(), value);
            }
        }
    }
    Ok(given)
}

/// Parses JSON as it is. An unknown field is refused by its name, a wrong type by its position.
pub fn parse<T: DeserializeOwned>(params: &Value) -> Result<T, ToolError> {
    if let Some(pointer) = nul(params, &mut String::new()) {
        return Err(ToolError::invalid(vec![FieldError { pointer, reason: "contains a NUL character".to_owned() }]));
    }
    if !params.is_object() {
        return Err(no_object());
    }
    serde_path_to_error::deserialize(params).map_err(|error| {
        let mut pointer = pointer(error.path());
        let mut reason = error.inner().to_string();
        // Serde reports these at the object that has, or lacks, the field.
        for (said, ours) in [("unknown field `", "is not a parameter"), ("missing field `", "is required")] {
            let rest = reason.strip_prefix(said).and_then(|rest| rest.split_once('`'));
            if let Some((name, more)) = rest {
                let name = escape(name);
                if !pointer.ends_with(&format!("/{name}")) {
                    pointer = format!("{pointer}/{name}");
                }
                reason = format!("{ours}{}", more.replace('`', ""));
                break;
            }
        }
        let reason = in_callers_words(&reason).unwrap_or_else(|| reason.replace('`', ""));
        ToolError::invalid(vec![FieldError { pointer, reason }])
    })
}

/// Serde's message about a wrong type, without the names of types.
fn in_callers_words(reason: &str) -> Option<String> {
    if let Some((_, choices)) = reason.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
    {
        return Some(format!("must be {}", choices.replace('`', "")));
    }
    if reason.starts_with("UUID parsing failed") {
        return Some(AN_ID.to_owned());
    }
    let is_type =
        ["invalid type: ", "invalid value: ", "invalid length "].iter().any(|start| reason.starts_with(start));
    let expected = reason.rsplit_once(", expected ").map(|(_, expected)| expected).filter(|_| is_type)?;
    let demand = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => "must be a whole number",
        "f32" | "f64" => "must be a number",
        "a boolean" => "must be true or false",
        "a string" | "a borrowed string" | "string or map" => "must be text",
        "a sequence" => "must be a list",
        expected if expected.starts_with("struct ") || expected == "a map" => "must be an object",
        _ => "is of another type than this parameter",
    };
    let is_out_of_range = reason.starts_with("invalid value: integer");
    Some(if is_out_of_range { "is out of range" } else { demand }.to_owned())
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Map { key } => pointer.extend(["/", &escape(key)]),
            Segment::Seq { index } => pointer.extend(["/", &index.to_string()]),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// A key as it is written in a JSON pointer.
pub(super) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Position of a NUL character, which Postgres cannot store.
fn nul(value: &Value, at: &mut String) -> Option<String> {
    let below = |key: &str, value: &Value, at: &mut String| {
        let length = at.len();
        at.extend(["/", &escape(key)]);
        let found = nul(value, at);
        at.truncate(length);
        found
    };
    match value {
        Value::String(text) if text.contains('\0') => Some(at.clone()),
        Value::Array(items) => items.iter().enumerate().find_map(|(n, item)| below(&n.to_string(), item, at)),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(key, item)| if key.contains('\0') { Some(at.clone()) } else { below(key, item, at) }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Params {
        #[allow(dead_code, reason = "only read by the parser")]
        term: String,
        #[allow(dead_code, reason = "only read by the parser")]
        #[serde(default)]
        limits: Vec<u8>,
    }

    fn fault(params: &Value) -> (String, String) {
        let error = parse::<Params>(params).expect_err("refused");
        (error.fields[0].pointer.clone(), error.fields[0].reason.clone())
    }

    #[test]
    fn every_fault_is_named_where_it_stands() {
        let (pointer, reason) = fault(&json!({"term": "a", "li/mit": 1}));
        assert_eq!(pointer, "/li~1mit");
        assert!(reason.starts_with("is not a parameter") && reason.contains("term"), "{reason}");
        assert_eq!(fault(&json!({})).0, "/term");
        assert_eq!(fault(&json!({"term": 7})), ("/term".to_owned(), "must be text".to_owned()));
        assert_eq!(fault(&json!({"term": "a", "limits": ["x"]})).1, "must be a whole number");
        assert_eq!(fault(&json!({"term": "a", "limits": [1, 300]})).0, "/limits/1");
        assert_eq!(fault(&json!({"term": "a\u{0}"})), ("/term".to_owned(), "contains a NUL character".to_owned()));
        assert_eq!(fault(&json!({"term": "a", "x": {"y": ["\u{0}"]}})).0, "/x/y/0");
        assert_eq!(fault(&json!([1])).0, "");
        assert_eq!(fault(&json!(null)).0, "");
    }

    #[test]
    fn every_item_that_is_wrong_is_named() {
        #[derive(Debug, Deserialize)]
        struct Params {
            #[allow(dead_code, reason = "only read by the parser")]
            limits: Vec<std::num::NonZeroU8>,
        }
        let places = |limits: Value| -> Vec<String> {
            let error = read::<Params>(&json!({}), &[], json!({ "limits": limits })).expect_err("refused");
            error.fields.into_iter().map(|fault| fault.pointer).collect()
        };
        assert_eq!(places(json!([1, "x", 2, 0, 300, 7])), ["/limits/1", "/limits/3", "/limits/4"]);
        assert_eq!(places(json!(["x"])), ["/limits/0"]);
        assert_eq!(places(json!(["x", "y", 1, "z"])), ["/limits/0", "/limits/1", "/limits/3"]);
    }
}
