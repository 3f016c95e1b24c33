//! For all valid settings, the derived times leave enough room for their purpose.

use super::staleness::{Contact, StalenessTimer};
use crate::clock::Time;
use crate::config::Settings;
use crate::config::timing::*;
use proptest::prelude::*;
use std::time::Duration;

fn time(longest_ms: u64) -> impl Strategy<Value = Duration> {
    (1..=longest_ms).prop_map(Duration::from_millis)
}

prop_compose! {
    /// Some combinations contradict each other; only valid ones are tried.
    fn settings()(
        failover in time(60_000),
        heartbeat in prop::option::of(0.01..0.6f64),
        watch in 0.001..0.3f64,
        tick in time(2_000),
        handoff in time(60_000),
        deadline in time(30_000),
    ) -> Settings {
        let settings = Settings::default()
            .failover_time(failover)
            .fleet_poll_interval(failover.mul_f64(watch))
            .assignment_interval(tick)
            .handoff_timeout(handoff)
            .shutdown_deadline(deadline);
        match heartbeat {
            Some(share) => settings.heartbeat_interval(failover.mul_f64(share)),
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
    fn one_lost_heartbeat_ends_no_delivery(settings in valid()) {
        let f = settings.failover_time;
        // Sent when due, timed out, sent again, and answered at the last moment.
        let given_up = settings.effective_heartbeat_interval() + call_timeout(f);
        let answered = given_up + heartbeat_retry(f) + call_timeout(f);
        prop_assert!(answered <= owned_for(f), "{answered:?} of {:?}", owned_for(f));
    }

    #[test]
    fn a_worker_that_lives_is_not_silent_to_one_who_was_blind_for_a_while(settings in valid()) {
        let f = settings.failover_time;
        for look in [settings.fleet_poll_interval, tick(settings.assignment_interval, f)] {
            let gap = longest_gap(f, look);
            let at = |after: Duration| Time::ZERO + after;
            // The last poll before the table is out of reach shows a heartbeat whose successor is
            // due at the worst moment: it is lost, and arrives only after the table is back.
            let (mut contact, mut staleness) = (Contact::new(gap), StalenessTimer::new(7, at(Duration::ZERO)));
            let mut look_at = |now: Duration, heartbeat: u64, staleness: &mut StalenessTimer<u64>| {
                contact.answered(at(now));
                staleness.look(&heartbeat, at(now));
                staleness.lasted(&contact)
            };
            let back = settings.effective_heartbeat_interval() + gap;
            let shown = back + call_timeout(f) + heartbeat_retry(f);
            look_at(settings.effective_heartbeat_interval(), 7, &mut staleness);
            let mut now = back;
            while now < shown {
                let lasted = look_at(now, 7, &mut staleness);
                prop_assert!(lasted < f, "fenced after {lasted:?} of {f:?}");
                now += look;
            }
            prop_assert_eq!(look_at(shown, 8, &mut staleness), Duration::ZERO);
        }
    }

    #[test]
    fn one_look_that_is_refused_does_not_hide_a_silence(settings in valid(), lost in 1u32..20) {
        let f = settings.failover_time;
        for look in [settings.fleet_poll_interval, tick(settings.assignment_interval, f)] {
            let mut contact = Contact::new(longest_gap(f, look));
            // Polls come up to a tenth late.
            for n in (1..=80).filter(|n| *n != lost) {
                contact.answered(Time::ZERO + look.mul_f64(1.1) * n);
            }
            prop_assert_eq!(contact.since(), Time::ZERO);
        }
    }

    #[test]
    fn slow_looks_do_not_hide_a_silence(settings in valid()) {
        let f = settings.failover_time;
        for look in [settings.fleet_poll_interval, tick(settings.assignment_interval, f)] {
            let mut contact = Contact::new(longest_gap(f, look));
            for n in 1..=20 {
                contact.answered(Time::ZERO + (look.mul_f64(1.1) + call_timeout(f)) * n);
            }
            prop_assert_eq!(contact.since(), Time::ZERO);
        }
    }

    #[test]
    fn a_move_without_trouble_is_done_before_it_is_cut_short(settings in valid()) {
        // Assigned at one poll, drained by the next, released in one call.
        let done = settings.fleet_poll_interval.mul_f64(1.1) + call_timeout(settings.failover_time);
        prop_assert!(done <= settings.handoff_timeout, "{done:?} of {:?}", settings.handoff_timeout);
        prop_assert!(call_timeout(settings.failover_time) <= settings.shutdown_deadline);
    }

    #[test]
    fn a_free_lease_is_seen_and_claimed_before_it_goes_to_another(settings in valid()) {
        let looks = settings.fleet_poll_interval.mul_f64(1.1) + tick(settings.assignment_interval, settings.failover_time).mul_f64(1.1);
        prop_assert!(looks < FREE_LEASE_CLAIM, "{looks:?}");
    }
}
