//! Adds and removes streams while a worker runs.

use super::config::StreamConfig;
use crate::error::{Code, Error};
use crate::record::StreamRef;
use crate::worker::handle::WorkerHandle;

impl WorkerHandle {
    /// Adds a stream to a worker that was built with
    /// [`Worker::of_streams`](crate::Worker::of_streams).
    ///
    /// Completes when the worker serves the stream. Those workers of the fleet that serve it claim
    /// its shards within seconds. A stream that was removed before continues from its checkpoints.
    ///
    /// # Errors
    /// As for building a worker with the stream: the stream does not exist, a permission is
    /// missing. [`Code::Setting`] if its fan-out consumer belongs to another stream, or if the
    /// worker serves the stream already. [`Code::WorkerState`] if the worker reads one stream only,
    /// or has ended. The worker is unchanged then.
    ///
    /// # Cancellation
    /// The stream may be added or not.
    pub async fn add_stream(&self, stream: StreamConfig) -> Result<(), Error> {
        self.registry()?.add(stream).await
    }

    /// Removes a stream, by its name or ARN. As in a shutdown, the worker waits for handlers for at
    /// most the setting `handoff_timeout`, checkpoints what was acknowledged and releases the
    /// stream's shards. Other workers that serve the stream take them over. If there are none, the
    /// leases stay in the table as they are until the stream is added again.
    ///
    /// With the setting `deregister_consumer`, the stream's fan-out consumer is deregistered if no
    /// other worker serves the stream; see [`Worker::of_streams`](crate::Worker::of_streams).
    /// Without it, the consumer stays, and AWS bills it.
    ///
    /// Completes when the worker has released all shards of the stream, and has deregistered its
    /// consumer if that is to be done. Called from a handler of the same worker, it requests the
    /// removal, logs an error and completes at once, because the worker waits for the handler.
    ///
    /// # Errors
    /// [`Code::WorkerState`] if the worker does not serve the stream, if a name means several
    /// streams (use the ARN), or if the worker reads one stream only.
    ///
    /// # Cancellation
    /// Dropping the future does not cancel the removal.
    pub async fn remove_stream(&self, stream: impl Into<StreamRef>) -> Result<(), Error> {
        self.registry()?.remove(&stream.into(), self.token.is_within()).await
    }

    fn registry(&self) -> Result<&super::Registry, Error> {
        self.streams.as_deref().ok_or_else(|| {
            let message = "this worker reads one stream: build it with `Worker::of_streams` to add and remove streams";
            Error::new(Code::WorkerState, message)
        })
    }
}
