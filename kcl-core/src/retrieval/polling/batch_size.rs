//! Tunes how many records a call requests, from the duration of the last calls.
//!
//! Pure: no I/O, no clock. A full response has 10 MB, which a slow connection cannot transfer
//! within the call's deadline, however often it is requested. So a call that times out is followed
//! by smaller ones, and quick full responses by larger ones.

use crate::config::timing::READ_CALL_DEADLINE;
use std::time::Duration;

/// Responses that take longer than this reduce the next request: a slightly larger response would
/// miss the deadline.
const SLOW: Duration = Duration::from_secs(READ_CALL_DEADLINE.as_secs() / 2);
/// Full responses that take less than this double the next request, which is still far from slow.
const QUICK: Duration = Duration::from_secs(READ_CALL_DEADLINE.as_secs() / 8);
/// The divisor after a timeout. The size of the records is unknown: 10,000 requested records may be
/// 10 large ones. Four steps reduce 10,000 to about one.
const SMALLER: u32 = 8;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct BatchSizeTuner {
    most: u32,
    now: u32,
}

impl BatchSizeTuner {
    /// Requests at most `most` records.
    pub(super) fn new(most: u32) -> Self {
        BatchSizeTuner { most, now: most }
    }

    /// Returns how many records the next call requests; at least one.
    pub(super) fn records(&self) -> u32 {
        self.now
    }

    /// Records a response with `count` records.
    pub(super) fn received(&mut self, count: usize, took: Duration) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if took >= SLOW {
            self.now = (count / 2).clamp(1, self.now);
        } else if took < QUICK && count >= self.now {
            self.now = self.now.saturating_mul(2).min(self.most);
        }
    }

    /// Records a call that failed after `within`.
    pub(super) fn timed_out(&mut self, within: Duration) {
        if within >= SLOW {
            self.now = (self.now / SMALLER).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn calls_that_time_out_are_followed_by_smaller_ones_down_to_one_record() {
        let mut batch_size = BatchSizeTuner::new(10_000);
        let asked: Vec<u32> = (0..6)
            .map(|_| {
                batch_size.timed_out(READ_CALL_DEADLINE);
                batch_size.records()
            })
            .collect();
        assert_eq!(asked, [1_250, 156, 19, 2, 1, 1]);
    }

    #[test]
    fn a_quick_failure_does_not_change_the_size() {
        let mut batch_size = BatchSizeTuner::new(10_000);
        batch_size.timed_out(Duration::from_millis(5));
        assert_eq!(batch_size.records(), 10_000);
    }

    #[test]
    fn only_quick_full_responses_increase_the_size() {
        let asked = |count, took| {
            let mut batch_size = BatchSizeTuner { most: 1_000, now: 100 };
            batch_size.received(count, took);
            batch_size.records()
        };
        assert_eq!(asked(100, Duration::from_millis(100)), 200);
        assert_eq!(asked(99, Duration::from_millis(100)), 100, "there were no more");
        assert_eq!(asked(100, QUICK), 100);
        assert_eq!(asked(100, SLOW), 50);
        let mut largest = BatchSizeTuner { most: 1_000, now: 900 };
        largest.received(900, Duration::ZERO);
        assert_eq!(largest.records(), 1_000);
    }

    proptest! {
        /// Any connection that transfers one record in time, and records of any size.
        #[test]
        fn a_backlog_is_read_over_any_connection_that_transfers_single_records(
            bytes_a_second in 200_000_u64..100_000_000,
            record in 1_000_u64..1_000_000,
        ) {
            let mut batch_size = BatchSizeTuner::new(10_000);
            let (mut timeouts, mut read) = (0, 0);
            for _ in 0..200 {
                let count = u64::from(batch_size.records()).min(10_000_000 / record);
                let took = Duration::from_secs_f64((count * record) as f64 / bytes_a_second as f64);
                if took < READ_CALL_DEADLINE {
                    read += count;
                    batch_size.received(count as usize, took);
                } else {
                    timeouts += 1;
                    batch_size.timed_out(READ_CALL_DEADLINE);
                }
            }
            prop_assert!(timeouts <= 4, "{} of 200 calls", timeouts);
            prop_assert!(read >= 190);
        }
    }
}
