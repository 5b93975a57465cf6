//! AWS behind traits. The adapters are the feature `aws`: a program built without it has no adapters, and none of the
//! SDK's crates.

#[cfg(feature = "aws")]
mod sdk;
#[cfg(feature = "aws")]
mod secrets_manager;

use std::sync::Arc;

use async_trait::async_trait;
use bio_mcp_core::Secret;

use crate::archive::{OpenError, S3Settings, Store};
use crate::limits::SharedLimits;
use crate::queue::Queue;

#[cfg(feature = "aws")]
pub use sdk::http_client;

/// The AWS services that a deployment can use. Unless noted otherwise, no request is sent before the first use.
#[async_trait]
pub trait Services: Send + Sync {
    /// A store in an S3 bucket.
    fn bucket(&self, settings: S3Settings) -> Arc<dyn Store>;

    /// A store in an S3 bucket; checks immediately that the bucket keeps versions.
    async fn open_bucket(&self, settings: S3Settings) -> Result<Arc<dyn Store>, OpenError>;

    /// The SQS queue of a URL.
    fn queue(&self, url: &str) -> Arc<dyn Queue>;

    /// Shared limits in a DynamoDB table.
    fn limits(&self, table: &str) -> Arc<dyn SharedLimits>;

    /// Reads the text of a secret immediately.
    async fn secret(&self, arn: &str) -> Result<Secret, Box<dyn std::error::Error + Send + Sync>>;
}

/// The AWS services; none if this program was built without them.
#[cfg(feature = "aws")]
pub fn services() -> Option<&'static dyn Services> {
    Some(&sdk::Sdk)
}

/// The AWS services; none if this program was built without them.
#[cfg(not(feature = "aws"))]
pub fn services() -> Option<&'static dyn Services> {
    None
}
