//! Running a replay, and what came of it.

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

/// Reads a range of a stream again, in one process, and ends by itself.
///
/// ```no_run
/// use kcl_core::{Replay, prelude::*};
///
/// # struct Delays;
/// # impl RecordProcessor for Delays {
/// #     async fn process_records(&mut self, _: &Batch, _: &ShardContext) -> Result<(), BoxError> { Ok(()) }
/// # }
/// # async fn example() -> Result<(), kcl_core::Error> {
/// let replay = Replay::builder("flights")
///     .from(1_767_225_600_000)     // 2026-01-01T00:00:00Z
///     .until(1_767_229_200_000)    // an hour later
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
/// Each record that arrived at `from` or later and before `until`, by the arrival time that Kinesis yields it, is handled as
/// a worker handles it: at least once, in the order of its partition key ([`Order::ParentsFirst`](crate::Order)), with the
/// error policy, dead letters, lanes and aggregates that were set. Where a handler fails or is dropped its records come
/// again, as ever; nothing else repeats them.
///
/// A live application does not notice: positions are kept in memory, and no table is read, created or written. (What reading
/// acquires of each shard's 5 calls and 2 MiB a second is shared by all that poll; see [`Retrieval`](crate::Retrieval). With
/// fan-out, the consumer is named `replay` unless `consumer_name` says otherwise.)
///
/// A range whose end is to come is read until then. Where the process ends before, nothing is kept: the next replay begins
/// anew. For progress that is kept, or a range that acquires a fleet, give a [`Worker`] with an application name of its own
/// `start` and `until`: each worker of that fleet returns from `run` when all is done.
///
/// # Assumptions
/// Within a shard, arrival times grow. AWS promises it of sequence numbers only, and calls the times approximate: a shard is
/// over at its first record from after the range.
#[must_use = "a replay does nothing until it is run"]
pub struct Replay {
    pub(super) worker: Worker,
    pub(super) table: Arc<MemoryStore>,
    pub(super) records: Arc<AtomicU64>,
}

/// What came of a [`Replay`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplaySummary {
    /// Records that a handler returned success for; with [handles](crate::Batch::take_handles), those it took. Not those
    /// that went to the dead letters.
    pub records: u64,
    /// Shards that were read to their end, or the range's.
    pub shards: usize,
    /// Whether the whole range was read: not where the replay was stopped.
    pub finished: bool,
}

impl Replay {
    /// A replay of a stream (a name, or an ARN where it lies in another account).
    pub fn builder(stream: impl Into<StreamRef>) -> ReplayBuilder<NoProcessor> {
        ReplayBuilder::new(stream.into())
    }

    /// Stops it from elsewhere: [`WorkerHandle::shutdown`]. What was handed over may still be handled; `run` then returns
    /// what came of it, not finished.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        self.worker.handle()
    }

    /// Reads the range, and returns when every shard of it is done. Handlers run on the runtime that polls this future.
    ///
    /// # Errors
    /// As [`Worker::run`].
    ///
    /// # Cancellation
    /// Dropping the future ends delivery at once.
    pub async fn run(self) -> Result<ReplaySummary, Error> {
        self.run_until(std::future::pending()).await
    }

    /// Runs until `stop` completes, if the range is not done before; then stops in an orderly way within the setting
    /// `shutdown_deadline`.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<ReplaySummary, Error> {
        let Replay { worker, table, records } = self;
        worker.run_until(stop).await?;
        let leases = table.table().leases;
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
