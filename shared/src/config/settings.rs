//! Settings outside the environment: a JSON object of variables, which a deployment can store in a secret, because the
//! environment of a function is limited to 4 KB.

use std::collections::BTreeMap;

use serde_json::Value;

use super::SETTINGS;

/// Suffix of variables that name secrets: they are read before this object, so they must be in the environment.
const OF_THE_ENVIRONMENT: &str = "_SECRET_ARN";

/// Parses a JSON object of variables; otherwise returns what is wrong. Error messages never contain values.
pub(super) fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
    let wrong = || format!("{SETTINGS} must be a JSON object of variables, like {{\"BIO_MCP_LOG_LEVEL\": \"debug\"}}");
    let settings: BTreeMap<String, Value> = serde_json::from_str(text).map_err(|_| wrong())?;
    let mut read = BTreeMap::new();
    for (name, value) in settings {
        let fine = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        let is_ours = name.strip_prefix("BIO_MCP").is_some_and(|rest| rest.starts_with('_'));
        if !is_ours || !name.bytes().all(fine) || name == SETTINGS {
            return Err(wrong());
        }
        if name.ends_with(OF_THE_ENVIRONMENT) {
            return Err(format!("{SETTINGS} cannot have {name}: it is read from the environment alone"));
        }
        let text = match value {
            Value::String(text) => text,
            Value::Null => continue,
            // A list of topics may be JSON instead of text that contains JSON.
            other => other.to_string(),
        };
        read.insert(name, text);
    }
    Ok(read)
}
