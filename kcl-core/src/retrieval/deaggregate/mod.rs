//! De-aggregates KPL records, between a reader of any kind and the consumer.
//!
//! The service does not know positions within an aggregate. Reading therefore resumes *at* the last
//! completed record (as KCL does), and this module drops the parts of it that are completed.
//!
//! Small parts are many times larger as records than inside the aggregate. So a response is
//! de-aggregated while it is consumed: a chunk has no more records than a response of the service,
//! and each of them is charged to the byte budget.

use super::polling::OVERHEAD_PER_PART;
use super::warn_limiter::WarnLimiter;
use super::{Chunk, ReadError, Readers, Reservation, ShardReader};
use crate::clock::Time;
use crate::config::{AggregateConfig, CorruptAggregates};
use crate::lease::row::HashKeyRange;
use crate::record::aggregate::{Deaggregator, ForeignRecords, Opened, Parts};
use crate::record::{Position, Record, ShardId, StartingPosition};
use crate::retrieval::event::aggregate::{AggregateCorrupt, AggregatesTakenApart};
use crate::shard::Shard;
use crate::stopwatch::Stopwatch;
use async_trait::async_trait;
use std::sync::Arc;
use tokio::time::Instant;

/// The error of a record that has the KPL magic prefix and is not a valid aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record has the prefix of a KPL aggregate, but {0}")]
pub struct CorruptAggregate(pub crate::record::aggregate::Corruption);

/// Whether and how records are de-aggregated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deaggregation(AggregateConfig);

impl Deaggregation {
    pub(crate) fn new(config: AggregateConfig) -> Self {
        Deaggregation(config)
    }

    /// Opens a reader that de-aggregates its records.
    pub(crate) fn open(
        self,
        readers: &dyn Readers,
        shard: &ShardId,
        range: Option<HashKeyRange>,
        from: StartingPosition,
        fetching: Arc<Stopwatch>,
    ) -> Box<dyn ShardReader> {
        let AggregateConfig { deaggregate, checksum, foreign_records, corrupt_aggregates } = self.0;
        if !deaggregate {
            return readers.open(shard, from, fetching);
        }
        let (from, done) = match from {
            StartingPosition::After(done) => (StartingPosition::At(done.sequence_number.clone()), Some(done)),
            other @ (StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_) | StartingPosition::At(_)) => {
                (other, None)
            }
        };
        let deaggregator = Deaggregator::default().checksum(checksum).foreign_records(foreign_records);
        let deaggregator = match range {
            Some(range) => deaggregator.hash_range(range.start..=range.end),
            None => deaggregator,
        };
        Box::new(DeaggregatingReader {
            inner: readers.open(shard, from, fetching),
            unprocessed: None,
            shard: shard.clone(),
            deaggregator,
            drops: foreign_records == ForeignRecords::Drop,
            fails: corrupt_aggregates == CorruptAggregates::Fail,
            done,
            found: false,
            warn_limiter: WarnLimiter::default(),
            origin: Instant::now(),
        })
    }
}

/// The most records of one GetRecords response (AWS: GetRecords).
const MAX_RECORDS: usize = 10_000;

/// The part of a response that is not de-aggregated yet.
struct Unprocessed {
    records: std::vec::IntoIter<Record>,
    /// The aggregate that is being split. Its remaining parts precede `records`.
    open: Option<Parts>,
    millis_behind_latest: Option<u64>,
    end: Option<Vec<Shard>>,
    reservation: Arc<Reservation>,
}

struct DeaggregatingReader {
    inner: Box<dyn ShardReader>,
    unprocessed: Option<Unprocessed>,
    shard: ShardId,
    deaggregator: Deaggregator,
    drops: bool,
    fails: bool,
    /// The position where reading started, until a later record has arrived.
    done: Option<Position>,
    /// True once the record at `done` has arrived. It is the first record, unless it has expired.
    found: bool,
    warn_limiter: WarnLimiter,
    origin: Instant,
}

