//! `diff`: what changed in a record, field by field; changes that no field shows, by their path in the XML.

use std::collections::HashMap;

use serde_json::{Value, json};
use shared::archive::Payload;
use shared::core::Pmid;
use shared::pubmed::xml_diff;
use shared::records::{self, ArchiveEvent};

use super::get;
use crate::failure::{CliError, Exit};
use crate::out;
use crate::session::Session;

pub async fn run(
    session: &Session,
    pmid: Pmid,
    from: Option<i64>,
    to: Option<i64>,
    json: bool,
) -> Result<Exit, CliError> {
    let events = records::events(session.db(), pmid).await?;
    if events.is_empty() {
        return Err(CliError::not_found(format!("PMID {pmid} is not in the archive")));
    }
    let numbered = |seq: i64| {
        let found = events.iter().position(|event| event.seq == seq);
        found.ok_or_else(|| {
            CliError::not_found(format!("PMID {pmid} has no change {seq}: see `bio-mcp history {pmid}`"))
        })
    };
    let to = to.map_or(Ok(events.len() - 1), numbered)?;
    let from = match from {
        Some(seq) => numbered(seq)?,
        None if to > 0 => to - 1,
        None => return Err(CliError::not_found(format!("PMID {pmid} has only one payload, nothing to compare"))),
    };
    let (old, new) = (&events[from], &events[to]);
    let payloads = (payload(session, pmid, old).await?, payload(session, pmid, new).await?);
    let mut changes = differences(&typed(pmid, &payloads.0)?, &typed(pmid, &payloads.1)?);
    changes.extend(not_shown(pmid, &payloads.0, &payloads.1)?);
    if json {
        let changes: Vec<Value> = changes.iter().map(Change::to_json).collect();
        out::json(&json!({ "pmid": pmid, "from": old.seq, "to": new.seq, "changes": changes }))?;
        return Ok(Exit::Done);
    }
    out::line(&format!("PMID {pmid}: change {} ({}) to change {} ({})", old.seq, old.outcome, new.seq, new.outcome))?;
    if changes.is_empty() {
        let is_same = payloads.0 == payloads.1;
        out::line(if is_same {
            "the payloads are the same"
        } else {
            "the payloads differ only in the formatting of their XML"
        })?;
    }
    for change in &changes {
        out::line(&out::bold(&change.field))?;
        for (sign, value) in [("-", &change.old), ("+", &change.new)] {
            if let Some(value) = value {
                out::line(&format!("  {sign} {}", out::plain(&short(value))))?;
            }
        }
    }
    Ok(Exit::Done)
}

async fn payload(session: &Session, pmid: Pmid, event: &ArchiveEvent) -> Result<Payload, CliError> {
    Ok(get::envelope(session, pmid, &event.address()).await?.payload)
}

/// The typed record of a payload; a deletion has no fields.
fn typed(pmid: Pmid, payload: &Payload) -> Result<Value, CliError> {
    match payload {
        Payload::Tombstone => Ok(json!({ "deleted": true })),
        Payload::Xml(xml) => {
            serde_json::to_value(get::parse(pmid, xml)?).map_err(|error| CliError::internal(error.to_string()))
        }
    }
}

/// Changes that the typed record does not show, by their path in the XML.
fn not_shown(pmid: Pmid, old: &Payload, new: &Payload) -> Result<Vec<Change>, CliError> {
    let (Payload::Xml(old), Payload::Xml(new)) = (old, new) else { return Ok(Vec::new()) };
    // Both payloads have been parsed as records before.
    let hidden = xml_diff::not_shown(old, new)
        .map_err(|error| CliError::internal(format!("PMID {pmid} is archived but its payload is not XML ({error})")))?;
    let changes = hidden.into_iter().map(|change| Change {
        field: change.path,
        old: change.old.map(Value::String),
        new: change.new.map(Value::String),
    });
    Ok(changes.collect())
}

/// One difference: of a field, or of a path in the XML, which starts with `/`.
#[derive(Debug, PartialEq)]
struct Change {
    field: String,
    old: Option<Value>,
    new: Option<Value>,
}

impl Change {
    fn to_json(&self) -> Value {
        json!({ "field": self.field, "old": self.old, "new": self.new })
    }
}

fn differences(old: &Value, new: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", old, new, &mut changes);
    changes
}

fn compare(field: &str, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    let mut push = |field: String, old: Option<&Value>, new: Option<&Value>| {
        changes.push(Change { field, old: old.cloned(), new: new.cloned() });
    };
    match (old, new) {
        _ if old == new => {}
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().collect();
            keys.extend(b.keys().filter(|key| !a.contains_key(*key)));
            for key in keys {
                let name = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => compare(&name, a, b, changes),
                    (a, b) => changes.push(Change { field: name, old: a.cloned(), new: b.cloned() }),
                }
            }
        }
        // Members that are in both lists are omitted, whatever their position.
        (Value::Array(a), Value::Array(b)) => {
            let mut places: HashMap<String, Vec<usize>> = HashMap::new();
            for (at, value) in a.iter().enumerate().rev() {
                places.entry(value.to_string()).or_default().push(at);
            }
            let mut is_gone = vec![true; a.len()];
            let mut come = b.iter().collect::<Vec<_>>();
            come.retain(|value| match places.get_mut(&value.to_string()).and_then(Vec::pop) {
                Some(at) => {
                    is_gone[at] = false;
                    false
                }
                None => true,
            });
            let gone: Vec<&Value> =
                a.iter().zip(is_gone).filter_map(|(value, is_gone)| is_gone.then_some(value)).collect();
            if gone.is_empty() && come.is_empty() {
                push(format!("{field} (order)"), Some(old), Some(new));
            }
            let pairs = gone.len().max(come.len());
            for n in 0..pairs {
                push(format!("{field}[]"), gone.get(n).copied(), come.get(n).copied());
            }
        }
        _ => push(field.to_owned(), Some(old), Some(new)),
    }
}

/// A value as one line, truncated if it is long.
fn short(value: &Value) -> String {
    const MAX_VALUE_CHARS: usize = 300;
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut cut: String = text.chars().take(MAX_VALUE_CHARS).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let old = json!({ "a": 1, "b": { "c": "x" }, "d": [1, 2, 2], "e": null });
        let new = json!({ "a": 1, "b": { "c": "y" }, "d": [2, 3, 1, 2], "f": 5, "e": null });
        let shown: Vec<(String, Option<Value>, Option<Value>)> =
            differences(&old, &new).into_iter().map(|c| (c.field, c.old, c.new)).collect();
        assert_eq!(
            shown,
            [
                ("b.c".to_owned(), Some(json!("x")), Some(json!("y"))),
                ("d[]".to_owned(), None, Some(json!(3))),
                ("f".to_owned(), None, Some(json!(5))),
            ]
        );
    }
}
