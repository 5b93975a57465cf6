//! Secrets kept by AWS Secrets Manager, named by ARN in the environment.

use tokio::sync::OnceCell;

use aws_sdk_secretsmanager::Client;

use crate::aws::{self, AwsError};
use crate::words::config::Secret;

/// A secret could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the secret of {name} cannot be read: check its ARN and that the role may read it")]
pub struct SecretError {
    /// The variable that names it.
    pub name: String,
    /// Why.
    pub source: AwsError,
}

static CLIENT: OnceCell<Client> = OnceCell::const_new();

async fn client() -> &'static Client {
    CLIENT
        .get_or_init(|| async {
            let config = aws_sdk_secretsmanager::config::Builder::from(aws::config().await);
            Client::from_conf(config.timeout_config(aws::short_timeouts()).build())
        })
        .await
}

/// The text of a secret; `name` is the variable that has the ARN.
pub async fn read(name: &str, arn: &str) -> Result<Secret, SecretError> {
    let answer = client().await.get_secret_value().secret_id(arn).send().await;
    let failed = |source| SecretError { name: name.to_owned(), source };
    let answer = answer.map_err(|error| failed(AwsError::from(&error)))?;
    let text = answer.secret_string().ok_or_else(|| failed(AwsError::of("it is not text")))?;
    Ok(Secret::new(text))
}
