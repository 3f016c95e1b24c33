//! When the next read of a shard may be sent, from how the last ones were answered.
//!
//! Pure. A shard that is behind is read at full speed, one at its tip more slowly. Throttling stretches the distance
//! between reads (others read the shard too), every good answer shrinks it a little: readers that share a shard
//! converge on shares that fit.

use crate::clock::Time;
use crate::config::Settings;
use std::time::Duration;

/// AWS: each shard serves 5 GetRecords calls a second, to all its polling readers together.
const CALLS: usize = 5;
const CALLS_WINDOW: Duration = Duration::from_secs(1);
/// AWS: each shard serves 2 MiB a second; an answer of 10 MiB blocks it for 5 s.
const BYTES_A_SECOND: u64 = 2 * MIB;
const BYTES_BLOCK: Duration = Duration::from_secs(5);
/// AWS: the largest answer, and what a shard acquires in a second.
pub(super) const LARGEST_ANSWER: u64 = 10 * MIB;
const WRITTEN_A_SECOND: u64 = MIB;
const MIB: u64 = 1024 * 1024;

/// From when on a full answer is followed up at once.
const FAR_BEHIND: u64 = 1_000;
/// Contention never stretches the distance between reads further.
const LONGEST_INTERVAL: Duration = Duration::from_secs(5);
/// Calls a second that a throttled reader wins back each second: few at first, as others still read the shard, and more with
/// each second in which that was not noticed.
const FIRST_GROWTH: f64 = 0.01;
const GROWTH_OF_GROWTH: f64 = 0.008;
const MOST_GROWTH: f64 = 0.3;
/// Throttles in a row that say no more than the first of them did: readers that took each for news would slow down for tens of
/// seconds where a few others read the shard.
const EPISODE: u32 = 3;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// From the sending of a call that failed to the next one, at most (where the call itself did not take longer): reading resumes
/// within 5 s of the end of an outage.
const LONGEST_BACKOFF: Duration = Duration::from_secs(4);

/// How a call was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// With records, maybe none.
    Records {
        /// How many.
        count: usize,
        /// Their payload.
        bytes: u64,
        /// As many as were asked for.
        full: bool,
        /// How far behind the tip they end, in milliseconds, if it was said.
        behind: Option<u64>,
    },
    /// Too many calls or bytes.
    Throttled,
    /// Not at all, or with a failure.
    Failed,
    /// The iterator was too old.
    IteratorExpired,
    /// The position to start from is none of the shard.
    PositionRefused,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Pace {
    /// Zero: no limits are kept either, for servers that have none.
    poll_interval: Duration,
    idle_poll_interval: Duration,
    /// What contention has made of `poll_interval`, when it was last noticed.
    interval: Duration,
    throttled_at: Time,
    /// How far apart reads have drifted since the shard has had nothing new.
    idle: Duration,
    /// In a row.
    failures: u32,
    /// When the last calls were answered, oldest first.
    answered: [Option<Time>; CALLS],
    /// When an answer last said that nothing is left.
    at_tip: Option<Time>,
    /// What the limits alone allow.
    allowed: Time,
}

impl Pace {
    pub(super) fn new(settings: &Settings) -> Self {
        Pace {
            poll_interval: settings.poll_interval,
            idle_poll_interval: settings.idle_poll_interval.max(settings.poll_interval),
            interval: settings.poll_interval,
            throttled_at: Time::ZERO,
            idle: settings.poll_interval,
            failures: 0,
            answered: [None; CALLS],
            at_tip: None,
            allowed: Time::ZERO,
        }
    }

    /// For another reader of the same shard: what was read is forgotten, what the shard has counted is not. Tells before when
    /// its first call must not be sent.
    pub(super) fn begin_anew(&mut self) -> Time {
        (self.failures, self.idle, self.at_tip) = (0, self.poll_interval, None);
        self.allowed
    }

    /// Calls that failed in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The most that the next answer holds. At its tip a shard cannot have got more than its write limit allows.
    pub(super) fn largest_answer(&self, now: Time) -> u64 {
        let Some(tip) = self.at_tip else { return LARGEST_ANSWER };
        let millis = u64::try_from(now.since(tip).as_millis()).unwrap_or(u64::MAX);
        MIB.saturating_add(millis.saturating_mul(WRITTEN_A_SECOND) / 1_000).min(LARGEST_ANSWER)
    }

