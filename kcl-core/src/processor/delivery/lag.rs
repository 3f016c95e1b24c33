//! Computes the consumer lag of a shard: how old the oldest record is that is not done. Pure.
//!
//! The lag is the larger of two ages: that of the oldest record that was read and is not
//! acknowledged, and that of the last answer plus its distance from the tip. Both grow while
//! nothing is read or handled, so a stalled shard shows a growing lag.

use crate::clock::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// Arrival times of records are kept to this precision.
const PRECISION_MS: i64 = 1_000;

/// The shortest pause in the arrivals that may be a loss of expired records.
const SHORTEST_GAP_MS: i64 = 60_000;

/// The most pauses that are remembered.
const MOST_GAPS: usize = 16;

/// How long a pause is remembered. The stream's retention is queried every 10 minutes, so twice
/// that is enough to compare the pause with a retention that is not older than it.
const GAP_KEPT: Duration = Duration::from_secs(1_200);

/// Tracks what is needed to compute a shard's lag.
#[derive(Clone, Debug)]
pub(crate) struct LagTracker {
    /// Number and arrival time of the first record of each run of unacknowledged records that
    /// arrived within one second.
    runs: VecDeque<(u64, i64)>,
    /// When the last answer came, and how far it was behind the tip.
    answered: (Time, Duration),
    /// Whether the shard is read to its end.
    ended: bool,
    /// The arrival time of the last record that was read, and how far behind the tip its answer
    /// was, in ms.
    read_to: Option<(i64, u64)>,
    gaps: Vec<Gap>,
}

/// A pause between the arrivals of two consecutive records that were read while the shard had more.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gap {
    from_ms: i64,
    to_ms: i64,
    seen: Time,
    /// The service's time at `seen`.
    seen_ms: i64,
}

/// A range of arrival times whose records, if there were any, had expired before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
}

/// The consumer lag of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardLag {
    /// The age of the oldest record that is not done; if all are done, the age of the last answer
    /// that said so.
    pub(crate) lag: Duration,
    /// The age of the oldest record that was read and is not acknowledged.
    pub(crate) unacknowledged: Duration,
}

impl LagTracker {
    /// A tracker before the first read, whose lag is at least `behind`.
    pub(crate) fn new(now: Time, behind: Duration) -> Self {
        LagTracker { runs: VecDeque::new(), answered: (now, behind), ended: false, read_to: None, gaps: Vec::new() }
    }

    /// Notes an answer. `ended` if it was the last one of the shard.
    pub(crate) fn answered(&mut self, behind_ms: Option<u64>, ended: bool, now: Time) {
        let behind = behind_ms.map_or(self.answered.1, Duration::from_millis);
        (self.answered, self.ended) = ((now, behind), self.ended || ended);
    }

    /// Notes the arrival times of records that were read, in order. `first` is the number of the
    /// first one.
    pub(crate) fn read(&mut self, first: u64, arrivals: impl Iterator<Item = i64>) {
        for (number, arrived_ms) in (first..).zip(arrivals) {
            let together =
                self.runs.back().is_some_and(|(_, of_run)| arrived_ms.abs_diff(*of_run) < PRECISION_MS as u64);
            if !together {
                self.runs.push_back((number, arrived_ms));
            }
        }
    }

    /// Notes the first and the last arrival time of an answer's records, how far behind the tip
    /// it was, and the service's time.
    pub(crate) fn arrivals(&mut self, first_ms: i64, last_ms: i64, behind_ms: Option<u64>, service_ms: i64, now: Time) {
        if let Some((from_ms, behind)) = self.read_to
            && behind > 0
            && first_ms.saturating_sub(from_ms) >= SHORTEST_GAP_MS
        {
            self.gaps.push(Gap { from_ms, to_ms: first_ms, seen: now, seen_ms: service_ms });
            if self.gaps.len() > MOST_GAPS {
                // The youngest pause is the least likely to have been caused by the retention.
                self.gaps.sort_by_key(|gap| gap.from_ms.saturating_sub(gap.seen_ms));
                self.gaps.pop();
            }
        }
        // If Kinesis did not report it, assume that the shard has more records.
        self.read_to = Some((last_ms, behind_ms.unwrap_or(1)));
    }

    /// The lag, given the number of the first unacknowledged record, the number of the next record
    /// to be read, and the service's time if it is known.
    pub(crate) fn lag(&mut self, first_open: u64, next: u64, service_ms: Option<i64>, now: Time) -> ShardLag {
        while self.runs.get(1).is_some_and(|(number, _)| *number <= first_open) {
            self.runs.pop_front();
        }
        let oldest = self.runs.front().filter(|_| first_open < next).map(|(_, arrived_ms)| *arrived_ms);
        if first_open >= next {
            self.runs.clear();
        }
        let age = oldest.zip(service_ms).map_or(0, |(arrived, now)| now.saturating_sub(arrived));
        let unacknowledged = Duration::from_millis(u64::try_from(age).unwrap_or(0));
        let (answered, behind) = self.answered;
        let unread = if self.ended { Duration::ZERO } else { behind + now.since(answered) };
        ShardLag { lag: unread.max(unacknowledged), unacknowledged }
    }