#[async_trait]
impl ShardReader for DeaggregatingReader {
    async fn next(&mut self) -> Result<Chunk, ReadError> {
        let unprocessed = match self.unprocessed.take() {
            Some(unprocessed) => unprocessed,
            None => {
                let chunk = self.inner.next().await?;
                let plain = !chunk.records.iter().any(|record| Deaggregator::looks_aggregated(&record.data));
                if plain && self.done.is_none() {
                    return Ok(chunk);
                }
                let Chunk { records, millis_behind_latest, end, reservation, .. } = chunk;
                let (records, reservation) = (records.into_iter(), Arc::new(reservation));
                Unprocessed { records, open: None, millis_behind_latest, end, reservation }
            }
        };
        // No await after this point: records that were read are either returned or kept in
        // `unprocessed`.
        Ok(self.deaggregate(unprocessed))
    }
}

impl DeaggregatingReader {
    fn deaggregate(&mut self, mut unprocessed: Unprocessed) -> Chunk {
        let before = unprocessed.records.len();
        let (mut records, mut passed, mut corrupt) = (Vec::with_capacity(before.min(MAX_RECORDS)), None, Vec::new());
        let started_after = self.done.clone();
        let (mut aggregates, mut foreign) = (0, 0);
        while records.len() < MAX_RECORDS {
            let first = records.len();
            if let Some(parts) = &mut unprocessed.open {
                foreign += parts.take(MAX_RECORDS - first, &mut records);
                let last = parts.position();
                if parts.is_done() {
                    unprocessed.open = None;
                }
                self.drop_completed(&mut records, first, &last, false);
                passed = Some(last);
                continue;
            }
            let Some(record) = unprocessed.records.next() else { break };
            let position = record.position();
            match self.deaggregator.open(record) {
                Opened::Aggregate(parts) => {
                    aggregates += 1;
                    unprocessed.open = Some(parts);
                    continue;
                }
                Opened::Plain(record) => records.push(record),
                Opened::Corrupt(record, why) => {
                    records.push(record);
                    let warn = self.warn_limiter.may_warn(Time::from_origin(self.origin.elapsed()));
                    AggregateCorrupt { shard: &self.shard, position: &position, why, fails: self.fails, warn }.emit();
                    if self.fails {
                        corrupt.push((first, CorruptAggregate(why)));
                    }
                }
            }
            if self.drop_completed(&mut records, first, &position, true) {
                corrupt.retain(|(index, _)| *index < records.len());
            }
            passed = Some(position);
        }
        // If the last records are dropped, the checkpoint must still advance past them.
        let passed = passed.filter(|passed| {
            let delivered = records.last().map(Record::position);
            delivered.is_none_or(|last| last < *passed) && self.done.as_ref().is_none_or(|done| done < passed)
        });
        let expired_after = started_after.filter(|_| self.done.is_none() && !self.found);
        if aggregates > 0 || foreign > 0 {
            AggregatesTakenApart { shard: &self.shard, aggregates, foreign, dropped: self.drops }.emit();
        }
        let more = records.len().saturating_sub(before - unprocessed.records.len());
        let extra = Arc::new(unprocessed.reservation.extra(more as u64 * OVERHEAD_PER_PART));
        let reservation = Reservation::combined(vec![Arc::clone(&unprocessed.reservation), extra]);
        if unprocessed.records.len() > 0 || unprocessed.open.is_some() {
            // Only the last chunk of a response ends where the response ends.
            self.unprocessed = Some(unprocessed);
            return Chunk { records, reservation, passed, corrupt, expired_after, ..Chunk::default() };
        }
        let Unprocessed { millis_behind_latest, end, .. } = unprocessed;
        Chunk { records, millis_behind_latest, end, reservation, passed, corrupt, expired_after }
    }

    /// Drops those of the records from `first` on that were completed before reading began. Returns
    /// true if it dropped any. `alone` is true for a record that is not part of an aggregate.
    fn drop_completed(&mut self, records: &mut Vec<Record>, first: usize, last: &Position, alone: bool) -> bool {
        let Some(done) = &self.done else { return false };
        if last.sequence_number > done.sequence_number {
            self.done = None;
            return false;
        }
        let is_before = last.sequence_number < done.sequence_number;
        self.found |= !is_before;
        // The checkpoint is within a record that is not an aggregate for this reader, so another
        // reader de-aggregated it: its later parts are not completed.
        let whole = alone && done.sub_sequence_number > 0;
        if !is_before && whole {
            return false;
        }
        let kept = records.split_off(first);
        let is_new = |record: &Record| !is_before && record.sub_sequence_number > done.sub_sequence_number;
        records.extend(kept.into_iter().filter(is_new));
        true
    }
}

#[cfg(test)]
mod tests;
