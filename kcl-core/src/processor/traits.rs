//! What a user implements.

use super::{Batch, ShardContext};
use std::future::{Future, ready};

/// Any error of a handler.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Handles the records of one shard. One value is made for each lease that the worker holds (or several: see
/// [`Concurrency`](crate::Concurrency)), and dropped with it.
///
/// All callbacks of one value are called one after the other, never twice at once. A callback that panics has failed like
/// one that returned an error, and the same value is called again.
///
/// # Blocking
/// A callback runs on the runtime that `run` was called on. One that computes or blocks for long without an await holds up
/// a thread of that runtime, and can be neither cancelled when the lease is lost nor hurried by a shutdown: use
/// `tokio::task::spawn_blocking`. The worker's own leases do not suffer: they are kept on another thread.
pub trait RecordProcessor: Send + 'static {
    /// Called once, before the first records. An error is retried with backoff, as one of `process_records` is.
    fn initialize(&mut self, shard: &ShardContext) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = shard;
        ready(Ok(()))
    }

    /// Called with the next records of the shard, in order; never with none.
    ///
    /// # Expected flow
    /// Handle the records and return `Ok(())`. Or name those that failed ([`BatchOutcome`](crate::BatchOutcome)); or take
    /// [handles](Batch::take_handles) and acknowledge record by record, later and elsewhere; or, on a worker with
    /// `manual_checkpoints`, call [`ShardContext::checkpoint_at`].
    ///
    /// # Guarantees
    /// The next batch comes only after this future is done. `Ok(())` acknowledges all of it; the checkpoint follows
    /// within `checkpoint_interval`.
    ///
    /// # When the lease is lost
    /// [`ShardContext::lease_lost`] fires, and the future is dropped at an await.
    ///
    /// # Errors and panics
    /// Go to the error policy: by default the same batch comes again, with backoff, for ever. No record is passed over
    /// unless that policy says so.
    fn process_records(
        &mut self,
        batch: &Batch,
        shard: &ShardContext,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Called once when another worker has the lease, or may have it, also when the error policy gave it up: clean up,
    /// write nothing. It is dropped if it acquires longer than 10 s, as the shard may come back to this worker.
    fn lease_lost(&mut self, shard: &ShardContext) -> impl Future<Output = ()> + Send {
        let _ = shard;
        ready(())
    }

    /// Called once when every record of a closed shard was acknowledged, before the shard's end is written: the library
    /// does that, when this is done. An error goes to the error policy; the shard's children wait for it. (On a worker with
    /// `manual_checkpoints` it is called when every record was handled, and `Ok(())` acknowledges them.)
    fn shard_ended(&mut self, shard: &ShardContext) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = shard;
        ready(Ok(()))
    }

    /// Called once when the worker yields the lease up in an orderly way (shutdown, rebalancing), after the last batch.
    /// It has one try: an error is told and the lease is given up all the same. Not called where `initialize` never
    /// succeeded.
    fn shutdown_requested(&mut self, shard: &ShardContext) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = shard;
        ready(Ok(()))
    }
}
