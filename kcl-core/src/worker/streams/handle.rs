//! Streams that come and go while a worker runs.

use super::config::StreamConfig;
use crate::error::{Code, Error};
use crate::record::StreamRef;
use crate::worker::handle::WorkerHandle;

impl WorkerHandle {
    /// Reads another stream from now on, of a worker that was built with [`Worker::of_streams`](crate::Worker::of_streams).
    ///
    /// Completes when the worker serves the stream; its shards are claimed within seconds, by those of the fleet's workers
    /// that serve it. A stream that was removed goes on where it stood.
    ///
    /// # Errors
    /// As building a worker with it: the stream does not exist, a permission is missing. [`Code::Setting`] where it names a
    /// consumer of another stream, or where the stream is served already; [`Code::WorkerState`] where the worker reads one
    /// stream only, or has ended. Nothing has changed then.
    ///
    /// # Cancellation
    /// The stream may be served, or not.
    pub async fn add_stream(&self, stream: StreamConfig) -> Result<(), Error> {
        self.registry()?.add(stream).await
    }

    /// Reads a stream (by its name, or its ARN) no more: its shards are given up as each handler ends, with what was
    /// acknowledged checkpointed, as at a shutdown, within the setting `handoff_timeout`. Workers that serve it take them
    /// over. Where none does, the leases stay in the table as they are, and nobody reads them until the stream is added
    /// again.
    ///
    /// With the setting `deregister_consumer` its fan-out consumer is removed if no other worker serves it; see
    /// [`Worker::of_streams`](crate::Worker::of_streams) for what that promises. Without it, it stays, and is billed.
    ///
    /// Completes when nothing of the stream is left in this worker, and its consumer is removed, if it is to be. Called from a
    /// handler of the same worker, for which that would wait, it asks for it, logs an error and completes at once.
    ///
    /// # Errors
    /// [`Code::WorkerState`] where the stream is not served, where a name means several (then name its ARN), or where the worker
    /// reads one stream only.
    ///
    /// # Cancellation
    /// Dropping the future does not take the request back.
    pub async fn remove_stream(&self, stream: impl Into<StreamRef>) -> Result<(), Error> {
        self.registry()?.remove(&stream.into(), self.token.is_within()).await
    }

    fn registry(&self) -> Result<&super::Registry, Error> {
        self.streams.as_deref().ok_or_else(|| {
            let message = "this worker reads one stream: build one with `Worker::of_streams` to add and remove streams";
            Error::new(Code::WorkerState, message)
        })
    }
}
