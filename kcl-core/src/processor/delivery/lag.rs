//! How far the work on a shard is behind, by time. Pure: times go in, durations come out.
//!
//! Two things count: the oldest record that was read and is not acknowledged, and how long ago the last answer said how far
//! behind the tip it was. Neither stands still while nothing is read or handled.

use crate::clock::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// Arrival times of records are kept to this precision.
const PRECISION_MS: i64 = 1_000;

/// A pause in the arrivals of a shard that was behind is worth a look from this length on.
const SHORTEST_GAP_MS: i64 = 60_000;

/// More pauses than these are not remembered.
const MOST_GAPS: usize = 16;

/// A pause is explained by the retention as it is known this long after: the service is asked for it every ten minutes.
const GAP_KEPT: Duration = Duration::from_secs(1_200);

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Lag {
    /// Numbers and arrival times of records that are not acknowledged: the first of each run that arrived together.
    runs: VecDeque<(u64, i64)>,
    /// When the last answer came, and how far it was behind.
    answered: (Time, Duration),
    /// The shard is read to its end.
    ended: bool,
    /// When the last record arrived that was read, and how far behind the answer was that had it.
    read_to: Option<(i64, u64)>,
    gaps: Vec<Gap>,
}

/// A pause in the arrivals of what was read, while the shard had more.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gap {
    from_ms: i64,
    to_ms: i64,
    seen: Time,
    /// The service's time then.
    seen_ms: i64,
}

/// A range of time whose records, if there were any, were gone when it was to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
}

/// How far behind a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    /// The age of what is to be handled next, or of the last answer that said that nothing is.
    pub(crate) lag: Duration,
    /// The age of the oldest record that was read and is not acknowledged.
    pub(crate) unacknowledged: Duration,
}

impl Lag {
    /// Nothing is read yet, and the work is behind by so much at least.
    pub(crate) fn begin(now: Time, behind: Duration) -> Self {
        Lag { runs: VecDeque::new(), answered: (now, behind), ended: false, read_to: None, gaps: Vec::new() }
    }

    /// An answer came, from a shard that ends with it or not.
    pub(crate) fn answered(&mut self, behind_ms: Option<u64>, ended: bool, now: Time) {
        let behind = behind_ms.map_or(self.answered.1, Duration::from_millis);
        (self.answered, self.ended) = ((now, behind), self.ended || ended);
    }

    /// Records with these numbers and arrival times were read, in order.
    pub(crate) fn read(&mut self, first: u64, arrivals: impl Iterator<Item = i64>) {
        for (number, arrived_ms) in (first..).zip(arrivals) {
            let together =
                self.runs.back().is_some_and(|(_, of_run)| arrived_ms.abs_diff(*of_run) < PRECISION_MS as u64);
            if !together {
                self.runs.push_back((number, arrived_ms));
            }
        }
    }

    /// The first and the last arrival of what an answer had, how far behind it was, and the service's time.
    pub(crate) fn arrivals(&mut self, first_ms: i64, last_ms: i64, behind_ms: Option<u64>, service_ms: i64, now: Time) {
        if let Some((from_ms, behind)) = self.read_to
            && behind > 0
            && first_ms.saturating_sub(from_ms) >= SHORTEST_GAP_MS
        {
            self.gaps.push(Gap { from_ms, to_ms: first_ms, seen: now, seen_ms: service_ms });
            if self.gaps.len() > MOST_GAPS {
                // The youngest is the last to have been ended by the retention.
                self.gaps.sort_by_key(|gap| gap.from_ms.saturating_sub(gap.seen_ms));
                self.gaps.pop();
            }
        }
        // Without a word on it, more is to come.
        self.read_to = Some((last_ms, behind_ms.unwrap_or(1)));
    }

    /// How far behind, given the first record that is not acknowledged, the number of the next to be read, and the service's
    /// time, where it is known.
    pub(crate) fn behind(&mut self, first_open: u64, next: u64, service_ms: Option<i64>, now: Time) -> Behind {
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
        Behind { lag: unread.max(unacknowledged), unacknowledged }
    }

