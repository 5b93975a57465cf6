//! Limits of the whole fleet, for tools whose upstream is scarce: each function alone cannot know how many others ask.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::config::HttpSettings;
use shared::limits::{Slot, Slots};
use shared::observability;
use shared::tools::Tool;

use crate::error::ApiError;
use crate::limits::full;

/// A call that has not ended by then does not count any more; API Gateway gave it up before.
const SLOT_TTL: Duration = Duration::from_secs(35);

/// Slots of the whole fleet, where it keeps them.
#[derive(Clone, Default)]
pub struct FleetLimits {
    slots: Option<Arc<dyn Slots>>,
    limits: BTreeMap<String, usize>,
    wait_slots: usize,
}

/// Whether a request may wait.
#[derive(Debug)]
pub enum Wait {
    /// It may; the slot is to be released where there is one.
    Allowed(Option<Slot>),
    /// All wait slots are taken, or their number is unknown: the response is sent at once.
    No,
}

impl FleetLimits {
    /// The limits of one process hold for all together.
    pub fn new(slots: Option<Arc<dyn Slots>>, settings: &HttpSettings) -> Self {
        Self { slots, limits: settings.fast_limits.clone(), wait_slots: settings.wait_slots }
    }

    /// A slot for a call of a tool that asks NCBI each time. Slots that are out of reach keep no call from reading:
    /// NCBI is then protected by its pace, without which no request starts.
    pub async fn acquire(&self, tool: &Tool) -> Result<Option<Slot>, ApiError> {
        let (Some(slots), Some(limit)) = (&self.slots, self.limits.get(tool.name)) else { return Ok(None) };
        if !tool.rate_limited_upstream {
            return Ok(None);
        }
        match slots.take_slot(tool.name, *limit, SLOT_TTL).await {
            Ok(Some(slot)) => Ok(Some(slot)),
            Ok(None) => Err(full(&format!("too many calls of {} are in flight", tool.name)).of_tool(tool.name)),
            Err(error) => {
                tracing::warn!(error = observability::chain(&error), "no slot could be taken; continuing without one");
                Ok(None)
            }
        }
    }

    /// A slot for a request that waits for a job, which keeps a whole function from serving anything else.
    pub async fn acquire_wait(&self) -> Wait {
        let Some(slots) = &self.slots else { return Wait::Allowed(None) };
        match slots.take_slot("wait", self.wait_slots, SLOT_TTL).await {
            Ok(Some(slot)) => Wait::Allowed(Some(slot)),
            Ok(None) => Wait::No,
            Err(error) => {
                tracing::warn!(
                    error = observability::chain(&error),
                    "slots are unavailable; responding without waiting"
                );
                Wait::No
            }
        }
    }

    /// Releases it.
    pub async fn release(&self, slot: Option<Slot>) {
        let (Some(slots), Some(slot)) = (&self.slots, slot) else { return };
        if let Err(error) = slots.release_slot(&slot).await {
            tracing::warn!(error = observability::chain(&error), "a slot could not be released; it will expire");
        }
    }
}
