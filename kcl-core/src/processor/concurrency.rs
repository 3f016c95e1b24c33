//! How many handlers work on one shard at a time, and what order they keep.

use crate::record::Record;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How many handlers work on one shard at a time, and what order they keep.
///
/// With `n` of them the factory makes `n` processors a shard, each for a *lane* ([`ShardContext::lane`]); each is called
/// with one batch at a time.
///
/// | | order | a shard's records go | for |
/// |---|---|---|---|
/// | `Serial` | of the shard | all to one processor | handlers that are fast, or that count on the shard's order |
/// | `PerKey(n)` | of each partition key, retries included | by a hash of the key: a key's lane never changes while the shard is held, so a processor's state is that of its keys | handlers that wait, on data with keys |
/// | `Unordered(n)` | none | to whoever is idle | handlers that wait, on data whose order means nothing |
///
/// All acknowledge on one watermark: the position moves as far as every record is done without a gap, and what is done
/// beyond it is kept in the lease's row as far as there is room, so that a crash repeats little of it.
///
/// [`ShardContext::lane`]: crate::ShardContext::lane
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Concurrency {
    /// `Serial` where producers key their records; `Unordered(4)` on a stream that distributes records by itself (record
    /// distribution strategy AUTO), where keys, and so order, mean nothing.
    #[default]
    Auto,
    /// One processor, in the order of the shard.
    Serial,
    /// So many processors; each partition key in order.
    PerKey(u16),
    /// So many processors, in no order.
    Unordered(u16),
}

/// The mode that a worker works in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lanes {
    /// One.
    One,
    /// A key's lane is fixed.
    ByKey(usize),
    /// Whichever is idle.
    Any(usize),
}

impl Concurrency {
    /// What is done on a stream whose records have keys, or have none.
    pub(crate) fn lanes(self, keyed: bool) -> Lanes {
        match self {
            Concurrency::Auto if keyed => Lanes::One,
            Concurrency::Auto => Lanes::Any(4),
            Concurrency::Serial => Lanes::One,
            Concurrency::PerKey(n) if keyed => Lanes::ByKey(n.into()),
            // There is no key whose order could be kept.
            Concurrency::PerKey(n) | Concurrency::Unordered(n) => Lanes::Any(n.into()),
        }
    }
}

impl Lanes {
    pub(crate) fn count(self) -> usize {
        match self {
            Lanes::One => 1,
            Lanes::ByKey(n) | Lanes::Any(n) => n.max(1),
        }
    }

    /// The lane of a record, where that is fixed. One without a key goes by its number.
    pub(crate) fn of_record(self, record: &Record) -> usize {
        match &record.partition_key {
            Some(key) if !mutated!(KeysWander) => self.of_key(Some(key)),
            Some(_) | None => self.by_hash(record.sequence_number.as_str()),
        }
    }

    /// The lane that acquires care of a parked key.
    pub(crate) fn of_key(self, key: Option<&str>) -> usize {
        match (self, key) {
            (Lanes::ByKey(_), Some(key)) => self.by_hash(key),
            (Lanes::One | Lanes::ByKey(_) | Lanes::Any(_), _) => 0,
        }
    }

    fn by_hash(self, text: &str) -> usize {
        // Its keys are fixed: the same text has the same hash in every process of the same build.
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        usize::try_from(hasher.finish() % self.count() as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SequenceNumber;
    use proptest::prelude::*;

    #[test]
    fn without_keys_there_is_no_order_to_keep_unless_told_otherwise() {
        assert_eq!(Concurrency::Auto.lanes(true), Lanes::One);
        assert_eq!(Concurrency::Auto.lanes(false), Lanes::Any(4));
        assert_eq!(Concurrency::Serial.lanes(false), Lanes::One);
        assert_eq!(Concurrency::PerKey(7).lanes(true), Lanes::ByKey(7));
        assert_eq!(Concurrency::PerKey(7).lanes(false), Lanes::Any(7));
    }

    proptest! {
        #[test]
        fn a_keys_lane_is_the_same_for_all_its_records(key: String, a in 1u64.., b in 1u64.., n in 1usize..200) {
            let record = |n: u64| Record::new(SequenceNumber::parse(n.to_string()).unwrap(), "").with_partition_key(&*key);
            let lanes = Lanes::ByKey(n);
            prop_assert_eq!(lanes.of_record(&record(a)), lanes.of_record(&record(b)));
            prop_assert_eq!(lanes.of_key(Some(&key)), lanes.of_record(&record(a)));
            prop_assert!(lanes.of_record(&record(a)) < n);
        }
    }
}
