//! Shared code of the AWS adapters of the engine. The SDK's configuration is created by the caller, and loaded when the
//! first adapter is used.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use futures_util::future::BoxFuture;

/// The SDK's configuration: region, credentials and endpoints.
#[derive(Clone, Debug)]
pub enum AwsConfig {
    /// Already loaded.
    Given(Box<SdkConfig>),
    /// Loaded at its first use, once per process.
    Later(fn() -> BoxFuture<'static, &'static SdkConfig>),
}

impl AwsConfig {
    pub(crate) async fn get(&self) -> &SdkConfig {
        match self {
            Self::Given(config) => config,
            Self::Later(load) => load().await,
        }
    }
}

impl From<&SdkConfig> for AwsConfig {
    fn from(config: &SdkConfig) -> Self {
        Self::Given(Box::new(config.clone()))
    }
}

/// Timeouts for requests to services with short responses.
pub fn short_timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(15))
        .build()
}

/// A failed request, with its code only: messages may repeat content of the request.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AwsError(String);

impl AwsError {
    pub fn of(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl<E: ProvideErrorMetadata> From<&SdkError<E, Response>> for AwsError {
    fn from(error: &SdkError<E, Response>) -> Self {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
        Self(match (error, status, code) {
            (SdkError::TimeoutError(_), ..) => "no response in time".to_owned(),
            (SdkError::DispatchFailure(failure), ..) if failure.is_timeout() => "no response in time".to_owned(),
            (SdkError::DispatchFailure(failure), ..) if failure.is_io() => "the connection failed".to_owned(),
            (SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_), ..) => {
                "the request could not be sent: check that the server is reachable and that the AWS region and \
                 credentials are set"
                    .to_owned()
            }
            (_, Some(status), Some(code)) => format!("{code} (HTTP {status})"),
            (_, Some(status), None) => format!("HTTP {status}"),
            _ => "the response is not valid".to_owned(),
        })
    }
}
