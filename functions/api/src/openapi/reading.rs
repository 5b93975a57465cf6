//! Routes that read: records, and what changed.

use serde_json::{Value, json};
use shared::tools::{DEFAULT_EVENTS, EventPage, Include, KINDS, MAX_CHARS, MAX_EVENTS, MIN_CHARS, RecordView};

use super::{Schemas, answers, query};

/// The change feed.
pub(super) fn events(schemas: &mut Schemas) -> Value {
    let integer = |min: i64, max: i64, default: i64| json!({ "type": "integer", "minimum": min, "maximum": max, "default": default });
    json!({ "get": { "operationId": "list_events", "summary": "What changed after an event, in order",
        "description": "Changes are numbered by the event log and never appear out of order: a reader that goes on at \
            next_seq sees each once. complete is false while more follows, or while the feed is behind the log; then a \
            page may be empty. Those of one event stay together, so a page may be a little longer than limit.",
        "parameters": [
            query("after", "The last number that is known.",
                &json!({ "type": "integer", "format": "int64", "minimum": 0, "default": 0 })),
            json!({ "name": "kinds", "in": "query", "description": "Only these kinds, separated by commas.",
                "required": false, "style": "form", "explode": false,
                "schema": { "type": "array", "items": { "type": "string", "enum": KINDS } } }),
            query("query_key", "Only records of this query, each new when it came to belong to it.",
                &json!({ "type": "string", "minLength": 1, "maxLength": 128 })),
            query("wait", "Seconds to hold an empty response back until something has changed.", &integer(0, 25, 0)),
            query("limit", "How many changes to return.", &integer(1, MAX_EVENTS, DEFAULT_EVENTS)),
        ],
        "responses": answers(&[(200, "Changes.", schemas.of::<EventPage>())], &[]) } })
}

/// The record of a PMID.
pub(super) fn record(schemas: &mut Schemas) -> Value {
    json!({ "get": { "operationId": "get_record", "summary": "A record, now or as it was",
        "parameters": [
            { "name": "pmid", "in": "path", "required": true, "description": "The PMID.",
              "schema": { "type": "string", "pattern": "^[1-9][0-9]{0,8}$" } },
            query("as_of", "As the archive had it at this time.", &json!({ "type": "string", "format": "date-time" })),
            query("checkpoint_id", "As this checkpoint has it.", &json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$" })),
            { "name": "include", "in": "query", "description": "Parts beside the core, separated by commas.",
              "required": false, "style": "form",
              "explode": false, "schema": { "type": "array", "items": { "type": "string", "enum": Include::EACH } } },
            query("max_chars", "The longest result, in characters.",
                &json!({ "type": "integer", "minimum": MIN_CHARS, "maximum": MAX_CHARS, "default": 24_000 })),
        ],
        "responses": answers(&[(200, "The record, or that there is none.", schemas.of::<RecordView>())], &[404, 502]) } })
}
