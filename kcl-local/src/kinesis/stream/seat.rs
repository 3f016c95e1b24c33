//! Who may be told of a shard in a consumer's name: one subscription at a time.

use std::time::Duration;

use crate::kinesis::throttle::FanOutBudget;
use crate::kinesis::{EngineTime, SubscriptionId};

/// AWS: a second call within five seconds of a successful one is refused, a later one acquires over.
const UNDISTURBED: Duration = Duration::from_secs(5);

/// The place of one consumer at one shard.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    holder: Option<SubscriptionId>,
    taken: Option<EngineTime>,
    pub(crate) budget: FanOutBudget,
}

impl Seat {
    /// Whether a subscription may take it now. `strictly`: a holder that has left keeps it for its first five seconds too.
    pub(crate) fn is_free(&self, now: EngineTime, strictly: bool) -> bool {
        let may_be_taken_over = self.taken.is_none_or(|taken| now >= taken.plus(UNDISTURBED));
        may_be_taken_over || (self.holder.is_none() && !strictly)
    }

    /// Whoever held it before holds it no longer.
    pub(crate) fn take(&mut self, subscription: SubscriptionId, now: EngineTime) {
        self.holder = Some(subscription);
        self.taken = Some(now);
    }

    pub(crate) fn is_held_by(&self, subscription: SubscriptionId) -> bool {
        self.holder == Some(subscription)
    }

    /// Does nothing if another holds it by now.
    pub(crate) fn leave(&mut self, subscription: SubscriptionId) {
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
    fn a_seat_is_taken_over_after_five_seconds_and_not_before() {
        let mut seat = Seat::default();
        assert!(seat.is_free(at(0), true));
        seat.take(FIRST, at(0));
        assert!(!seat.is_free(at(4999), false));
        assert!(seat.is_free(at(5000), true));
        seat.take(SECOND, at(5000));
        assert!(!seat.is_held_by(FIRST) && seat.is_held_by(SECOND));
        seat.leave(FIRST);
        assert!(seat.is_held_by(SECOND));
    }

    #[test]
    fn a_seat_that_was_left_is_free_at_once_unless_the_rule_is_strict() {
        let mut seat = Seat::default();
        seat.take(FIRST, at(0));
        seat.leave(FIRST);
        assert!(seat.is_free(at(1), false));
        assert!(!seat.is_free(at(4999), true));
        assert!(seat.is_free(at(5000), true));
    }
}
