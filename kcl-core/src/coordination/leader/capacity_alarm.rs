//! The alarm for leases that no worker has room for.

use crate::clock::Time;
use crate::coordination::effects::Effects;
use crate::telemetry::event::coordination::CoordinationEvent;
use std::time::Duration;

/// While it lasts it is told so often.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Leases for whom no worker has room.
#[derive(Debug, Default)]
pub(super) struct CapacityAlarm {
    leases: usize,
    told: Option<Time>,
}

impl CapacityAlarm {
    /// Tells it when it changes, and again and again while it lasts.
    pub(super) fn see(&mut self, leases: usize, workers: usize, effects: &mut Effects) {
        let changed = leases != self.leases;
        let again = leases > 0 && self.told.is_none_or(|at| effects.now.since(at) >= TOLD_EVERY);
        if changed || again {
            effects.tell(CoordinationEvent::CapacityAlarm { leases, workers });
            *self = CapacityAlarm { leases, told: Some(effects.now) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_that_nobody_has_room_for_are_told_at_once_and_every_minute_until_somebody_has() {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        let mut unassignable = CapacityAlarm::default();
        let mut told = |leases, at| {
            effects.now = Time::from_origin(Duration::from_secs(at));
            unassignable.see(leases, 2, &mut effects);
            effects.take_happenings()
        };
        let alarm = |leases| vec![CoordinationEvent::CapacityAlarm { leases, workers: 2 }];
        assert_eq!(told(0, 0), []);
        assert_eq!(told(3, 1), alarm(3));
        assert_eq!(told(3, 60), []);
        assert_eq!(told(3, 61), alarm(3));
        assert_eq!(told(4, 62), alarm(4));
        assert_eq!(told(0, 63), alarm(0));
        assert_eq!(told(0, 200), []);
    }
}
