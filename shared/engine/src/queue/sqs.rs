//! Wake-ups as messages of an SQS queue.
//!
//! The trace is sent three times: in the body, which the worker reads; as the message attribute `traceparent`, for
//! OpenTelemetry; and as the system attribute `AWSTraceHeader`, for X-Ray.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    MessageAttributeValue, MessageSystemAttributeNameForSends, MessageSystemAttributeValue, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use tokio::sync::OnceCell;

use super::{Queue, QueueError, WakeUp};
use crate::aws::{self, AwsConfig, AwsError};
use bio_mcp_core::trace;

/// Maximum number of entries of a batch.
const MAX_BATCH_ENTRIES: usize = 10;

/// Maximum time for which a message can be hidden.
const MAX_VISIBILITY_TIMEOUT: Duration = Duration::from_secs(12 * 3600);

/// A queue; its client is created at its first use.
#[derive(Debug)]
pub struct SqsQueue {
    url: String,
    config: AwsConfig,
    client: OnceCell<Client>,
}

impl SqsQueue {
    /// Does no I/O.
    pub fn new(url: impl Into<String>, config: impl Into<AwsConfig>) -> Self {
        Self { url: url.into(), config: config.into(), client: OnceCell::new() }
    }

    async fn client(&self) -> &Client {
        self.client.get_or_init(|| async { client_of(self.config.get().await) }).await
    }

    async fn send(&self, wake_ups: &[WakeUp]) -> Vec<Result<(), QueueError>> {
        let entries = wake_ups.iter().enumerate().map(|(at, wake_up)| entry(at, wake_up)).collect();
        let response = self.client().await.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        match response.send().await {
            Err(error) => wake_ups.iter().map(|_| Err(failed(AwsError::from(&error)))).collect(),
            Ok(response) => (0..wake_ups.len())
                .map(|at| {
                    let id = at.to_string();
                    if response.successful().iter().any(|sent| sent.id() == id) {
                        return Ok(());
                    }
                    let refused = response.failed().iter().find(|entry| entry.id() == id);
                    Err(failed(AwsError::of(refused.map_or("the result of an entry is missing", |e| e.code()))))
                })
                .collect(),
        }
    }
}

fn client_of(config: &aws_config::SdkConfig) -> Client {
    let config = aws_sdk_sqs::config::Builder::from(config);
    Client::from_conf(config.timeout_config(aws::short_timeouts()).build())
}

fn failed(error: AwsError) -> QueueError {
    QueueError(Box::new(error))
}

fn entry(at: usize, wake_up: &WakeUp) -> SendMessageBatchRequestEntry {
    let body = serde_json::to_string(wake_up).expect("ids are JSON");
    let trace_id = &wake_up.trace_id;
    let entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(body);
    let entry = match (trace::traceparent(trace_id), xray_header(trace_id)) {
        (Some(traceparent), Some(xray)) => {
            let attribute = MessageAttributeValue::builder().data_type("String").string_value(traceparent);
            let system = MessageSystemAttributeValue::builder().data_type("String").string_value(xray);
            let name = MessageSystemAttributeNameForSends::AwsTraceHeader;
            entry
                .message_attributes("traceparent", attribute.build().expect("it has a type"))
                .message_system_attributes(name, system.build().expect("it has a type"))
        }
        _ => entry,
    };
    entry.build().expect("an entry has an id and a body")
}

/// The same id in the format of X-Ray: `Root=1-{8 digits}-{24 digits}`.
fn xray_header(trace_id: &str) -> Option<String> {
    trace::is_trace(trace_id).then(|| format!("Root=1-{}-{};Sampled=1", &trace_id[..8], &trace_id[8..]))
}

#[async_trait]
impl Queue for SqsQueue {
    fn carries_messages(&self) -> bool {
        true
    }

    async fn wake(&self, wake_ups: &[WakeUp]) -> Vec<Result<(), QueueError>> {
        let mut sent = Vec::with_capacity(wake_ups.len());
        for batch in wake_ups.chunks(MAX_BATCH_ENTRIES) {
            sent.extend(self.send(batch).await);
        }
        sent
    }

    async fn delay(&self, receipt: &str, pause: Duration) -> Result<(), QueueError> {
        // Whole seconds, rounded up.
        let seconds = i32::try_from(pause.min(MAX_VISIBILITY_TIMEOUT).as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let change = self.client().await.change_message_visibility().queue_url(&self.url).receipt_handle(receipt);
        change.visibility_timeout(seconds).send().await.map_err(|error| failed(AwsError::from(&error)))?;
        Ok(())
    }

    async fn check(&self) -> Result<(), QueueError> {
        let response = self.client().await.get_queue_attributes().queue_url(&self.url);
        let response = response.attribute_names(QueueAttributeName::QueueArn).send().await;
        response.map(|_| ()).map_err(|error| failed(AwsError::from(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_written_in_both_spellings() {
        let trace_id = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(
            trace::traceparent(trace_id).as_deref(),
            Some("00-0af7651916cd43dd8448eb211c80319c-8448eb211c80319c-01")
        );
        assert_eq!(xray_header(trace_id).as_deref(), Some("Root=1-0af76519-16cd43dd8448eb211c80319c;Sampled=1"));
        for bad in ["", "abc", "0AF7651916cd43dd8448eb211c80319c", "0af7651916cd43dd0000000000000000"] {
            assert_eq!((trace::traceparent(bad), xray_header(bad)), (None, None), "{bad}");
        }
    }
}
