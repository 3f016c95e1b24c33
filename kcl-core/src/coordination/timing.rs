//! What the coordination's times leave room for: how long a call may take, when a repeat goes out, how long one may be
//! blind. Pure, and the one place that settings are held against.

use std::time::Duration;

/// An owner counts so much of an interval, everyone else all of it: that bears 2.5 % of clock drift on each side.
const OWNER_SHARE: f64 = 0.95;
/// A call of one row takes milliseconds; what takes longer than this is lost.
const LONGEST_CALL: Duration = Duration::from_secs(2);
/// A beat that came to nothing is sent again after this.
const BEAT_AGAIN: Duration = Duration::from_millis(300);
/// A take of a free lease goes to another worker after so long.
pub(crate) const FREE_TAKE: Duration = Duration::from_secs(4);
/// Of that, what the claim itself may take.
const CLAIMING: Duration = Duration::from_secs(1);

/// A call of one row without an answer after so long is given up.
pub(crate) fn call_timeout(failover_time: Duration) -> Duration {
    LONGEST_CALL.min(failover_time / 5)
}

/// A beat that came to nothing is sent again after so long.
pub(crate) fn beat_again(failover_time: Duration) -> Duration {
    BEAT_AGAIN.min(failover_time / 10)
}

/// Looking stopped for longer than this: what stood still meanwhile proves nothing. Three tenths of `failover_time`,
/// unless one look that fails, or one that takes as long as a call may, comes to more.
pub(crate) fn longest_gap(failover_time: Duration, look_every: Duration) -> Duration {
    let (failed, slow) = (look_every.mul_f64(2.5), look_every.mul_f64(1.25) + call_timeout(failover_time));
    failover_time.mul_f64(0.3).max(failed).max(slow)
}

/// How long an owner may deliver on the strength of one confirmed beat.
pub(crate) fn owned_for(failover_time: Duration) -> Duration {
    failover_time.mul_f64(OWNER_SHARE)
}

/// The planner looks at the sessions at least six times in a `failover_time`.
pub(crate) fn tick(planner_tick: Duration, failover_time: Duration) -> Duration {
    planner_tick.min(failover_time / 6)
}

/// The longest a look may wait for the next one: two of them, and a claim, fit into the time that a take has.
pub(crate) fn longest_look() -> Duration {
    (FREE_TAKE - CLAIMING) / 2
}

/// For how long a worker that lives may seem silent to one that was blind for the longest time that counts.
pub(crate) fn seems_silent(beat: Duration, look_every: Duration, failover_time: Duration) -> Duration {
    beat + longest_gap(failover_time, look_every) + call_timeout(failover_time) + beat_again(failover_time)
}

/// The shortest time in which a planned move can be done: told at one look, done by the next, released in one call.
pub(crate) fn shortest_handoff(watch: Duration, failover_time: Duration) -> Duration {
    watch * 2 + call_timeout(failover_time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::config::Settings;
    use crate::coordination::silence::Silence;
    use proptest::prelude::*;

    fn time(longest_ms: u64) -> impl Strategy<Value = Duration> {
        (1..=longest_ms).prop_map(Duration::from_millis)
    }

    prop_compose! {
        /// Some contradict themselves; what is valid is sought among them.
        fn settings()(
            failover in time(60_000),
            beat in prop::option::of(0.01..0.6f64),
            watch in 0.001..0.3f64,
            tick in time(2_000),
            handoff in time(60_000),
            deadline in time(30_000),
        ) -> Settings {
            let settings = Settings::default()
                .failover_time(failover)
                .watch(failover.mul_f64(watch))
                .planner_tick(tick)
                .handoff_timeout(handoff)
                .shutdown_deadline(deadline);
            match beat {
                Some(share) => settings.beat(failover.mul_f64(share)),
                None => settings,
            }
        }
    }

    fn valid() -> impl Strategy<Value = Settings> {
        settings().prop_filter("contradicts itself", |settings| settings.validate().is_ok())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, max_local_rejects: 1_000_000, ..ProptestConfig::default() })]

        #[test]
        fn one_lost_beat_ends_no_delivery(settings in valid()) {
            let f = settings.failover_time;
            // Sent when due, given up, sent again, and answered at the last moment.
            let given_up = settings.beat_interval() + call_timeout(f);
            let answered = given_up + beat_again(f) + call_timeout(f);
            prop_assert!(answered <= owned_for(f), "{answered:?} of {:?}", owned_for(f));
        }

        #[test]
        fn a_worker_that_lives_is_not_silent_to_one_who_was_blind_for_a_while(settings in valid()) {
            let f = settings.failover_time;
            for look in [settings.watch, tick(settings.planner_tick, f)] {
                let gap = longest_gap(f, look);
                let at = |after: Duration| Time::ZERO + after;
                // The last look before the table is out of reach shows a beat whose successor is due at the worst moment:
                // it is lost, and comes through only after the table is back.
                let mut silence = Silence::new(7, at(Duration::ZERO));
                let back = settings.beat_interval() + gap;
                let shown = back + call_timeout(f) + beat_again(f);
                let mut now = settings.beat_interval();
                silence.look(&7, at(now), gap);
                now = back;
                while now < shown {
                    silence.look(&7, at(now), gap);
                    prop_assert!(silence.lasted() < f, "fenced after {:?} of {f:?}", silence.lasted());
                    now += look;
                }
                silence.look(&8, at(shown), gap);
                prop_assert_eq!(silence.lasted(), Duration::ZERO);
            }
        }

        #[test]
        fn one_look_that_is_refused_does_not_hide_a_silence(settings in valid(), lost in 1u32..20) {
            let f = settings.failover_time;
            for look in [settings.watch, tick(settings.planner_tick, f)] {
                let mut silence = Silence::new(7, Time::ZERO);
                // Looks come up to a tenth late.
                for n in (1..=80).filter(|n| *n != lost) {
                    silence.look(&7, Time::ZERO + look.mul_f64(1.1) * n, longest_gap(f, look));
                }
                prop_assert_eq!(silence.first_shown(), Time::ZERO);
            }
        }

        #[test]
        fn slow_looks_do_not_hide_a_silence(settings in valid()) {
            let f = settings.failover_time;
            for look in [settings.watch, tick(settings.planner_tick, f)] {
                let mut silence = Silence::new(7, Time::ZERO);
                for n in 1..=20 {
                    let receipt = (look.mul_f64(1.1) + call_timeout(f)) * n;
                    silence.look(&7, Time::ZERO + receipt, longest_gap(f, look));
                }
                prop_assert_eq!(silence.first_shown(), Time::ZERO);
            }
        }

        #[test]
        fn a_move_without_trouble_is_done_before_it_is_cut_short(settings in valid()) {
            // Told at a look, drained by the next, released in one call.
            let done = settings.watch.mul_f64(1.1) + call_timeout(settings.failover_time);
            prop_assert!(done <= settings.handoff_timeout, "{done:?} of {:?}", settings.handoff_timeout);
            prop_assert!(call_timeout(settings.failover_time) <= settings.shutdown_deadline);
        }

        #[test]
        fn a_free_lease_is_seen_and_claimed_before_it_goes_to_another(settings in valid()) {
            let looks = settings.watch.mul_f64(1.1) + tick(settings.planner_tick, settings.failover_time).mul_f64(1.1);
            prop_assert!(looks < FREE_TAKE, "{looks:?}");
        }
    }
}
