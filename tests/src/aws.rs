//! Resources on the AWS emulator: queues, tables, secrets.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;

/// URL of the emulator; none, with a message, if none runs.
pub fn endpoint() -> Option<String> {
    let endpoint = crate::variable("BIO_MCP_TEST_AWS_ENDPOINT");
    if endpoint.is_none() {
        eprintln!("SKIPPED: BIO_MCP_TEST_AWS_ENDPOINT names no AWS emulator: run `make test`");
    }
    endpoint
}

/// Environment variables for a program to reach the emulator.
pub fn environment(endpoint: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
    ]
}

fn new_name(kind: &str) -> String {
    format!("{kind}-{}", uuid::Uuid::new_v4().simple())
}

/// A queue and its dead-letter queue.
#[derive(Clone, Debug)]
pub struct Queues {
    pub client: aws_sdk_sqs::Client,
    pub url: String,
    /// URL of the dead-letter queue.
    pub dead_url: String,
}

impl Queues {
    /// Creates a new pair; a message is hidden for `hidden_secs` seconds, and dead after `receives` receives.
    pub async fn new(config: &SdkConfig, hidden_secs: u32, receives: u32) -> Self {
        let client = aws_sdk_sqs::Client::new(config);
        let name = new_name("q");
        let dead = client.create_queue().queue_name(format!("{name}-dead")).send().await.expect("made");
        let dead_url = dead.queue_url.expect("a URL");
        let arn = client.get_queue_attributes().queue_url(&dead_url).attribute_names(QueueAttributeName::QueueArn);
        let arn = arn.send().await.expect("responded").attributes.expect("some")[&QueueAttributeName::QueueArn].clone();
        let redrive = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": receives.to_string() });
        let made = client
            .create_queue()
            .queue_name(&name)
            .attributes(QueueAttributeName::VisibilityTimeout, hidden_secs.to_string())
            .attributes(QueueAttributeName::RedrivePolicy, redrive.to_string());
        let url = made.send().await.expect("made").queue_url.expect("a URL");
        Self { client, url, dead_url }
    }

    /// Number of messages in a queue, visible or hidden.
    pub async fn count(&self, url: &str) -> usize {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let asked = self.client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec()));
        let counts = asked.send().await.expect("responded").attributes.expect("some");
        names.iter().map(|name| counts[name].parse::<usize>().expect("a number")).sum()
    }
}

/// Creates a limits table; returns its name.
pub async fn new_table(config: &SdkConfig) -> String {
    let name = new_name("limits");
    let key = AttributeDefinition::builder().attribute_name("pk").attribute_type(ScalarAttributeType::S).build();
    let hash = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build();
    let client = aws_sdk_dynamodb::Client::new(config);
    let made = client
        .create_table()
        .table_name(&name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(key.expect("complete"))
        .key_schema(hash.expect("complete"));
    made.send().await.expect("made");
    name
}

/// Creates a secret; returns its ARN.
pub async fn new_secret(config: &SdkConfig, text: &str) -> String {
    let client = aws_sdk_secretsmanager::Client::new(config);
    let made = client.create_secret().name(new_name("secret")).secret_string(text).send().await.expect("made");
    made.arn.expect("an ARN")
}

pub async fn change_secret(config: &SdkConfig, arn: &str, text: &str) {
    let client = aws_sdk_secretsmanager::Client::new(config);
    client.put_secret_value().secret_id(arn).secret_string(text).send().await.expect("changed");
}
