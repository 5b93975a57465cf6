//! Parses an event into messages; an event that is not a batch of SQS is refused.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use serde_json::Value;
use shared::invocation::kind_of;

/// The event is not a batch of messages: the invocation fails, so that the sender is notified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatch {
    /// Not a batch at all.
    #[error("this function accepts messages of SQS, but received {0}: connect only its queue to it")]
    Event(String),
    /// Without an id, a message cannot be reported as failed.
    #[error("a message has no messageId, so it cannot be redelivered alone")]
    NoMessageId,
    /// Not in the format of SQS.
    #[error("a message does not have the format of SQS")]
    Format,
}

/// The messages of an event, each with its id.
pub fn messages(event: &Value) -> Result<Vec<(String, SqsMessage)>, InvalidBatch> {
    let Some(records) = event.get("Records").and_then(Value::as_array) else {
        return Err(InvalidBatch::Event(kind_of(event)));
    };
    for record in records {
        let is_message = match record.get("eventSource") {
            Some(source) => source == "aws:sqs",
            // A manually written event may omit the source.
            None => record.get("body").is_some() && record.get("messageId").is_some(),
        };
        if !is_message {
            return Err(InvalidBatch::Event(kind_of(record)));
        }
    }
    let batch: SqsEvent = serde_json::from_value(event.clone()).map_err(|_| InvalidBatch::Format)?;
    let named = batch.records.into_iter().map(|message| {
        let id = message.message_id.clone().filter(|id| !id.is_empty()).ok_or(InvalidBatch::NoMessageId)?;
        Ok((id, message))
    });
    named.collect()
}

/// How often a message was received, this time included.
pub fn receives(message: &SqsMessage) -> u32 {
    message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1)
}

/// A response with the messages to redeliver.
pub fn response(failed: Vec<String>) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for id in failed {
        let mut failure = aws_lambda_events::sqs::BatchItemFailure::default();
        failure.item_identifier = id;
        response.batch_item_failures.push(failure);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_no_message_of_sqs_is_named() {
        for (event, said) in [
            (json!({}), "an object of an unknown kind"),
            (json!(null), "null"),
            (json!({ "Records": [{ "EventSource": "aws:sns", "Sns": {} }] }), "an event of aws:sns"),
            (json!({ "Records": [{ "eventSource": "aws:s3" }] }), "an event of aws:s3"),
            (json!({ "Records": [{ "eventSource": "aws:dynamodb" }] }), "an event of aws:dynamodb"),
            (json!({ "Records": [{ "eventSource": "aws:kinesis" }] }), "an event of aws:kinesis"),
            (json!({ "eventSource": "aws:kafka", "records": {} }), "an event of aws:kafka"),
            (json!({ "source": "aws.s3", "detail-type": "Object Created" }), "aws.s3 (Object Created)"),
            (json!({ "action": "sweep" }), "an object of an unknown kind"),
            (json!({ "Records": [{ "eventSource": "aws:sqs", "body": "x" }] }), "has no messageId"),
            (json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "", "body": "x" }] }), "has no messageId"),
            (json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": 5 }] }), "does not have the format of SQS"),
        ] {
            let refused = messages(&event).expect_err("no batch").to_string();
            assert!(refused.contains(said), "{event}: {refused}");
        }
        assert_eq!(messages(&json!({ "Records": [] })).map(|messages| messages.len()), Ok(0));
        let by_hand = json!({ "Records": [{ "messageId": "a", "body": "{}" }] });
        assert_eq!(messages(&by_hand).expect("a message")[0].0, "a");
    }
}
