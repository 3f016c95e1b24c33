//! A worker as a stream of deliveries, for those who would rather pull than be called.

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

/// Records that may wait to be pulled; those of one more batch a shard wait with them.
const WAITING: usize = 1_000;

/// One record, to be acknowledged.
///
/// Dropped without an acknowledgement it comes again, as the error policy says.
#[must_use = "a delivery that is dropped comes again"]
#[derive(Debug)]
pub struct Delivered {
    handle: RecordHandle,
    shard: ShardContext,
}

impl Delivered {
    /// The record.
    #[must_use]
    pub fn record(&self) -> &Record {
        self.handle.record()
    }

    /// Its shard.
    #[must_use]
    pub fn shard(&self) -> &ShardContext {
        &self.shard
    }

    /// The record is done; the checkpoint follows when everything before it is done too.
    pub fn acknowledge(self) {
        self.handle.acknowledge();
    }

    /// The record is not done: the error policy decides what becomes of it.
    pub fn fail(self, error: impl Into<BoxError>) {
        self.handle.fail(error);
    }
}

/// What a worker delivers, from all its shards; of one shard in order, but for records that come again. Ends when the
/// worker does, with its error if it has one.
///
/// From `max_unacknowledged` open records of a shard on, no more of it are read: who pulls and does not acknowledge gets up to
/// 10,000 more, and then none.
/// Dropped, it ends the worker at once; what was acknowledged is still checkpointed in the background.
#[must_use = "nothing is read unless the stream is polled"]
pub struct Deliveries {
    delivered: mpsc::Receiver<Delivered>,
    ended: Option<oneshot::Receiver<Result<(), Error>>>,
    handle: WorkerHandle,
}

impl Deliveries {
    /// Stops the worker in an orderly way: nothing more is delivered, what is open may be acknowledged until the deadline,
    /// and is checkpointed. See [`WorkerHandle::shutdown`].
    pub async fn shutdown(&self, deadline: Duration) {
        self.handle.shutdown(deadline).await;
    }

    /// Stops the worker from elsewhere.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        self.handle.clone()
    }

    /// The next record; `None` when the worker has ended in an orderly way.
    ///
    /// # Errors
    /// What the worker ended with: see [`Worker::run`](crate::Worker::run).
    ///
    /// # Cancellation
    /// Nothing is lost.
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
                // Without a word the worker's task was dropped with its runtime.
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

/// Hands on what it is called with.
struct Forward(mpsc::Sender<Delivered>);

impl RecordProcessor for Forward {
    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        for handle in batch.take_handles() {
            let delivered = Delivered { handle, shard: shard.clone() };
            if self.0.send(delivered).await.is_err() {
                return Err("nobody acquires deliveries any more".into());
            }
        }
        Ok(())
    }
}

impl WorkerBuilder<NoProcessor> {
    /// Builds the worker, runs it on the runtime that this is called on, and yields its records as a stream.
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
    /// # Errors
    /// As [`build`](WorkerBuilder::build).
    pub async fn stream(self) -> Result<Deliveries, Error> {
        if self.failing.store.is_some() {
            return Err(Error::new(
                Code::Setting,
                "a checkpoint store cannot be used with `stream`: its records are acknowledged one by one, in any order, and a \
                 store keeps one position; use `processor`",
            ));
        }
        let (sender, delivered) = mpsc::channel(WAITING);
        let worker = self.processor(move |_: &ShardId| Forward(sender.clone())).build().await?;
        let (handle, tasks) = (worker.handle(), worker.tasks());
        let (tell, ended) = oneshot::channel();
        tasks.spawn(Box::pin(async move {
            // Who dropped the stream is not told.
            let _ = tell.send(worker.run().await);
        }));
        Ok(Deliveries { delivered, ended: Some(ended), handle })
    }
}
