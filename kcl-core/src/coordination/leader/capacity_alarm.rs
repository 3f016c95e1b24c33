//! Raises the alarm for leases that no worker has room for.

use crate::clock::Time;
use crate::coordination::effects::Effects;
use crate::coordination::event::CoordinationEvent;
use std::time::Duration;

/// How often the alarm is repeated while it lasts.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// The number of unassignable leases, and when it was last reported.
#[derive(Debug, Default)]
pub(super) struct CapacityAlarm {
    leases: usize,
    reported_at: Option<Time>,
}

impl CapacityAlarm {
    /// Reports the number when it changes, and repeats it while it is not zero.
    pub(super) fn update(&mut self, leases: usize, workers: usize, effects: &mut Effects) {
        let changed = leases != self.leases;
        let repeat = leases > 0 && self.reported_at.is_none_or(|at| effects.now.since(at) >= REPORT_EVERY);
        if changed || repeat {
            effects.emit(CoordinationEvent::CapacityAlarm { leases, workers });
            *self = CapacityAlarm { leases, reported_at: Some(effects.now) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unassignable_leases_are_reported_at_once_and_every_minute_while_they_last() {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        let mut unassignable = CapacityAlarm::default();
        let mut reports = |leases, at| {
            effects.now = Time::from_origin(Duration::from_secs(at));
            unassignable.update(leases, 2, &mut effects);
            effects.take_events()
        };
        let alarm = |leases| vec![CoordinationEvent::CapacityAlarm { leases, workers: 2 }];
        assert_eq!(reports(0, 0), []);
        assert_eq!(reports(3, 1), alarm(3));
        assert_eq!(reports(3, 60), []);
        assert_eq!(reports(3, 61), alarm(3));
        assert_eq!(reports(4, 62), alarm(4));
        assert_eq!(reports(0, 63), alarm(0));
        assert_eq!(reports(0, 200), []);
    }
}
