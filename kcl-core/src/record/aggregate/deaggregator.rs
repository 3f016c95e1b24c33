//! From one record to those that are packed in it.

use super::message::{Corruption, Layout};
use super::{DIGEST, MAGIC};
use crate::record::{PartitionKey, Position, Record, SequenceNumber};
use bytes::Bytes;
use md5::{Digest, Md5};
use std::ops::RangeInclusive;

/// What becomes of parts whose hash key lies outside of their shard's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ForeignRecords {
    /// They are delivered, and counted: aggregators other than the KPL pack keys together as they come, and nobody else will
    /// deliver these.
    #[default]
    Deliver,
    /// They are left out, as the KCL does (class `AggregatorUtil`): of an aggregate of the KPL that was packed before a
    /// reshard and put after it.
    Drop,
}

/// Whether the MD5 at an aggregate's end is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Checksum {
    /// It is, as the KCL does: bytes that only look like an aggregate are never taken for one.
    #[default]
    Verify,
    /// It is not, which saves most of the time that taking apart acquires: only where every producer is known.
    Skip,
}

/// What a record was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No aggregate.
    Plain,
    /// An aggregate.
    Aggregate {
        /// How many records are packed in it.
        parts: u64,
        /// How many of them have a hash key outside of the shard's range.
        foreign: u64,
    },
    /// It begins as an aggregate, and is none: given back as it came.
    Corrupt(Corruption),
}

/// Takes aggregates apart. Parts of an aggregate share its numbers and their keys; payloads are slices of its payload.
#[derive(Clone, Debug, Default)]
pub struct Deaggregator {
    foreign: ForeignRecords,
    checksum: Checksum,
    hash_range: Option<RangeInclusive<u128>>,
}

impl Deaggregator {
    /// What becomes of parts that belong to other shards.
    #[must_use]
    pub fn foreign_records(mut self, foreign: ForeignRecords) -> Self {
        self.foreign = foreign;
        self
    }

    /// Whether checksums are verified.
    #[must_use]
    pub fn checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = checksum;
        self
    }

    /// The shard's range of hash keys. Without one nothing is foreign.
    #[must_use]
    pub fn hash_range(mut self, range: RangeInclusive<u128>) -> Self {
        self.hash_range = (range != (0..=u128::MAX)).then_some(range);
        self
    }

    /// Whether this payload begins as an aggregate does.
    #[must_use]
    pub fn looks_aggregated(data: &[u8]) -> bool {
        data.len() >= MAGIC.len() + DIGEST && data.starts_with(&MAGIC)
    }

    /// Adds what is packed in `record` to `into`, or `record` itself.
    pub fn take_apart(&self, record: Record, into: &mut Vec<Record>) -> Outcome {
        match self.open(record) {
            Opened::Plain(record) => {
                into.push(record);
                Outcome::Plain
            }
            Opened::Corrupt(record, why) => {
                into.push(record);
                Outcome::Corrupt(why)
            }
            Opened::Aggregate(mut parts) => {
                let foreign = parts.take(usize::MAX, into);
                Outcome::Aggregate { parts: parts.count(), foreign }
            }
        }
    }

    /// Looks into a record, and acquires nothing out of it yet.
    pub(crate) fn open(&self, record: Record) -> Opened {
        if !Self::looks_aggregated(&record.data) {
            return Opened::Plain(record);
        }
        let end = record.data.len() - DIGEST;
        let (payload, digest) = (record.data.slice(MAGIC.len()..end), record.data.slice(end..));
        if self.checksum == Checksum::Verify && Md5::digest(&payload)[..] != digest[..] {
            return Opened::Corrupt(record, Corruption::Checksum);
        }
        let layout = match Layout::read(&payload) {
            Ok(layout) => layout,
            Err(corruption) => return Opened::Corrupt(record, corruption),
        };
        let few = layout.keys(&payload).len() <= MOST_SHARED_KEYS;
        let keys = if few { layout.keys(&payload).map(PartitionKey::shared).collect() } else { Vec::new() };
        Opened::Aggregate(Parts {
            sequence_number: record.sequence_number.shared(),
            arrived_at_ms: record.arrived_at_ms,
            is_own: self.own_keys(&layout, &payload),
            drops: self.foreign == ForeignRecords::Drop,
            keys,
            layout,
            payload,
            at: 0,
            next: 0,
        })
    }

    /// Of each explicit hash key and each partition key, whether it lies in the shard's range.
    fn own_keys(&self, layout: &Layout, payload: &[u8]) -> Option<(Vec<bool>, Vec<bool>)> {
        let range = self.hash_range.as_ref()?;
        let by_hash_key = layout.hash_keys(payload).map(|key| range.contains(&key)).collect();
        let by_key = layout.keys(payload).map(|key| range.contains(&hash_key(key))).collect();
        Some((by_hash_key, by_key))
    }
}

