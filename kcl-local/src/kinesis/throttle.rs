//! Throughput limits of a shard, for reading and writing.
//!
//! Sources: <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html> and the
//! API reference.

use std::collections::VecDeque;
use std::time::Duration;

use super::EngineTime;

/// AWS: five `GetRecords` calls and five `GetShardIterator` calls per shard and second.
const READ_CALLS: usize = 5;
/// AWS: polling readers share 2 MiB per shard and second.
const READ_BYTES_PER_SECOND: usize = 2 * 1024 * 1024;
/// AWS: one `SubscribeToShard` call per shard, consumer and second; the subscription has 2 MiB a
/// second.
const SUBSCRIBE_CALLS: usize = 1;
/// AWS: after an answer of 10 MiB, calls within the next five seconds fail.
const MAX_READ_PAUSE: Duration = Duration::from_secs(5);
/// AWS: 1,000 records per shard and second.
const WRITE_RECORDS: i64 = 1000;
/// AWS: 1 MiB per shard and second, with partition keys.
const WRITE_BYTES: i64 = 1024 * 1024;

/// Limits the number of calls in any second.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallWindow {
    calls: VecDeque<EngineTime>,
}

impl CallWindow {
    /// Counts a call. Returns false if there were `limit` calls in the last second; a refused call
    /// does not count.
    pub(crate) fn admit(&mut self, now: EngineTime, limit: usize) -> bool {
        // If the clock stepped back, calls are in the future: forget them.
        self.calls.retain(|call| *call <= now && now.since(*call) < 1000);
        let admitted = self.calls.len() < limit;
        if admitted {
            self.calls.push_back(now);
        }
        admitted
    }
}

/// The read budget of a shard, which all polling readers share.
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

    /// Charges an answer of `bytes`: the next call is refused until the rate allows it.
    pub(crate) fn charge(&mut self, bytes: usize, now: EngineTime) {
        let pause = Duration::from_millis((bytes * 1000 / READ_BYTES_PER_SECOND) as u64);
        self.next_read = now.plus(pause.min(MAX_READ_PAUSE));
    }
}

/// The budget of one fan-out consumer at one shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct FanOutBudget {
    calls: CallWindow,
    next_event: EngineTime,
}

impl FanOutBudget {
    pub(crate) fn admit_call(&mut self, now: EngineTime) -> bool {
        self.calls.admit(now, SUBSCRIBE_CALLS)
    }

    /// The time of the next event with records.
    pub(crate) fn next_event(&self) -> EngineTime {
        self.next_event
    }

    /// Charges an event of `bytes`: the next event waits until the rate allows it.
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

    /// Takes a record of `bytes` from the bucket, or refuses it. A record larger than the bucket is
    /// admitted if the bucket is full, and leaves it below zero.
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
    fn the_sixth_read_in_a_second_is_refused() {
        let mut budget = ReadBudget::default();
        for call in 0..5 {
            assert!(budget.admit_read(at(call * 100)));
        }
        assert!(!budget.admit_read(at(999)));
        assert!(budget.admit_read(at(1000)));
        assert!(!budget.admit_read(at(1099)));
    }

    #[test]
    fn a_large_answer_delays_the_next_read_by_five_seconds_at_most() {
        let mut budget = ReadBudget::default();
        budget.charge(1024 * 1024, at(0));
        assert!(!budget.admit_read(at(499)));
        assert!(budget.admit_read(at(500)));
        budget.charge(11 * 1024 * 1024, at(1000));
        assert!(!budget.admit_read(at(5999)));
        assert!(budget.admit_read(at(6000)));
    }

    #[test]
    fn a_second_allows_a_thousand_records_or_a_mebibyte() {
        let mut records = WriteBudget::full(at(0));
        assert_eq!((0..1500).filter(|_| records.admit(1, at(0))).count(), 1000);
        assert_eq!((0..1500).filter(|_| records.admit(1, at(100))).count(), 100);
        let mut bytes = WriteBudget::full(at(0));
        assert_eq!((0..20).filter(|_| bytes.admit(100 * 1024, at(0))).count(), 10);
    }

    #[test]
    fn a_large_record_leaves_a_full_bucket_below_zero() {
        let mut budget = WriteBudget::full(at(0));
        assert!(budget.admit(3 * 1024 * 1024, at(0)));
        assert!(!budget.admit(1, at(2000)));
        assert!(budget.admit(1, at(2001)));
    }
}
