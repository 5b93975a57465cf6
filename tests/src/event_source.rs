//! Simulates the event source mapping between a queue of SQS and a function, as documented by AWS.
//!
//! It receives a batch, invokes the function with it, and deletes the messages that the function did not report as
//! failed. After an invalid response, an empty or unknown id, or an error, nothing is deleted, and the whole batch is
//! redelivered when its visibility timeout ends. The keys of an event differ from those of the API: `stringValue`, not
//! `StringValue`.

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use serde_json::{Map, Value, json};

use crate::aws::Queues;
use crate::lambda::Crashed;

/// A mapping from a queue to a function.
#[derive(Clone, Debug)]
pub struct EventSource {
    queues: Queues,
    batch: i32,
}

impl EventSource {
    /// A mapping with batches of at most `batch` messages.
    pub fn new(queues: &Queues, batch: i32) -> Self {
        Self { queues: queues.clone(), batch }
    }

    /// Receives available messages; waits at most a second.
    pub async fn receive(&self) -> Vec<Message> {
        let received = self
            .queues
            .client
            .receive_message()
            .queue_url(&self.queues.url)
            .max_number_of_messages(self.batch)
            .wait_time_seconds(1)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::All);
        received.send().await.expect("the queue responds").messages.unwrap_or_default()
    }

    /// One round: receive, invoke, delete. Returns the number of received and of acknowledged messages.
    pub async fn poll(&self, invoke: impl AsyncFnOnce(Value) -> Result<Value, Crashed>) -> (usize, usize) {
        let messages = self.receive().await;
        if messages.is_empty() {
            return (0, 0);
        }
        let response = invoke(event(&messages)).await;
        let done = acknowledged(&messages, response.ok().as_ref());
        for message in &done {
            self.delete(message).await;
        }
        (messages.len(), done.len())
    }

    /// Deletes a message, if its receipt is still valid: one that became visible again meanwhile stays, and its next
    /// receiver deletes it.
    pub async fn delete(&self, message: &Message) {
        let receipt = message.receipt_handle.as_deref().unwrap_or_default();
        let delete = self.queues.client.delete_message().queue_url(&self.queues.url).receipt_handle(receipt);
        if let Err(error) = delete.send().await {
            let error = error.into_service_error();
            assert!(error.is_receipt_handle_is_invalid(), "not deleted: {error:?}");
        }
    }
}

/// The messages that a function's response acknowledges; `None` is an error.
pub fn acknowledged<'a>(messages: &'a [Message], response: Option<&Value>) -> Vec<&'a Message> {
    let Some(response) = response else { return Vec::new() };
    let failures = match response {
        Value::Null => return messages.iter().collect(),
        Value::Object(response) => match response.get("batchItemFailures") {
            None | Some(Value::Null) => return messages.iter().collect(),
            Some(Value::Array(failures)) => failures,
            Some(_) => return Vec::new(),
        },
        _ => return Vec::new(),
    };
    let mut failed = Vec::new();
    for failure in failures {
        let id = failure.get("itemIdentifier").and_then(Value::as_str).unwrap_or_default();
        if !messages.iter().any(|message| message.message_id.as_deref() == Some(id)) {
            return Vec::new();
        }
        failed.push(id);
    }
    messages.iter().filter(|message| !failed.contains(&message.message_id.as_deref().unwrap_or_default())).collect()
}

/// The event for a function with these messages.
pub fn event(messages: &[Message]) -> Value {
    let record = |message: &Message| {
        let attributes: Map<String, Value> =
            message.attributes.iter().flatten().map(|(name, value)| (name.as_str().to_owned(), json!(value))).collect();
        let message_attributes: Map<String, Value> = message
            .message_attributes
            .iter()
            .flatten()
            .map(|(name, value)| {
                let value = json!({
                    "stringValue": value.string_value, "dataType": value.data_type, "stringListValues": [],
                    "binaryListValues": [],
                });
                (name.clone(), value)
            })
            .collect();
        json!({
            "messageId": message.message_id, "receiptHandle": message.receipt_handle, "body": message.body,
            "attributes": attributes, "messageAttributes": message_attributes, "md5OfBody": message.md5_of_body,
            "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:jobs",
            "awsRegion": "us-east-1",
        })
    };
    json!({ "Records": messages.iter().map(record).collect::<Vec<_>>() })
}
