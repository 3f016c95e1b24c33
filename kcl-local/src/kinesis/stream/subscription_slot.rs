//! The subscription slot of one consumer at one shard, which one subscription holds at a time.

use std::time::Duration;

use crate::kinesis::throttle::FanOutBudget;
use crate::kinesis::{EngineTime, SubscriptionId};

/// AWS: within five seconds after a successful SubscribeToShard another call is refused with
/// ResourceInUseException; a later call takes over
/// (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html>).
const TAKEOVER_DELAY: Duration = Duration::from_secs(5);

/// The subscription slot of one consumer at one shard.
#[derive(Debug, Default)]
pub(crate) struct SubscriptionSlot {
    holder: Option<SubscriptionId>,
    occupied_at: Option<EngineTime>,
    pub(crate) budget: FanOutBudget,
}

impl SubscriptionSlot {
    /// Whether a new subscription may occupy the slot now. `strict`: an ended subscription also
    /// keeps the slot for its first five seconds.
    pub(crate) fn is_available(&self, now: EngineTime, strict: bool) -> bool {
        let may_be_taken_over = self.occupied_at.is_none_or(|occupied_at| now >= occupied_at.plus(TAKEOVER_DELAY));
        may_be_taken_over || (self.holder.is_none() && !strict)
    }

    /// Gives the slot to `subscription`; an earlier holder loses it.
    pub(crate) fn occupy(&mut self, subscription: SubscriptionId, now: EngineTime) {
        self.holder = Some(subscription);
        self.occupied_at = Some(now);
    }

    pub(crate) fn is_held_by(&self, subscription: SubscriptionId) -> bool {
        self.holder == Some(subscription)
    }

    /// Frees the slot. Does nothing if another subscription holds it.
    pub(crate) fn release(&mut self, subscription: SubscriptionId) {
        self.holder.take_if(|holder| *holder == subscription);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::ShardId;

    const FIRST: SubscriptionId = SubscriptionId::new(1, ShardId::new(0));
    const SECOND: SubscriptionId = SubscriptionId::new(2, ShardId::new(0));

    fn at(millis: i64) -> EngineTime {
        EngineTime::from_millis(millis)
    }

    #[test]
    fn a_slot_can_be_taken_over_after_five_seconds() {
        let mut slot = SubscriptionSlot::default();
        assert!(slot.is_available(at(0), true));
        slot.occupy(FIRST, at(0));
        assert!(!slot.is_available(at(4999), false));
        assert!(slot.is_available(at(5000), true));
        slot.occupy(SECOND, at(5000));
        assert!(!slot.is_held_by(FIRST) && slot.is_held_by(SECOND));
        slot.release(FIRST);
        assert!(slot.is_held_by(SECOND));
    }

    #[test]
    fn a_released_slot_is_available_at_once_unless_strict() {
        let mut slot = SubscriptionSlot::default();
        slot.occupy(FIRST, at(0));
        slot.release(FIRST);
        assert!(slot.is_available(at(1), false));
        assert!(!slot.is_available(at(4999), true));
        assert!(slot.is_available(at(5000), true));
    }
}
