//! Takes aggregates apart, between a reader of any kind and the consumer.
//!
//! A position within an aggregate is a place that the service does not know: reading starts *at* the record that was done
//! last (as the KCL does), and what of it is done is left out here.
//!
//! Small parts are many times as large once they are records, so an answer is taken apart as it is consumed, and an aggregate
//! too: a chunk has no more records than the service answers with, and each of them is charged to the byte budget.

use super::polling::{OVERHEAD_PER_PART, Quiet};
use super::{Chunk, ReadError, Readers, Reservation, ShardReader};
use crate::aggregate::{Checksum, Deaggregator, ForeignRecords, Opened, Parts};
use crate::clock::Time;
use crate::config::Settings;
use crate::lease::row::HashKeyRange;
use crate::record::{Position, Record, ShardId, StartingPosition};
use crate::shard::Shard;
use crate::stopwatch::Stopwatch;
use crate::telemetry::event::aggregate::{AggregateCorrupt, AggregatesTakenApart};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::time::Instant;

/// What becomes of a record that begins as an aggregate, and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum CorruptAggregates {
    /// The handler gets it as it came.
    #[default]
    Deliver,
    /// It fails, with a [`CorruptAggregate`], each time it is due: the error policy says what becomes of it.
    Fail,
}

/// The error of a record that begins as an aggregate, and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record begins as a KPL aggregate, but {0}")]
pub struct CorruptAggregate(pub crate::aggregate::Corruption);

/// How aggregates are taken apart, if they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deaggregation {
    enabled: bool,
    checksum: Checksum,
    foreign: ForeignRecords,
    corrupt: CorruptAggregates,
}

impl Deaggregation {
    pub(crate) fn new(settings: &Settings) -> Self {
        Deaggregation {
            enabled: settings.deaggregate,
            checksum: settings.aggregate_checksum,
            foreign: settings.foreign_records,
            corrupt: settings.corrupt_aggregates,
        }
    }

    /// A reader whose records are taken apart.
    pub(crate) fn open(
        self,
        readers: &dyn Readers,
        shard: &ShardId,
        range: Option<HashKeyRange>,
        from: StartingPosition,
        fetching: Arc<Stopwatch>,
    ) -> Box<dyn ShardReader> {
        if !self.enabled {
            return readers.open(shard, from, fetching);
        }
        let (from, done) = match from {
            StartingPosition::After(done) => (StartingPosition::At(done.sequence_number.clone()), Some(done)),
            other @ (StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_) | StartingPosition::At(_)) => {
                (other, None)
            }
        };
        let deaggregator = Deaggregator::default().checksum(self.checksum).foreign_records(self.foreign);
        let deaggregator = match range {
            Some(range) => deaggregator.hash_range(range.start..=range.end),
            None => deaggregator,
        };
        Box::new(Deaggregating {
            inner: readers.open(shard, from, fetching),
            left: None,
            shard: shard.clone(),
            deaggregator,
            drops: self.foreign == ForeignRecords::Drop,
            fails: self.corrupt == CorruptAggregates::Fail,
            done,
            found: false,
            quiet: Quiet::default(),
            origin: Instant::now(),
        })
    }
}

/// As many records as the service answers with at most.
const MOST_RECORDS: usize = 10_000;

/// What was read and is not taken apart yet.
struct Left {
    records: std::vec::IntoIter<Record>,
    /// The aggregate of which parts were taken last, before the records.
    open: Option<Parts>,
    millis_behind_latest: Option<u64>,
    end: Option<Vec<Shard>>,
    reservation: Arc<Reservation>,
}

struct Deaggregating {
    inner: Box<dyn ShardReader>,
    left: Option<Left>,
    shard: ShardId,
    deaggregator: Deaggregator,
    drops: bool,
    fails: bool,
    /// Where reading started, until something after it has come.
    done: Option<Position>,
    /// Whether its record has come: it is the first, unless the stream has it no more.
    found: bool,
    quiet: Quiet,
    origin: Instant,
}

