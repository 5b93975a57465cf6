//! The simulated SQS event source mapping behaves as AWS documents, case by case; messages of the queue adapter are
//! delivered through it.

use serde_json::{Value, json};
use shared::core::{JobId, UnitId};
use shared::queue::{Queue, SqsQueue, WakeUp};
use std::time::Duration;
use tests::aws::{self, Queues};
use tests::event_source::{EventSource, acknowledged, event};
use tests::lambda::Crashed;
use tests::s3;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn wake_up() -> WakeUp {
    WakeUp { job_id: JobId::new(), unit_id: UnitId::new(), trace_id: TRACE.to_owned() }
}

async fn send(queues: &Queues, endpoint: &str, n: usize) -> Vec<WakeUp> {
    let queue = SqsQueue::new(&queues.url, &s3::config(endpoint));
    let wake_ups: Vec<WakeUp> = (0..n).map(|_| wake_up()).collect();
    for sent in queue.wake(&wake_ups).await {
        sent.expect("taken");
    }
    wake_ups
}

#[tokio::test]
async fn wake_ups_arrive_with_their_trace_in_every_spelling() {
    let Some(endpoint) = aws::endpoint() else { return };
    let queues = Queues::new(&s3::config(&endpoint), 60, 5).await;
    // More than one batch.
    let sent = send(&queues, &endpoint, 23).await;
    let source = EventSource::new(&queues, 10);
    let mut arrived = Vec::new();
    while arrived.len() < sent.len() {
        let messages = source.receive().await;
        let event = event(&messages);
        for record in event["Records"].as_array().expect("records") {
            let body = record["body"].as_str().expect("text");
            assert!(body.len() < 4096, "a message is ids and a trace");
            arrived.push(serde_json::from_str::<WakeUp>(body).expect("a wake-up"));
            let traceparent = &record["messageAttributes"]["traceparent"];
            assert_eq!(traceparent["dataType"], "String");
            assert_eq!(traceparent["stringValue"], format!("00-{TRACE}-8448eb211c80319c-01"));
        }
    }
    let key = |wake_up: &WakeUp| wake_up.unit_id.0;
    arrived.sort_by_key(key);
    let mut sent = sent;
    sent.sort_by_key(key);
    assert_eq!(arrived, sent);
}

#[tokio::test]
async fn a_missing_queue_is_an_error_of_each_entry() {
    let Some(endpoint) = aws::endpoint() else { return };
    let queue = SqsQueue::new(format!("{endpoint}/000000000000/no-such-queue"), &s3::config(&endpoint));
    let sent = queue.wake(&[wake_up(), wake_up()]).await;
    assert!(sent.len() == 2 && sent.iter().all(Result::is_err), "{sent:?}");
    queue.check().await.expect_err("it is not there");
    queue.delay("no receipt", Duration::from_secs(1)).await.expect_err("nor is a message");
}

/// The responses that a function may return, and which of two messages each acknowledges.
#[tokio::test]
async fn responses_are_read_as_documented() {
    let Some(endpoint) = aws::endpoint() else { return };
    let queues = Queues::new(&s3::config(&endpoint), 60, 5).await;
    send(&queues, &endpoint, 2).await;
    let source = EventSource::new(&queues, 10);
    let mut messages = source.receive().await;
    while messages.len() < 2 {
        messages.extend(source.receive().await);
    }
    let id = |n: usize| messages[n].message_id.clone().expect("an id");
    let failures = |ids: &[Value]| {
        let failures: Vec<Value> = ids.iter().map(|id| json!({ "itemIdentifier": id })).collect();
        json!({ "batchItemFailures": failures })
    };
    let both = vec![id(0), id(1)];
    let none: Vec<String> = Vec::new();
    for (response, done) in [
        (Value::Null, both.clone()),
        (json!({}), both.clone()),
        (failures(&[]), both.clone()),
        (json!({ "batchItemFailures": null }), both.clone()),
        (failures(&[json!(id(0))]), vec![id(1)]),
        (failures(&[json!(id(0)), json!(id(1))]), none.clone()),
        (failures(&[json!("")]), none.clone()),
        (failures(&[Value::Null]), none.clone()),
        (failures(&[json!("unknown")]), none.clone()),
        (failures(&[json!(id(0)), json!("unknown")]), none.clone()),
        (json!({ "batchItemFailures": [{ "itemIdentifer": id(0) }] }), none.clone()),
        (json!({ "batchItemFailures": "none" }), none.clone()),
        (json!("text"), none.clone()),
    ] {
        let acknowledged = acknowledged(&messages, Some(&response));
        let acknowledged: Vec<String> = acknowledged.iter().filter_map(|message| message.message_id.clone()).collect();
        assert_eq!(acknowledged, done, "{response}");
    }
    assert!(acknowledged(&messages, None).is_empty(), "an error acknowledges nothing");
}

#[tokio::test]
async fn unacknowledged_messages_are_redelivered_and_become_dead_letters() {
    let Some(endpoint) = aws::endpoint() else { return };
    // Hidden for one second, a dead letter after two receives.
    let queues = Queues::new(&s3::config(&endpoint), 1, 2).await;
    send(&queues, &endpoint, 1).await;
    let source = EventSource::new(&queues, 10);
    let mut received = Vec::new();
    while queues.count(&queues.dead_url).await == 0 {
        let polled = source
            .poll(async |event: Value| {
                let record = &event["Records"][0];
                received.push(record["attributes"]["ApproximateReceiveCount"].as_str().map(str::to_owned));
                Err(Crashed("out of memory".to_owned()))
            })
            .await;
        assert_eq!(polled.1, 0, "an error deletes nothing");
    }
    assert_eq!(received, [Some("1".to_owned()), Some("2".to_owned())]);
    assert_eq!(queues.count(&queues.url).await, 0);
}

#[tokio::test]
async fn a_throttled_invocation_uses_up_a_receive_and_the_rest_of_a_batch_is_deleted() {
    let Some(endpoint) = aws::endpoint() else { return };
    let queues = Queues::new(&s3::config(&endpoint), 1, 10).await;
    let queue = SqsQueue::new(&queues.url, &s3::config(&endpoint));
    send(&queues, &endpoint, 3).await;
    let source = EventSource::new(&queues, 10);
    let throttled = source.poll(async |_| Err(Crashed("Rate Exceeded".to_owned()))).await;
    assert_eq!(throttled.1, 0);
    let mut left = 3;
    let mut kept = None;
    while left > 1 {
        let (_, done) = source
            .poll(async |event: Value| {
                let records = event["Records"].as_array().expect("records");
                let failed: Vec<&Value> = records
                    .iter()
                    .filter(|record| kept.get_or_insert_with(|| record["messageId"].clone()) == &record["messageId"])
                    .collect();
                for record in &failed {
                    // Makes it visible again at once.
                    queue.delay(record["receiptHandle"].as_str().expect("text"), Duration::ZERO).await.expect("done");
                }
                let failed: Vec<Value> =
                    failed.iter().map(|record| json!({ "itemIdentifier": record["messageId"] })).collect();
                Ok(json!({ "batchItemFailures": failed }))
            })
            .await;
        left -= done;
    }
    let again = loop {
        let messages = source.receive().await;
        if let Some(message) = messages.into_iter().next() {
            break message;
        }
    };
    assert_eq!(again.message_id.map(Value::from), kept);
    let receives =
        &again.attributes.expect("some")[&aws_sdk_sqs::types::MessageSystemAttributeName::ApproximateReceiveCount];
    assert!(receives.parse::<u32>().expect("a number") >= 3, "throttled, failed, and this one: {receives}");
}
