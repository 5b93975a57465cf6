//! AWS as every adapter sees it: one configuration and one HTTP client, on the one TLS stack of this program, made
//! when the first of them is used.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

static CONFIG: OnceCell<SdkConfig> = OnceCell::const_new();

/// HTTP for the SDK.
pub fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// Region, credentials and endpoints of the usual AWS variables and files, read when the first adapter needs them.
pub fn config() -> BoxFuture<'static, &'static SdkConfig> {
    CONFIG
        .get_or_init(|| async {
            let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client()).load().await;
            without_empty(&config)
        })
        .boxed()
}

/// The same, with endpoints that are empty taken as not set: SAM's local functions see only variables that the template
/// declares, so it declares AWS_ENDPOINT_URL without a value.
fn without_empty(config: &SdkConfig) -> SdkConfig {
    config.clone().into_builder().service_config(Given(config.clone())).build()
}

/// What a configuration says for single services, where it says something.
#[derive(Debug)]
struct Given(SdkConfig);

impl LoadServiceConfig for Given {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        self.0.service_config()?.load_config(key).filter(|value| !value.trim().is_empty())
    }
}

/// How long a request of a small service may take.
pub fn short_timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(15))
        .build()
}

/// A failed request by its code alone: messages may repeat what was sent.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AwsError(String);

impl AwsError {
    /// One of another kind.
    pub fn of(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl<E: ProvideErrorMetadata> From<&SdkError<E, Response>> for AwsError {
    fn from(error: &SdkError<E, Response>) -> Self {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
        Self(match (error, status, code) {
            (SdkError::TimeoutError(_), ..) => "no answer in time".to_owned(),
            (SdkError::DispatchFailure(failure), ..) if failure.is_timeout() => "no answer in time".to_owned(),
            (SdkError::DispatchFailure(failure), ..) if failure.is_io() => "the connection failed".to_owned(),
            (SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_), ..) => {
                "the request could not be sent: is the server there, and are AWS region and credentials set?".to_owned()
            }
            (_, Some(status), Some(code)) => format!("{code} (HTTP {status})"),
            (_, Some(status), None) => format!("HTTP {status}"),
            _ => "the answer is not one".to_owned(),
        })
    }
}
