//! How long a part of the coordination waits before it repeats a call, or a round of calls: longer each time.
//!
//! Pure. [`Effects`](super::effects::Effects) counts the attempts of each part and sets its timers.

use super::effects::CallId;
use std::collections::BTreeMap;
use std::time::Duration;

/// A call that failed once is repeated after about this long: a lost packet or a throttle costs no more.
const FIRST: Duration = Duration::from_millis(300);

/// No pause is longer. When an outage ends, the call under way may take its whole timeout of 2 s, then this pause passes, and all
/// shards are to be read again within 5 s of the end.
const LONGEST: Duration = Duration::from_millis(1_500);

/// A first pause that doubles with each attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    first: Duration,
    longest: Duration,
}

impl RetryPolicy {
    /// Pauses from `first` on, or shorter ones where `first` is longer than any pause may be.
    pub(crate) const fn from(first: Duration) -> Self {
        RetryPolicy { first, longest: LONGEST }
    }

    /// The same, with no pause longer than this.
    pub(crate) fn no_longer_than(self, longest: Duration) -> Self {
        RetryPolicy { longest: self.longest.min(longest), ..self }
    }

    /// Before the repetition after so many attempts in a row that failed.
    pub(crate) fn pause(self, failed: u32) -> Duration {
        let doublings = failed.saturating_sub(1).min(16);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy::from(FIRST)
    }
}

/// How many attempts in a row failed, of each part.
#[derive(Debug, Default)]
pub(crate) struct Attempts(BTreeMap<CallId, u32>);

impl Attempts {
    /// Another one failed; returns how many did so far.
    pub(crate) fn failed(&mut self, part: &CallId) -> u32 {
        let failed = self.0.entry(part.clone()).or_default();
        *failed = failed.saturating_add(1);
        *failed
    }

    /// One succeeded.
    pub(crate) fn succeeded(&mut self, part: &CallId) {
        self.0.remove(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pause_is_twice_the_one_before_up_to_a_second_and_a_half() {
        let policy = RetryPolicy::default();
        let pauses: Vec<u128> = (1..=6).map(|failed| policy.pause(failed).as_millis()).collect();
        assert_eq!(pauses, [300, 600, 1_200, 1_500, 1_500, 1_500]);
        assert_eq!(policy.pause(u32::MAX), LONGEST);
        assert_eq!(RetryPolicy::from(Duration::from_secs(7)).pause(1), LONGEST);
    }

    #[test]
    fn parts_are_counted_apart_and_from_the_start_after_a_success() {
        let mut attempts = Attempts::default();
        assert_eq!((attempts.failed(&CallId::Wake), attempts.failed(&CallId::Wake)), (1, 2));
        assert_eq!(attempts.failed(&CallId::FleetPoll), 1);
        attempts.succeeded(&CallId::Wake);
        assert_eq!((attempts.failed(&CallId::Wake), attempts.failed(&CallId::FleetPoll)), (1, 2));
    }
}
