//! Fetches ahead of the handler, so that the next records are there when it is done with the last.
//!
//! Bounded twice: by the byte budget, and by the few chunks that wait. The fetching task ends with the [`Prefetch`] that
//! reads from it.

use super::{Chunk, ReadError, ShardReader};
use crate::spawn::Spawn;
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Chunks that may wait for the handler.
const AHEAD: usize = 2;

/// The receiving end.
#[derive(Debug)]
pub(crate) struct Prefetch {
    chunks: mpsc::Receiver<Result<Chunk, ReadError>>,
    _stop: DropGuard,
}

impl Prefetch {
    /// Starts to fetch. `kept` is dropped after the reader.
    pub(crate) fn start<K: Send + 'static>(
        reader: Box<dyn ShardReader>,
        kept: K,
        tasks: &dyn Spawn,
        tracker: &TaskTracker,
    ) -> Self {
        let (sender, chunks) = mpsc::channel(AHEAD);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let fetching = async move {
            // The reader is dropped first, also when the task itself is dropped.
            let kept = kept;
            stopped.run_until_cancelled(fetch(reader, sender)).await;
            drop(kept);
        };
        tasks.spawn(tracker.track_future(fetching).boxed());
        Prefetch { chunks, _stop: stop.drop_guard() }
    }

    /// The next chunk; `None` when there is none after the end of the shard, or when the reader panicked.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<Result<Chunk, ReadError>> {
        self.chunks.recv().await
    }
}

async fn fetch(mut reader: Box<dyn ShardReader>, sender: mpsc::Sender<Result<Chunk, ReadError>>) {
    // Room first: no bytes are fetched, and none reserved, that have nowhere to wait.
    while let Ok(room) = sender.reserve().await {
        let chunk = reader.next().await;
        let last = chunk.as_ref().is_ok_and(|chunk| chunk.end.is_some());
        room.send(chunk);
        if last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use std::sync::{Arc, Mutex};
    use tokio::runtime::Handle;

    /// Adds its name to the list when it is dropped.
    struct Named(&'static str, Arc<Mutex<Vec<&'static str>>>);

    impl Drop for Named {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    struct Endless(#[allow(dead_code, reason = "dropped")] Named);

    #[async_trait]
    impl ShardReader for Endless {
        async fn next(&mut self) -> Result<Chunk, ReadError> {
            Ok(Chunk::default())
        }
    }

    #[tokio::test]
    async fn the_reader_is_dropped_with_the_receiving_end_and_before_what_is_kept() {
        let (dropped, tracker) = (Arc::default(), TaskTracker::new());
        let reader = Box::new(Endless(Named("reader", Arc::clone(&dropped))));
        let kept = Named("kept", Arc::clone(&dropped));
        let mut chunks = Prefetch::start(reader, kept, &Handle::current(), &tracker);
        assert!(chunks.next().await.is_some());
        assert!(dropped.lock().unwrap().is_empty());
        drop(chunks);
        tracker.close();
        tracker.wait().await;
        assert_eq!(*dropped.lock().unwrap(), ["reader", "kept"]);
    }
}