    /// The pauses that began before the retention that holds now reached back when they were seen: records of them may
    /// have been there, and were not read.
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
    fn an_idle_shard_that_is_read_is_not_behind() {
        let mut lag = Lag::begin(at(0), Duration::ZERO);
        for second in 0..100 {
            lag.answered(Some(0), false, at(second));
            assert_eq!(lag.behind(0, 0, None, at(second)).lag, Duration::ZERO);
        }
    }

    #[test]
    fn what_is_not_read_falls_behind() {
        let mut lag = Lag::begin(at(0), Duration::ZERO);
        assert_eq!(lag.behind(0, 0, None, at(30)).lag, secs(30), "from the beginning on");
        lag.answered(Some(5_000), false, at(60));
        assert_eq!(lag.behind(0, 0, Some(60_000), at(100)), Behind { lag: secs(45), unacknowledged: Duration::ZERO });
    }

    #[test]
    fn what_is_not_acknowledged_falls_behind_while_reading_goes_on() {
        let mut lag = Lag::begin(at(0), Duration::ZERO);
        lag.answered(Some(0), false, at(10));
        lag.read(0, [8_000, 8_500, 9_500, 9_600].into_iter());
        lag.answered(Some(0), false, at(50));
        assert_eq!(lag.behind(0, 4, Some(50_000), at(50)), Behind { lag: secs(42), unacknowledged: secs(42) });
        // The first two are acknowledged.
        assert_eq!(lag.behind(2, 4, Some(50_000), at(50)).unacknowledged, Duration::from_millis(40_500));
        assert_eq!(
            lag.behind(4, 4, Some(50_000), at(50)),
            Behind { lag: Duration::ZERO, unacknowledged: Duration::ZERO }
        );
        lag.read(4, [49_000].into_iter());
        assert_eq!(lag.behind(4, 5, Some(50_000), at(50)).unacknowledged, secs(1));
    }

    #[test]
    fn a_shard_that_ended_is_behind_by_what_is_not_acknowledged() {
        let mut lag = Lag::begin(at(0), Duration::ZERO);
        lag.answered(Some(0), true, at(10));
        lag.read(0, [9_000].into_iter());
        assert_eq!(lag.behind(0, 1, Some(100_000), at(100)).lag, secs(91));
        assert_eq!(lag.behind(1, 1, Some(100_000), at(100)).lag, Duration::ZERO);
    }

    #[test]
    fn a_pause_longer_than_the_retention_in_a_shard_that_was_behind_is_a_loss() {
        let mut lag = Lag::begin(at(0), Duration::ZERO);
        // At hour 100 a record of hour 0 is read, and there are more.
        lag.arrivals(0, 0, Some(100 * HOUR_MS as u64), 100 * HOUR_MS, at(0));
        // The next that is there is one of hour 77.
        lag.arrivals(77 * HOUR_MS, 77 * HOUR_MS, Some(1), 101 * HOUR_MS, at(3_600));
        assert_eq!(lag.expired(168 * HOUR, at(3_600)), [], "it may have been a pause");
        let expired = Expired { from_ms: 0, to_ms: 77 * HOUR_MS };
        assert_eq!(lag.expired(24 * HOUR, at(3_700)), [expired], "the retention was lowered");
        assert_eq!(lag.expired(24 * HOUR, at(3_700)), [], "once");
    }

    #[test]
    fn a_pause_in_a_shard_that_was_read_to_its_tip_is_no_loss() {
        let mut lag = Lag::begin(at(0), Duration::ZERO);
        lag.arrivals(0, 0, Some(0), 0, at(0));
        lag.arrivals(77 * HOUR_MS, 77 * HOUR_MS, Some(0), 77 * HOUR_MS, at(77 * 3_600));
        assert_eq!(lag.expired(24 * HOUR, at(77 * 3_600)), []);
    }

    #[test]
    fn pauses_are_remembered_for_a_while_and_not_without_end() {
        let mut lag = Lag::begin(at(0), Duration::ZERO);
        for hour in 0..100 {
            lag.arrivals(hour * HOUR_MS, hour * HOUR_MS, Some(1), 100 * HOUR_MS, at(0));
        }
        assert_eq!(lag.gaps.len(), MOST_GAPS);
        assert_eq!(lag.gaps[0].from_ms, 0);
        assert_eq!(lag.expired(1_000 * HOUR, at(1_300)), []);
        assert_eq!(lag.gaps, []);
    }
}
