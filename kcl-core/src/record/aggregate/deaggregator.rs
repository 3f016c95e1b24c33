//! From one record to those that are packed in it.

use super::message::{Corruption, Message};
use super::{DIGEST, MAGIC};
use crate::record::{PartitionKey, Record};
use md5::{Digest, Md5};
use std::ops::RangeInclusive;

/// What becomes of parts whose hash key lies outside of their shard's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
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
pub enum Checksum {
    /// It is, as the KCL does: bytes that only look like an aggregate are never taken for one.
    #[default]
    Verify,
    /// It is not, which saves most of the time that taking apart takes: only where every producer is known.
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
        if !Self::looks_aggregated(&record.data) {
            into.push(record);
            return Outcome::Plain;
        }
        let end = record.data.len() - DIGEST;
        let (payload, digest) = (record.data.slice(MAGIC.len()..end), record.data.slice(end..));
        if self.checksum == Checksum::Verify && Md5::digest(&payload)[..] != digest[..] {
            into.push(record);
            return Outcome::Corrupt(Corruption::Checksum);
        }
        let message = match Message::read(&payload) {
            Ok(message) => message,
            Err(corruption) => {
                into.push(record);
                return Outcome::Corrupt(corruption);
            }
        };
        let keys: Vec<PartitionKey> = message.keys.iter().map(|key| PartitionKey::shared(key)).collect();
        let is_own = self.own_keys(&message);
        let sequence_number = record.sequence_number.shared();
        let (mut foreign, drops) = (0, self.foreign == ForeignRecords::Drop);
        into.reserve(message.parts.len());
        for (index, part) in message.parts.iter().enumerate() {
            let own = is_own.as_ref().is_none_or(|(by_hash_key, by_key)| {
                let (table, index) = part.hash_key.map_or((by_key, part.key), |key| (by_hash_key, key));
                table.get(index).copied().unwrap_or(true)
            });
            if !own {
                foreign += 1;
                if drops {
                    continue;
                }
            }
            into.push(Record {
                sequence_number: sequence_number.clone(),
                sub_sequence_number: index as u64,
                partition_key: keys.get(part.key).cloned(),
                arrived_at_ms: record.arrived_at_ms,
                data: payload.slice(part.data.clone()),
            });
        }
        Outcome::Aggregate { parts: message.parts.len() as u64, foreign }
    }

    /// Of each explicit hash key and each partition key, whether it lies in the shard's range.
    fn own_keys(&self, message: &Message<'_>) -> Option<(Vec<bool>, Vec<bool>)> {
        let range = self.hash_range.as_ref()?;
        let by_hash_key = message.hash_keys.iter().map(|key| range.contains(key)).collect();
        let by_key = message.keys.iter().map(|key| range.contains(&hash_key(key))).collect();
        Some((by_hash_key, by_key))
    }
}

/// The hash key that Kinesis gives a partition key.
pub(super) fn hash_key(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key).into())
}
