//! Settings beside the environment: a JSON object of variables, which a deployment can keep in a secret, because the
//! environment of a function holds 4 KB in all.

use std::collections::BTreeMap;

use serde_json::Value;

use super::SETTINGS;

/// Variables that name secrets are read before this: they are part of the environment.
const OF_THE_ENVIRONMENT: &str = "_SECRET_ARN";

/// The variables of a JSON object; what is wrong with it otherwise. Values are never part of a fault.
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
            // A list of topics need not be text of text.
            other => other.to_string(),
        };
        read.insert(name, text);
    }
    Ok(read)
}
