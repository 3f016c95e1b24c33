//! Defines the trait of the readers that deliver a shard's records to its consumer.

use super::{CorruptAggregate, Reservation};
use crate::record::{Position, Record, ShardId, StartingPosition};
use crate::shard::{ApiError, Shard};
use crate::stopwatch::Stopwatch;
use async_trait::async_trait;
use std::sync::Arc;

/// A batch of records from a reader.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// The next records of the shard, in order; may be empty.
    pub(crate) records: Vec<Record>,
    /// The time by which the end of the chunk is behind the tip, in milliseconds.
    pub(crate) millis_behind_latest: Option<u64>,
    /// At the end of the shard, the shards that replaced it; no chunk follows.
    pub(crate) end: Option<Vec<Shard>>,
    /// The last position of the chunk, if its record was dropped: the checkpoint may advance to it
    /// although no handler sees the record.
    pub(crate) passed: Option<Position>,
    /// Set if reading should resume after this position, but its record has expired: later records
    /// may have expired, too.
    pub(crate) expired_after: Option<Position>,
    /// Records that fail before a handler sees them, with their indices, in order.
    pub(crate) corrupt: Vec<(usize, CorruptAggregate)>,
    /// The chunk's share of the byte budget, freed when it is dropped: keep it as long as the
    /// records.
    pub(crate) reservation: Reservation,
}

/// Returns why the record at `index` fails before a handler sees it, if it does.
pub(crate) fn corrupt_at(corrupt: &[(usize, CorruptAggregate)], index: usize) -> Option<CorruptAggregate> {
    let at = corrupt.binary_search_by_key(&index, |(at, _)| *at).ok()?;
    corrupt.get(at).map(|(_, why)| *why)
}

/// Reads one shard from one position on, in order, without gaps or repetitions.
#[async_trait]
pub(crate) trait ShardReader: Send + 'static {
    /// Returns the next chunk. Waits as pacing requires. Handles throttling, expired iterators and
    /// lost responses itself, and reports them in telemetry.
    ///
    /// May be called again after the end of the shard, which returns the end again, and after an
    /// error, which retries after a pause.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing: the next call continues after the last chunk that was
    /// returned.
    ///
    /// # Errors
    /// A failure that retries do not fix, for example a deleted stream or a missing permission.
    async fn next(&mut self) -> Result<Chunk, ReadError>;
}

/// Opens readers.
pub(crate) trait Readers: Send + Sync + 'static {
    /// Opens a reader of `shard` at `from`. `fetching` runs while none of its calls is answered.
    fn open(&self, shard: &ShardId, from: StartingPosition, fetching: Arc<Stopwatch>) -> Box<dyn ShardReader>;
}

/// A shard cannot be read until someone fixes the cause.
#[derive(Debug, thiserror::Error)]
#[error("shard `{shard}` cannot be read: {source}")]
#[non_exhaustive]
pub struct ReadError {
    /// The shard.
    pub shard: ShardId,
    /// The cause.
    pub source: ApiError,
}
