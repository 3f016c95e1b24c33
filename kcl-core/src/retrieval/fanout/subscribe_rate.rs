//! Limits subscribe calls to one a second per shard, across consecutive readers of the shard.

use crate::clock::Time;
use crate::record::ShardId;
use std::collections::HashMap;
use std::time::Duration;

/// AWS allows one SubscribeToShard call per second for each consumer and shard (API reference:
/// SubscribeToShard). The margin is for clock differences and network delays.
const INTERVAL: Duration = Duration::from_millis(1_050);

/// The earliest time of each shard's next call.
#[derive(Debug, Default)]
pub(super) struct SubscribeRateLimiter {
    next: HashMap<ShardId, Time>,
}

impl SubscribeRateLimiter {
    /// Returns the time when a call that is requested at `now` may be sent, and counts it.
    pub(super) fn take(&mut self, shard: &ShardId, now: Time) -> Time {
        // Entries in the past have no effect; shards come and go.
        self.next.retain(|_, next| *next > now);
        let at = self.next.get(shard).copied().unwrap_or(now).max(now);
        self.next.insert(shard.clone(), at + INTERVAL);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_for_one_shard_are_a_second_apart_and_those_for_others_are_not() {
        let (mut rate_limiter, a, b) = (SubscribeRateLimiter::default(), ShardId::from("a"), ShardId::from("b"));
        let ms = |ms| Time::from_origin(Duration::from_millis(ms));
        assert_eq!(rate_limiter.take(&a, ms(5_000)), ms(5_000));
        assert_eq!(rate_limiter.take(&a, ms(5_010)), ms(6_050));
        assert_eq!(rate_limiter.take(&b, ms(5_020)), ms(5_020));
        assert_eq!(rate_limiter.take(&a, ms(9_000)), ms(9_000));
        assert_eq!(rate_limiter.next.len(), 1, "past entries are removed");
    }
}
