//! The AWS adapters. They share one configuration, one HTTP client and this program's only TLS stack, created at first
//! use.

use std::sync::Arc;

use async_trait::async_trait;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use bio_mcp_core::Secret;
use bio_mcp_engine::aws::AwsConfig;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use super::{Services, secrets_manager};
use crate::archive::{LazyStore, OpenError, S3Settings, S3Store, Store};
use crate::limits::SharedLimits;
use crate::limits::dynamodb::LimitsTable;
use crate::queue::{Queue, SqsQueue};

/// The AWS services through the SDK.
pub struct Sdk;

#[async_trait]
impl Services for Sdk {
    fn bucket(&self, settings: S3Settings) -> Arc<dyn Store> {
        Arc::new(LazyStore::new(settings, config))
    }

    async fn open_bucket(&self, settings: S3Settings) -> Result<Arc<dyn Store>, OpenError> {
        Ok(Arc::new(Box::pin(S3Store::open(settings, config().await)).await?))
    }

    fn queue(&self, url: &str) -> Arc<dyn Queue> {
        Arc::new(SqsQueue::new(url, AwsConfig::Later(config)))
    }

    fn limits(&self, table: &str) -> Arc<dyn SharedLimits> {
        Arc::new(LimitsTable::new(table, AwsConfig::Later(config)))
    }

    async fn secret(&self, arn: &str) -> Result<Secret, Box<dyn std::error::Error + Send + Sync>> {
        Ok(secrets_manager::read(arn).await?)
    }
}

static CONFIG: OnceCell<SdkConfig> = OnceCell::const_new();

/// HTTP client of the SDK.
pub fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// Region, credentials and endpoints from the usual AWS variables and files, read when the first adapter needs them.
pub fn config() -> BoxFuture<'static, &'static SdkConfig> {
    CONFIG
        .get_or_init(|| async {
            let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client()).load().await;
            without_empty(&config)
        })
        .boxed()
}

/// Treats empty endpoints as not set: SAM's local functions see only variables that the template declares, so it
/// declares AWS_ENDPOINT_URL without a value.
fn without_empty(config: &SdkConfig) -> SdkConfig {
    config.clone().into_builder().service_config(Given(config.clone())).build()
}

/// Service-specific settings; empty values count as not set.
#[derive(Debug)]
struct Given(SdkConfig);

impl LoadServiceConfig for Given {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        self.0.service_config()?.load_config(key).filter(|value| !value.trim().is_empty())
    }
}