/// Up to so many partition keys of an aggregate are made once and shared by its parts; more are made as parts need them, so
/// that a table of millions acquires no memory before its parts are taken.
const MOST_SHARED_KEYS: usize = 4_096;

/// What a record turned out to be.
#[derive(Debug)]
pub(crate) enum Opened {
    /// No aggregate.
    Plain(Record),
    /// It begins as an aggregate, and is none.
    Corrupt(Record, Corruption),
    /// An aggregate.
    Aggregate(Parts),
}

/// An aggregate whose parts are taken a few at a time: each acquires many times its size in the payload.
#[derive(Debug)]
pub(crate) struct Parts {
    sequence_number: SequenceNumber,
    arrived_at_ms: i64,
    payload: Bytes,
    layout: Layout,
    /// All partition keys, where they are few.
    keys: Vec<PartitionKey>,
    is_own: Option<(Vec<bool>, Vec<bool>)>,
    drops: bool,
    /// Where the next part is looked for in the payload.
    at: usize,
    /// Its index.
    next: u64,
}

impl Parts {
    /// How many there are in all.
    pub(crate) fn count(&self) -> u64 {
        self.layout.parts
    }

    /// Whether all were taken.
    pub(crate) fn is_done(&self) -> bool {
        self.next >= self.layout.parts
    }

    /// The position of the part that was looked at last.
    pub(crate) fn position(&self) -> Position {
        let sequence_number = self.sequence_number.clone();
        Position { sequence_number, sub_sequence_number: self.next.saturating_sub(1) }
    }

    /// Adds the next parts, at most so many. Returns how many of those that were looked at belong to other shards.
    pub(crate) fn take(&mut self, most: usize, into: &mut Vec<Record>) -> u64 {
        let left = usize::try_from(self.layout.parts - self.next.min(self.layout.parts)).unwrap_or(usize::MAX);
        into.reserve(left.min(most));
        let (mut foreign, mut taken) = (0, 0);
        while taken < most
            && !self.is_done()
            && let Some((part, end)) = Layout::next_part(&self.payload, self.at)
        {
            let index = self.next;
            (self.at, self.next) = (end, index + 1);
            let own = self.is_own.as_ref().is_none_or(|(by_hash_key, by_key)| {
                let (table, index) = part.hash_key.map_or((by_key, part.key), |key| (by_hash_key, key));
                table.get(index).copied().unwrap_or(true)
            });
            if !own {
                foreign += 1;
                if self.drops {
                    continue;
                }
            }
            let own_key = || self.layout.key(&self.payload, part.key).map(PartitionKey::shared);
            into.push(Record {
                sequence_number: self.sequence_number.clone(),
                sub_sequence_number: index,
                partition_key: self.keys.get(part.key).cloned().or_else(own_key),
                arrived_at_ms: self.arrived_at_ms,
                data: self.payload.slice(part.data.clone()),
            });
            taken += 1;
        }
        foreign
    }
}

/// The hash key that Kinesis yields a partition key.
pub(super) fn hash_key(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key).into())
}