    /// Takes note of an answer to a call that was sent at `sent`, and tells before when the next one must not be sent.
    pub(super) fn answered(&mut self, answer: Answer, sent: Time, now: Time, rng: &mut fastrand::Rng) -> Time {
        self.answered.rotate_left(1);
        self.answered[CALLS - 1] = Some(now);
        match answer {
            Answer::Records { count, bytes, full, behind } => {
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
                let apart = if at_tip {
                    self.idle.max(self.interval)
                } else if far_behind {
                    Duration::ZERO
                } else {
                    self.interval
                };
                self.within_limits(sent + apart, self.interval, bytes, now)
            }
            Answer::Throttled => {
                self.throttled_at = now;
                if self.failures.is_multiple_of(EPISODE) {
                    self.interval = (self.interval + self.interval / 2)
                        .clamp(FIRST_BACKOFF, LONGEST_INTERVAL.max(self.poll_interval));
                }
                let ceiling = self.ceiling(LONGEST_INTERVAL).max(self.interval);
                self.back_off(ceiling, now, rng)
            }
            // A call that took its time to fail was a pause by itself.
            // One call cannot tell a refused position from an outage in which every position is refused: the pauses are the same.
            Answer::Failed | Answer::PositionRefused => {
                let left = self.ceiling(LONGEST_BACKOFF).saturating_sub(now.since(sent)).max(FIRST_BACKOFF);
                self.back_off(left, now, rng)
            }
            // The first time nothing is wrong but that the handler was slow.
            Answer::IteratorExpired if self.failures == 0 => {
                self.failures = 1;
                now
            }
            Answer::IteratorExpired => self.back_off(self.ceiling(LONGEST_BACKOFF), now, rng),
        }
    }

    /// The rate grows by the same steps for every reader of a shard, and each throttle acquires a share of it: that is what
    /// makes them converge on equal shares.
    fn recover(&mut self, now: Time) {
        if self.interval > self.poll_interval {
            let unnoticed = now.since(self.throttled_at).as_secs_f64();
            let growth = (FIRST_GROWTH + GROWTH_OF_GROWTH * unnoticed).min(MOST_GROWTH);
            let seconds = self.interval.as_secs_f64();
            let rate = 1.0 / seconds + growth * seconds;
            self.interval = self.poll_interval.max(Duration::from_secs_f64(1.0 / rate));
        }
    }

    /// Exponential.
    fn ceiling(&self, longest: Duration) -> Duration {
        FIRST_BACKOFF.saturating_mul(1 << self.failures.min(16)).min(longest)
    }

    /// With full jitter: readers that failed together do not come back together.
    fn back_off(&mut self, ceiling: Duration, now: Time, rng: &mut fastrand::Rng) -> Time {
        self.failures = self.failures.saturating_add(1);
        self.within_limits(now + ceiling.mul_f64(rng.f64()), self.poll_interval, 0, now)
    }

    fn within_limits(&mut self, wanted: Time, apart: Duration, bytes: u64, now: Time) -> Time {
        self.allowed = if self.poll_interval.is_zero() { now } else { self.limits(apart, bytes, now) };
        wanted.max(self.allowed)
    }

