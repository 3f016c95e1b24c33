//! Which shards `ListShards` returns.

use super::shard::Shard;
use crate::kinesis::{EngineTime, ShardId};

/// A shard filter, its times held within the life of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShardFilter {
    FromTrimHorizon,
    AtTrimHorizon,
    AtLatest,
    AfterShardId(ShardId),
    AtTimestamp(EngineTime),
    FromTimestamp(EngineTime),
}

impl ShardFilter {
    /// Whether an unexpired `shard` is listed. A time before `horizon` means the horizon, so that the shards always cover the hash space.
    pub(crate) fn admits(self, shard: &Shard, horizon: EngineTime) -> bool {
        match self {
            Self::FromTrimHorizon => true,
            Self::AtTrimHorizon => shard.was_open_at(horizon),
            Self::AtLatest => shard.is_open(),
            Self::AfterShardId(id) => shard.id > id,
            Self::AtTimestamp(time) => shard.was_open_at(time.max(horizon)),
            Self::FromTimestamp(time) => shard.end.as_ref().is_none_or(|end| end.at >= time.max(horizon)),
        }
    }
}
