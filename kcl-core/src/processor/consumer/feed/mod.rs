//! Turns chunks that were read into batches for lanes. Pure.
//!
//! Numbers the records as they come, leaves out those that an earlier owner has completed, and
//! queues the rest for their lane until a batch is full or due.

use crate::checkpoint::{CompletedRanges, Positions};
use crate::clock::Time;
use crate::config::BatchingConfig;
use crate::processor::delivery::ShardDelivery;
use crate::processor::lanes::Lanes;
use crate::processor::record_slice::{AckIds, RecordSlice};
use crate::record::{Position, Record};
use crate::retrieval::{Chunk, corrupt_at};
use crate::shard::Shard;
use std::collections::VecDeque;
use std::sync::Arc;

/// The queues of a shard's lanes.
#[derive(Debug)]
pub(super) struct Feed {
    lanes: Lanes,
    batching: BatchingConfig,
    /// Records beyond the checkpoint that an earlier owner completed.
    completed: CompletedRanges,
    /// One per lane if a hash of the key chooses the lane, else one for all lanes.
    queues: Vec<Queue>,
    end: Option<Vec<Shard>>,
}

#[derive(Debug, Default)]
struct Queue {
    slices: VecDeque<RecordSlice>,
    records: usize,
    bytes: usize,
}

/// What the feed has for a lane.
#[derive(Debug)]
pub(super) enum FeedPoll {
    /// A batch.
    Batch(RecordSlice),
    /// Records that are due at this time, unless the batch is full before.
    NotBefore(Time),
    /// No records.
    Nothing,
    /// No records, and none will come: the shard ended, with these children.
    End(Vec<Shard>),
}

impl Feed {
    pub(super) fn new(lanes: Lanes, batching: BatchingConfig, completed: CompletedRanges) -> Self {
        let queues = if let Lanes::ByKey(_) = lanes { lanes.count() } else { 1 };
        let queues = (0..queues).map(|_| Queue::default()).collect();
        Feed { lanes, batching, completed, queues, end: None }
    }

    /// Whether the end of the shard was read.
    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Queues the records of a chunk.
    pub(super) fn add(&mut self, chunk: Chunk, delivery: &ShardDelivery, now: Time) {
        let Chunk { mut records, millis_behind_latest, end, reservation, passed, corrupt, .. } = chunk;
        self.end = end;
        if records.is_empty() {
            return acknowledge_passed(passed, delivery);
        }
        let done: Vec<bool> = if self.completed.is_empty() {
            Vec::new()
        } else {
            records.iter().map(|record| self.completed.covers(&record.position())).collect()
        };
        let is_done = |index: usize| done.get(index).copied().unwrap_or(false);
        let reservation = Arc::new(reservation);
        let slice = |shared: Arc<Vec<Record>>, ack_ids, range| RecordSlice {
            shared,
            range,
            ack_ids,
            millis_behind_latest,
            corrupt: None,
            since: now,
            reservation: Arc::clone(&reservation),
        };
        let by_key = matches!(self.lanes, Lanes::ByKey(_));
        if !by_key && self.batching.window.is_zero() {
            // The records stay together, so the watermark reads positions from the shared records
            // instead of copying them.
            let records = Arc::new(records);
            let first = delivery.add_read(Positions::Records(Arc::clone(&records)));
            let mut at = 0;
            while at < records.len() {
                let kind = |index| (is_done(index), corrupt_at(&corrupt, index).map(|why| (index, why)));
                let here = kind(at);
                let end = (at..records.len()).find(|index| kind(*index) != here).unwrap_or(records.len());
                if here.0 {
                    delivery.acknowledge(first + at as u64..first + end as u64);
                } else {
                    let slice = slice(Arc::clone(&records), AckIds::From(first), at..end);
                    self.push(0, RecordSlice { corrupt: here.1.map(|(_, why)| why), ..slice });
                }
                at = end;
            }
            return acknowledge_passed(passed, delivery);
        }
        let first = delivery.add_read(Positions::List(records.iter().map(Record::position).collect()));
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
                // A slice of its own, after the records before it.
                let (before, numbers) = std::mem::take(of_lane);
                let range = 0..before.len();
                self.push(lane, slice(Arc::new(before), AckIds::Each(numbers.into()), range));
                let alone = slice(Arc::new(vec![record]), AckIds::From(number), 0..1);
                self.push(lane, RecordSlice { corrupt: Some(why), ..alone });
                continue;
            }
            of_lane.0.push(record);
            of_lane.1.push(number);
        }
        for (lane, (records, numbers)) in parts.into_iter().enumerate() {
            let range = 0..records.len();
            self.push(lane, slice(Arc::new(records), AckIds::Each(numbers.into()), range));
        }
        acknowledge_passed(passed, delivery);
    }

    fn push(&mut self, lane: usize, slice: RecordSlice) {
        if let Some(queue) = self.queues.get_mut(lane).filter(|_| slice.len() > 0) {
            queue.records += slice.len();
            queue.bytes += slice.bytes();
            queue.slices.push_back(slice);
        }
    }

    /// The next batch for a lane.
    pub(super) fn take(&mut self, lane: usize, now: Time) -> FeedPoll {
        let (batching, ended) = (self.batching, self.end.is_some());
        let share = self.share();
        let Some(queue) = self.queues.get_mut(if let Lanes::ByKey(_) = self.lanes { lane } else { 0 }) else {
            return FeedPoll::Nothing;
        };
        let Some(first) = queue.slices.front().filter(|_| !(ended && mutated!(EndsUnacknowledged))) else {
            return self.end.clone().map_or(FeedPoll::Nothing, FeedPoll::End);
        };
        let due = first.since + batching.window;
        let full = queue.records >= batching.records || queue.bytes >= batching.bytes;
        if !(full || ended || now >= due) {
            return FeedPoll::NotBefore(due);
        }
        queue.take(batching, share).map_or(FeedPoll::Nothing, FeedPoll::Batch)
    }

    /// The most records of a batch for one of several lanes that share a queue: an even share of
    /// the queued records, so that no lane is idle while another has them all.
    fn share(&self) -> usize {
        match (self.lanes, self.queues.first()) {
            (Lanes::Any(lanes), Some(queue)) => queue.records.div_ceil(lanes.max(1)).max(1),
            (Lanes::One | Lanes::ByKey(_) | Lanes::Any(_), _) => usize::MAX,
        }
    }
}

