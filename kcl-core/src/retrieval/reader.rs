//! The seam between a shard's consumer and the way its records come.

use super::{CorruptAggregate, Reservation};
use crate::record::{Position, Record, ShardId, StartingPosition};
use crate::shard::{ApiError, Shard};
use crate::stopwatch::Stopwatch;
use async_trait::async_trait;
use std::sync::Arc;

/// What a reader hands on at a time.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The next records of the shard, in order; may be empty.
    pub records: Vec<Record>,
    /// How far behind the tip the chunk ends, in milliseconds.
    pub millis_behind_latest: Option<u64>,
    /// At the end of the shard, the shards it ended in; nothing follows then.
    pub end: Option<Vec<Shard>>,
    /// The last position of the chunk, where it is one whose record is not among them: nobody is to get it, and it is done.
    pub passed: Option<Position>,
    /// Where reading was to go on after this position, and the stream does not have its record any more: later ones may be
    /// gone as well.
    pub expired_after: Option<Position>,
    /// Records that fail before a handler sees them, by their indices, in order.
    pub corrupt: Vec<(usize, CorruptAggregate)>,
    /// Its part of the process's byte budget, free again when this is dropped: keep it as long as the records.
    pub reservation: Reservation,
}

/// Why that record of a chunk fails before a handler sees it, if it does.
pub(crate) fn corrupt_at(corrupt: &[(usize, CorruptAggregate)], index: usize) -> Option<CorruptAggregate> {
    let at = corrupt.binary_search_by_key(&index, |(at, _)| *at).ok()?;
    corrupt.get(at).map(|(_, why)| *why)
}

/// Reads one shard from one position on, in order, without a gap or a repetition.
#[async_trait]
pub trait ShardReader: Send + 'static {
    /// The next chunk. Waits as long as pacing asks for; heals by itself what can be healed (throttling, expired
    /// iterators, lost answers), and says so in telemetry.
    ///
    /// After the end of the shard, and after an error, it may be called again: the one is told again, the other tried
    /// again, after a while.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing: the next call goes on after the last chunk that was returned.
    ///
    /// # Errors
    /// What only somebody else can mend: the stream is gone, a permission is missing.
    async fn next(&mut self) -> Result<Chunk, ReadError>;
}

/// Makes readers.
pub(crate) trait Readers: Send + Sync + 'static {
    /// A reader of that shard from that position on. `fetching` runs while no call of it is answered.
    fn open(&self, shard: &ShardId, from: StartingPosition, fetching: Arc<Stopwatch>) -> Box<dyn ShardReader>;
}

/// A shard cannot be read until somebody does something about it.
#[derive(Debug, thiserror::Error)]
#[error("shard `{shard}` cannot be read: {source}")]
pub struct ReadError {
    /// Which shard.
    pub shard: ShardId,
    /// Why.
    pub source: ApiError,
}
