//! The states of a stream, and the change that takes effect at the end of `UPDATING`.

use super::Stream;
use super::shard_set::ShardSet;
use crate::kinesis::model::{EncryptionType, StreamMode, StreamStatus};
use crate::kinesis::{EngineTime, HashKey, ShardId};

/// The state of a stream, and the time of its end.
#[derive(Debug)]
pub(crate) enum Phase {
    Creating { until: EngineTime, shards: u32 },
    Active,
    Updating { until: EngineTime, change: Change },
    Deleting { until: EngineTime },
}

/// The change that takes effect when `UPDATING` ends.
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
    /// Applies the change that is due by `now`, with the time at which it was due.
    pub(crate) fn advance(&mut self, now: EngineTime) {
        match std::mem::replace(&mut self.phase, Phase::Active) {
            Phase::Creating { until, shards } if until <= now => {
                self.shards = ShardSet::initial(shards, self.created_on_clock, self.created.seconds())
            }
            Phase::Updating { until, change } if until <= now => self.apply(change, until),
            Phase::Active => {}
            unfinished @ (Phase::Creating { .. } | Phase::Updating { .. } | Phase::Deleting { .. }) => {
                self.phase = unfinished
            }
        }
        self.consumers.advance(now);
    }

    /// Starts `change`, which takes effect at `until`.
    pub(crate) fn update(&mut self, change: Change, now: EngineTime, until: EngineTime) {
        self.phase = Phase::Updating { until, change };
        self.advance(now);
    }

    /// The time of the next state transition.
    pub(crate) fn changes_at(&self) -> Option<EngineTime> {
        match self.phase {
            Phase::Creating { until, .. } | Phase::Updating { until, .. } | Phase::Deleting { until } => Some(until),
            Phase::Active => None,
        }
    }

    /// Whether the stream is deleted at `now`.
    pub(crate) fn is_deleted(&self, now: EngineTime) -> bool {
        match self.phase {
            Phase::Deleting { until } => until <= now,
            Phase::Creating { .. } | Phase::Active | Phase::Updating { .. } => false,
        }
    }

    /// Applies `change` at time `at`. A change that has become impossible does nothing.
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
