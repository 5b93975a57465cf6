//! Reads secrets from AWS Secrets Manager.

use aws_sdk_secretsmanager::Client;
use bio_mcp_core::Secret;
use bio_mcp_engine::aws::{AwsError, short_timeouts};
use tokio::sync::OnceCell;

use super::sdk;

static CLIENT: OnceCell<Client> = OnceCell::const_new();

async fn client() -> &'static Client {
    CLIENT
        .get_or_init(|| async {
            let config = aws_sdk_secretsmanager::config::Builder::from(sdk::config().await);
            Client::from_conf(config.timeout_config(short_timeouts()).build())
        })
        .await
}

/// Returns the text of a secret.
pub async fn read(arn: &str) -> Result<Secret, AwsError> {
    let answer = client().await.get_secret_value().secret_id(arn).send().await;
    let answer = answer.map_err(|error| AwsError::from(&error))?;
    let text = answer.secret_string().ok_or_else(|| AwsError::of("it is not text"))?;
    Ok(Secret::new(text))
}