    /// Returns and forgets the pauses that reach back beyond the retention, as of the time at which
    /// they were seen. Records in them may have existed and expired.
    pub(crate) fn expired(&mut self, retention: Duration, now: Time) -> Vec<Expired> {
        let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let mut expired = Vec::new();
        self.gaps.retain(|gap| {
            let horizon = gap.seen_ms.saturating_sub(retention);
            let is_expired = gap.from_ms < horizon;
            if is_expired {
                expired.push(Expired { from_ms: gap.from_ms, to_ms: gap.to_ms.min(horizon).max(gap.from_ms) });
            }
            !is_expired && now.since(gap.seen) < GAP_KEPT
        });
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const HOUR_MS: i64 = 3_600_000;

    fn at(secs: u64) -> Time {
        Time::ZERO + Duration::from_secs(secs)
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn an_idle_shard_that_is_read_has_no_lag() {
        let mut lag = LagTracker::new(at(0), Duration::ZERO);
        for second in 0..100 {
            lag.answered(Some(0), false, at(second));
            assert_eq!(lag.lag(0, 0, None, at(second)).lag, Duration::ZERO);
        }
    }

    #[test]
    fn lag_grows_while_nothing_is_read() {
        let mut lag = LagTracker::new(at(0), Duration::ZERO);
        assert_eq!(lag.lag(0, 0, None, at(30)).lag, secs(30), "counts from the start");
        lag.answered(Some(5_000), false, at(60));
        assert_eq!(lag.lag(0, 0, Some(60_000), at(100)), ShardLag { lag: secs(45), unacknowledged: Duration::ZERO });
    }

    #[test]
    fn lag_grows_with_the_oldest_unacknowledged_record_while_reading_goes_on() {
        let mut lag = LagTracker::new(at(0), Duration::ZERO);
        lag.answered(Some(0), false, at(10));
        lag.read(0, [8_000, 8_500, 9_500, 9_600].into_iter());
        lag.answered(Some(0), false, at(50));
        assert_eq!(lag.lag(0, 4, Some(50_000), at(50)), ShardLag { lag: secs(42), unacknowledged: secs(42) });
        // The first two are acknowledged.
        assert_eq!(lag.lag(2, 4, Some(50_000), at(50)).unacknowledged, Duration::from_millis(40_500));
        assert_eq!(
            lag.lag(4, 4, Some(50_000), at(50)),
            ShardLag { lag: Duration::ZERO, unacknowledged: Duration::ZERO }
        );
        lag.read(4, [49_000].into_iter());
        assert_eq!(lag.lag(4, 5, Some(50_000), at(50)).unacknowledged, secs(1));
    }

    #[test]
    fn the_lag_of_an_ended_shard_is_its_oldest_unacknowledged_record() {
        let mut lag = LagTracker::new(at(0), Duration::ZERO);
        lag.answered(Some(0), true, at(10));
        lag.read(0, [9_000].into_iter());
        assert_eq!(lag.lag(0, 1, Some(100_000), at(100)).lag, secs(91));
        assert_eq!(lag.lag(1, 1, Some(100_000), at(100)).lag, Duration::ZERO);
    }

    #[test]
    fn a_pause_that_reaches_beyond_the_retention_is_a_loss_if_the_shard_was_behind() {
        let mut lag = LagTracker::new(at(0), Duration::ZERO);
        // At hour 100 a record of hour 0 is read, and there are more.
        lag.arrivals(0, 0, Some(100 * HOUR_MS as u64), 100 * HOUR_MS, at(0));
        // The next record that exists is one of hour 77.
        lag.arrivals(77 * HOUR_MS, 77 * HOUR_MS, Some(1), 101 * HOUR_MS, at(3_600));
        assert_eq!(lag.expired(168 * HOUR, at(3_600)), [], "within this retention it was only a pause");
        let expired = Expired { from_ms: 0, to_ms: 77 * HOUR_MS };
        assert_eq!(lag.expired(24 * HOUR, at(3_700)), [expired], "the retention was lowered");
        assert_eq!(lag.expired(24 * HOUR, at(3_700)), [], "returned once");
    }

    #[test]
    fn a_pause_is_not_a_loss_if_the_shard_was_read_to_its_tip() {
        let mut lag = LagTracker::new(at(0), Duration::ZERO);
        lag.arrivals(0, 0, Some(0), 0, at(0));
        lag.arrivals(77 * HOUR_MS, 77 * HOUR_MS, Some(0), 77 * HOUR_MS, at(77 * 3_600));
        assert_eq!(lag.expired(24 * HOUR, at(77 * 3_600)), []);
    }

    #[test]
    fn pauses_are_forgotten_after_a_time_and_bounded_in_number() {
        let mut lag = LagTracker::new(at(0), Duration::ZERO);
        for hour in 0..100 {
            lag.arrivals(hour * HOUR_MS, hour * HOUR_MS, Some(1), 100 * HOUR_MS, at(0));
        }
        assert_eq!(lag.gaps.len(), MOST_GAPS);
        assert_eq!(lag.gaps[0].from_ms, 0);
        assert_eq!(lag.expired(1_000 * HOUR, at(1_300)), []);
        assert_eq!(lag.gaps, []);
    }
}
