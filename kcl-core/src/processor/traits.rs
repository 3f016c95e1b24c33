//! Defines the trait that a user implements.

use super::{Batch, ShardContext};
use std::future::{Future, ready};

/// Any error of a handler.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Handles the records of one shard.
///
/// The factory that is passed to `WorkerBuilder::processor` makes one processor for each lease that
/// the worker holds, or several if [`Concurrency`](crate::Concurrency) says so. A processor is
/// dropped when its lease is released or lost; if the shard comes back to this worker, the factory
/// makes a new one.
///
/// # Order of the callbacks
/// 1. [`initialize`](Self::initialize), until it succeeds;
/// 2. [`process_records`](Self::process_records), for each batch;
/// 3. one of [`shard_ended`](Self::shard_ended) (the shard is read to its end),
///    [`shutdown_requested`](Self::shutdown_requested) (the lease is released in an orderly way) or
///    [`lease_lost`](Self::lease_lost) (any other end; also if the lease is lost during one of the
///    former two).
///
/// # Concurrency
/// Callbacks of one processor never overlap. Processors of different shards, and of different lanes
/// of one shard, run concurrently.
///
/// # Cancellation
/// When the lease is lost, the running callback's future is dropped at its next await point, and
/// `lease_lost` follows. A callback must therefore leave `self` consistent at each await.
///
/// # Errors and panics
/// A panic is treated like a returned error: the error policy decides, and the *same* processor may
/// be called again. Each failure is logged.
///
/// # Blocking
/// Callbacks run on the tokio runtime on which the worker's `run` was called. A callback that
/// blocks or computes for long without an await occupies a thread of that runtime, and can be
/// neither cancelled when the lease is lost nor ended by a shutdown: use
/// `tokio::task::spawn_blocking`. Heartbeats and checkpoints are not delayed, because they run on a
/// thread of their own.
///
/// # Examples
/// ```
/// use kcl_core::prelude::*;
///
/// /// Counts the records of a shard.
/// #[derive(Default)]
/// struct Counter {
///     records: usize,
/// }
///
/// impl RecordProcessor for Counter {
///     async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
///         self.records += batch.len();
///         println!("{}: {} records", shard.shard_id(), self.records);
///         Ok(()) // acknowledges the batch
///     }
///
///     async fn shutdown_requested(&mut self, shard: &ShardContext) -> Result<(), BoxError> {
///         println!("{}: {} records until the shutdown", shard.shard_id(), self.records);
///         Ok(())
///     }
/// }
/// ```
pub trait RecordProcessor: Send + 'static {
    /// Prepares this processor. Called before the first batch. The default does nothing.
    ///
    /// # Errors
    /// The error policy decides. By default the call is retried with backoff, without a limit.
    fn initialize(&mut self, shard: &ShardContext) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = shard;
        ready(Ok(()))
    }

    /// Handles the next records of the shard, in order. Never called with an empty batch, and never
    /// concurrently for the same processor.
    ///
    /// Returning `Ok(())` acknowledges the whole batch; the checkpoint follows within the setting
    /// `checkpoint_interval` (5 s by default). The next batch comes after this future completes.
    ///
    /// There are three other ways to acknowledge:
    /// - return a [`BatchOutcome`](crate::BatchOutcome) that names the failed records: all others
    ///   are acknowledged;
    /// - take [handles](Batch::take_handles) and acknowledge record by record, later and from any
    ///   task;
    /// - with the setting `manual_checkpoints`, call [`ShardContext::checkpoint_at`]: `Ok(())` then
    ///   acknowledges nothing.
    ///
    /// # Redelivery
    /// Delivery is at-least-once. After a crash, the next owner handles again what was handled
    /// since the last checkpoint.
    ///
    /// # Lease loss
    /// [`ShardContext::lease_lost`] resolves, and this future is dropped at its next await point.
    /// Pass [`ShardContext::fencing_token`] to the systems that you write to, so that they can
    /// reject writes that arrive after that.
    ///
    /// # Timeout
    /// With the setting `handler_timeout` (none by default) a longer call is dropped, and has
    /// failed. A call that runs longer than `process_deadline` (5 min) is only logged, unless
    /// `restart_stuck_handlers` is set.
    ///
    /// # Errors
    /// An error or a panic goes to the [`ErrorPolicy`](crate::policy::ErrorPolicy). By default the
    /// same batch is delivered again, with backoff (0.2 s to 30 s, full jitter), without a limit.
    /// No record is skipped unless the policy says so.
    fn process_records(
        &mut self,
        batch: &Batch,
        shard: &ShardContext,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Cleans up after the lease was lost, or after the error policy gave it up. Another worker may
    /// own the shard already, so do not write results and do not checkpoint. The default does
    /// nothing.
    ///
    /// Called at most once, as the last callback. The future is dropped after 10 s, because the
    /// shard may come back to this worker, and the new processor waits for the old one.
    fn lease_lost(&mut self, shard: &ShardContext) -> impl Future<Output = ()> + Send {
        let _ = shard;
        ready(())
    }

    /// Finishes a shard that a split or a merge has closed. Called when every record of the shard
    /// is acknowledged, before the library writes `SHARD_END`. The default does nothing.
    ///
    /// The library itself stores the checkpoint. With the setting `manual_checkpoints` this is
    /// called when every record was handled, and `Ok(())` acknowledges all of them.
    ///
    /// # Errors
    /// The error policy decides. The shard's children are not read until this has succeeded.
    fn shard_ended(&mut self, shard: &ShardContext) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = shard;
        ready(Ok(()))
    }

    /// Finishes the work before the lease is released in an orderly way (shutdown, rolling deploy,
    /// rebalance). Called after the last batch; what is acknowledged by the time this returns is
    /// stored with the release. The default does nothing.
    ///
    /// Called at most once, as the last callback. Not called if `initialize` never succeeded.
    ///
    /// # Errors
    /// An error is logged. The lease is released all the same.
    fn shutdown_requested(&mut self, shard: &ShardContext) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = shard;
        ready(Ok(()))
    }
}
