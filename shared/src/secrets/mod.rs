//! Secrets in AWS Secrets Manager, named by ARN in the environment.

use crate::aws;
use crate::config::{NeedsAws, Secret, secret_arns};
use crate::observability;

/// A secret could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the secret of {name} cannot be read: check its ARN and that the role may read it")]
pub struct SecretError {
    /// The variable that contains its ARN.
    pub name: String,
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Reads the text of a secret; `name` is the variable that contains its ARN.
pub async fn read(name: &str, arn: &str) -> Result<Secret, SecretError> {
    let secret = match aws::services() {
        Some(aws) => aws.secret(arn).await,
        None => Err(NeedsAws(format!("{name}_SECRET_ARN")).into()),
    };
    secret.map_err(|source| SecretError { name: name.to_owned(), source })
}

/// Reads a secret again after the credentials in it were refused: it may have changed since this program started.
#[derive(Debug)]
pub struct Renewal {
    name: &'static str,
    arn: String,
}

impl Renewal {
    /// The renewal of a variable, if the environment names its secret by ARN.
    pub fn of(name: &'static str) -> Option<Self> {
        let (name, arn) = secret_arns().into_iter().find(|(one, _)| *one == name)?;
        Some(Self { name, arn })
    }

    /// Reads the current secret; none if that fails, which is logged.
    pub async fn read(&self) -> Option<Secret> {
        tracing::warn!(secret = self.name, "the credentials were refused: reading the secret again");
        let secret = read(self.name, &self.arn).await;
        secret
            .inspect_err(|error| {
                tracing::error!(error = observability::chain(error), "the secret could not be read again");
            })
            .ok()
    }
}
