//! AWS as the rest of this program sees it. The adapters are the feature `aws`: a program that is built without it has
//! none of them, and none of the SDK's crates.

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

/// The services of AWS that a deployment can use. Where it is not said otherwise, nothing is requested before the
/// first use.
#[async_trait]
pub trait Services: Send + Sync {
    /// The store in a bucket.
    fn bucket(&self, settings: S3Settings) -> Arc<dyn Store>;

    /// The store in a bucket that is found to keep versions, at once.
    async fn open_bucket(&self, settings: S3Settings) -> Result<Arc<dyn Store>, OpenError>;

    /// The queue of a URL.
    fn queue(&self, url: &str) -> Arc<dyn Queue>;

    /// The limits in a table.
    fn limits(&self, table: &str) -> Arc<dyn SharedLimits>;

    /// Reads the text of a secret, at once.
    async fn secret(&self, arn: &str) -> Result<Secret, Box<dyn std::error::Error + Send + Sync>>;
}

/// AWS, if this program was built with it.
#[cfg(feature = "aws")]
pub fn services() -> Option<&'static dyn Services> {
    Some(&sdk::Sdk)
}

/// AWS, if this program was built with it.
#[cfg(not(feature = "aws"))]
pub fn services() -> Option<&'static dyn Services> {
    None
}
