//! OpenAPI paths of records and changes.

use serde_json::{Value, json};
use shared::tools::{DEFAULT_EVENTS, EventPage, Include, KINDS, MAX_CHARS, MAX_EVENTS, MIN_CHARS, RecordView};

use super::{Schemas, query, responses};

pub(super) fn events(schemas: &mut Schemas) -> Value {
    let integer = |min: i64, max: i64, default: i64| json!({ "type": "integer", "minimum": min, "maximum": max, "default": default });
    json!({ "get": { "operationId": "list_events", "summary": "List the changes after an event, in order",
        "description": "Changes are numbered by the event log and never appear out of order: a client that continues at \
            next_seq receives each change once. complete is false while more changes follow, or while the feed is behind \
            the log; a page may then be empty. Changes with the same number are on the same page, so a page may be \
            longer than limit; it is shorter if the changes refer to many notices.",
        "parameters": [
            query("after", "Number of the last known event.",
                &json!({ "type": "integer", "format": "int64", "minimum": 0, "default": 0 })),
            json!({ "name": "kinds", "in": "query", "description": "Return only changes of these kinds, separated by commas.",
                "required": false, "style": "form", "explode": false,
                "schema": { "type": "array", "items": { "type": "string", "enum": KINDS } } }),
            query("query_key", "Return only changes of records of this query; a record is new when it became a member.",
                &json!({ "type": "string", "minLength": 1, "maxLength": 128 })),
            query("wait", "Seconds to wait for a change before an empty response.", &integer(0, 25, 0)),
            query("limit", "Maximum number of changes to return.", &integer(1, MAX_EVENTS, DEFAULT_EVENTS)),
        ],
        "responses": responses(&[(200, "A page of changes.", schemas.of::<EventPage>())], &[]) } })
}

pub(super) fn record(schemas: &mut Schemas) -> Value {
    json!({ "get": { "operationId": "get_record",
        "summary": "Get a record, current or as archived earlier",
        "parameters": [
            { "name": "pmid", "in": "path", "required": true, "description": "The PMID.",
              "schema": { "type": "string", "pattern": "^[1-9][0-9]{0,8}$" } },
            query("as_of", "Read the record as archived at this time.",
                &json!({ "type": "string", "format": "date-time" })),
            query("checkpoint_id", "Read the record as in this checkpoint.",
                &json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$" })),
            { "name": "include", "in": "query", "description": "Parts in addition to the core, separated by commas.",
              "required": false, "style": "form",
              "explode": false, "schema": { "type": "array", "items": { "type": "string", "enum": Include::EACH } } },
            query("max_chars", "Maximum size of the result, in characters.",
                &json!({ "type": "integer", "minimum": MIN_CHARS, "maximum": MAX_CHARS, "default": 24_000 })),
        ],
        "responses": responses(&[(200, "The record, or found: false.", schemas.of::<RecordView>())], &[404, 502]) } })
}
