//! From what was read to batches for lanes. Pure.
//!
//! Records are numbered as they come, those that an earlier owner has done are left out, and the rest waits in the queue of
//! its lane until a batch is full or due.

use super::piece::{Numbers, Piece};
use crate::checkpoint::{CompletedRanges, Positions};
use crate::clock::Time;
use crate::processor::concurrency::Lanes;
use crate::processor::delivery::ShardDelivery;
use crate::record::{Position, Record};
use crate::retrieval::{Chunk, corrupt_at};
use crate::shard::Shard;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// When a batch is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::processor) struct Batching {
    /// The most records.
    pub(in crate::processor) records: usize,
    /// The most payload; one record is always handed over.
    pub(in crate::processor) bytes: usize,
    /// How long the first record waits for others.
    pub(in crate::processor) window: Duration,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Feed {
    lanes: Lanes,
    batching: Batching,
    done: CompletedRanges,
    /// One a lane where a key's lane is fixed, one for all elsewhere.
    queues: Vec<Queue>,
    end: Option<Vec<Shard>>,
}

#[derive(Debug, Default)]
struct Queue {
    pieces: VecDeque<Piece>,
    records: usize,
    bytes: usize,
}

/// What there is for a lane.
#[derive(Debug)]
pub(super) enum Taken {
    /// A batch.
    Batch(Piece),
    /// Something, but not before then.
    NotBefore(Time),
    /// Nothing.
    Nothing,
    /// Nothing, and nothing will come: the shard ended in these.
    End(Vec<Shard>),
}

impl Feed {
    pub(super) fn new(lanes: Lanes, batching: Batching, done: CompletedRanges) -> Self {
        let queues = if let Lanes::ByKey(_) = lanes { lanes.count() } else { 1 };
        let queues = (0..queues).map(|_| Queue::default()).collect();
        Feed { lanes, batching, done, queues, end: None }
    }

    /// Whether the end of the shard was read.
    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Takes what was read.
    pub(super) fn add(&mut self, chunk: Chunk, delivery: &ShardDelivery, now: Time) {
        let Chunk { mut records, millis_behind_latest, end, reservation, passed, corrupt, .. } = chunk;
        self.end = end;
        if records.is_empty() {
            return pass(passed, delivery);
        }
        let done: Vec<bool> = if self.done.is_empty() {
            Vec::new()
        } else {
            records.iter().map(|record| self.done.covers(&record.position())).collect()
        };
        let is_done = |index: usize| done.get(index).copied().unwrap_or(false);
        let reservation = Arc::new(reservation);
        let piece = |records: Arc<Vec<Record>>, numbers, range| Piece {
            records,
            range,
            numbers,
            millis_behind_latest,
            corrupt: None,
            since: now,
            reservation: Arc::clone(&reservation),
        };
        let by_key = matches!(self.lanes, Lanes::ByKey(_));
        if !by_key && self.batching.window.is_zero() {
            // They stay together, and the positions are asked of the records themselves.
            let records = Arc::new(records);
            let first = delivery.delivered(Positions::Records(Arc::clone(&records)));
            let mut at = 0;
            while at < records.len() {
                let kind = |index| (is_done(index), corrupt_at(&corrupt, index).map(|why| (index, why)));
                let here = kind(at);
                let end = (at..records.len()).find(|index| kind(*index) != here).unwrap_or(records.len());
                if here.0 {
                    delivery.acknowledge(first + at as u64..first + end as u64);
                } else {
                    let piece = piece(Arc::clone(&records), Numbers::From(first), at..end);
                    self.push(0, Piece { corrupt: here.1.map(|(_, why)| why), ..piece });
                }
                at = end;
            }
            return pass(passed, delivery);
        }
        let first = delivery.delivered(Positions::List(records.iter().map(Record::position).collect()));
        let mut parts: Vec<(Vec<Record>, Vec<u64>)> = self.queues.iter().map(|_| Default::default()).collect();
        for (index, record) in records.drain(..).enumerate() {
            let number = first + index as u64;
            if is_done(index) {
                delivery.acknowledge(number..number + 1);
                continue;
            }
            let lane = if by_key { self.lanes.of_record(&record) } else { 0 };
            let Some(of_lane) = parts.get_mut(lane) else { continue };
            if let Some(why) = corrupt_at(&corrupt, index) {
                // A piece of its own, after those before it.
                let (before, numbers) = std::mem::take(of_lane);
                let range = 0..before.len();
                self.push(lane, piece(Arc::new(before), Numbers::Each(numbers.into()), range));
                let alone = piece(Arc::new(vec![record]), Numbers::From(number), 0..1);
                self.push(lane, Piece { corrupt: Some(why), ..alone });
                continue;
            }
            of_lane.0.push(record);
            of_lane.1.push(number);
        }
        for (lane, (records, numbers)) in parts.into_iter().enumerate() {
            let range = 0..records.len();
            self.push(lane, piece(Arc::new(records), Numbers::Each(numbers.into()), range));
        }
        pass(passed, delivery);
    }

