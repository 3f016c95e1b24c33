//! Prefetches records, so that the next ones are in memory when the handler finishes.
//!
//! Limited by the byte budget and by the number of queued chunks. The fetching task ends when its
//! [`Prefetch`] is dropped. A stalled reader can be replaced by a new one, which continues after
//! the last chunk.
//!
//! The fetching task retries failed reads at the reader's own pace, independent of the consumer. So
//! reading resumes within seconds of the end of an outage even if a handler is busy or an error
//! policy asks for long pauses. The consumer only sees the newest failure, through [`ReadOutage`].

use super::{Chunk, FailedRead, ReadOutage, ShardReader};
use crate::record::{Record, StartingPosition};
use crate::spawn::Spawn;
use futures_util::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// The number of chunks that may be queued for the handler.
const AHEAD: usize = 2;
/// The pause after a failed read, in addition to the reader's own growing pause. It prevents a busy
/// loop if an error costs the reader no time.
const PAUSE: Duration = Duration::from_millis(100);

/// Receives the chunks of a fetching task, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Prefetch {
    chunks: mpsc::Receiver<Chunk>,
    outage: Arc<ReadOutage>,
    _stop: DropGuard,
}

impl Prefetch {
    /// Starts to fetch with a reader from `open`, and with a new one after each `restart`. `kept`
    /// is dropped after the reader.
    pub(crate) fn start<K: Send + 'static>(
        open: impl Fn(StartingPosition) -> Box<dyn ShardReader> + Send + 'static,
        from: StartingPosition,
        restart: Arc<Notify>,
        outage: Arc<ReadOutage>,
        kept: K,
        tasks: &dyn Spawn,
        tracker: &TaskTracker,
    ) -> Self {
        let (sender, chunks) = mpsc::channel(AHEAD);
        let stop = CancellationToken::new();
        let (stopped, reported) = (stop.clone(), Arc::clone(&outage));
        let fetching = async move {
            // The reader must be dropped before `kept`, even if the task itself is dropped.
            let kept = kept;
            stopped.run_until_cancelled(fetch(open, from, &restart, &reported, sender)).await;
            drop(kept);
        };
        tasks.spawn(tracker.track_future(fetching).boxed());
        Prefetch { chunks, outage, _stop: stop.drop_guard() }
    }

    /// Returns the next chunk or the current failure; `None` after the end of the shard, or if the
    /// reader panicked.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<Result<Chunk, FailedRead>> {
        tokio::select! {
            biased;
            chunk = self.chunks.recv() => chunk.map(Ok),
            failed = self.outage.next() => Some(Err(failed)),
        }
    }
}

