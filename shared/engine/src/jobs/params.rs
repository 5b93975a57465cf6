//! Identity of parameters.

use serde_json::Value;

use bio_mcp_core::Sha256;

/// SHA-256 of the parameters as canonical JSON (RFC 8785), after defaults are filled in: independent of the order of
/// keys.
pub fn params_hash(params: &Value) -> Result<Sha256, serde_json::Error> {
    serde_json_canonicalizer::to_vec(params).map(|canonical| Sha256::of(&canonical))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_and_spelling_do_not_matter_but_values_do() {
        let hash = |text: &str| params_hash(&serde_json::from_str(text).expect("JSON")).expect("canonical");
        assert_eq!(hash(r#"{"a": 1, "b": "é"}"#), hash(r#"{"b":"\u00e9","a":1.0}"#));
        assert_ne!(hash(r#"{"a": [1, 2]}"#), hash(r#"{"a": [2, 1]}"#));
        assert_eq!(params_hash(&json!({})).expect("canonical"), Sha256::of(b"{}"));
    }
}