/// Acknowledges the position of the last record that was filtered out (`Chunk::passed`), which no
/// handler gets.
fn acknowledge_passed(passed: Option<Position>, delivery: &ShardDelivery) {
    if let Some(position) = passed {
        let number = delivery.add_read(Positions::List(Box::new([position])));
        delivery.acknowledge(number..number + 1);
    }
}

impl Queue {
    fn take(&mut self, batching: BatchingConfig, share: usize) -> Option<RecordSlice> {
        let most = batching.records.min(share).max(1);
        let (mut slices, mut records, mut bytes): (Vec<RecordSlice>, usize, usize) = (Vec::new(), 0, 0);
        while let Some(slice) = self.slices.pop_front() {
            if slice.corrupt.is_some() && records > 0 {
                self.slices.push_front(slice);
                break;
            }
            let fits = fitting(&slice, most - records, batching.bytes.saturating_sub(bytes), records == 0);
            let (now, later) = slice.split(fits);
            if later.len() > 0 {
                self.slices.push_front(later);
            }
            if now.len() == 0 {
                break;
            }
            (records, bytes) = (records + now.len(), bytes + now.bytes());
            slices.push(now);
            // Joining slices may copy records. That is worth it only if the user asked for larger
            // batches by a window.
            if fits < slice.len() || records >= most || batching.window.is_zero() || slice.corrupt.is_some() {
                break;
            }
        }
        self.records = self.records.saturating_sub(records);
        self.bytes = self.bytes.saturating_sub(bytes);
        RecordSlice::joined(slices)
    }
}

/// The number of records, from the first, that fit into the limits.
fn fitting(slice: &RecordSlice, records: usize, bytes: usize, at_least_one: bool) -> usize {
    let mut left = bytes;
    let fitting = slice
        .records()
        .iter()
        .take(records)
        .take_while(|record| {
            let fits = record.data.len() <= left;
            left = left.saturating_sub(record.data.len());
            fits
        })
        .count();
    fitting.max(usize::from(at_least_one).min(slice.len()))
}

#[cfg(test)]
mod tests;
