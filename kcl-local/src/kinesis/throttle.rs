//! How much a shard yields and acquires in a second.

use std::collections::VecDeque;
use std::time::Duration;

use super::EngineTime;

/// AWS: `GetRecords`, and `GetShardIterator`, at most five times a second a shard.
const READ_CALLS: usize = 5;
/// AWS: polling readers share 2 MiB a second a shard.
const READ_BYTES_PER_SECOND: usize = 2 * 1024 * 1024;
/// AWS: one `SubscribeToShard` call a second a shard and consumer, which then get 2 MiB a second.
const SUBSCRIBE_CALLS: usize = 1;
/// AWS: after an answer of 10 MiB, calls within the next five seconds fail.
const LONGEST_READ_PAUSE: Duration = Duration::from_secs(5);
/// AWS: 1,000 records a second a shard.
const WRITE_RECORDS: i64 = 1000;
/// AWS: 1 MiB a second a shard, partition keys counted.
const WRITE_BYTES: i64 = 1024 * 1024;

/// A number of calls in any second.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallWindow {
    calls: VecDeque<EngineTime>,
}

impl CallWindow {
    /// Counts a call, or refuses it when there were `limit` in the second before. A refused call does not count.
    pub(crate) fn admit(&mut self, now: EngineTime, limit: usize) -> bool {
        // A clock that stepped back leaves calls of the future behind: forget them.
        self.calls.retain(|call| *call <= now && now.since(*call) < 1000);
        let admitted = self.calls.len() < limit;
        if admitted {
            self.calls.push_back(now);
        }
        admitted
    }
}

/// The budget that all polling readers of a shard share.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadBudget {
    iterators: CallWindow,
    reads: CallWindow,
    next_read: EngineTime,
}

impl ReadBudget {
    pub(crate) fn admit_iterator(&mut self, now: EngineTime) -> bool {
        self.iterators.admit(now, READ_CALLS)
    }

    pub(crate) fn admit_read(&mut self, now: EngineTime) -> bool {
        now >= self.next_read && self.reads.admit(now, READ_CALLS)
    }

    /// An answer of `bytes` was given: the next call has to wait until it is paid for.
    pub(crate) fn charge(&mut self, bytes: usize, now: EngineTime) {
        let pause = Duration::from_millis((bytes * 1000 / READ_BYTES_PER_SECOND) as u64);
        self.next_read = now.plus(pause.min(LONGEST_READ_PAUSE));
    }
}

/// What one consumer gets of a shard by its subscriptions, apart from all others.
#[derive(Clone, Debug, Default)]
pub(crate) struct FanOutBudget {
    calls: CallWindow,
    next_event: EngineTime,
}

impl FanOutBudget {
    pub(crate) fn admit_call(&mut self, now: EngineTime) -> bool {
        self.calls.admit(now, SUBSCRIBE_CALLS)
    }

    /// When the next records may go out.
    pub(crate) fn next_event(&self) -> EngineTime {
        self.next_event
    }

    /// An event of `bytes` goes out: the next one has to wait until it is paid for.
    pub(crate) fn charge(&mut self, bytes: usize, now: EngineTime) {
        self.next_event = now.plus(Duration::from_millis((bytes * 1000 / READ_BYTES_PER_SECOND) as u64));
    }
}

/// A token bucket of one second of records and bytes.
#[derive(Clone, Debug)]
pub(crate) struct WriteBudget {
    /// Thousandths of a record.
    records: i64,
    /// Thousandths of a byte.
    bytes: i64,
    filled: EngineTime,
}

impl WriteBudget {
    pub(crate) fn full(now: EngineTime) -> Self {
        Self { records: WRITE_RECORDS * 1000, bytes: WRITE_BYTES * 1000, filled: now }
    }

    /// Takes a record of `bytes` from the bucket, or refuses it. One larger than the bucket may take a full one below zero.
    pub(crate) fn admit(&mut self, bytes: usize, now: EngineTime) -> bool {
        let elapsed = now.since(self.filled).min(1_000_000);
        self.records = (self.records + elapsed * WRITE_RECORDS).min(WRITE_RECORDS * 1000);
        self.bytes = (self.bytes + elapsed * WRITE_BYTES).min(WRITE_BYTES * 1000);
        self.filled = now;
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX / 1000);
        let admitted = self.records >= 1000 && self.bytes >= bytes.min(WRITE_BYTES) * 1000;
        if admitted {
            self.records -= 1000;
            self.bytes -= bytes * 1000;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> EngineTime {
        EngineTime::from_millis(millis)
    }

    #[test]
    fn the_sixth_read_in_a_second_is_refused_and_one_a_second_later_is_not() {
        let mut budget = ReadBudget::default();
        for call in 0..5 {
            assert!(budget.admit_read(at(call * 100)));
        }
        assert!(!budget.admit_read(at(999)));
        assert!(budget.admit_read(at(1000)));
        assert!(!budget.admit_read(at(1099)));
    }

    #[test]
    fn a_large_answer_is_paid_for_at_two_mebibytes_a_second_for_five_seconds_at_most() {
        let mut budget = ReadBudget::default();
        budget.charge(1024 * 1024, at(0));
        assert!(!budget.admit_read(at(499)));
        assert!(budget.admit_read(at(500)));
        budget.charge(11 * 1024 * 1024, at(1000));
        assert!(!budget.admit_read(at(5999)));
        assert!(budget.admit_read(at(6000)));
    }

    #[test]
    fn a_second_of_writing_holds_a_thousand_records_or_a_mebibyte() {
        let mut records = WriteBudget::full(at(0));
        assert_eq!((0..1500).filter(|_| records.admit(1, at(0))).count(), 1000);
        assert_eq!((0..1500).filter(|_| records.admit(1, at(100))).count(), 100);
        let mut bytes = WriteBudget::full(at(0));
        assert_eq!((0..20).filter(|_| bytes.admit(100 * 1024, at(0))).count(), 10);
    }

    #[test]
    fn a_large_record_takes_a_full_bucket_below_zero() {
        let mut budget = WriteBudget::full(at(0));
        assert!(budget.admit(3 * 1024 * 1024, at(0)));
        assert!(!budget.admit(1, at(2000)));
        assert!(budget.admit(1, at(2001)));
    }
}
