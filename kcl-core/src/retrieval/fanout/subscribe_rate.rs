//! At most one subscribe call a second for a shard, whoever makes it: a reader, or the one that replaces it.

use crate::clock::Time;
use crate::record::ShardId;
use std::collections::HashMap;
use std::time::Duration;

/// AWS: one SubscribeToShard a second for each consumer and shard. Ours are a little further apart, as its clock and the way
/// there are not ours.
const APART: Duration = Duration::from_millis(1_050);

/// When each shard may be subscribed to again.
#[derive(Debug, Default)]
pub(super) struct SubscribeRateLimiter {
    next: HashMap<ShardId, Time>,
}

impl SubscribeRateLimiter {
    /// When a call that wants to be made now may be made; it counts as made then.
    pub(super) fn take(&mut self, shard: &ShardId, now: Time) -> Time {
        // What is over says nothing any more: shards come and go.
        self.next.retain(|_, next| *next > now);
        let at = self.next.get(shard).copied().unwrap_or(now).max(now);
        self.next.insert(shard.clone(), at + APART);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_for_one_shard_are_a_second_apart_and_those_for_others_are_not() {
        let (mut turns, a, b) = (SubscribeRateLimiter::default(), ShardId::from("a"), ShardId::from("b"));
        let ms = |ms| Time::from_origin(Duration::from_millis(ms));
        assert_eq!(turns.take(&a, ms(5_000)), ms(5_000));
        assert_eq!(turns.take(&a, ms(5_010)), ms(6_050));
        assert_eq!(turns.take(&b, ms(5_020)), ms(5_020));
        assert_eq!(turns.take(&a, ms(9_000)), ms(9_000));
        assert_eq!(turns.next.len(), 1, "what is over is forgotten");
    }
}
