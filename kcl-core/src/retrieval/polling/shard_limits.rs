//! What is known of a shard's limits, kept from one reader of it to the next.
//!
//! A reader may live for moments only: one that bridges the gap between two subscriptions, or follows one that stood. The
//! shard counts the calls of all of them.

use super::batch_size::BatchSizeTuner;
use super::pace::Pace;
use crate::clock::Time;
use crate::config::Settings;
use crate::record::ShardId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// After so long nothing that was shard_limits matters any more.
const KEPT: Duration = Duration::from_secs(60);

/// What is known of one shard.
#[derive(Debug)]
pub(super) struct ShardLimits {
    pub(super) pace: Pace,
    pub(super) amount: BatchSizeTuner,
    /// No call may be sent before.
    pub(super) not_before: Time,
}

/// Of one shard, shared by its readers.
#[derive(Clone, Debug)]
pub(super) struct OfShard(Arc<Mutex<ShardLimits>>);

impl OfShard {
    pub(super) fn lock(&self) -> MutexGuard<'_, ShardLimits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of all shards of a stream.
#[derive(Debug, Default)]
pub(super) struct OfStream(HashMap<ShardId, OfShard>);

impl OfStream {
    /// For a reader that begins now.
    pub(super) fn begin(&mut self, shard: &ShardId, settings: &Settings, now: Time) -> OfShard {
        self.0.retain(|_, of| Arc::strong_count(&of.0) > 1 || now.since(of.lock().not_before) < KEPT);
        let begin = || ShardLimits {
            pace: Pace::new(settings),
            amount: BatchSizeTuner::new(settings.max_records),
            not_before: now,
        };
        let of = self.0.entry(shard.clone()).or_insert_with(|| OfShard(Arc::new(Mutex::new(begin()))));
        let mut shard_limits = of.lock();
        shard_limits.not_before = shard_limits.pace.begin_anew().max(now);
        drop(shard_limits);
        of.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_while_a_reader_lives_and_a_minute_longer() {
        let (mut stream, settings) = (OfStream::default(), Settings::default());
        let (a, b, at) = (ShardId::from("a"), ShardId::from("b"), |secs| Time::ZERO + Duration::from_secs(secs));
        let first = stream.begin(&a, &settings, at(0));
        stream.begin(&b, &settings, at(59));
        let second = stream.begin(&a, &settings, at(59));
        assert!(Arc::ptr_eq(&first.0, &second.0), "another reader, the same minute");
        drop(first);
        stream.begin(&b, &settings, at(500));
        assert_eq!(stream.0.len(), 2, "a reader lives");
        drop(second);
        stream.begin(&b, &settings, at(600));
        assert_eq!(stream.0.len(), 1);
    }
}
