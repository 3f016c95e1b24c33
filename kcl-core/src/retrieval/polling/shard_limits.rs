//! Keeps what is known of a shard's limits from one reader to the next.
//!
//! A reader may live only briefly, for example while a subscription is replaced, or after a stalled
//! reader. The shard counts the calls of all of them.

use super::batch_size::BatchSizeTuner;
use super::pace::Pace;
use crate::clock::Time;
use crate::config::PollingConfig;
use crate::record::ShardId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the limits of a shard without a reader are kept.
const KEPT: Duration = Duration::from_secs(60);

/// The limits of one shard.
#[derive(Debug)]
pub(super) struct ShardLimits {
    pub(super) pace: Pace,
    pub(super) batch_size: BatchSizeTuner,
    /// No call may be sent before this time.
    pub(super) not_before: Time,
}

/// The limits of one shard, shared by its readers.
#[derive(Clone, Debug)]
pub(super) struct SharedLimits(Arc<Mutex<ShardLimits>>);

impl SharedLimits {
    pub(super) fn lock(&self) -> MutexGuard<'_, ShardLimits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limits of all shards of a stream.
#[derive(Debug, Default)]
pub(super) struct StreamLimits(HashMap<ShardId, SharedLimits>);

impl StreamLimits {
    /// Returns the limits for a reader that starts now.
    pub(super) fn begin(&mut self, shard: &ShardId, config: PollingConfig, now: Time) -> SharedLimits {
        self.0.retain(|_, of| Arc::strong_count(&of.0) > 1 || now.since(of.lock().not_before) < KEPT);
        let begin = || ShardLimits {
            pace: Pace::new(config),
            batch_size: BatchSizeTuner::new(config.max_records),
            not_before: now,
        };
        let of = self.0.entry(shard.clone()).or_insert_with(|| SharedLimits(Arc::new(Mutex::new(begin()))));
        let mut limits = of.lock();
        limits.not_before = limits.pace.reset_for_next_reader().max(now);
        drop(limits);
        of.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept_while_a_reader_lives_and_for_a_minute_after() {
        let (mut stream, config) = (StreamLimits::default(), PollingConfig::from(&crate::Settings::default()));
        let (a, b, at) = (ShardId::from("a"), ShardId::from("b"), |secs| Time::ZERO + Duration::from_secs(secs));
        let first = stream.begin(&a, config, at(0));
        stream.begin(&b, config, at(59));
        let second = stream.begin(&a, config, at(59));
        assert!(Arc::ptr_eq(&first.0, &second.0), "another reader, the same minute");
        drop(first);
        stream.begin(&b, config, at(500));
        assert_eq!(stream.0.len(), 2, "a reader lives");
        drop(second);
        stream.begin(&b, config, at(600));
        assert_eq!(stream.0.len(), 1);
    }
}
