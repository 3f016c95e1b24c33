//! Fetches ahead of the handler, so that the next records are there when it is done with the last.
//!
//! Bounded twice: by the byte budget, and by the few chunks that wait. The fetching task ends with the [`Prefetch`] that
//! reads from it. A reader that stands can be replaced by another one, which goes on after the last chunk.

use super::{Chunk, ReadError, ShardReader};
use crate::record::{Record, StartingPosition};
use crate::spawn::Spawn;
use futures_util::FutureExt;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};
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
    /// Starts to fetch with a reader that `open` makes, and with another one at each `restart`. `kept` is dropped after the
    /// reader.
    pub(crate) fn start<K: Send + 'static>(
        open: impl Fn(StartingPosition) -> Box<dyn ShardReader> + Send + 'static,
        from: StartingPosition,
        restart: Arc<Notify>,
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
            stopped.run_until_cancelled(fetch(open, from, &restart, sender)).await;
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

async fn fetch(
    open: impl Fn(StartingPosition) -> Box<dyn ShardReader>,
    mut from: StartingPosition,
    restart: &Notify,
    sender: mpsc::Sender<Result<Chunk, ReadError>>,
) {
    let mut reader = open(from.clone());
    // Room first: no bytes are fetched, and none reserved, that have nowhere to wait.
    while let Ok(room) = sender.reserve().await {
        let chunk = loop {
            tokio::select! {
                biased;
                () = restart.notified() => reader = open(from.clone()),
                chunk = reader.next() => break chunk,
            }
        };
        if let Ok(chunk) = &chunk
            && let Some(last) = chunk.passed.clone().or_else(|| chunk.records.last().map(Record::position))
        {
            from = StartingPosition::After(last);
        }
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
    use crate::record::SequenceNumber;
    use async_trait::async_trait;
    use std::sync::Mutex;
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
        let (readers, kept) = (Arc::clone(&dropped), Named("kept", Arc::clone(&dropped)));
        let open = move |_| -> Box<dyn ShardReader> { Box::new(Endless(Named("reader", Arc::clone(&readers)))) };
        let (from, restart, handle) = (StartingPosition::TrimHorizon, Arc::default(), Handle::current());
        let mut chunks = Prefetch::start(open, from, restart, kept, &handle, &tracker);
        assert!(chunks.next().await.is_some());
        assert!(dropped.lock().unwrap().is_empty());
        drop(chunks);
        tracker.close();
        tracker.wait().await;
        assert_eq!(*dropped.lock().unwrap(), ["reader", "kept"]);
    }

    /// Gives one record, numbered from where it starts, and then stands.
    struct Stands(Option<u64>);

    #[async_trait]
    impl ShardReader for Stands {
        async fn next(&mut self) -> Result<Chunk, ReadError> {
            let Some(number) = self.0.take() else { return std::future::pending().await };
            let record = Record::new(SequenceNumber::parse(number.to_string()).unwrap(), "x");
            Ok(Chunk { records: vec![record], ..Chunk::default() })
        }
    }

    #[tokio::test]
    async fn a_reader_that_stands_is_replaced_by_one_that_goes_on_after_the_last_record() {
        let open = |from| -> Box<dyn ShardReader> {
            let next = match from {
                StartingPosition::After(position) => position.sequence_number.as_str().parse::<u64>().unwrap() + 1,
                StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_) | StartingPosition::At(_) => 1,
            };
            Box::new(Stands(Some(next)))
        };
        let (tracker, restart) = (TaskTracker::new(), Arc::new(Notify::new()));
        let from = StartingPosition::TrimHorizon;
        let mut chunks = Prefetch::start(open, from, restart.clone(), (), &Handle::current(), &tracker);
        for number in ["1", "2", "3"] {
            let chunk = chunks.next().await.unwrap().unwrap();
            assert_eq!(chunk.records[0].sequence_number.as_str(), number);
            restart.notify_one();
        }
    }
}
