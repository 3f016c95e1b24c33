//! Ends each shard at a given time, between a reader of any kind and the de-aggregation.
//!
//! A shard ends at its first record that arrived at or after that time, at its tip once the
//! service's own time has passed, or at its real end. A shard that ends before its real end has no
//! children to read, because they began later. No local clock is compared with the service's;
//! elapsed local time only decides when to ask again.

use super::{Chunk, ReadError, Readers, ShardReader};
use crate::record::{ShardId, StartingPosition};
use crate::shard::{StreamApi, pages};
use crate::stopwatch::Stopwatch;
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Arrival times may come from another clock of the service than its response dates, an accepted
/// record becomes readable within this time, and response dates are whole seconds.
const MARGIN_MS: i64 = 2_000;
/// The least time between two requests for the service's time.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Wraps readers so that every shard ends at a given time.
pub(crate) struct EndAtTime {
    inner: Arc<dyn Readers>,
    moment: Arc<Moment>,
}

impl EndAtTime {
    /// Ends shards at `until_ms`, in milliseconds since the Unix epoch by the service's clock,
    /// which is requested from `api`.
    pub(crate) fn new(inner: Arc<dyn Readers>, api: Arc<dyn StreamApi>, until_ms: i64) -> Self {
        EndAtTime { inner, moment: Arc::new(Moment { until_ms, api, seen: Mutex::new(Seen::Never) }) }
    }
}

impl Readers for EndAtTime {
    fn open(&self, shard: &ShardId, from: StartingPosition, fetching: Arc<Stopwatch>) -> Box<dyn ShardReader> {
        Box::new(EndAtTimeReader {
            inner: self.inner.open(shard, from.clone(), Arc::clone(&fetching)),
            readers: Arc::clone(&self.inner),
            shard: shard.clone(),
            from,
            fetching,
            moment: Arc::clone(&self.moment),
            ended: false,
            at_tip: false,
            tip_is_end: false,
        })
    }
}

/// The end of the range, and whether the service's time has passed it. Shared by all shards.
struct Moment {
    until_ms: i64,
    api: Arc<dyn StreamApi>,
    seen: Mutex<Seen>,
}

/// What is known of the service's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Never,
    /// The service need not be asked before this.
    NotBefore(Instant),
    Passed,
}

impl Seen {
    /// Evaluates a response that arrived at `now`.
    fn after(answered_at_ms: Option<i64>, until_ms: i64, now: Instant) -> Seen {
        let left = answered_at_ms.map(|at| until_ms.saturating_add(MARGIN_MS).saturating_sub(at));
        match left {
            Some(left) if left <= 0 => Seen::Passed,
            Some(left) => {
                let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
                // If the end is far in the future, ask again regularly, because local elapsed time
                // may differ from the service's.
                Seen::NotBefore(now + left.clamp(POLL_INTERVAL, Duration::from_secs(60)))
            }
            None => Seen::NotBefore(now + POLL_INTERVAL),
        }
    }
}

impl Moment {
    /// True if the service's time is known to have passed the end. Asks the service if that is due;
    /// never waits for the end itself.
    async fn has_passed(&self) -> bool {
        let mut seen = self.seen.lock().await;
        let due = match *seen {
            Seen::Passed => return true,
            Seen::Never => true,
            Seen::NotBefore(due) => Instant::now() >= due,
        };
        if due {
            let answered_at_ms = pages::service_time(self.api.as_ref()).await.ok().flatten();
            *seen = Seen::after(answered_at_ms, self.until_ms, Instant::now());
        }
        *seen == Seen::Passed
    }
}

struct EndAtTimeReader {
    inner: Box<dyn ShardReader>,
    readers: Arc<dyn Readers>,
    shard: ShardId,
    /// The position after the last record that was read, or where reading started.
    from: StartingPosition,
    fetching: Arc<Stopwatch>,
    moment: Arc<Moment>,
    ended: bool,
    /// The last chunk ended at the tip.
    at_tip: bool,
    /// True if the end had passed before the present reader was opened: then a tip that it reaches
    /// is the end.
    tip_is_end: bool,
}

#[async_trait]
impl ShardReader for EndAtTimeReader {
    async fn next(&mut self) -> Result<Chunk, ReadError> {
        if self.ended {
            return Ok(Chunk { end: Some(Vec::new()), ..Chunk::default() });
        }
        // Only a response that was requested after the end proves that no earlier record is
        // missing, and pushed records may have been queued. So a new reader continues. The check is
        // here, before anything is read that a cancellation could lose.
        if self.at_tip && !self.tip_is_end && self.moment.has_passed().await {
            self.tip_is_end = true;
            self.inner = self.readers.open(&self.shard, self.from.clone(), Arc::clone(&self.fetching));
        }
        let chunk = cut(self.inner.next().await?, self.moment.until_ms, self.tip_is_end);
        if let Some(last) = chunk.records.last() {
            self.from = StartingPosition::After(last.position());
        }
        self.at_tip = chunk.millis_behind_latest == Some(0);
        self.ended = chunk.end.as_ref().is_some_and(Vec::is_empty);
        Ok(chunk)
    }
}

/// Returns the part of the chunk before the end.
fn cut(mut chunk: Chunk, until_ms: i64, tip_is_end: bool) -> Chunk {
    if let Some(beyond) = chunk.records.iter().position(|record| record.arrived_at_ms >= until_ms) {
        chunk.records.truncate(beyond);
        chunk.corrupt.retain(|(index, _)| *index < beyond);
        chunk.passed = None;
        chunk.end = Some(Vec::new());
    } else if tip_is_end && chunk.end.is_none() && chunk.millis_behind_latest == Some(0) {
        chunk.end = Some(Vec::new());
    }
    chunk
}

impl fmt::Debug for EndAtTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndAtTime").field("until_ms", &self.moment.until_ms).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
