//! Runs a replay and reports its result.

use super::builder::ReplayBuilder;
use crate::error::Error;
use crate::lease::MemoryStore;
use crate::record::StreamRef;
use crate::shard;
use crate::worker::{NoProcessor, Worker, WorkerHandle};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reads a range of a stream again, in one process, and then ends.
///
/// ```no_run
/// use kcl_core::{prelude::*, replay::Replay};
/// use std::time::{Duration, UNIX_EPOCH};
///
/// # struct Delays;
/// # impl RecordProcessor for Delays {
/// #     async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> { Ok(()) }
/// # }
/// # async fn example() -> Result<(), kcl_core::Error> {
/// let midnight = UNIX_EPOCH + Duration::from_secs(1_767_225_600); // 2026-01-01T00:00:00Z
/// let replay = Replay::builder("flights")
///     .starting_at(midnight)
///     .until(midnight + Duration::from_secs(3_600))
///     .processor(|_: &ShardId| Delays)
///     .build()
///     .await?;
/// let summary = replay.run().await?;
/// println!("{} records of {} shards", summary.records, summary.shards);
/// # Ok(())
/// # }
/// ```
///
/// # Guarantees
/// Each record that arrived at `starting_at` or later and before `until`, by the arrival time that
/// Kinesis assigned, is handled as a worker handles it: at least once, in the order of its
/// partition key ([`Order::ParentsFirst`](super::Order)), with the configured error policy,
/// dead-letter sink, lanes and unpacking of aggregates. Records are repeated only if a handler
/// fails or is dropped.
///
/// A live application of the stream is not affected: the replay keeps its positions in memory, and
/// neither reads nor writes a table. (All pollers of a shard share its 5 calls and 2 MiB per
/// second; see [`Retrieval`](crate::Retrieval). With fan-out, the consumer is named `replay` unless
/// `consumer_name` has another name.)
///
/// If the end of the range is in the future, the replay reads until then. If the process ends
/// before, the next replay starts from the beginning. To keep progress, or to replay with a fleet,
/// build a [`Worker`] with an application name of its own and set `start` and `until`: each worker
/// of that fleet returns from `run` when the range is done.
///
/// # Assumptions
/// Arrival times grow within a shard. AWS promises this of sequence numbers only, and calls arrival
/// times approximate. The replay of a shard ends at its first record with an arrival time after the
/// range.
#[must_use = "a replay does nothing until it is run"]
pub struct Replay {
    pub(super) worker: Worker,
    pub(super) table: Arc<MemoryStore>,
    pub(super) records: Arc<AtomicU64>,
}

/// The result of a [`Replay`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplaySummary {
    /// Records that handlers finished; with [handles](crate::Batch::take_handles), the records
    /// whose handles were taken. Records in the dead-letter sink are not counted.
    pub records: u64,
    /// Shards that were read to their end, or to the end of the range.
    pub shards: usize,
    /// True if the whole range was read, false if the replay was stopped before.
    pub finished: bool,
}

impl Replay {
    /// Builds a replay of a stream: a name, or the ARN of a stream in another account.
    pub fn builder(stream: impl Into<StreamRef>) -> ReplayBuilder<NoProcessor> {
        ReplayBuilder::new(stream.into())
    }

    /// Returns a handle that stops the replay from another task: [`WorkerHandle::shutdown`]. `run`
    /// then returns a summary that is not `finished`.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        self.worker.handle()
    }

    /// Reads the range, and returns when all its shards are done. Handlers run on the runtime that
    /// polls this future.
    ///
    /// # Errors
    /// As [`Worker::run`].
    ///
    /// # Cancellation
    /// Dropping the future stops delivery at once.
    pub async fn run(self) -> Result<ReplaySummary, Error> {
        self.run_until(std::future::pending()).await
    }

    /// Runs until the range is done, or until `stop` completes. Then it shuts down gracefully
    /// within the setting `shutdown_deadline`.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<ReplaySummary, Error> {
        let Replay { worker, table, records } = self;
        worker.run_until(stop).await?;
        let leases = table.leases();
        Ok(ReplaySummary {
            records: records.load(Ordering::Relaxed),
            shards: leases.iter().filter(|lease| lease.checkpoint.is_shard_end()).count(),
            finished: shard::is_replayed(&leases),
        })
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("worker", &self.worker).finish_non_exhaustive()
    }
}