    /// What the shard's limits allow, of calls that are so far apart in the long run.
    fn limits(&self, apart: Duration, bytes: u64, now: Time) -> Time {
        // From the answers on, not the calls: somewhere between the two the shard counted.
        let window = CALLS_WINDOW.max(apart.saturating_mul(CALLS as u32));
        let calls = self.answered[0].map_or(now, |fifth_last| fifth_last + window);
        let millis = bytes.saturating_mul(1_000).div_ceil(BYTES_A_SECOND);
        now.max(calls).max(now + Duration::from_millis(millis).min(BYTES_BLOCK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RTT: Duration = Duration::from_millis(10);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn records(count: usize, bytes: u64, full: bool, behind: u64) -> Answer {
        Answer::Records { count, bytes, full, behind: Some(behind) }
    }

    const EMPTY_AT_TIP: Answer = Answer::Records { count: 0, bytes: 0, full: false, behind: Some(0) };

    /// Runs the answers through one after the other, each call sent as soon as it may be; the distances between calls.
    fn distances(pace: &mut Pace, answers: impl IntoIterator<Item = Answer>) -> Vec<Duration> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut sent = Time::ZERO;
        answers
            .into_iter()
            .map(|answer| {
                let next = pace.answered(answer, sent, sent + RTT, &mut rng);
                let apart = next.since(sent);
                sent = next;
                apart
            })
            .collect()
    }

    fn kinesis() -> Pace {
        Pace::new(&Settings::default())
    }

    fn off() -> Pace {
        Pace::new(&Settings::default().poll_interval(Duration::ZERO))
    }

    #[test]
    fn a_shard_that_is_behind_is_read_every_poll_interval() {
        let apart = distances(&mut kinesis(), vec![records(10, 100, false, 60_000); 4]);
        assert_eq!(apart, vec![ms(200); 4]);
    }

    #[test]
    fn an_empty_answer_of_a_shard_that_is_behind_slows_nothing() {
        let apart = distances(&mut kinesis(), vec![records(0, 0, false, 60_000); 4]);
        assert_eq!(apart, vec![ms(200); 4]);
    }

    #[test]
    fn an_idle_shard_is_read_less_and_less_often_down_to_the_idle_interval() {
        let apart = distances(&mut kinesis(), vec![EMPTY_AT_TIP; 4]);
        assert_eq!(apart, [ms(300), ms(450), ms(500), ms(500)]);
    }

    #[test]
    fn records_at_the_tip_bring_an_idle_shard_back_to_the_poll_interval() {
        let apart = distances(&mut kinesis(), [EMPTY_AT_TIP, EMPTY_AT_TIP, records(1, 100, false, 0), EMPTY_AT_TIP]);
        assert_eq!(apart, [ms(300), ms(450), ms(200), ms(300)]);
    }

    #[test]
    fn a_full_answer_far_behind_is_followed_up_at_once_until_five_calls_are_spent() {
        let apart = distances(&mut kinesis(), vec![records(100, 0, true, 60_000); 6]);
        assert_eq!(apart[..4], vec![RTT; 4]);
        // The first was answered after 10 ms; a second later the next is due.
        assert_eq!(apart[4], ms(1_010 - 40));
        assert_eq!(apart[5], RTT);
    }

    #[test]
    fn a_large_answer_is_followed_by_the_pause_that_its_bytes_cost() {
        let apart = distances(&mut kinesis(), [records(100, 4 * MIB, true, 60_000)]);
        assert_eq!(apart, [RTT + ms(2_000)]);
        let apart = distances(&mut kinesis(), [records(100, 12 * MIB, true, 60_000)]);
        assert_eq!(apart, [RTT + ms(5_000)]);
    }

    #[test]
    fn a_longer_poll_interval_is_obeyed_in_bursts_too() {
        let mut pace = Pace::new(&Settings::default().poll_interval(ms(1_000)));
        let total: Duration = distances(&mut pace, vec![records(100, 100, true, 60_000); 50]).into_iter().sum();
        assert!(total >= ms(50 * 1_000), "{total:?}");
    }

    #[test]
    fn without_pacing_a_shard_that_is_behind_is_read_as_soon_as_it_answered() {
        let apart = distances(&mut off(), vec![records(10_000, 10 * MIB, false, 60_000); 20]);
        assert_eq!(apart, vec![RTT; 20]);
        assert_eq!(distances(&mut off(), vec![records(0, 0, false, 60_000); 20]), vec![RTT; 20]);
    }

    #[test]
    fn without_pacing_a_shard_at_its_tip_is_still_not_read_in_a_loop() {
        assert_eq!(distances(&mut off(), vec![EMPTY_AT_TIP; 3]), [ms(100), ms(150), ms(225)]);
    }

    #[test]
    fn a_call_that_took_long_to_fail_is_followed_by_another_within_five_seconds_of_its_sending() {
        let (mut pace, mut rng, mut sent) = (kinesis(), fastrand::Rng::with_seed(7), Time::ZERO);
        for took in [ms(10), ms(4_000), ms(2_000)].into_iter().cycle().take(60) {
            let next = pace.answered(Answer::Failed, sent, sent + took, &mut rng);
            assert!(next.since(sent) <= ms(4_500), "{:?} after a call of {took:?}", next.since(sent));
            sent = next;
        }
    }

    #[test]
    fn failures_back_off_further_and_further_and_a_good_answer_ends_that() {
        let mut pace = kinesis();
        let apart = distances(&mut pace, vec![Answer::Failed; 40]);
        assert!(apart[..3].iter().all(|apart| *apart < ms(500)) && apart.iter().max() > Some(&ms(3_500)), "{apart:?}");
        assert!(apart.iter().all(|apart| *apart <= RTT + LONGEST_BACKOFF), "{apart:?}");
        assert_eq!(distances(&mut pace, [records(1, 1, false, 60_000)]).len(), 1);
        assert_eq!(pace.failures(), 0);
    }

    #[test]
    fn the_first_expired_iterator_costs_no_pause_the_next_ones_do() {
        let mut pace = kinesis();
        assert_eq!(distances(&mut pace, [Answer::IteratorExpired]), [RTT]);
        assert!(distances(&mut pace, [Answer::IteratorExpired])[0] > RTT);
    }

    #[test]
    fn an_answer_at_the_tip_bounds_what_the_next_may_hold() {
        let mut pace = kinesis();
        assert_eq!(pace.largest_answer(Time::ZERO), LARGEST_ANSWER);
        distances(&mut pace, [EMPTY_AT_TIP]);
        assert_eq!(pace.largest_answer(Time::ZERO + RTT), MIB);
        assert_eq!(pace.largest_answer(Time::ZERO + RTT + ms(500)), MIB + MIB / 2);
        assert_eq!(pace.largest_answer(Time::ZERO + ms(3_600_000)), LARGEST_ANSWER);
    }

    /// Kinesis's rule, at the latest moment that fits between call and answer.
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

    /// Ten minutes of so many readers on a shard: calls of each that were served, calls in vain, and how long one had to wait.
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
                Answer::Throttled
            };
            *due = pace.answered(answer, *due, *due + RTT, &mut rng);
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
                "{count}: few calls are in vain: {throttled} beside {served}"
            );
            assert!(longest < Duration::from_secs(patience), "{count}: one waited for {longest:?}");
            for mine in &shares {
                assert!(*mine > served / (2 * count as u32), "{count}: nobody starves: {shares:?}");
            }
        }
    }

    #[test]
    fn a_pause_after_failures_is_drawn_from_all_of_its_range() {
        for failures in 0..12_u32 {
            let ceiling = FIRST_BACKOFF.saturating_mul(1 << failures).min(LONGEST_BACKOFF);
            let drawn: Vec<f64> = (0..200)
                .map(|seed| {
                    let mut pace = Pace { failures, ..off() };
                    let next =
                        pace.answered(Answer::Failed, Time::ZERO, Time::ZERO, &mut fastrand::Rng::with_seed(seed));
                    next.since(Time::ZERO).as_secs_f64() / ceiling.as_secs_f64()
                })
                .collect();
            assert!(drawn.iter().all(|part| (0.0..=1.0).contains(part)));
            let below = |most: f64| drawn.iter().filter(|part| **part < most).count();
            assert!((20..80).contains(&below(0.25)) && (130..170).contains(&below(0.75)), "after {failures}");
        }
    }

    #[test]
    fn what_a_shard_has_counted_outlives_its_reader_and_nothing_else_does() {
        let mut pace = kinesis();
        distances(&mut pace, [EMPTY_AT_TIP]);
        assert_eq!(pace.begin_anew(), Time::ZERO + RTT, "one call in this second");
        assert_eq!(pace.largest_answer(Time::ZERO + RTT), LARGEST_ANSWER, "it may begin somewhere else");
        distances(&mut pace, [records(100, 4 * MIB, true, 60_000)]);
        assert_eq!(pace.begin_anew(), Time::ZERO + RTT + ms(2_000));
        distances(&mut pace, vec![Answer::Throttled; 3]);
        pace.begin_anew();
        assert_eq!((pace.failures(), pace.interval), (0, ms(300)), "others still read the shard");
    }

    #[test]
    fn a_reader_that_is_alone_again_comes_back_to_full_speed() {
        let mut pace = kinesis();
        let (contended, alone) = (vec![Answer::Throttled; 18], vec![records(10, 0, false, 60_000); 150]);
        let apart = distances(&mut pace, contended.into_iter().chain(alone)).split_off(18);
        assert!(apart[1] > ms(1_000), "{apart:?}");
        let five: Duration = apart[145..].iter().sum();
        assert!(five < ms(1_020), "{apart:?}");
        assert!(apart.iter().sum::<Duration>() < ms(60_000), "within a minute: {:?}", apart.iter().sum::<Duration>());
    }

    proptest! {
        #[test]
        fn no_answers_make_a_reader_send_six_calls_that_a_shard_counts_within_a_second(
            answers in proptest::collection::vec((0u8..5, 0u64..12 * MIB, any::<bool>(), 0u64..400, 0u64..400), 6..80),
            seed: u64,
        ) {
            let (mut pace, mut rng, mut sent) = (kinesis(), fastrand::Rng::with_seed(seed), Time::ZERO);
            let mut shard = Shard { calls: Vec::new() };
            for (kind, bytes, full, before, after) in answers {
                // The shard counts the call at any moment between its sending and its answer.
                let counted = sent + ms(before);
                prop_assert!(shard.call(counted));
                let answer = match kind {
                    0 => Answer::Throttled,
                    1 => Answer::Failed,
                    2 => Answer::IteratorExpired,
                    3 => records(0, 0, false, 0),
                    _ => records(10, bytes, full, bytes),
                };
                let now = counted + ms(after);
                let next = pace.answered(answer, sent, now, &mut rng);
                prop_assert!(next >= now);
                sent = next;
            }
        }
    }
}
