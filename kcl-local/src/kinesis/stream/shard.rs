//! One shard: its hash key range, its parents and children, and its records.

use super::record_log::RecordLog;
use crate::kinesis::model::{ChildShard, EncryptionType, Record, SequenceNumberRange, Shard as ShardDescription};
use crate::kinesis::throttle::{ReadBudget, WriteBudget};
use crate::kinesis::{EngineTime, HashKeyRange, SequenceNumber, ShardId};

/// How far a `SequenceNumberForOrdering` may be ahead of a shard's next record, in records: more
/// than this server ever stores.
const MAX_INDEX_AHEAD: u64 = 1 << 40;

/// The parents of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parents {
    None,
    /// The shard is a part of this shard.
    Split(ShardId),
    /// The shard is the union of these shards, the lower one first.
    Merge(ShardId, ShardId),
}

impl Parents {
    pub(crate) fn list(self) -> Vec<ShardId> {
        match self {
            Self::None => vec![],
            Self::Split(parent) => vec![parent],
            Self::Merge(lower, upper) => vec![lower, upper],
        }
    }
}

/// A shard, open or closed.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) parents: Parents,
    pub(crate) range: HashKeyRange,
    /// The first millisecond of the shard.
    pub(crate) created: EngineTime,
    /// The creation time in sequence numbers: whole seconds, later than that of every parent.
    pub(crate) created_seconds: i64,
    pub(crate) end: Option<ShardEnd>,
    pub(crate) log: RecordLog,
    pub(crate) reads: ReadBudget,
    pub(crate) writes: WriteBudget,
    next_index: u64,
}

/// The end of a closed shard.
#[derive(Clone, Debug)]
pub(crate) struct ShardEnd {
    /// The last millisecond of the shard; its children begin with the next.
    pub(crate) at: EngineTime,
    pub(crate) ending: SequenceNumber,
    pub(crate) children: Vec<ShardId>,
}

impl Shard {
    pub(crate) fn open(
        id: ShardId,
        parents: Parents,
        range: HashKeyRange,
        created: EngineTime,
        created_seconds: i64,
    ) -> Self {
        Self {
            id,
            parents,
            range,
            created,
            created_seconds,
            end: None,
            log: RecordLog::new(SequenceNumber::starting(created_seconds, id)),
            reads: ReadBudget::default(),
            writes: WriteBudget::full(created),
            next_index: 1,
        }
    }

    pub(crate) fn close(&mut self, at: EngineTime, children: Vec<ShardId>) {
        let seconds = at.seconds().max(self.created_seconds);
        let ending = SequenceNumber::ending(self.created_seconds, self.id, seconds);
        self.end = Some(ShardEnd { at, ending, children });
    }

    pub(crate) fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// Whether the shard closed before `horizon`.
    pub(crate) fn is_expired(&self, horizon: EngineTime) -> bool {
        self.end.as_ref().is_some_and(|end| end.at < horizon)
    }

    /// Whether the shard was open at `time`.
    pub(crate) fn was_open_at(&self, time: EngineTime) -> bool {
        self.created <= time && self.end.as_ref().is_none_or(|end| time <= end.at)
    }

    pub(crate) fn starting(&self) -> SequenceNumber {
        SequenceNumber::starting(self.created_seconds, self.id)
    }

    /// The latest time in the shard's sequence numbers, in seconds. Under a virtual clock it may be
    /// later than now.
    pub(crate) fn newest_seconds(&self) -> i64 {
        let ending = self.end.as_ref().map_or(0, |end| end.ending.seconds());
        self.log.newest().seconds().max(ending)
    }

    /// Makes the next sequence number greater than `floor`. Returns false if no number of this
    /// shard can be.
    pub(crate) fn skip_past(&mut self, floor: SequenceNumber) -> bool {
        if floor.shard_created() > self.created_seconds {
            return false;
        }
        let next = SequenceNumber::new(self.created_seconds, self.id, self.next_index, 0);
        if floor < next {
            return true;
        }
        // A shard that was created in the same second may be ahead by the number of its records. No
        // number further ahead was ever issued, and it would use up the numbers of this shard.
        if floor.index() > self.next_index.saturating_add(MAX_INDEX_AHEAD)
            || floor.index() >= SequenceNumber::LAST_INDEX - 1
        {
            return false;
        }
        self.next_index = floor.index() + 1;
        true
    }

    pub(crate) fn append(&mut self, arrival: EngineTime, incoming: IncomingRecord) -> SequenceNumber {
        let sequence_number = SequenceNumber::new(self.created_seconds, self.id, self.next_index, arrival.seconds());
        self.next_index += 1;
        let bytes = incoming.bytes();
        let IncomingRecord { data, partition_key, encryption } = incoming;
        let record = Record {
            sequence_number,
            approximate_arrival_timestamp: arrival.into(),
            data,
            partition_key: partition_key.map(String::into_boxed_str),
            encryption_type: Some(encryption),
        };
        self.log.append(arrival, bytes, record);
        sequence_number
    }

    pub(crate) fn describe(&self) -> ShardDescription {
        let (parent_shard_id, adjacent_parent_shard_id) = match self.parents {
            Parents::None => (None, None),
            Parents::Split(parent) => (Some(parent), None),
            Parents::Merge(lower, upper) => (Some(lower), Some(upper)),
        };
        ShardDescription {
            shard_id: self.id,
            parent_shard_id,
            adjacent_parent_shard_id,
            hash_key_range: self.range,
            sequence_number_range: SequenceNumberRange {
                starting_sequence_number: self.starting(),
                ending_sequence_number: self.end.as_ref().map(|end| end.ending),
            },
        }
    }

    pub(crate) fn describe_as_child(&self) -> ChildShard {
        ChildShard { shard_id: self.id, parent_shards: self.parents.list(), hash_key_range: self.range }
    }
}

/// A record that is being put into a shard.
#[derive(Debug)]
pub(crate) struct IncomingRecord {
    pub(crate) data: crate::kinesis::model::Blob,
    pub(crate) partition_key: Option<String>,
    pub(crate) encryption: EncryptionType,
}

impl IncomingRecord {
    /// The bytes that count against limits: data and partition key.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len() + self.partition_key.as_ref().map_or(0, String::len)
    }
}