#[async_trait]
impl ShardReader for Deaggregating {
    async fn next(&mut self) -> Result<Chunk, ReadError> {
        let left = match self.left.take() {
            Some(left) => left,
            None => {
                let chunk = self.inner.next().await?;
                let plain = !chunk.records.iter().any(|record| Deaggregator::looks_aggregated(&record.data));
                if plain && self.done.is_none() {
                    return Ok(chunk);
                }
                let Chunk { records, millis_behind_latest, end, reservation, .. } = chunk;
                let (records, reservation) = (records.into_iter(), Arc::new(reservation));
                Left { records, open: None, millis_behind_latest, end, reservation }
            }
        };
        // No await from here on: what was read is handed on, or kept.
        Ok(self.take_apart(left))
    }
}

impl Deaggregating {
    fn take_apart(&mut self, mut left: Left) -> Chunk {
        let before = left.records.len();
        let (mut records, mut passed, mut corrupt) = (Vec::with_capacity(before.min(MOST_RECORDS)), None, Vec::new());
        let started_after = self.done.clone();
        let (mut aggregates, mut foreign) = (0, 0);
        while records.len() < MOST_RECORDS {
            let first = records.len();
            if let Some(parts) = &mut left.open {
                foreign += parts.take(MOST_RECORDS - first, &mut records);
                let last = parts.position();
                if parts.is_done() {
                    left.open = None;
                }
                self.leave_out_done(&mut records, first, &last, false);
                passed = Some(last);
                continue;
            }
            let Some(record) = left.records.next() else { break };
            let position = record.position();
            match self.deaggregator.open(record) {
                Opened::Aggregate(parts) => {
                    aggregates += 1;
                    left.open = Some(parts);
                    continue;
                }
                Opened::Plain(record) => records.push(record),
                Opened::Corrupt(record, why) => {
                    records.push(record);
                    let warn = self.quiet.may_warn(Time::from_origin(self.origin.elapsed()));
                    AggregateCorrupt { shard: &self.shard, position: &position, why, fails: self.fails, warn }.emit();
                    if self.fails {
                        corrupt.push((first, CorruptAggregate(why)));
                    }
                }
            }
            if self.leave_out_done(&mut records, first, &position, true) {
                corrupt.retain(|(index, _)| *index < records.len());
            }
            passed = Some(position);
        }
        // Where the last of them are not delivered, the position must move past them all the same.
        let passed = passed.filter(|passed| {
            let delivered = records.last().map(Record::position);
            delivered.is_none_or(|last| last < *passed) && self.done.as_ref().is_none_or(|done| done < passed)
        });
        let expired_after = started_after.filter(|_| self.done.is_none() && !self.found);
        if aggregates > 0 || foreign > 0 {
            AggregatesTakenApart { shard: &self.shard, aggregates, foreign, dropped: self.drops }.emit();
        }
        let more = records.len().saturating_sub(before - left.records.len());
        let extra = Arc::new(left.reservation.extra(more as u64 * OVERHEAD_PER_PART));
        let reservation = Reservation::of_all(vec![Arc::clone(&left.reservation), extra]);
        if left.records.len() > 0 || left.open.is_some() {
            // Only the last of them ends where the answer does.
            self.left = Some(left);
            return Chunk { records, reservation, passed, corrupt, expired_after, ..Chunk::default() };
        }
        let Left { millis_behind_latest, end, .. } = left;
        Chunk { records, millis_behind_latest, end, reservation, passed, corrupt, expired_after }
    }

    /// Leaves out those of the records from `first` on that were done before reading began. Whether it did.
    /// `alone` are records that are no parts of an aggregate.
    fn leave_out_done(&mut self, records: &mut Vec<Record>, first: usize, last: &Position, alone: bool) -> bool {
        let Some(done) = &self.done else { return false };
        if last.sequence_number > done.sequence_number {
            self.done = None;
            return false;
        }
        let is_before = last.sequence_number < done.sequence_number;
        self.found |= !is_before;
        // A position within what comes in one piece now is one that somebody else took apart: its later parts are not done.
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
