//! Ends each shard at a moment, between a reader of any kind and whatever acquires aggregates apart.
//!
//! A shard is over at its first record that arrived at or after the moment, or at its tip once the service's own time has
//! passed the moment, or where it really ends. What ends before it really does has no children to be read: they began later.
//! No machine's clock is compared with the service's; one elapsed time is only waited for.

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

/// Records may arrive with a time by another of the service's clocks than the one that dated its answer; and a record that
/// was accepted is readable within this. Dates come in whole seconds.
const MARGIN_MS: i64 = 2_000;
/// Between two questions for the service's time, at least.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Readers that end every shard at a moment.
pub(crate) struct EndAtTime {
    inner: Arc<dyn Readers>,
    moment: Arc<Moment>,
}

impl EndAtTime {
    /// Ends them at `until`, in milliseconds since the Unix epoch by the service's clock, which `api` is asked for.
    pub(crate) fn new(inner: Arc<dyn Readers>, api: Arc<dyn StreamApi>, until_ms: i64) -> Self {
        EndAtTime { inner, moment: Arc::new(Moment { until_ms, api, seen: Mutex::new(Seen::Nothing) }) }
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
            tip_counts: false,
        })
    }
}

/// The end of the range, and whether the service has come to it: one answer for all shards.
struct Moment {
    until_ms: i64,
    api: Arc<dyn StreamApi>,
    seen: Mutex<Seen>,
}

/// What was seen of the service's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    /// It is not worth asking before then.
    NotBefore(Instant),
    Passed,
}

impl Seen {
    /// What an answer that came at `now` says, or none.
    fn after(answered_at_ms: Option<i64>, until_ms: i64, now: Instant) -> Seen {
        let left = answered_at_ms.map(|at| until_ms.saturating_add(MARGIN_MS).saturating_sub(at));
        match left {
            Some(left) if left <= 0 => Seen::Passed,
            Some(left) => {
                let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
                // A moment in the far future is asked about now and then: elapsed time here is no clock of the service's.
                Seen::NotBefore(now + left.clamp(ASK_AGAIN, Duration::from_secs(60)))
            }
            None => Seen::NotBefore(now + ASK_AGAIN),
        }
    }
}

impl Moment {
    /// Whether the service's own time has passed it, as far as the service was asked. Never waits for the moment itself.
    async fn has_passed(&self) -> bool {
        let mut seen = self.seen.lock().await;
        let due = match *seen {
            Seen::Passed => return true,
            Seen::Nothing => true,
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
    /// After the last record that was read, or where reading started.
    from: StartingPosition,
    fetching: Arc<Stopwatch>,
    moment: Arc<Moment>,
    ended: bool,
    /// The last chunk ended at the tip.
    at_tip: bool,
    /// The moment had passed before the present reader began: a tip that it shows is the end.
    tip_counts: bool,
}

#[async_trait]
impl ShardReader for EndAtTimeReader {
    async fn next(&mut self) -> Result<Chunk, ReadError> {
        if self.ended {
            return Ok(Chunk { end: Some(Vec::new()), ..Chunk::default() });
        }
        // Only what was asked for after the moment shows that nothing came before it, and what was pushed may have waited: so
        // another reader goes on. Asked here, where nothing was read that a cancellation could lose.
        if self.at_tip && !self.tip_counts && self.moment.has_passed().await {
            self.tip_counts = true;
            self.inner = self.readers.open(&self.shard, self.from.clone(), Arc::clone(&self.fetching));
        }
        let chunk = cut(self.inner.next().await?, self.moment.until_ms, self.tip_counts);
        if let Some(last) = chunk.records.last() {
            self.from = StartingPosition::After(last.position());
        }
        self.at_tip = chunk.millis_behind_latest == Some(0);
        self.ended = chunk.end.as_ref().is_some_and(Vec::is_empty);
        Ok(chunk)
    }
}

/// The chunk, as far as it lies before the moment.
fn cut(mut chunk: Chunk, until_ms: i64, tip_counts: bool) -> Chunk {
    if let Some(beyond) = chunk.records.iter().position(|record| record.arrived_at_ms >= until_ms) {
        chunk.records.truncate(beyond);
        chunk.corrupt.retain(|(index, _)| *index < beyond);
        chunk.passed = None;
        chunk.end = Some(Vec::new());
    } else if tip_counts && chunk.end.is_none() && chunk.millis_behind_latest == Some(0) {
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
