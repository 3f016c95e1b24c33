//! Distributes the records of a shard to its lanes.

use crate::config::Concurrency;
use crate::record::Record;
use std::hash::{DefaultHasher, Hash, Hasher};

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

impl Lanes {
    /// The distribution on a stream whose records have keys, or have none.
    pub(crate) fn of(concurrency: Concurrency, keyed: bool) -> Self {
        match concurrency {
            Concurrency::Auto if keyed => Lanes::One,
            Concurrency::Auto => Lanes::Any(4),
            Concurrency::Serial => Lanes::One,
            Concurrency::PerKey(n) if keyed => Lanes::ByKey(n.into()),
            // Without keys there is no order to keep.
            Concurrency::PerKey(n) | Concurrency::Unordered(n) => Lanes::Any(n.into()),
        }
    }

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
        assert_eq!(Lanes::of(Concurrency::Auto, true), Lanes::One);
        assert_eq!(Lanes::of(Concurrency::Auto, false), Lanes::Any(4));
        assert_eq!(Lanes::of(Concurrency::Serial, false), Lanes::One);
        assert_eq!(Lanes::of(Concurrency::PerKey(7), true), Lanes::ByKey(7));
        assert_eq!(Lanes::of(Concurrency::PerKey(7), false), Lanes::Any(7));
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
