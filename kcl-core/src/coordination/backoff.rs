//! Computes how long the coordinator waits before it repeats a failed call: twice as long each time, up to a bound.
//!
//! Pure, and the one place for the pauses after failures. [`Effects`](super::effects::Effects) counts the attempts and
//! sets the timers. Pauses that do not follow a failure are in [`super::intervals`].

use super::call::TimerId;
use crate::config::timing;
use std::collections::BTreeMap;
use std::time::Duration;

/// A first pause that doubles with each failure, and the longest pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    first: Duration,
    longest: Duration,
}

const fn millis(first: u64, longest: u64) -> RetryPolicy {
    RetryPolicy { first: Duration::from_millis(first), longest: Duration::from_millis(longest) }
}

impl RetryPolicy {
    /// Any call without a reason for other pauses. A lost packet or a throttle costs 0.3 s. When an outage ends, the call
    /// under way may take its whole timeout of 2 s and then this pause, and all shards are to be read again within 5 s.
    pub(crate) const CALL: RetryPolicy = millis(300, 1_500);
    /// A claim: sooner than other calls, as nobody reads the shard until it succeeds.
    pub(crate) const CLAIM: RetryPolicy = millis(200, 1_500);
    /// The leader's heartbeat. The fleet treats a leader as dead after `failover_time` without one, so a failed one is
    /// repeated well within that.
    pub(crate) const LEADER_HEARTBEAT: RetryPolicy = millis(300, 1_000);
    /// The read of the table that precedes the lists of several streams.
    pub(crate) const SHARD_SYNC_TABLE: RetryPolicy = millis(1_000, 1_500);
    /// A list of shards that a stream needs before it has any lease.
    pub(crate) const FIRST_LIST: RetryPolicy = millis(1_000, 4_000);
    /// A later list of shards. ListShards has a quota, and nothing waits for the list but new shards.
    pub(crate) const LIST: RetryPolicy = millis(10_000, 20_000);
    /// The write that pins a stream's start, or marks its first fill as complete. All workers write the same row.
    pub(crate) const SYNC_PASS: RetryPolicy = millis(300, 4_000);
    /// A call of the departure. There are three attempts, and the process waits for them.
    pub(crate) const DEPARTURE: RetryPolicy = millis(200, 200);
    /// The read of the table that shows who else serves a removed stream. The user waits for it.
    pub(crate) const STREAM_REMOVAL: RetryPolicy = millis(1_000, 1_000);
    /// A call of an operator's command.
    pub(crate) const OPERATOR: RetryPolicy = millis(500, 500);

    /// A heartbeat or a registration. While the fleet still trusts the session, no pause is longer than a tenth of the
    /// failover time: a heartbeat that arrives late must not arrive too late.
    pub(crate) fn heartbeat(failover_time: Duration, trusted: bool) -> Self {
        let first = timing::heartbeat_retry(failover_time);
        let longest = RetryPolicy::CALL.longest;
        RetryPolicy { first, longest: if trusted { longest.min(failover_time / 10) } else { longest } }
    }

    /// A poll of the fleet row. The first failed poll is repeated at its usual time, which is soon enough for the failure
    /// detector; after more of them their evidence is void anyway.
    pub(crate) fn fleet_poll(every: Duration) -> Self {
        RetryPolicy { first: every, longest: RetryPolicy::CALL.longest }
    }

    /// The pause after `failed` failures in a row.
    pub(crate) fn pause(self, failed: u32) -> Duration {
        let doublings = failed.saturating_sub(1).min(16);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

/// Failures in a row, for each timer.
#[derive(Debug, Default)]
pub(crate) struct Attempts(BTreeMap<TimerId, u32>);

impl Attempts {
    /// Counts another failure; returns how many there were in a row.
    pub(crate) fn failed(&mut self, id: &TimerId) -> u32 {
        let failed = self.0.entry(id.clone()).or_default();
        *failed = failed.saturating_add(1);
        *failed
    }

    pub(crate) fn succeeded(&mut self, id: &TimerId) {
        self.0.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pause_is_twice_the_one_before_up_to_a_second_and_a_half() {
        let pauses: Vec<u128> = (1..=6).map(|failed| RetryPolicy::CALL.pause(failed).as_millis()).collect();
        assert_eq!(pauses, [300, 600, 1_200, 1_500, 1_500, 1_500]);
        assert_eq!(RetryPolicy::CALL.pause(u32::MAX), Duration::from_millis(1_500));
        let slow_polls = RetryPolicy::fleet_poll(Duration::from_secs(7));
        assert_eq!(slow_polls.pause(1), Duration::from_millis(1_500));
    }

    #[test]
    fn a_heartbeat_of_a_trusted_session_is_repeated_within_a_tenth_of_the_failover_time() {
        let failover_time = Duration::from_secs(5);
        let trusted = RetryPolicy::heartbeat(failover_time, true);
        assert_eq!((trusted.pause(1), trusted.pause(9)), (Duration::from_millis(300), failover_time / 10));
        assert_eq!(RetryPolicy::heartbeat(failover_time, false).pause(9), Duration::from_millis(1_500));
    }

    #[test]
    fn failures_are_counted_for_each_timer_and_from_zero_after_a_success() {
        let mut attempts = Attempts::default();
        assert_eq!((attempts.failed(&TimerId::Wake), attempts.failed(&TimerId::Wake)), (1, 2));
        assert_eq!(attempts.failed(&TimerId::FleetPoll), 1);
        attempts.succeeded(&TimerId::Wake);
        assert_eq!((attempts.failed(&TimerId::Wake), attempts.failed(&TimerId::FleetPoll)), (1, 2));
    }
}
