//! The states of a stream and what waits for the end of one.

use super::Stream;
use super::shard_set::ShardSet;
use crate::kinesis::model::{EncryptionType, StreamMode, StreamStatus};
use crate::kinesis::{EngineTime, HashKey, ShardId};

/// A state, and when it ends by itself.
#[derive(Debug)]
pub(crate) enum Phase {
    Creating { until: EngineTime, shards: u32 },
    Active,
    Updating { until: EngineTime, change: Change },
    Deleting { until: EngineTime },
}

/// What acquires effect when `UPDATING` ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Split { shard: ShardId, at: HashKey },
    Merge { lower: ShardId, upper: ShardId },
    ShardCount(u32),
    Mode { mode: StreamMode, warm_throughput: Option<i64> },
    Encryption { encryption: EncryptionType, key: Option<String> },
    MaxRecordSize(i64),
    WarmThroughput(i64),
}

impl Phase {
    pub(crate) fn status(&self) -> StreamStatus {
        match self {
            Self::Creating { .. } => StreamStatus::Creating,
            Self::Active => StreamStatus::Active,
            Self::Updating { .. } => StreamStatus::Updating,
            Self::Deleting { .. } => StreamStatus::Deleting,
        }
    }
}

impl Stream {
    /// Lets everything happen that was due by `now`, as of when it was due.
    pub(crate) fn advance(&mut self, now: EngineTime) {
        match std::mem::replace(&mut self.phase, Phase::Active) {
            Phase::Creating { until, shards } if until <= now => {
                self.shards = ShardSet::initial(shards, self.born, self.created.seconds())
            }
            Phase::Updating { until, change } if until <= now => self.apply(change, until),
            Phase::Active => {}
            unfinished @ (Phase::Creating { .. } | Phase::Updating { .. } | Phase::Deleting { .. }) => {
                self.phase = unfinished
            }
        }
        self.consumers.advance(now);
    }

    /// Starts `change`, which is done at `until`.
    pub(crate) fn update(&mut self, change: Change, now: EngineTime, until: EngineTime) {
        self.phase = Phase::Updating { until, change };
        self.advance(now);
    }

    /// When its state changes by itself.
    pub(crate) fn changes_at(&self) -> Option<EngineTime> {
        match self.phase {
            Phase::Creating { until, .. } | Phase::Updating { until, .. } | Phase::Deleting { until } => Some(until),
            Phase::Active => None,
        }
    }

    /// Whether it is gone by `now`.
    pub(crate) fn is_gone(&self, now: EngineTime) -> bool {
        match self.phase {
            Phase::Deleting { until } => until <= now,
            Phase::Creating { .. } | Phase::Active | Phase::Updating { .. } => false,
        }
    }

    /// Takes effect at `at`. What has become impossible by then does nothing.
    pub(crate) fn apply(&mut self, change: Change, at: EngineTime) {
        match change {
            Change::Split { shard, at: hash_key } => {
                self.shards.split(shard, hash_key, at);
            }
            Change::Merge { lower, upper } => {
                self.shards.merge(lower, upper, at);
            }
            Change::ShardCount(count) => self.shards.rescale(count, at),
            Change::Mode { mode, warm_throughput } => {
                self.mode = mode;
                self.warm_throughput = warm_throughput.or(self.warm_throughput);
            }
            Change::Encryption { encryption, key } => {
                self.encryption = encryption;
                self.key_id = key;
            }
            Change::MaxRecordSize(kib) => self.max_record_kib = kib,
            Change::WarmThroughput(mibps) => self.warm_throughput = Some(mibps),
        }
    }
}
