//! Operations for tests that the API does not have: reshard at once in any mode, expire a shard,
//! trim records.

use super::account::{Account, Call, no_such_shard};
use super::model::{ApiError, Scope, StreamStatus};
use super::stream::Stream;
use super::stream::phase::Change;
use super::{Engine, EngineTime, HashKey, SequenceNumber, ShardId};

/// A change of a stream's shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reshard {
    /// Splits a shard; the upper child begins at this hash key.
    Split(ShardId, HashKey),
    /// Merges two shards, the lower one first.
    Merge(ShardId, ShardId),
    /// Splits and merges until this number of shards is open.
    Count(u32),
}

impl Engine {
    /// Reshards at once, in either mode, without `UPDATING`, as the service does with on-demand
    /// streams. Does nothing if the shards are not open or not adjacent.
    ///
    /// # Errors
    /// Not found, if the stream does not exist, or is in `CREATING` or `DELETING`.
    pub fn reshard(&mut self, scope: &Scope, stream: &str, reshard: Reshard, now: EngineTime) -> Result<(), ApiError> {
        self.with(scope, now, |account, call| {
            let stream = with_shards(account, call, stream)?;
            let change = match reshard {
                Reshard::Split(shard, at) => Change::Split { shard, at },
                Reshard::Merge(lower, upper) => Change::Merge { lower, upper },
                Reshard::Count(count) => Change::ShardCount(count),
            };
            stream.apply(change, now);
            Ok(())
        })
    }

    /// Removes a closed shard, as after the retention period.
    ///
    /// # Errors
    /// Not found, if the stream or shard does not exist, or the shard is open.
    pub fn expire_shard(
        &mut self,
        scope: &Scope,
        stream: &str,
        shard: ShardId,
        now: EngineTime,
    ) -> Result<(), ApiError> {
        self.with(scope, now, |account, call| {
            let found = with_shards(account, call, stream)?;
            if found.shards.remove_closed(shard) {
                Ok(())
            } else {
                Err(no_such_shard(call, &shard.to_string(), stream))
            }
        })
    }

    /// Removes the records of a shard before `sequence`, as after the retention period.
    ///
    /// # Errors
    /// Not found, if the stream or shard does not exist.
    pub fn trim_to(
        &mut self,
        scope: &Scope,
        stream: &str,
        shard: ShardId,
        sequence: SequenceNumber,
        now: EngineTime,
    ) -> Result<(), ApiError> {
        self.with(scope, now, |account, call| {
            let found = with_shards(account, call, stream)?.shards.get_mut(shard);
            found.ok_or_else(|| no_such_shard(call, &shard.to_string(), stream))?.log.trim_to(sequence);
            Ok(())
        })
    }
}

fn with_shards<'a>(account: &'a mut Account, call: &Call<'_>, name: &str) -> Result<&'a mut Stream, ApiError> {
    let stream = account.named(call, name)?;
    match stream.phase.status() {
        StreamStatus::Active | StreamStatus::Updating => Ok(stream),
        StreamStatus::Creating | StreamStatus::Deleting => {
            Err(ApiError::not_found(format!("Stream {name} under account {} has no shards.", call.scope.account)))
        }
    }
}
