//! Unpacks the records of an aggregate.

use super::message::{Corruption, Layout};
use super::{DIGEST, MAGIC};
use crate::record::{PartitionKey, Position, Record, SequenceNumber};
use bytes::Bytes;
use md5::{Digest, Md5};
use std::ops::RangeInclusive;

/// What happens to records of an aggregate whose hash key is outside their shard's range (*foreign*
/// records).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ForeignRecords {
    /// They are delivered, and counted. Aggregators other than the KPL pack any keys together, and
    /// no other shard has these records.
    #[default]
    Deliver,
    /// They are left out, as KCL does (class `AggregatorUtil`). With the KPL, foreign records occur
    /// in an aggregate that was packed before a reshard and put after it.
    Drop,
}

/// Whether the MD5 at an aggregate's end is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Checksum {
    /// It is verified, as KCL does. Bytes that only look like an aggregate are never treated as
    /// one.
    #[default]
    Verify,
    /// It is not verified, which saves most of the CPU time of de-aggregation. Choose it only if
    /// all producers are known.
    Skip,
}

/// What a record turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not an aggregate.
    Plain,
    /// An aggregate.
    Aggregate {
        /// The number of records in it.
        parts: u64,
        /// The number of them whose hash key is outside the shard's range.
        foreign: u64,
    },
    /// It begins like an aggregate, but is damaged. Returned unchanged.
    Corrupt(Corruption),
}

/// Unpacks aggregates. The records of an aggregate share its sequence number and their partition
/// keys, and their payloads are slices of its payload.
#[derive(Clone, Debug, Default)]
pub struct Deaggregator {
    foreign: ForeignRecords,
    checksum: Checksum,
    hash_range: Option<RangeInclusive<u128>>,
}

impl Deaggregator {
    /// Sets what happens to records that belong to other shards. Delivered by default.
    #[must_use]
    pub fn foreign_records(mut self, foreign: ForeignRecords) -> Self {
        self.foreign = foreign;
        self
    }

    /// Sets whether checksums are verified. Verified by default.
    #[must_use]
    pub fn checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = checksum;
        self
    }

    /// Sets the shard's range of hash keys. Without one, no record is foreign.
    #[must_use]
    pub fn hash_range(mut self, range: RangeInclusive<u128>) -> Self {
        self.hash_range = (range != (0..=u128::MAX)).then_some(range);
        self
    }

    /// Whether this payload begins like an aggregate.
    #[must_use]
    pub fn looks_aggregated(data: &[u8]) -> bool {
        data.len() >= MAGIC.len() + DIGEST && data.starts_with(&MAGIC)
    }

    /// Appends the records that are packed in `record` to `into`, or `record` itself if it is not
    /// an intact aggregate.
    pub fn deaggregate(&self, record: Record, into: &mut Vec<Record>) -> Outcome {
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

    /// Checks whether a record is an aggregate, and reads its tables. The records are unpacked
    /// later, a few at a time.
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

    /// For each explicit hash key and each partition key, whether it is in the shard's range.
    fn own_keys(&self, layout: &Layout, payload: &[u8]) -> Option<(Vec<bool>, Vec<bool>)> {
        let range = self.hash_range.as_ref()?;
        let by_hash_key = layout.hash_keys(payload).map(|key| range.contains(&key)).collect();
        let by_key = layout.keys(payload).map(|key| range.contains(&hash_key(key))).collect();
        Some((by_hash_key, by_key))
    }
}

/// Up to this many partition keys of an aggregate are allocated once and shared by its records. Of
/// a larger table each key is allocated when a record needs it, so that a table of millions of keys
/// takes no memory in advance.
const MOST_SHARED_KEYS: usize = 4_096;

/// What a record turned out to be, with the record.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Not an aggregate.
    Plain(Record),
    /// It begins like an aggregate, but is damaged.
    Corrupt(Record, Corruption),
    /// An aggregate.
    Aggregate(Parts),
}

/// An aggregate whose records are unpacked a few at a time, because a record in memory takes many
/// times its size in the payload.
#[derive(Debug)]
pub(crate) struct Parts {
    sequence_number: SequenceNumber,
    arrived_at_ms: i64,
    payload: Bytes,
    layout: Layout,
    /// All partition keys, if they are few.
    keys: Vec<PartitionKey>,
    is_own: Option<(Vec<bool>, Vec<bool>)>,
    drops: bool,
    /// The offset in the payload at which the next record is searched.
    at: usize,
    /// The index of the next record.
    next: u64,
}

impl Parts {
    /// The number of records in the aggregate.
    pub(crate) fn count(&self) -> u64 {
        self.layout.parts
    }

    /// Whether all records were unpacked.
    pub(crate) fn is_done(&self) -> bool {
        self.next >= self.layout.parts
    }

    /// The position of the last record that was unpacked or left out.
    pub(crate) fn position(&self) -> Position {
        let sequence_number = self.sequence_number.clone();
        Position { sequence_number, sub_sequence_number: self.next.saturating_sub(1) }
    }

    /// Appends the next records, at most `most`. Returns the number of foreign records that were
    /// found on the way.
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

/// The hash key of a partition key: Kinesis uses its MD5.
pub(super) fn hash_key(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key).into())
}
