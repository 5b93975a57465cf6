//! Slots: the number of concurrent calls of a tool, or of any other named operation, in all programs of a deployment.
//!
//! A slot expires, so that a holder that dies does not block others.

use std::time::Duration;

use async_trait::async_trait;

/// A held slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Name of the tool or operation.
    pub(super) name: String,
    /// Id of the holder.
    pub(super) holder: String,
}

/// Slots cannot be acquired or released now.
#[derive(Debug, thiserror::Error)]
#[error("slots cannot be reached")]
pub struct SlotError(#[source] pub(super) Box<dyn std::error::Error + Send + Sync>);

/// The storage of slots.
#[async_trait]
pub trait Slots: Send + Sync {
    /// Acquires one of the `limit` slots of a name, for `ttl` unless it is released before; none if all are held.
    async fn take_slot(&self, name: &str, limit: usize, ttl: Duration) -> Result<Option<Slot>, SlotError>;

    /// Releases a slot; does nothing if it was released or has expired.
    async fn release_slot(&self, slot: &Slot) -> Result<(), SlotError>;
}
