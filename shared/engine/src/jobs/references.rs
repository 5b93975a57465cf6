//! References in the parameters of a step: `{"$result": "/a/pointer"}` is replaced by the value that the JSON pointer
//! (RFC 6901) finds in the result of the previous job.

use serde_json::{Map, Value};

/// The key of a reference, which is the only member of its object.
pub const RESULT: &str = "$result";

/// A reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultReference {
    /// Position in the parameters, as a JSON pointer.
    pub at: String,
    /// JSON pointer into the result.
    pub pointer: String,
}

/// An invalid reference, or one that finds no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceFault {
    /// Position in the parameters, as a JSON pointer.
    pub at: String,
    /// What is wrong with the reference.
    pub reason: String,
}

/// Returns the references in parameters, or the invalid ones.
pub fn references(params: &Value) -> Result<Vec<ResultReference>, Vec<ReferenceFault>> {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    find(params, "", &mut found, &mut faults);
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

fn find(value: &Value, at: &str, found: &mut Vec<ResultReference>, faults: &mut Vec<ReferenceFault>) {
    match value {
        Value::Object(fields) if fields.contains_key(RESULT) => match (fields.len(), &fields[RESULT]) {
            (1, Value::String(pointer)) if is_pointer(pointer) => {
                found.push(ResultReference { at: at.to_owned(), pointer: pointer.clone() });
            }
            _ => faults.push(ReferenceFault {
                at: at.to_owned(),
                reason: format!("must be {{\"{RESULT}\": \"/…\"}}, with a JSON pointer (RFC 6901) and nothing else"),
            }),
        },
        Value::Object(fields) => {
            fields.iter().for_each(|(name, inner)| find(inner, &pointer_to(at, name), found, faults));
        }
        Value::Array(items) => {
            for (n, inner) in items.iter().enumerate() {
                find(inner, &pointer_to(at, &n.to_string()), found, faults);
            }
        }
        _ => {}
    }
}

fn pointer_to(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Whether a text is a JSON pointer: `~` is only part of `~0` and `~1`.
fn is_pointer(text: &str) -> bool {
    let is_escaped = |rest: &str| rest.starts_with(['0', '1']);
    (text.is_empty() || text.starts_with('/')) && text.split('~').skip(1).all(is_escaped)
}

/// Returns the parameters with each reference replaced by its value in a result. Null counts as not found: it would be
/// taken for an omitted parameter.
pub fn resolved(params: &Value, result: &Value) -> Result<Value, ReferenceFault> {
    let mut resolved = params.clone();
    let first = |mut faults: Vec<ReferenceFault>| faults.swap_remove(0);
    for ResultReference { at, pointer } in references(params).map_err(first)? {
        let Some(value) = result.pointer(&pointer).filter(|value| !value.is_null()) else {
            let reason = format!("the result of the previous job has nothing at {pointer}");
            return Err(ReferenceFault { at, reason });
        };
        if let Some(target) = resolved.pointer_mut(&at) {
            *target = value.clone();
        }
    }
    Ok(resolved)
}

/// Returns the parameters without references and without lists that contain some: the part that can be checked before
/// there is a result.
pub fn without_references(params: &Map<String, Value>) -> Map<String, Value> {
    let kept = params.iter().filter_map(|(name, value)| match value {
        Value::Object(fields) if fields.contains_key(RESULT) => None,
        Value::Object(fields) => Some((name.clone(), Value::Object(without_references(fields)))),
        Value::Array(_) if !references(value).is_ok_and(|found| found.is_empty()) => None,
        value => Some((name.clone(), value.clone())),
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_found_wherever_they_stand() {
        let params = json!({ "a": { "$result": "/x" }, "b": { "c/d": [1, { "$result": "" }] }, "e": "$result" });
        let found = references(&params).expect("well formed");
        let found_at: Vec<_> = found.iter().map(|one| (one.at.as_str(), one.pointer.as_str())).collect();
        assert_eq!(found_at, [("/a", "/x"), ("/b/c~1d/1", "")]);
        let rest = without_references(params.as_object().expect("an object"));
        assert_eq!(Value::Object(rest), json!({ "b": {}, "e": "$result" }));
    }

    #[test]
    fn what_is_no_reference_is_refused_where_it_stands() {
        for odd in [json!("x"), json!("/a~2"), json!("/a~"), json!(1), json!(["/a"]), json!(null)] {
            let faults = references(&json!({ "a": [{ "$result": odd }] })).expect_err("refused");
            assert_eq!(faults[0].at, "/a/0", "{odd}");
        }
        assert!(references(&json!({ "a": { "$result": "/a", "b": 1 } })).is_err());
        for fine in ["", "/", "/a~0b~1c", "/a/0"] {
            assert!(references(&json!({ "a": { "$result": fine } })).is_ok(), "{fine}");
        }
    }

    #[test]
    fn references_are_replaced_by_what_they_point_at() {
        let result = json!({ "ids": ["1", "2"], "n": 0, "none": null, "a/b": { "~": true } });
        let params =
            json!({ "p": { "$result": "/ids" }, "q": [{ "$result": "/n" }, { "$result": "/a~1b/~0" }], "r": 1 });
        assert_eq!(resolved(&params, &result), Ok(json!({ "p": ["1", "2"], "q": [0, true], "r": 1 })));
        for (pointer, at) in [("/none", "/a"), ("/ids/2", "/a"), ("/ids/x", "/a"), ("/n/0", "/a")] {
            let fault = resolved(&json!({ "a": { "$result": pointer } }), &result).expect_err("nothing there");
            assert!(fault.at == at && fault.reason.ends_with(pointer), "{fault:?}");
        }
        // The found value is not resolved further, even if it looks like a reference.
        let odd = json!({ "a": { "$result": "/n" }, "n": 1 });
        assert_eq!(resolved(&json!({ "x": { "$result": "/a" } }), &odd), Ok(json!({ "x": { "$result": "/n" } })));
    }
}
