//! A worker as a stream of records, for programs that pull instead of being called.

use super::builder::{NoProcessor, WorkerBuilder};
use super::handle::WorkerHandle;
use crate::coordination::Ask;
use crate::error::{Code, Error};
use crate::processor::{Batch, BoxError, RecordHandle, RecordProcessor, ShardContext};
use crate::record::{Record, ShardId};
use futures_util::Stream;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Records that may wait to be pulled. Up to one more batch per shard waits behind them.
const WAITING: usize = 1_000;

/// One record, to be acknowledged.
///
/// A record that is dropped without an acknowledgement has failed: the error policy decides about
/// it.
#[must_use = "a delivery that is dropped comes again"]
#[derive(Debug)]
pub struct Delivered {
    handle: RecordHandle,
    shard: ShardContext,
}

impl Delivered {
    /// Returns the record.
    #[must_use]
    pub fn record(&self) -> &Record {
        self.handle.record()
    }

    /// Returns the context of the record's shard.
    #[must_use]
    pub fn shard(&self) -> &ShardContext {
        &self.shard
    }

    /// Acknowledges the record. The checkpoint follows when all records before it are acknowledged
    /// too.
    pub fn acknowledge(self) {
        self.handle.acknowledge();
    }

    /// Fails the record: the error policy decides about it.
    pub fn fail(self, error: impl Into<BoxError>) {
        self.handle.fail(error);
    }
}

/// The records of all shards that a worker reads, as a [`Stream`]. Records of a shard come in
/// order, except for retries. Ends when the worker ends, with the worker's error if it has one.
///
/// From `max_unacknowledged` open records of a shard on, no more of them are read: a program that
/// pulls without acknowledging gets up to 10,000 more, and then none.
///
/// ```no_run
/// # async fn example() -> Result<(), kcl_core::Error> {
/// let mut deliveries = kcl_core::Worker::builder("delays", "flights").stream().await?;
/// while let Some(delivered) = deliveries.next().await {
///     let delivered = delivered?;
///     println!("{}: {} bytes", delivered.record().sequence_number, delivered.record().data.len());
///     delivered.acknowledge();
/// }
/// # Ok(())
/// # }
/// ```
///
/// Dropping it aborts the worker. The worker still checkpoints what was acknowledged, in the
/// background.
#[must_use = "nothing is read unless the stream is polled"]
pub struct Deliveries {
    delivered: mpsc::Receiver<Delivered>,
    ended: Option<oneshot::Receiver<Result<(), Error>>>,
    handle: WorkerHandle,
}

impl Deliveries {
    /// Stops the worker gracefully: delivers nothing more, and checkpoints the records that are
    /// acknowledged within `grace`. See [`WorkerHandle::shutdown`].
    pub async fn shutdown(&self, grace: Duration) {
        self.handle.shutdown(grace).await;
    }

    /// Stops the worker without waiting for open records. See [`WorkerHandle::abort`].
    pub async fn abort(&self) {
        self.handle.abort().await;
    }

    /// Returns a handle that stops the worker from another task.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        self.handle.clone()
    }

    /// Returns the next record; `None` after a graceful shutdown.
    ///
    /// # Errors
    /// The worker's error: see [`Worker::run`](crate::Worker::run).
    ///
    /// # Cancellation
    /// Dropping the future loses no record.
    pub async fn next(&mut self) -> Option<Result<Delivered, Error>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for Deliveries {
    type Item = Result<Delivered, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(Some(delivered)) = self.delivered.poll_recv(context) {
            return Poll::Ready(Some(Ok(delivered)));
        }
        let Some(ended) = &mut self.ended else { return Poll::Ready(None) };
        match Pin::new(ended).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(outcome) => {
                self.ended = None;
                // The sender is gone without an outcome if the worker's task was dropped with its
                // runtime.
                Poll::Ready(outcome.unwrap_or(Ok(())).err().map(Err))
            }
        }
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        let _ = self.handle.ask.send(Ask::Shutdown(Duration::ZERO));
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// A processor that forwards records to a channel.
struct Forward(mpsc::Sender<Delivered>);

impl RecordProcessor for Forward {
    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        for handle in batch.take_handles() {
            let delivered = Delivered { handle, shard: shard.clone() };
            if self.0.send(delivered).await.is_err() {
                return Err("the delivery stream was dropped".into());
            }
        }
        Ok(())
    }
}

impl WorkerBuilder<NoProcessor> {
    /// Builds the worker, runs it on the current runtime, and returns its records as a stream: see
    /// [`Deliveries`].
    ///
    /// # Errors
    /// As [`build`](WorkerBuilder::build).
    pub async fn stream(self) -> Result<Deliveries, Error> {
        if self.failure_handling.store.is_some() {
            return Err(Error::new(
                Code::Setting,
                "a checkpoint store cannot be used with `stream`: its records are acknowledged one by one, in any order, and a \
                 store keeps one position; use `processor`",
            ));
        }
        let (sender, delivered) = mpsc::channel(WAITING);
        let worker = self.processor(move |_: &ShardId| Forward(sender.clone())).build().await?;
        let (handle, tasks) = (worker.handle(), worker.tasks());
        let (outcome, ended) = oneshot::channel();
        tasks.spawn(Box::pin(async move {
            // Ignore the error: the delivery stream was dropped.
            let _ = outcome.send(worker.run().await);
        }));
        Ok(Deliveries { delivered, ended: Some(ended), handle })
    }
}
