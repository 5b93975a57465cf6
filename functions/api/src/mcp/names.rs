//! Texts for MCP callers: with the tool names of MCP, and without addresses that only this machine can open.

use serde_json::Value;
use shared::tools::Tool;

/// Replaces tool names in a text by their MCP spelling: `pubmed_get` for `pubmed.get`.
pub fn flat_names(tools: &[Tool], text: &str) -> String {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let mut flat = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_of_name) {
        let end = rest[start..].find(|c| !is_of_name(c)).map_or(rest.len(), |length| start + length);
        let word = rest[start..end].trim_end_matches('.');
        flat.push_str(&rest[..start]);
        match tools.iter().find(|tool| tool.name == word) {
            Some(tool) => flat.push_str(&tool.flat_name()),
            None => flat.push_str(word),
        }
        rest = &rest[start + word.len()..];
        // The full stops after a word.
        let stops = rest.len() - rest.trim_start_matches('.').len();
        flat.push_str(&rest[..stops]);
        rest = &rest[stops..];
    }
    flat.push_str(rest);
    flat
}

/// Fields of results with the address of an object.
const ADDRESSES: [&str; 4] = ["manifest", "result_ref", "s3_uri", "uri"];

/// Removes addresses of local files, which another machine cannot open, from a result. Other fields contain the
/// caller's or a record's text and are unchanged, whatever they begin with.
pub fn without_local_addresses(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(without_local_addresses).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let is_local = value.as_str().is_some_and(|text| text.starts_with("file:"));
                let hidden = is_local && ADDRESSES.contains(&name.as_str());
                (name, if hidden { Value::Null } else { without_local_addresses(value) })
            })
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shared::tools::catalogue;

    #[test]
    fn names_of_tools_and_nothing_else_are_spelt_as_mcp_does() {
        for (text, wanted) in [
            ("Read a record with pubmed.get.", "Read a record with pubmed_get."),
            ("pubmed.sync, pubmed.sync.incremental…", "pubmed_sync, pubmed_sync_incremental…"),
            ("(`corpus.checkpoint.create`)", "(`corpus_checkpoint_create`)"),
            (
                "pubmed.get_more my.pubmed.get pubmed26n0001.xml.gz é.ping",
                "pubmed.get_more my.pubmed.get pubmed26n0001.xml.gz é.ping",
            ),
            ("a... b.", "a... b."),
            ("...", "..."),
        ] {
            assert_eq!(flat_names(&catalogue(), text), wanted);
        }
    }

    #[test]
    fn only_addresses_of_this_machine_are_left_out() {
        let result = json!({
            "manifest": "file:///srv/a.json", "message": "file: a text", "name": "file:///b",
            "more": [{ "uri": "s3://bucket/key" }, { "s3_uri": "file:///c" }, "file:///b"],
        });
        let told = json!({
            "manifest": null, "message": "file: a text", "name": "file:///b",
            "more": [{ "uri": "s3://bucket/key" }, { "s3_uri": null }, "file:///b"],
        });
        assert_eq!(without_local_addresses(result), told);
    }
}