async fn fetch(
    open: impl Fn(StartingPosition) -> Box<dyn ShardReader>,
    mut from: StartingPosition,
    restart: &Notify,
    outage: &ReadOutage,
    sender: mpsc::Sender<Chunk>,
) {
    let mut reader = open(from.clone());
    // Wait for a free place in the queue first: otherwise fetched bytes would hold budget without a
    // place to wait.
    while let Ok(room) = sender.reserve().await {
        let chunk = loop {
            tokio::select! {
                biased;
                () = restart.notified() => reader = open(from.clone()),
                chunk = reader.next() => match chunk {
                    Ok(chunk) => break chunk,
                    Err(error) => {
                        outage.failed(error);
                        sleep(PAUSE).await;
                    }
                },
            }
        };
        // A restarted reader receives records again. Such a chunk alone does not show that reading
        // makes progress.
        let is_progress = !chunk.records.is_empty()
            || chunk.passed.is_some()
            || chunk.end.is_some()
            || chunk.millis_behind_latest.is_none_or(|millis| millis == 0)
            || matches!(from, StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_));
        if is_progress {
            outage.succeeded();
        }
        if let Some(last) = chunk.passed.clone().or_else(|| chunk.records.last().map(Record::position)) {
            from = StartingPosition::After(last);
        }
        let last = chunk.end.is_some();
        room.send(chunk);
        if last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TokioClock;
    use crate::record::{SequenceNumber, ShardId};
    use crate::retrieval::ReadError;
    use crate::shard::{ApiError, ApiErrorKind};
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

    fn outage() -> Arc<ReadOutage> {
        Arc::new(ReadOutage::new(Arc::new(TokioClock::new())))
    }

    /// Fails every second until that time, and then returns one record.
    struct RefusedUntil(tokio::time::Instant);

    #[async_trait]
    impl ShardReader for RefusedUntil {
        async fn next(&mut self) -> Result<Chunk, ReadError> {
            sleep(Duration::from_secs(1)).await;
            if tokio::time::Instant::now() < self.0 {
                let source =
                    ApiError { kind: ApiErrorKind::Refused, message: "no".to_owned(), code: None, source: None };
                return Err(ReadError { shard: ShardId::from("shardId-000000000000"), source });
            }
            Ok(Chunk { records: vec![Record::new(SequenceNumber::parse("1").unwrap(), "x")], ..Chunk::default() })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reads_are_retried_while_the_consumer_is_busy_and_only_the_newest_failure_is_returned() {
        let until = tokio::time::Instant::now() + Duration::from_secs(60);
        let open = move |_| -> Box<dyn ShardReader> { Box::new(RefusedUntil(until)) };
        let (tracker, from) = (TaskTracker::new(), StartingPosition::TrimHorizon);
        let mut chunks = Prefetch::start(open, from, Arc::default(), outage(), (), &Handle::current(), &tracker);
        // The consumer is busy for half a minute.
        sleep(Duration::from_secs(30)).await;
        let failed = chunks.next().await.unwrap().unwrap_err();
        assert!(failed.attempt >= 25, "{failed:?}");
        assert!(chunks.next().await.unwrap().unwrap_err().attempt > failed.attempt, "the next failure is a new one");
        // And until after the end of the outage.
        sleep(Duration::from_secs(40)).await;
        assert_eq!(chunks.next().await.unwrap().unwrap().records.len(), 1, "no failure of an outage that is over");
    }

    struct Endless(#[allow(dead_code, reason = "dropped")] Named);

    #[async_trait]
    impl ShardReader for Endless {
        async fn next(&mut self) -> Result<Chunk, ReadError> {
            Ok(Chunk::default())
        }
    }

    #[tokio::test]
    async fn the_reader_is_dropped_with_the_receiving_end_and_before_kept() {
        let (dropped, tracker) = (Arc::default(), TaskTracker::new());
        let (readers, kept) = (Arc::clone(&dropped), Named("kept", Arc::clone(&dropped)));
        let open = move |_| -> Box<dyn ShardReader> { Box::new(Endless(Named("reader", Arc::clone(&readers)))) };
        let (from, restart, handle) = (StartingPosition::TrimHorizon, Arc::default(), Handle::current());
        let mut chunks = Prefetch::start(open, from, restart, outage(), kept, &handle, &tracker);
        assert!(chunks.next().await.is_some());
        assert!(dropped.lock().unwrap().is_empty());
        drop(chunks);
        tracker.close();
        tracker.wait().await;
        assert_eq!(*dropped.lock().unwrap(), ["reader", "kept"]);
    }

    /// Returns one record, numbered from where it starts, and then stalls.
    struct Stalls(Option<u64>);

    #[async_trait]
    impl ShardReader for Stalls {
        async fn next(&mut self) -> Result<Chunk, ReadError> {
            let Some(number) = self.0.take() else { return std::future::pending().await };
            let record = Record::new(SequenceNumber::parse(number.to_string()).unwrap(), "x");
            Ok(Chunk { records: vec![record], ..Chunk::default() })
        }
    }

    #[tokio::test]
    async fn a_stalled_reader_is_replaced_by_one_that_continues_after_the_last_record() {
        let open = |from| -> Box<dyn ShardReader> {
            let next = match from {
                StartingPosition::After(position) => position.sequence_number.as_str().parse::<u64>().unwrap() + 1,
                StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_) | StartingPosition::At(_) => 1,
            };
            Box::new(Stalls(Some(next)))
        };
        let (tracker, restart) = (TaskTracker::new(), Arc::new(Notify::new()));
        let from = StartingPosition::TrimHorizon;
        let mut chunks = Prefetch::start(open, from, restart.clone(), outage(), (), &Handle::current(), &tracker);
        for number in ["1", "2", "3"] {
            let chunk = chunks.next().await.unwrap().unwrap();
            assert_eq!(chunk.records[0].sequence_number.as_str(), number);
            restart.notify_one();
        }
    }
}
