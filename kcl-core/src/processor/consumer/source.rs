//! Where the lanes of one shard get their batches. Whichever lane has nothing to do reads on, for all.

use super::feed::{Feed, Taken};
use super::piece::Piece;
use crate::clock::Clock;
use crate::processor::delivery::ShardDelivery;
use crate::retrieval::{Chunk, FailedRead, Prefetch};
use crate::shard::Shard;
use crate::telemetry::event::reading::{CheckpointExpired, ChunkReceived};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

/// Shared by the lanes of a shard. Fields are dropped in this order: the delivery outlives the reader.
#[derive(Debug)]
pub(super) struct Source {
    feed: Mutex<Feed>,
    chunks: tokio::sync::Mutex<Prefetch>,
    delivery: Arc<ShardDelivery>,
    clock: Arc<dyn Clock>,
    /// Records that may be open before no more are read.
    window: u64,
    /// The shard may end while records are open: `shard_ended` acknowledges them.
    manual: bool,
    lanes: usize,
    drained: AtomicUsize,
    ended: AtomicUsize,
}

/// What a lane is to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// Hand these over.
    Batch(Piece),
    /// Something was read, and nothing of it is for this lane.
    Nothing,
    /// Something was acknowledged, parked or wished: look again.
    Changed,
    /// Every record of the shard is acknowledged; it ended in these.
    End(Vec<Shard>),
    /// The shard cannot be read now.
    Failed(FailedRead),
    /// The reader is gone without an end.
    ReaderGone,
}

/// What reading brought.
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
        window: u64,
        manual: bool,
        lanes: usize,
    ) -> Arc<Self> {
        Arc::new(Source {
            feed: Mutex::new(feed),
            chunks: tokio::sync::Mutex::new(chunks),
            delivery,
            clock,
            window,
            manual,
            lanes,
            drained: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
        })
    }

    fn feed(&self) -> MutexGuard<'_, Feed> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of the lanes is done with its farewell; tells whether it was the last.
    pub(super) fn lane_drained(&self) -> bool {
        self.drained.fetch_add(1, Ordering::AcqRel) + 1 == self.lanes
    }

    /// One of the lanes is done with the end of the shard; tells whether it was the last.
    pub(super) fn lane_ended(&self) -> bool {
        self.ended.fetch_add(1, Ordering::AcqRel) + 1 == self.lanes
    }

    /// What a lane is to do next.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub(super) async fn next(&self, lane: usize) -> Next {
        let mut read = false;
        loop {
            let changed = self.delivery.changed.notified();
            tokio::pin!(changed);
            // From here on nothing that changes is missed.
            changed.as_mut().enable();
            let now = self.clock.now();
            let (taken, ended) = {
                let mut feed = self.feed();
                (feed.take(lane, now), feed.has_ended())
            };
            let due = match taken {
                Taken::Batch(piece) => return Next::Batch(piece),
                Taken::End(children) if self.may_end() => return Next::End(children),
                Taken::End(_) | Taken::Nothing if read => return Next::Nothing,
                Taken::End(_) | Taken::Nothing => None,
                Taken::NotBefore(due) => Some(due.since(now)),
            };
            let reads = !ended && self.delivery.window() < self.window;
            tokio::select! {
                biased;
                pulled = self.pull(), if reads => match pulled {
                    Pulled::Chunk => read = true,
                    Pulled::Nothing => {}
                    Pulled::Failed(failed) => return Next::Failed(failed),
                    Pulled::Gone => return Next::ReaderGone,
                },
                () = &mut changed => return Next::Changed,
                () = sleep(due.unwrap_or(Duration::MAX)), if due.is_some() => {}
            }
        }
    }

    /// Every record is acknowledged (or will be, by `shard_ended`), and none is parked.
    fn may_end(&self) -> bool {
        let acknowledged = self.delivery.is_complete() || self.manual || mutated!(EndsUnacknowledged);
        acknowledged && (!self.delivery.has_parked() || self.manual && self.delivery.parked_is_handed())
    }

    /// Reads on. No await between what was read and its place in the feed.
    async fn pull(&self) -> Pulled {
        let mut chunks = self.chunks.lock().await;
        // Another lane may have read while this one waited for its turn.
        if self.feed().has_ended() || self.delivery.window() >= self.window {
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
        let (lease, shard, records) = (&delivery.hold.lease, delivery.shard(), chunk.records.len());
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
