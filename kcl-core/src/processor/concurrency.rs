//! Defines how many handlers work on one shard at a time, and in which order.

use crate::record::Record;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How many handlers work on one shard at a time, and which order they keep.
///
/// With `n` handlers the factory makes `n` processors per shard, one for each *lane*
/// ([`ShardContext::lane`]). Each processor is called with one batch at a time.
///
/// - `Serial` keeps the order of the shard. All records go to one processor. Choose it for fast
///   handlers, and for handlers that depend on the shard's order.
/// - `PerKey(n)` keeps the order of each partition key, also across retries. A record goes to a
///   lane by a hash of its key, and a key's lane does not change while the lease is held, so a
///   processor may keep state per key. Choose it for handlers that wait for I/O.
/// - `Unordered(n)` keeps no order. Records go to any idle processor. Choose it for handlers that
///   wait for I/O, on data whose order is irrelevant.
///
/// All lanes share one checkpoint: it moves up to the first record that is not acknowledged. Which
/// records beyond it are done is stored in the lease's row (up to 2 KB), so that a crash repeats
/// few of them.
///
/// [`ShardContext::lane`]: crate::ShardContext::lane
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Concurrency {
    /// `Serial` on streams whose producers set partition keys. `Unordered(4)` on streams that
    /// distribute records themselves (record distribution strategy AUTO), because their records
    /// have no keys and hence no order.
    #[default]
    Auto,
    /// One processor per shard, in the order of the shard.
    Serial,
    /// This many processors per shard; each partition key in order.
    PerKey(u16),
    /// This many processors per shard, in no order.
    Unordered(u16),
}

/// How records are distributed to lanes on the given stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lanes {
    /// There is one lane.
    One,
    /// A hash of the key chooses the lane.
    ByKey(usize),
    /// Any idle lane takes the next records.
    Any(usize),
}

impl Concurrency {
    /// The distribution on a stream whose records have keys, or have none.
    pub(crate) fn lanes(self, keyed: bool) -> Lanes {
        match self {
            Concurrency::Auto if keyed => Lanes::One,
            Concurrency::Auto => Lanes::Any(4),
            Concurrency::Serial => Lanes::One,
            Concurrency::PerKey(n) if keyed => Lanes::ByKey(n.into()),
            // Without keys there is no order to keep.
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

    /// The lane of a record. A record without a key is distributed by its sequence number.
    pub(crate) fn of_record(self, record: &Record) -> usize {
        match &record.partition_key {
            Some(key) if !mutated!(KeysWander) => self.of_key(Some(key)),
            Some(_) | None => self.by_hash(record.sequence_number.as_str()),
        }
    }

    /// The lane that resumes a quarantined key.
    pub(crate) fn of_key(self, key: Option<&str>) -> usize {
        match (self, key) {
            (Lanes::ByKey(_), Some(key)) => self.by_hash(key),
            (Lanes::One | Lanes::ByKey(_) | Lanes::Any(_), _) => 0,
        }
    }

    fn by_hash(self, text: &str) -> usize {
        // `DefaultHasher::new` has fixed keys, so a text has the same hash in every process of the
        // same build.
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
    fn auto_is_serial_with_keys_and_unordered_without() {
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
