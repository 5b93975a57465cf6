//! Fleet-wide limits, for tools whose upstream is rate-limited: a function instance cannot know how many others call
//! it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::config::HttpSettings;
use shared::limits::{Slot, Slots};
use shared::observability;
use shared::tools::Tool;

use crate::error::ApiError;
use crate::limits::full;

/// After this time a call no longer counts; API Gateway has timed out before.
const SLOT_TTL: Duration = Duration::from_secs(35);

/// Slots shared by the whole fleet, if there is a store for them.
#[derive(Clone, Default)]
pub struct FleetLimits {
    slots: Option<Arc<dyn Slots>>,
    limits: BTreeMap<String, usize>,
    wait_slots: usize,
}

/// Whether a request may wait for a job.
#[derive(Debug)]
pub enum Wait {
    /// It may; the slot, if any, must be released.
    Allowed(Option<Slot>),
    /// All wait slots are taken, or their number is unknown: the response is sent without waiting.
    No,
}

impl FleetLimits {
    /// Creates limits that apply to all processes together.
    pub fn new(slots: Option<Arc<dyn Slots>>, settings: &HttpSettings) -> Self {
        Self { slots, limits: settings.fast_limits.clone(), wait_slots: settings.wait_slots }
    }

    /// Acquires a slot for a tool that calls NCBI each time. If the slots are unreachable, the call is allowed: NCBI is
    /// still protected by its rate limiter, without which no request starts.
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

    /// Acquires a slot for a request that waits for a job: it occupies a whole function instance meanwhile.
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

    pub async fn release(&self, slot: Option<Slot>) {
        let (Some(slots), Some(slot)) = (&self.slots, slot) else { return };
        if let Err(error) = slots.release_slot(&slot).await {
            tracing::warn!(error = observability::chain(&error), "a slot could not be released; it will expire");
        }
    }
}
