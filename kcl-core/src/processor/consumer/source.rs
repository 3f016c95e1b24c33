//! Gives the lanes of one shard their batches. An idle lane reads on, for all lanes.

use super::feed::{Feed, FeedPoll};
use crate::clock::Clock;
use crate::processor::delivery::ShardDelivery;
use crate::processor::record_slice::RecordSlice;
use crate::retrieval::event::reading::{CheckpointExpired, ChunkReceived};
use crate::retrieval::{Chunk, FailedRead, Prefetch};
use crate::shard::Shard;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

/// Shared by the lanes of a shard. Fields are dropped in this order, so that the delivery outlives
/// the reader.
#[derive(Debug)]
pub(super) struct Source {
    feed: Mutex<Feed>,
    chunks: tokio::sync::Mutex<Prefetch>,
    delivery: Arc<ShardDelivery>,
    clock: Arc<dyn Clock>,
    /// The most records from the first unacknowledged one on; no more are read beyond it.
    max_unacknowledged: u64,
    /// With `manual_checkpoints` the shard may end while records are unacknowledged: `shard_ended`
    /// acknowledges them.
    manual: bool,
    lanes: usize,
    drained: AtomicUsize,
    ended: AtomicUsize,
}

/// What the source has for a lane.
#[derive(Debug)]
pub(super) enum SourceEvent {
    /// A batch.
    Batch(RecordSlice),
    /// A chunk was read, and none of its records is for this lane.
    Nothing,
    /// Acknowledgements, the quarantine or requests for it have changed: check again.
    Changed,
    /// The shard ended with these children, and every record is acknowledged.
    End(Vec<Shard>),
    /// The shard cannot be read at present.
    Failed(FailedRead),
    /// The reader is gone although the shard has not ended.
    ReaderGone,
}

/// The result of one read.
enum Pulled {
    Chunk,
    Nothing,
    Failed(FailedRead),
    Gone,
}

impl Source {
    pub(super) fn new(
        feed: Feed,
        chunks: Prefetch,
        delivery: Arc<ShardDelivery>,
        clock: Arc<dyn Clock>,
        max_unacknowledged: u64,
        manual: bool,
        lanes: usize,
    ) -> Arc<Self> {
        Arc::new(Source {
            feed: Mutex::new(feed),
            chunks: tokio::sync::Mutex::new(chunks),
            delivery,
            clock,
            max_unacknowledged,
            manual,
            lanes,
            drained: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
        })
    }

    fn feed(&self) -> MutexGuard<'_, Feed> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a lane that is drained. Returns whether it was the last one.
    pub(super) fn lane_drained(&self) -> bool {
        self.drained.fetch_add(1, Ordering::AcqRel) + 1 == self.lanes
    }

    /// Counts a lane that has finished the end of the shard. Returns whether it was the last one.
    pub(super) fn lane_ended(&self) -> bool {
        self.ended.fetch_add(1, Ordering::AcqRel) + 1 == self.lanes
    }

    /// Waits for a lane's next batch or event.
    ///
    /// # Cancellation
    /// Safe: no record is lost if the future is dropped.
    pub(super) async fn next(&self, lane: usize) -> SourceEvent {
        let mut read = false;
        loop {
            let changed = self.delivery.changed.notified();
            tokio::pin!(changed);
            // Enabled before the state is checked, so that no change after the check is missed.
            changed.as_mut().enable();
            let now = self.clock.now();
            let (taken, ended) = {
                let mut feed = self.feed();
                (feed.take(lane, now), feed.has_ended())
            };
            let due = match taken {
                FeedPoll::Batch(slice) => return SourceEvent::Batch(slice),
                FeedPoll::End(children) if self.may_end() => return SourceEvent::End(children),
                FeedPoll::End(_) | FeedPoll::Nothing if read => return SourceEvent::Nothing,
                FeedPoll::End(_) | FeedPoll::Nothing => None,
                FeedPoll::NotBefore(due) => Some(due.since(now)),
            };
            let reads = !ended && self.delivery.window() < self.max_unacknowledged;
            tokio::select! {
                biased;
                pulled = self.pull(), if reads => match pulled {
                    Pulled::Chunk => read = true,
                    Pulled::Nothing => {}
                    Pulled::Failed(failed) => return SourceEvent::Failed(failed),
                    Pulled::Gone => return SourceEvent::ReaderGone,
                },
                () = &mut changed => return SourceEvent::Changed,
                () = sleep(due.unwrap_or(Duration::MAX)), if due.is_some() => {}
            }
        }
    }

    /// Whether every record is acknowledged (or will be by `shard_ended`), and none is in
    /// quarantine. SHARD_END says that the whole shard is done (docs/protocol/resharding.md).
    fn may_end(&self) -> bool {
        let acknowledged = self.delivery.is_complete() || self.manual || mutated!(EndsUnacknowledged);
        acknowledged && (!self.delivery.has_quarantined() || self.manual && self.delivery.quarantined_are_handed_over())
    }

    /// Reads the next chunk into the feed. No await in between, so that a dropped future loses no
    /// records.
    async fn pull(&self) -> Pulled {
        let mut chunks = self.chunks.lock().await;
        // Another lane may have read while this one waited for the lock.
        if self.feed().has_ended() || self.delivery.window() >= self.max_unacknowledged {
            return Pulled::Nothing;
        }
        match chunks.next().await {
            None => Pulled::Gone,
            Some(Err(failed)) => Pulled::Failed(failed),
            Some(Ok(chunk)) => {
                self.add(chunk);
                Pulled::Chunk
            }
        }
    }

    fn add(&self, chunk: Chunk) {
        let (delivery, millis_behind_latest) = (&self.delivery, chunk.millis_behind_latest);
        let (lease, shard, records) = (&delivery.claim.lease, delivery.shard(), chunk.records.len());
        ChunkReceived { lease, shard, records, millis_behind_latest }.emit();
        if let (Some(last), Some(behind)) = (chunk.records.last(), millis_behind_latest) {
            delivery.saw_service_time(last.arrived_at_ms.saturating_add_unsigned(behind));
        }
        let ends = chunk.end.is_some();
        if let Some(position) = &chunk.expired_after {
            let until_ms = chunk.records.first().map_or(0, |record| record.arrived_at_ms);
            CheckpointExpired { shard: delivery.shard(), position, until_ms }.emit();
        }
        delivery.saw_answer(&chunk.records, millis_behind_latest, ends);
        self.feed().add(chunk, delivery, self.clock.now());
        if mutated!(AcknowledgesEarly) {
            delivery.acknowledge_all();
        }
        if self.lanes > 1 || ends {
            delivery.changed.notify_waiters();
        }
    }
}
