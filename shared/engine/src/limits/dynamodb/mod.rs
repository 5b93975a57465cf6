//! Limits of a fleet as items of one DynamoDB table, each with a few conditional updates of one item.
//!
//! | item (`pk`) | attributes | what |
//! |---|---|---|
//! | `pace#{upstream}` | `next_ms` | when the next request to a server may start |
//! | `slots#{tool}` | `holders`: `{holder: expires_ms}` | callers of a tool with a rate-limited upstream |
//! | `lease#{name}` | `version`, `owner`, `since_ms`, `expires_ms` | holder of work that only one process may do |
//!
//! Times are milliseconds since 1970 by the clock of the process that writes them; conditions compare stored values, so
//! that a slightly wrong clock wastes reservations and lets no request start early. Values of a clock that was ahead by
//! more than a minute are rejected: slots that last too long and leases acquired in the future count as expired,
//! reservations are pulled back when they have not changed for a minute.

mod lease;
mod rate_limiter;
mod slots;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::OnceCell;

use crate::aws::{self, AwsConfig, AwsError};
use crate::limits::{Leases, SharedLimits, Slots};
use bio_mcp_core::clock;
use bio_mcp_core::rate_limiter::RateLimiter;

pub use rate_limiter::DynamoRateLimiter;

/// The attributes of an item.
type Item = HashMap<String, AttributeValue>;

/// The table is unavailable.
#[derive(Debug, thiserror::Error)]
#[error("the limits table returned an invalid response")]
pub struct TableError(#[source] AwsError);

/// A table of limits; its client is created at its first use.
#[derive(Clone, Debug)]
pub struct LimitsTable {
    name: Arc<str>,
    config: AwsConfig,
    client: Arc<OnceCell<Client>>,
}

impl LimitsTable {
    /// Does no I/O.
    pub fn new(name: &str, config: impl Into<AwsConfig>) -> Self {
        Self { name: name.into(), config: config.into(), client: Arc::default() }
    }

    async fn client(&self) -> &Client {
        self.client.get_or_init(|| async { client_of(self.config.get().await) }).await
    }

    /// Starts an update of one item.
    async fn update(&self, kind: &str, name: &str) -> UpdateItemFluentBuilder {
        let key = AttributeValue::S(format!("{kind}#{name}"));
        self.client().await.update_item().table_name(&*self.name).key("pk", key)
    }
}

impl SharedLimits for LimitsTable {
    fn rate_limiter(&self, upstream: &str, per_second: u32) -> Arc<dyn RateLimiter> {
        Arc::new(DynamoRateLimiter::new(self.clone(), upstream, per_second))
    }

    fn leases(&self) -> Arc<dyn Leases> {
        Arc::new(self.clone())
    }

    fn slots(&self) -> Option<Arc<dyn Slots>> {
        Some(Arc::new(self.clone()))
    }
}

fn client_of(config: &aws_config::SdkConfig) -> Client {
    let config = aws_sdk_dynamodb::config::Builder::from(config);
    Client::from_conf(config.timeout_config(aws::short_timeouts()).build())
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn read_number(item: Option<&Item>, name: &str) -> Option<i64> {
    item?.get(name)?.as_n().ok()?.parse().ok()
}

fn now_ms() -> i64 {
    clock::now().timestamp_millis()
}

/// The latest possible expiry of anything that is held for at most `longest`, by any clock that is correct to a minute.
fn too_far(now: i64, longest: std::time::Duration) -> i64 {
    now.saturating_add(i64::try_from(longest.as_millis()).unwrap_or(i64::MAX)).saturating_add(60_000)
}

/// Result of a conditional update.
enum Updated {
    /// It was applied; the requested attributes.
    Done(Item),
    /// The condition was not met; the item at that time, if requested.
    Refused(Option<Item>),
}

async fn send(update: UpdateItemFluentBuilder) -> Result<Updated, TableError> {
    match update.send().await {
        Ok(done) => Ok(Updated::Done(done.attributes.unwrap_or_default())),
        Err(SdkError::ServiceError(error)) => match error.err() {
            UpdateItemError::ConditionalCheckFailedException(refused) => Ok(Updated::Refused(refused.item.clone())),
            _ => Err(TableError(AwsError::from(&SdkError::ServiceError(error)))),
        },
        Err(error) => Err(TableError(AwsError::from(&error))),
    }
}
