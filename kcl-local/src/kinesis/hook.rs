//! What tests do to a stream that no client can: reshard in any mode and at once, expire, trim.

use super::account::{Account, Call, no_such_shard};
use super::model::{ApiError, Scope, StreamStatus};
use super::stream::Stream;
use super::stream::phase::Change;
use super::{Engine, EngineTime, HashKey, SequenceNumber, ShardId};

/// A change of a stream's shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reshard {
    /// Split a shard: the upper child begins at this hash key.
    Split(ShardId, HashKey),
    /// Merge two shards, the lower one first.
    Merge(ShardId, ShardId),
    /// Split and merge until this many are open.
    Count(u32),
}

impl Engine {
    /// Reshards at once, in either mode, without going through `UPDATING`: what the service does to an on-demand stream. Does nothing if the
    /// shards are not open or not adjacent.
    ///
    /// # Errors
    /// Not found, if there is no such stream, or it has no shards yet or any more.
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

    /// Removes a closed shard, as when the retention period has passed.
    ///
    /// # Errors
    /// Not found, if there is no such stream or shard, or the shard is open.
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

    /// Drops the records of a shard that come before `sequence`, as when they have become too old.
    ///
    /// # Errors
    /// Not found, if there is no such stream or shard.
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
