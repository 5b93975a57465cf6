//! Slots: how many calls of a tool, or of anything else with a name, all programs of a deployment may have under way
//! at a time.
//!
//! A slot runs out by itself, so that a holder that dies keeps no other waiting.

use std::time::Duration;

use async_trait::async_trait;

/// A held slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What it is for.
    pub(super) name: String,
    /// Which of its holders this is.
    pub(super) holder: String,
}

/// Slots cannot be taken or released now.
#[derive(Debug, thiserror::Error)]
#[error("slots cannot be reached")]
pub struct SlotError(#[source] pub(super) Box<dyn std::error::Error + Send + Sync>);

/// Where slots are kept.
#[async_trait]
pub trait Slots: Send + Sync {
    /// A slot among the `limit` of a name, for `ttl` unless it is released before; nothing when all are held.
    async fn take_slot(&self, name: &str, limit: usize, ttl: Duration) -> Result<Option<Slot>, SlotError>;

    /// Releases a slot; one that was released or has run out is left alone.
    async fn release_slot(&self, slot: &Slot) -> Result<(), SlotError>;
}
