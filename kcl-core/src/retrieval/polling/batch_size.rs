//! How many records a call asks for, from how long the last answers took to come.
//!
//! Pure. A full answer has 10 MB, which over a slow line do not come before the call's deadline, however often they are asked
//! for. So what did not come is asked for in smaller parts, until they do; and what comes quickly in larger ones.

use crate::retrieval::call::CALL_DEADLINE;
use std::time::Duration;

/// Answers that take longer make the next one smaller: a little more of everything, and it would not come in time.
const SLOW: Duration = Duration::from_secs(CALL_DEADLINE.as_secs() / 2);
/// Full answers that take less make the next one larger: twice as much is still far from slow.
const QUICK: Duration = Duration::from_secs(CALL_DEADLINE.as_secs() / 8);
/// Nothing is known of what did not come, but that 10,000 records may be 10 large ones: four steps lead from there to one.
const SMALLER: u32 = 8;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct BatchSizeTuner {
    most: u32,
    now: u32,
}

impl BatchSizeTuner {
    /// At most so many.
    pub(super) fn new(most: u32) -> Self {
        BatchSizeTuner { most, now: most }
    }

    /// So many in the next call; never none.
    pub(super) fn records(&self) -> u32 {
        self.now
    }

    /// An answer with so many records came after that long.
    pub(super) fn came(&mut self, count: usize, took: Duration) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if took >= SLOW {
            self.now = (count / 2).clamp(1, self.now);
        } else if took < QUICK && count >= self.now {
            self.now = self.now.saturating_mul(2).min(self.most);
        }
    }

    /// No answer came within that time.
    pub(super) fn did_not_come(&mut self, within: Duration) {
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
    fn what_does_not_come_is_asked_for_in_smaller_parts_down_to_one_record() {
        let mut amount = BatchSizeTuner::new(10_000);
        let asked: Vec<u32> = (0..6)
            .map(|_| {
                amount.did_not_come(CALL_DEADLINE);
                amount.records()
            })
            .collect();
        assert_eq!(asked, [1_250, 156, 19, 2, 1, 1]);
    }

    #[test]
    fn a_quick_failure_says_nothing_of_the_line() {
        let mut amount = BatchSizeTuner::new(10_000);
        amount.did_not_come(Duration::from_millis(5));
        assert_eq!(amount.records(), 10_000);
    }

    #[test]
    fn only_full_answers_that_come_quickly_make_the_next_one_larger() {
        let asked = |count, took| {
            let mut amount = BatchSizeTuner { most: 1_000, now: 100 };
            amount.came(count, took);
            amount.records()
        };
        assert_eq!(asked(100, Duration::from_millis(100)), 200);
        assert_eq!(asked(99, Duration::from_millis(100)), 100, "there were no more");
        assert_eq!(asked(100, QUICK), 100);
        assert_eq!(asked(100, SLOW), 50);
        let mut largest = BatchSizeTuner { most: 1_000, now: 900 };
        largest.came(900, Duration::ZERO);
        assert_eq!(largest.records(), 1_000);
    }

    proptest! {
        /// Any line that brings one record in time, and records of any size.
        #[test]
        fn a_backlog_is_read_over_any_line_that_brings_its_records_one_by_one(
            bytes_a_second in 200_000_u64..100_000_000,
            record in 1_000_u64..1_000_000,
        ) {
            let mut amount = BatchSizeTuner::new(10_000);
            let (mut in_vain, mut read) = (0, 0);
            for _ in 0..200 {
                let count = u64::from(amount.records()).min(10_000_000 / record);
                let took = Duration::from_secs_f64((count * record) as f64 / bytes_a_second as f64);
                if took < CALL_DEADLINE {
                    read += count;
                    amount.came(count as usize, took);
                } else {
                    in_vain += 1;
                    amount.did_not_come(CALL_DEADLINE);
                }
            }
            prop_assert!(in_vain <= 4, "{} of 200 calls", in_vain);
            prop_assert!(read >= 190);
        }
    }
}