    fn push(&mut self, lane: usize, piece: Piece) {
        if let Some(queue) = self.queues.get_mut(lane).filter(|_| piece.len() > 0) {
            queue.records += piece.len();
            queue.bytes += piece.bytes();
            queue.pieces.push_back(piece);
        }
    }

    /// The next batch for a lane.
    pub(super) fn take(&mut self, lane: usize, now: Time) -> Taken {
        let (batching, ended) = (self.batching, self.end.is_some());
        let share = self.share();
        let Some(queue) = self.queues.get_mut(if let Lanes::ByKey(_) = self.lanes { lane } else { 0 }) else {
            return Taken::Nothing;
        };
        let Some(first) = queue.pieces.front().filter(|_| !(ended && mutated!(EndsUnacknowledged))) else {
            return self.end.clone().map_or(Taken::Nothing, Taken::End);
        };
        let due = first.since + batching.window;
        let full = queue.records >= batching.records || queue.bytes >= batching.bytes;
        if !(full || ended || now >= due) {
            return Taken::NotBefore(due);
        }
        queue.take(batching, share).map_or(Taken::Nothing, Taken::Batch)
    }

    /// The most records of a batch for one of several lanes that share a queue: what there is, evenly.
    fn share(&self) -> usize {
        match (self.lanes, self.queues.first()) {
            (Lanes::Any(lanes), Some(queue)) => queue.records.div_ceil(lanes.max(1)).max(1),
            (Lanes::One | Lanes::ByKey(_) | Lanes::Any(_), _) => usize::MAX,
        }
    }
}

/// A position whose record nobody gets is done as soon as it is read.
fn pass(passed: Option<Position>, delivery: &ShardDelivery) {
    if let Some(position) = passed {
        let number = delivery.delivered(Positions::List(Box::new([position])));
        delivery.acknowledge(number..number + 1);
    }
}

impl Queue {
    fn take(&mut self, batching: Batching, share: usize) -> Option<Piece> {
        let most = batching.records.min(share).max(1);
        let (mut pieces, mut records, mut bytes): (Vec<Piece>, usize, usize) = (Vec::new(), 0, 0);
        while let Some(piece) = self.pieces.pop_front() {
            if piece.corrupt.is_some() && records > 0 {
                self.pieces.push_front(piece);
                break;
            }
            let fits = fitting(&piece, most - records, batching.bytes.saturating_sub(bytes), records == 0);
            let (now, later) = piece.split(fits);
            if later.len() > 0 {
                self.pieces.push_front(later);
            }
            if now.len() == 0 {
                break;
            }
            (records, bytes) = (records + now.len(), bytes + now.bytes());
            pieces.push(now);
            // Without a window nothing is waited for, and nothing is copied to be put together.
            if fits < piece.len() || records >= most || batching.window.is_zero() || piece.corrupt.is_some() {
                break;
            }
        }
        self.records = self.records.saturating_sub(records);
        self.bytes = self.bytes.saturating_sub(bytes);
        Piece::joined(pieces)
    }
}

/// How many of its records fit.
fn fitting(piece: &Piece, records: usize, bytes: usize, at_least_one: bool) -> usize {
    let mut left = bytes;
    let fitting = piece
        .slice()
        .iter()
        .take(records)
        .take_while(|record| {
            let fits = record.data.len() <= left;
            left = left.saturating_sub(record.data.len());
            fits
        })
        .count();
    fitting.max(usize::from(at_least_one).min(piece.len()))
}

#[cfg(test)]
mod tests;
