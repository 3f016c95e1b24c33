//! Decides when the next read of a shard may be sent, from the outcomes of the last reads.
//!
//! Pure: no I/O, no clock. A shard that is behind is read at full speed, one at its tip more
//! slowly. Each throttle lengthens the interval between reads, because others read the shard too,
//! and each success shortens it a little: readers that share a shard converge on shares that fit
//! its limits.

use crate::clock::Time;
use crate::config::PollingConfig;
use std::time::Duration;

/// AWS (Kinesis quotas): each shard serves 5 GetRecords calls per second, to all its polling
/// readers together.
const CALLS: usize = 5;
const CALLS_WINDOW: Duration = Duration::from_secs(1);
/// AWS (Kinesis quotas): each shard serves 2 MiB per second; a response of 10 MiB blocks it for 5
/// s.
const BYTES_A_SECOND: u64 = 2 * MIB;
const BYTES_BLOCK: Duration = Duration::from_secs(5);
/// AWS (Kinesis quotas): the largest response, and the bytes that a shard accepts per second.
pub(super) const LARGEST_RESPONSE: u64 = 10 * MIB;
const WRITTEN_A_SECOND: u64 = MIB;
const MIB: u64 = 1024 * 1024;

/// A full response that is at least this many milliseconds behind is followed by the next call at
/// once.
const FAR_BEHIND: u64 = 1_000;
/// The longest interval between reads under contention.
const LONGEST_INTERVAL: Duration = Duration::from_secs(5);
/// Calls per second that a throttled reader regains each second. The growth starts small, because
/// others still read the shard, and increases with each second without a throttle.
const FIRST_GROWTH: f64 = 0.01;
const GROWTH_OF_GROWTH: f64 = 0.008;
const MOST_GROWTH: f64 = 0.3;
/// Only every third of consecutive throttles lengthens the interval. Otherwise readers would slow
/// down for tens of seconds if a few others read the shard.
const EPISODE: u32 = 3;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest time from sending a failed call to the next call (unless the call itself took
/// longer): reading resumes within 5 s of the end of an outage.
const LONGEST_BACKOFF: Duration = Duration::from_secs(4);

/// The outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallOutcome {
    /// Records, possibly none.
    Records {
        /// The number of records.
        count: usize,
        /// The bytes of their payload.
        bytes: u64,
        /// True if it has as many records as requested.
        full: bool,
        /// The time by which they are behind the tip, in milliseconds, if returned.
        behind: Option<u64>,
    },
    /// Too many calls or bytes.
    Throttled,
    /// No response, or a failure.
    Failed,
    /// The iterator has expired.
    IteratorExpired,
    /// The start position does not belong to the shard.
    PositionRefused,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Pace {
    /// Zero disables the limits as well, for servers without limits.
    poll_interval: Duration,
    idle_poll_interval: Duration,
    /// The interval between reads under contention.
    interval: Duration,
    throttled_at: Time,
    /// The interval between reads of an idle shard.
    idle: Duration,
    /// Consecutive failures.
    failures: u32,
    /// When the last calls were answered, oldest first.
    answered: [Option<Time>; CALLS],
    /// When a response last showed that the reader is at the tip.
    at_tip: Option<Time>,
    /// The earliest time that the limits allow.
    allowed: Time,
}

impl Pace {
    pub(super) fn new(config: PollingConfig) -> Self {
        Pace {
            poll_interval: config.poll_interval,
            idle_poll_interval: config.idle_poll_interval.max(config.poll_interval),
            interval: config.poll_interval,
            throttled_at: Time::ZERO,
            idle: config.poll_interval,
            failures: 0,
            answered: [None; CALLS],
            at_tip: None,
            allowed: Time::ZERO,
        }
    }

    /// Prepares for the next reader of the same shard: forgets what was read, but keeps what the
    /// shard has counted. Returns the earliest time of its first call.
    pub(super) fn reset_for_next_reader(&mut self) -> Time {
        (self.failures, self.idle, self.at_tip) = (0, self.poll_interval, None);
        self.allowed
    }

    /// Returns the number of consecutive failed calls.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the largest size of the next response. Since it was at its tip, a shard cannot have
    /// received more than its write limit allows.
    pub(super) fn largest_response(&self, now: Time) -> u64 {
        let Some(tip) = self.at_tip else { return LARGEST_RESPONSE };
        let millis = u64::try_from(now.since(tip).as_millis()).unwrap_or(u64::MAX);
        MIB.saturating_add(millis.saturating_mul(WRITTEN_A_SECOND) / 1_000).min(LARGEST_RESPONSE)
    }

    /// Records the outcome of a call that was sent at `sent`. Returns the earliest time of the next
    /// call.
    pub(super) fn record(&mut self, outcome: CallOutcome, sent: Time, now: Time, rng: &mut fastrand::Rng) -> Time {
        self.answered.rotate_left(1);
        self.answered[CALLS - 1] = Some(now);
        match outcome {
            CallOutcome::Records { count, bytes, full, behind } => {
                self.failures = 0;
                self.recover(now);
                let at_tip = behind == Some(0) || (behind.is_none() && count == 0);
                self.at_tip = at_tip.then_some(now);
                self.idle = if at_tip && count == 0 {
                    (self.idle + self.idle / 2)
                        .clamp(FIRST_BACKOFF.min(self.idle_poll_interval), self.idle_poll_interval)
                } else {
                    self.poll_interval
                };
                let far_behind = full && behind.is_some_and(|millis| millis >= FAR_BEHIND);
                let interval = if at_tip {
                    self.idle.max(self.interval)
                } else if far_behind {
                    Duration::ZERO
                } else {
                    self.interval
                };
                self.within_limits(sent + interval, self.interval, bytes, now)
            }
            CallOutcome::Throttled => {
                self.throttled_at = now;
                if self.failures.is_multiple_of(EPISODE) {
                    self.interval = (self.interval + self.interval / 2)
                        .clamp(FIRST_BACKOFF, LONGEST_INTERVAL.max(self.poll_interval));
                }
                let ceiling = self.ceiling(LONGEST_INTERVAL).max(self.interval);
                self.back_off(ceiling, now, rng)
            }
            // A call that took long to fail counts as a pause. One call cannot distinguish a
            // refused position from an outage in which every position is refused, so both have the
            // same pauses.
            CallOutcome::Failed | CallOutcome::PositionRefused => {
                let left = self.ceiling(LONGEST_BACKOFF).saturating_sub(now.since(sent)).max(FIRST_BACKOFF);
                self.back_off(left, now, rng)
            }
            // The first expired iterator only shows that the handler was slow.
            CallOutcome::IteratorExpired if self.failures == 0 => {
                self.failures = 1;
                now
            }
            CallOutcome::IteratorExpired => self.back_off(self.ceiling(LONGEST_BACKOFF), now, rng),
        }
    }

    /// Raises the read rate. The rate grows by the same steps for every reader of a shard, and each
    /// throttle takes a share of it (additive increase, multiplicative decrease), so readers
    /// converge on equal shares.
    fn recover(&mut self, now: Time) {
        if self.interval > self.poll_interval {
            let unnoticed = now.since(self.throttled_at).as_secs_f64();
            let growth = (FIRST_GROWTH + GROWTH_OF_GROWTH * unnoticed).min(MOST_GROWTH);
            let seconds = self.interval.as_secs_f64();
            let rate = 1.0 / seconds + growth * seconds;
            self.interval = self.poll_interval.max(Duration::from_secs_f64(1.0 / rate));
        }
    }

    /// Returns the exponential bound of the next pause.
    fn ceiling(&self, longest: Duration) -> Duration {
        FIRST_BACKOFF.saturating_mul(1 << self.failures.min(16)).min(longest)
    }

    /// Applies full jitter: readers that failed together must not retry together.
    fn back_off(&mut self, ceiling: Duration, now: Time, rng: &mut fastrand::Rng) -> Time {
        self.failures = self.failures.saturating_add(1);
        self.within_limits(now + ceiling.mul_f64(rng.f64()), self.poll_interval, 0, now)
    }

    fn within_limits(&mut self, wanted: Time, interval: Duration, bytes: u64, now: Time) -> Time {
        self.allowed = if self.poll_interval.is_zero() { now } else { self.limits(interval, bytes, now) };
        wanted.max(self.allowed)
    }

    /// Returns the earliest time that the shard's limits allow, for calls at this interval in the
    /// long run.
    fn limits(&self, interval: Duration, bytes: u64, now: Time) -> Time {
        // Count from the responses: the shard counted each call at some time between its sending
        // and its response.
        let window = CALLS_WINDOW.max(interval.saturating_mul(CALLS as u32));
        let calls = self.answered[0].map_or(now, |fifth_last| fifth_last + window);
        let millis = bytes.saturating_mul(1_000).div_ceil(BYTES_A_SECOND);
        now.max(calls).max(now + Duration::from_millis(millis).min(BYTES_BLOCK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use proptest::prelude::*;

    const RTT: Duration = Duration::from_millis(10);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn records(count: usize, bytes: u64, full: bool, behind: u64) -> CallOutcome {
        CallOutcome::Records { count, bytes, full, behind: Some(behind) }
    }

    const EMPTY_AT_TIP: CallOutcome = CallOutcome::Records { count: 0, bytes: 0, full: false, behind: Some(0) };

    /// Records the outcomes in turn, with each call sent as soon as possible. Returns the intervals
    /// between the calls.
    fn call_intervals(pace: &mut Pace, answers: impl IntoIterator<Item = CallOutcome>) -> Vec<Duration> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut sent = Time::ZERO;
        answers
            .into_iter()
            .map(|answer| {
                let next = pace.record(answer, sent, sent + RTT, &mut rng);
                let interval = next.since(sent);
                sent = next;
                interval
            })
            .collect()
    }

    fn kinesis() -> Pace {
        Pace::new(PollingConfig::from(&Settings::default()))
    }

    fn off() -> Pace {
        Pace::new(PollingConfig::from(&Settings::default().poll_interval(Duration::ZERO)))
    }

    #[test]
    fn a_shard_that_is_behind_is_read_every_poll_interval() {
        let intervals = call_intervals(&mut kinesis(), vec![records(10, 100, false, 60_000); 4]);
        assert_eq!(intervals, vec![ms(200); 4]);
    }

    #[test]
    fn an_empty_response_of_a_shard_that_is_behind_does_not_slow_reads() {
        let intervals = call_intervals(&mut kinesis(), vec![records(0, 0, false, 60_000); 4]);
        assert_eq!(intervals, vec![ms(200); 4]);
    }

    #[test]
    fn an_idle_shard_is_read_at_growing_intervals_up_to_the_idle_interval() {
        let intervals = call_intervals(&mut kinesis(), vec![EMPTY_AT_TIP; 4]);
        assert_eq!(intervals, [ms(300), ms(450), ms(500), ms(500)]);
    }

    #[test]
    fn records_at_the_tip_restore_the_poll_interval_of_an_idle_shard() {
        let intervals =
            call_intervals(&mut kinesis(), [EMPTY_AT_TIP, EMPTY_AT_TIP, records(1, 100, false, 0), EMPTY_AT_TIP]);
        assert_eq!(intervals, [ms(300), ms(450), ms(200), ms(300)]);
    }

    #[test]
    fn full_responses_far_behind_are_followed_at_once_up_to_five_calls() {
        let intervals = call_intervals(&mut kinesis(), vec![records(100, 0, true, 60_000); 6]);
        assert_eq!(intervals[..4], vec![RTT; 4]);
        // The first response came after 10 ms; the sixth call is due a second later.
        assert_eq!(intervals[4], ms(1_010 - 40));
        assert_eq!(intervals[5], RTT);
    }

    #[test]
    fn a_large_response_is_followed_by_a_pause_for_its_bytes() {
        let intervals = call_intervals(&mut kinesis(), [records(100, 4 * MIB, true, 60_000)]);
        assert_eq!(intervals, [RTT + ms(2_000)]);
        let intervals = call_intervals(&mut kinesis(), [records(100, 12 * MIB, true, 60_000)]);
        assert_eq!(intervals, [RTT + ms(5_000)]);
    }

    #[test]
    fn a_longer_poll_interval_applies_to_bursts_too() {
        let mut pace = Pace::new(PollingConfig::from(&Settings::default().poll_interval(ms(1_000))));
        let total: Duration = call_intervals(&mut pace, vec![records(100, 100, true, 60_000); 50]).into_iter().sum();
        assert!(total >= ms(50 * 1_000), "{total:?}");
    }

    #[test]
    fn without_pacing_a_shard_that_is_behind_is_read_right_after_each_response() {
        let intervals = call_intervals(&mut off(), vec![records(10_000, 10 * MIB, false, 60_000); 20]);
        assert_eq!(intervals, vec![RTT; 20]);
        assert_eq!(call_intervals(&mut off(), vec![records(0, 0, false, 60_000); 20]), vec![RTT; 20]);
    }

    #[test]
    fn without_pacing_a_shard_at_its_tip_is_still_read_with_pauses() {
        assert_eq!(call_intervals(&mut off(), vec![EMPTY_AT_TIP; 3]), [ms(100), ms(150), ms(225)]);
    }

    #[test]
    fn a_failed_call_is_retried_within_five_seconds_of_its_sending() {
        let (mut pace, mut rng, mut sent) = (kinesis(), fastrand::Rng::with_seed(7), Time::ZERO);
        for took in [ms(10), ms(4_000), ms(2_000)].into_iter().cycle().take(60) {
            let next = pace.record(CallOutcome::Failed, sent, sent + took, &mut rng);
            assert!(next.since(sent) <= ms(4_500), "{:?} after a call of {took:?}", next.since(sent));
            sent = next;
        }
    }

    #[test]
    fn failures_back_off_exponentially_until_a_success() {
        let mut pace = kinesis();
        let intervals = call_intervals(&mut pace, vec![CallOutcome::Failed; 40]);
        assert!(
            intervals[..3].iter().all(|interval| *interval < ms(500)) && intervals.iter().max() > Some(&ms(3_500)),
            "{intervals:?}"
        );
        assert!(intervals.iter().all(|interval| *interval <= RTT + LONGEST_BACKOFF), "{intervals:?}");
        assert_eq!(call_intervals(&mut pace, [records(1, 1, false, 60_000)]).len(), 1);
        assert_eq!(pace.failures(), 0);
    }

    #[test]
    fn only_repeated_expired_iterators_cause_a_pause() {
        let mut pace = kinesis();
        assert_eq!(call_intervals(&mut pace, [CallOutcome::IteratorExpired]), [RTT]);
        assert!(call_intervals(&mut pace, [CallOutcome::IteratorExpired])[0] > RTT);
    }

    #[test]
    fn a_response_at_the_tip_bounds_the_size_of_the_next() {
        let mut pace = kinesis();
        assert_eq!(pace.largest_response(Time::ZERO), LARGEST_RESPONSE);
        call_intervals(&mut pace, [EMPTY_AT_TIP]);
        assert_eq!(pace.largest_response(Time::ZERO + RTT), MIB);
        assert_eq!(pace.largest_response(Time::ZERO + RTT + ms(500)), MIB + MIB / 2);
        assert_eq!(pace.largest_response(Time::ZERO + ms(3_600_000)), LARGEST_RESPONSE);
    }

    /// Kinesis's rule, with calls counted at the latest possible time.
    struct Shard {
        calls: Vec<Time>,
    }

    impl Shard {
        fn call(&mut self, at: Time) -> bool {
            self.calls.retain(|call| at.since(*call) < CALLS_WINDOW);
            let served = self.calls.len() < CALLS;
            if served {
                self.calls.push(at);
            }
            served
        }
    }

    /// Simulates `count` readers of one shard for ten minutes. Returns the served calls of each,
    /// the throttled calls, and the longest wait.
    fn contend(count: usize, seed: u64) -> (Vec<u32>, u32, Duration) {
        let mut shard = Shard { calls: Vec::new() };
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut readers: Vec<_> = (0..count).map(|_| (kinesis(), Time::ZERO, 0u32, Time::ZERO)).collect();
        let (mut throttled, mut longest) = (0u32, Duration::ZERO);
        let minutes = Duration::from_secs(600);
        loop {
            let next = (0..readers.len()).min_by_key(|n| readers[*n].1).unwrap();
            let (pace, due, mine, last) = &mut readers[next];
            if *due > Time::ZERO + minutes {
                break;
            }
            let answer = if shard.call(*due) {
                *mine += 1;
                longest = longest.max(due.since(*last));
                *last = *due;
                records(10, 1_000, false, 60_000)
            } else {
                throttled += 1;
                CallOutcome::Throttled
            };
            *due = pace.record(answer, *due, *due + RTT, &mut rng);
        }
        (readers.into_iter().map(|(_, _, mine, _)| mine).collect(), throttled, longest)
    }

    #[test]
    fn readers_that_share_a_shard_converge_on_shares_that_fit() {
        for (count, seed, patience) in [(2, 1, 6), (3, 3, 8), (5, 5, 15), (8, 8, 25)] {
            let (shares, throttled, longest) = contend(count, seed);
            let served: u32 = shares.iter().sum();
            assert!(served > 600 * 5 / 2, "{count}: the shard's reads are used: {served}");
            assert!(
                throttled < served * count as u32 / 20,
                "{count}: few calls are throttled: {throttled} of {served} served"
            );
            assert!(longest < Duration::from_secs(patience), "{count}: a reader waited for {longest:?}");
            for mine in &shares {
                assert!(*mine > served / (2 * count as u32), "{count}: no reader starves: {shares:?}");
            }
        }
    }

    #[test]
    fn a_pause_after_failures_uses_full_jitter() {
        for failures in 0..12_u32 {
            let ceiling = FIRST_BACKOFF.saturating_mul(1 << failures).min(LONGEST_BACKOFF);
            let drawn: Vec<f64> = (0..200)
                .map(|seed| {
                    let mut pace = Pace { failures, ..off() };
                    let next =
                        pace.record(CallOutcome::Failed, Time::ZERO, Time::ZERO, &mut fastrand::Rng::with_seed(seed));
                    next.since(Time::ZERO).as_secs_f64() / ceiling.as_secs_f64()
                })
                .collect();
            assert!(drawn.iter().all(|part| (0.0..=1.0).contains(part)));
            let below = |most: f64| drawn.iter().filter(|part| **part < most).count();
            assert!((20..80).contains(&below(0.25)) && (130..170).contains(&below(0.75)), "after {failures}");
        }
    }

    #[test]
    fn only_the_shards_limits_outlive_a_reader() {
        let mut pace = kinesis();
        call_intervals(&mut pace, [EMPTY_AT_TIP]);
        assert_eq!(pace.reset_for_next_reader(), Time::ZERO + RTT, "one call in this second");
        assert_eq!(pace.largest_response(Time::ZERO + RTT), LARGEST_RESPONSE, "it may start elsewhere");
        call_intervals(&mut pace, [records(100, 4 * MIB, true, 60_000)]);
        assert_eq!(pace.reset_for_next_reader(), Time::ZERO + RTT + ms(2_000));
        call_intervals(&mut pace, vec![CallOutcome::Throttled; 3]);
        pace.reset_for_next_reader();
        assert_eq!((pace.failures(), pace.interval), (0, ms(300)), "others still read the shard");
    }

    #[test]
    fn a_reader_without_contention_returns_to_full_speed() {
        let mut pace = kinesis();
        let (contended, alone) = (vec![CallOutcome::Throttled; 18], vec![records(10, 0, false, 60_000); 150]);
        let intervals = call_intervals(&mut pace, contended.into_iter().chain(alone)).split_off(18);
        assert!(intervals[1] > ms(1_000), "{intervals:?}");
        let five: Duration = intervals[145..].iter().sum();
        assert!(five < ms(1_020), "{intervals:?}");
        assert!(
            intervals.iter().sum::<Duration>() < ms(60_000),
            "within a minute: {:?}",
            intervals.iter().sum::<Duration>()
        );
    }

    proptest! {
        #[test]
        fn a_shard_never_counts_six_calls_within_a_second(
            answers in proptest::collection::vec((0u8..5, 0u64..12 * MIB, any::<bool>(), 0u64..400, 0u64..400), 6..80),
            seed: u64,
        ) {
            let (mut pace, mut rng, mut sent) = (kinesis(), fastrand::Rng::with_seed(seed), Time::ZERO);
            let mut shard = Shard { calls: Vec::new() };
            for (kind, bytes, full, before, after) in answers {
                // The shard counts the call at any time between its sending and its response.
                let counted = sent + ms(before);
                prop_assert!(shard.call(counted));
                let answer = match kind {
                    0 => CallOutcome::Throttled,
                    1 => CallOutcome::Failed,
                    2 => CallOutcome::IteratorExpired,
                    3 => records(0, 0, false, 0),
                    _ => records(10, bytes, full, bytes),
                };
                let now = counted + ms(after);
                let next = pace.record(answer, sent, now, &mut rng);
                prop_assert!(next >= now);
                sent = next;
            }
        }
    }
}
