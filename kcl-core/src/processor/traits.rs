//! What a user implements.

use super::Delivery;
use crate::record::{Record, ShardId, StreamRef};
use std::future::{Future, ready};
use std::sync::Arc;

/// Any error of a handler.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The next records of a shard.
#[derive(Clone, Debug)]
pub struct Batch {
    records: Arc<Vec<Record>>,
    millis_behind_latest: Option<u64>,
}

impl Batch {
    /// A batch of these records.
    #[must_use]
    pub fn new(records: Vec<Record>, millis_behind_latest: Option<u64>) -> Self {
        Batch { records: Arc::new(records), millis_behind_latest }
    }

    /// The records, in order.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// How far behind the tip of the shard the batch ends, in milliseconds, as Kinesis said it.
    #[must_use]
    pub fn millis_behind_latest(&self) -> Option<u64> {
        self.millis_behind_latest
    }
}

impl std::ops::Deref for Batch {
    type Target = [Record];
    fn deref(&self) -> &[Record] {
        &self.records
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Record;
    type IntoIter = std::slice::Iter<'a, Record>;
    fn into_iter(self) -> Self::IntoIter {
        self.records.iter()
    }
}

/// What a handler may know of the shard it works for.
#[derive(Clone, Debug)]
pub struct ShardContext {
    delivery: Arc<Delivery>,
    stream: StreamRef,
}

impl ShardContext {
    pub(crate) fn new(delivery: Arc<Delivery>, stream: StreamRef) -> Self {
        ShardContext { delivery, stream }
    }

    #[cfg(test)]
    pub(crate) fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The shard.
    #[must_use]
    pub fn shard_id(&self) -> &ShardId {
        &self.delivery.shard
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &StreamRef {
        &self.stream
    }

    /// Grows with every change of the shard's owner: an outside system that remembers the highest one it saw can
    /// refuse what a handler writes after it lost its lease.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.delivery.fencing_token
    }

    /// Whether the lease is lost: what is done from now on may be done by another worker as well.
    #[must_use]
    pub fn is_lease_lost(&self) -> bool {
        self.delivery.is_closed()
    }

    /// Waits until the lease is lost.
    pub async fn lease_lost(&self) {
        self.delivery.closed().await;
    }
}

/// Handles the records of one shard. One value is made for each lease that the worker holds, and dropped with it.
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
    /// write nothing. It is dropped if it takes longer than 10 s, as the shard may come back to this worker.
    fn lease_lost(&mut self, shard: &ShardContext) -> impl Future<Output = ()> + Send {
        let _ = shard;
        ready(())
    }

    /// Called once when every record of a closed shard was acknowledged, before the shard's end is written.
    /// An error goes to the error policy; the shard's children wait for it.
    fn shard_ended(&mut self, shard: &ShardContext) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = shard;
        ready(Ok(()))
    }

    /// Called once when the worker gives the lease up in an orderly way (shutdown, rebalancing), after the last batch.
    /// It has one try: an error is told and the lease is given up all the same. Not called where `initialize` never
    /// succeeded.
    fn shutdown_requested(&mut self, shard: &ShardContext) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = shard;
        ready(Ok(()))
    }
}
