//! Invocations of a function: the remaining time, and an event that may be for another function.

use std::time::Duration;

use serde_json::Value;

/// Maximum duration of a Lambda invocation.
pub const MAX_INVOCATION_TIME: Duration = Duration::from_secs(900);

/// The remaining time of an invocation whose deadline is given in milliseconds since 1970.
///
/// A deadline in the past is ignored: Lambda would have ended the function before, and emulators send 1970. Then,
/// and where it is further away than `timeout`, which the function is configured with, the time left is `timeout`.
pub fn time_left(deadline_ms: u64, now_ms: u64, timeout: Duration) -> Duration {
    match Duration::from_millis(deadline_ms.saturating_sub(now_ms)) {
        Duration::ZERO => timeout,
        left => left.min(timeout),
    }
}

/// Maximum length of an event's name in a message.
const MAX_NAME_BYTES: usize = 64;

/// Names the kind of an event by its own fields, so that a person sees what sent it; its content is not repeated.
pub fn kind_of(event: &Value) -> String {
    // SQS, SNS, S3, Kinesis and DynamoDB send lists, each of whose records names its source.
    if let Some(record) = ["Records", "records"].iter().find_map(|list| event.get(*list)?.as_array()?.first())
        && (record.get("eventSource").is_some() || record.get("EventSource").is_some())
    {
        return kind_of(record);
    }
    let Value::Object(fields) = event else {
        return match event {
            Value::Null => "null".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::String(_) => "a text".to_owned(),
            _ => "a single value".to_owned(),
        };
    };
    let word = |name: &str| fields.get(name).and_then(Value::as_str).filter(|text| is_name(text));
    // DynamoDB, Kinesis, S3 and SQS write the first, SNS the second, EventBridge the third.
    let Some(source) = word("eventSource").or_else(|| word("EventSource")).or_else(|| word("source")) else {
        let known = [
            ("requestContext", "an HTTP request"),
            ("ResponseURL", "a CloudFormation request"),
            ("awslogs", "log lines of CloudWatch"),
            ("Records", "records without a source"),
            ("records", "records without a source"),
        ];
        let known = known.iter().find(|(name, _)| fields.contains_key(*name));
        return known.map_or_else(|| "an object of an unknown kind".to_owned(), |(_, kind)| (*kind).to_owned());
    };
    word("detail-type").map_or_else(|| format!("an event of {source}"), |kind| format!("an event of {source} ({kind})"))
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b" .:_-/".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deadline_in_the_past_is_not_believed() {
        let (now, timeout) = (1_795_564_800_000, Duration::from_secs(60));
        for past in [0, 1, 600_000, now - 1, now] {
            assert_eq!(time_left(past, now, timeout), timeout, "{past}");
        }
        assert_eq!(time_left(now + 1, now, timeout), Duration::from_millis(1));
        assert_eq!(time_left(now + 59_000, now, timeout), Duration::from_secs(59));
        assert_eq!(time_left(u64::MAX, now, timeout), timeout, "nor one that is further away than it can be");
    }

    #[test]
    fn events_are_named_and_their_content_is_not_repeated() {
        for (event, kind) in [
            (json!(null), "null"),
            (json!([1]), "a list"),
            (json!({ "eventSource": "aws:s3", "s3": { "object": "hunter2" } }), "an event of aws:s3"),
            (json!({ "EventSource": "aws:sns" }), "an event of aws:sns"),
            (json!({ "Records": [{ "EventSource": "aws:sns" }] }), "an event of aws:sns"),
            (json!({ "Records": [{ "eventSource": "aws:s3" }, 1] }), "an event of aws:s3"),
            (json!({ "Records": [{ "Records": [] }] }), "records without a source"),
            (
                json!({ "source": "aws.events", "detail-type": "Scheduled Event" }),
                "an event of aws.events (Scheduled Event)",
            ),
            (json!({ "source": "\u{1b}[31m hunter2" }), "an object of an unknown kind"),
            (json!({ "source": "x".repeat(65) }), "an object of an unknown kind"),
            (json!({ "requestContext": {} }), "an HTTP request"),
        ] {
            assert_eq!(kind_of(&event), kind);
        }
    }
}
