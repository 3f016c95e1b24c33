//! One shard: its place in the hash space and in the lineage, and its records.

use super::record_log::RecordLog;
use crate::kinesis::model::{ChildShard, EncryptionType, Record, SequenceNumberRange, Shard as ShardDescription};
use crate::kinesis::throttle::{ReadBudget, WriteBudget};
use crate::kinesis::{EngineTime, HashKeyRange, SequenceNumber, ShardId};

/// How far ahead of a shard's next record a `SequenceNumberForOrdering` may be, in records: more than this server ever holds.
const FARTHEST_FLOOR: u64 = 1 << 40;

/// What a shard goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parents {
    None,
    /// It is a part of this one.
    Split(ShardId),
    /// It is these two together, the lower one first.
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
    /// The first millisecond of its life.
    pub(crate) created: EngineTime,
    /// Creation as its sequence numbers have it: whole seconds, later than every parent's.
    pub(crate) created_seconds: i64,
    pub(crate) end: Option<End>,
    pub(crate) log: RecordLog,
    pub(crate) reads: ReadBudget,
    pub(crate) writes: WriteBudget,
    next_index: u64,
}

/// How a shard ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// The last millisecond of its life; its children's begins with the next.
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
        self.end = Some(End { at, ending, children });
    }

    pub(crate) fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// Whether nothing of it is left behind `horizon`.
    pub(crate) fn is_expired(&self, horizon: EngineTime) -> bool {
        self.end.as_ref().is_some_and(|end| end.at < horizon)
    }

    /// Whether it was open at `time`.
    pub(crate) fn was_open_at(&self, time: EngineTime) -> bool {
        self.created <= time && self.end.as_ref().is_none_or(|end| time <= end.at)
    }

    pub(crate) fn starting(&self) -> SequenceNumber {
        SequenceNumber::starting(self.created_seconds, self.id)
    }

    /// The latest time that its numbers carry, in seconds. Under a virtual clock it may lie ahead of now.
    pub(crate) fn newest_seconds(&self) -> i64 {
        let ending = self.end.as_ref().map_or(0, |end| end.ending.seconds());
        self.log.newest().seconds().max(ending)
    }

    /// Makes sure that the next number is greater than `floor`. `false` if no number of this shard can be.
    pub(crate) fn skip_past(&mut self, floor: SequenceNumber) -> bool {
        if floor.shard_created() > self.created_seconds {
            return false;
        }
        let next = SequenceNumber::new(self.created_seconds, self.id, self.next_index, 0);
        if floor < next {
            return true;
        }
        // Shards that were born in the same second may be ahead by the records that they have. Further ahead no number was ever
        // given, and with it this shard would use up its own.
        if floor.index() > self.next_index.saturating_add(FARTHEST_FLOOR)
            || floor.index() >= SequenceNumber::LAST_INDEX - 1
        {
            return false;
        }
        self.next_index = floor.index() + 1;
        true
    }

    pub(crate) fn append(&mut self, arrival: EngineTime, arriving: Arriving) -> SequenceNumber {
        let sequence_number = SequenceNumber::new(self.created_seconds, self.id, self.next_index, arrival.seconds());
        self.next_index += 1;
        let bytes = arriving.bytes();
        let Arriving { data, partition_key, encryption } = arriving;
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

/// A record on its way into a shard.
#[derive(Debug)]
pub(crate) struct Arriving {
    pub(crate) data: crate::kinesis::model::Blob,
    pub(crate) partition_key: Option<String>,
    pub(crate) encryption: EncryptionType,
}

impl Arriving {
    /// What counts against limits: data and partition key.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len() + self.partition_key.as_ref().map_or(0, String::len)
    }
}
