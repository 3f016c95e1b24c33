//! Reports held leases whose shards cannot be read, and decides when another worker is to try.
//!
//! An outage or a missing permission concerns all reads, and a position that the service refuses concerns one lease. In
//! neither case does a worker end. At most two workers release the lease, once each; the row names them
//! (`kclUnreadableBy`). The next owner keeps the lease and goes on trying. A worker that reads the shard removes the names.

use super::effects::Effects;
use super::held_lease::{HeldLease, Why};
use super::intervals;
use crate::clock::Time;
use crate::config::Settings;
use crate::coordination::event::CoordinationEvent;
use crate::lease::row::LeaseKey;
use crate::retrieval::Unreadable;
use crate::shard::ApiErrorKind;
use std::collections::BTreeMap;
use std::time::Duration;

/// What was reported about the leases that cannot be read.
#[derive(Debug, Default)]
pub(super) struct UnreadableLeases {
    reported: Option<Reported>,
    /// Leases whose position is refused, and when that was reported.
    positions: BTreeMap<LeaseKey, Time>,
    /// Whether leases were released as unreadable, and no shard was read since.
    reads_nothing: bool,
    /// The number of leases that were released since the last report, and one of them. In an outage there are many.
    released: Option<(usize, LeaseKey)>,
}

#[derive(Debug, Clone, Copy)]
struct Reported {
    since: Time,
    at: Time,
    leases: usize,
}

impl UnreadableLeases {
    /// The event to report now, given the number of held leases and those of them that cannot be read.
    fn report(&mut self, held: usize, unreadable: &[(LeaseKey, Unreadable)], now: Time) -> Option<CoordinationEvent> {
        let Some((lease, oldest)) = unreadable.iter().min_by_key(|(_, unreadable)| unreadable.since) else {
            let before = self.reported.take()?;
            return Some(CoordinationEvent::ReadsRecovered { lasted: now.since(before.since) });
        };
        let (known, leases) = (self.reported, unreadable.len());
        let since = known.map_or(oldest.since, |known| known.since.min(oldest.since));
        let due = known.is_none_or(|known| now.since(known.at) >= intervals::ALARM_REPEAT);
        let at = known.filter(|_| !due).map_or(now, |known| known.at);
        self.reported = Some(Reported { since, at, leases });
        if due {
            let (lasted, error) = (now.since(since), oldest.message.clone());
            return Some(CoordinationEvent::ReadsFailing { leases, of: held, lease: lease.clone(), lasted, error });
        }
        known
            .is_some_and(|known| known.leases != leases)
            .then_some(CoordinationEvent::UnreadableLeases { count: leases })
    }

    /// Whether a lease's refused position is to be reported now.
    fn reports_position(&mut self, lease: &LeaseKey, now: Time) -> bool {
        let due = self.positions.get(lease).is_none_or(|at| now.since(*at) >= intervals::ALARM_REPEAT);
        if due {
            self.positions.insert(lease.clone(), now);
        }
        due
    }

    /// How long a shard may be unreadable here before another worker is to try.
    fn patience(&self, kind: ApiErrorKind, settings: &Settings) -> Duration {
        let patience = match kind {
            // The service's clock decides, so no worker can read before the start.
            ApiErrorKind::StartAhead => return Duration::MAX,
            ApiErrorKind::PositionRefused => intervals::POSITION_REFUSED,
            ApiErrorKind::Throttled
            | ApiErrorKind::IteratorExpired
            | ApiErrorKind::NotFound
            | ApiErrorKind::NotReady
            | ApiErrorKind::Denied
            | ApiErrorKind::Refused
            // The same time that the watchdog waits before it releases a lease whose reads get no answer.
            | ApiErrorKind::Unavailable => settings.fetch_deadline * 4,
        };
        if self.reads_nothing { patience.min(intervals::READS_NOTHING) } else { patience }
    }

    /// Checks the reads of all held leases: reports those that fail, and releases leases that others may be able to read.
    pub(super) fn check(
        &mut self,
        held: &mut BTreeMap<LeaseKey, HeldLease>,
        settings: &Settings,
        effects: &mut Effects,
    ) {
        let now = effects.now;
        let working = || held.iter().filter(|(_, held)| held.is_working());
        let is_read = |held: &HeldLease| held.unreadable().is_none() && held.delivery.stages.outage.was_answered();
        if working().any(|(_, held)| is_read(held)) {
            self.reads_nothing = false;
        }
        let count = working().count();
        let unreadable: Vec<_> =
            working().filter_map(|(lease, held)| Some((lease.clone(), held.unreadable()?))).collect();
        self.positions.retain(|lease, _| held.get(lease).is_some_and(|held| held.unreadable().is_some()));
        if let Some(event) = self.report(count, &unreadable, now) {
            effects.emit(event);
        }
        for (lease, Unreadable { since, kind, message }) in unreadable {
            let Some(held) = held.get_mut(&lease) else { continue };
            let lasted = now.since(since);
            if kind == ApiErrorKind::PositionRefused && self.reports_position(&lease, now) {
                let checkpoint = held.lease.checkpoint.as_str().to_owned();
                effects.emit(CoordinationEvent::PositionRefused { lease, checkpoint, error: message, lasted });
            }
            if lasted >= self.patience(kind, settings) {
                self.release(held, effects);
            }
        }
        if let Some((leases, example)) = self.released.take() {
            effects.emit(CoordinationEvent::UnreadableReleased { leases, example });
        }
    }

    /// Releases a lease that another worker may be able to read. `false`: the lease stays, as enough workers have tried.
    pub(super) fn release(&mut self, held: &mut HeldLease, effects: &mut Effects) -> bool {
        if !held.is_working() || !held.may_be_read_elsewhere() {
            return false;
        }
        self.released.get_or_insert_with(|| (0, held.lease.key.clone())).0 += 1;
        held.release_now(Why::Unreadable, effects);
        self.reads_nothing = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    fn failing(since: &[u64]) -> Vec<(LeaseKey, Unreadable)> {
        let unreadable = |since| Unreadable { since: at(since), kind: ApiErrorKind::Refused, message: "no".to_owned() };
        since.iter().enumerate().map(|(n, since)| (LeaseKey::new(format!("lease-{n}")), unreadable(*since))).collect()
    }

    #[test]
    fn an_outage_is_reported_when_it_begins_once_a_minute_and_when_it_ends() {
        let mut leases = UnreadableLeases::default();
        let reported: Vec<u64> = (0..=300)
            .filter(|now| {
                let failing = failing(if *now < 250 { &[0, 0, 0] } else { &[] });
                leases.report(4, &failing, at(*now)).is_some()
            })
            .collect();
        assert_eq!(reported, [0, 60, 120, 180, 240, 250]);
        let Some(CoordinationEvent::ReadsFailing { leases: 2, of: 4, lease, lasted, error }) =
            leases.report(4, &failing(&[290, 280]), at(300))
        else {
            panic!("another outage")
        };
        assert_eq!((lease, lasted, error.as_str()), (LeaseKey::new("lease-1"), Duration::from_secs(20), "no"));
        let event = leases.report(4, &failing(&[290]), at(301));
        assert_eq!(event, Some(CoordinationEvent::UnreadableLeases { count: 1 }));
    }

    #[test]
    fn a_worker_that_could_read_nothing_soon_releases_the_next_lease_that_it_cannot_read() {
        let (mut leases, settings) = (UnreadableLeases::default(), Settings::default());
        assert_eq!(leases.patience(ApiErrorKind::PositionRefused, &settings), intervals::POSITION_REFUSED);
        assert_eq!(leases.patience(ApiErrorKind::Refused, &settings), settings.fetch_deadline * 4);
        leases.reads_nothing = true;
        assert_eq!(leases.patience(ApiErrorKind::Refused, &settings), intervals::READS_NOTHING);
        assert_eq!(leases.patience(ApiErrorKind::StartAhead, &settings), Duration::MAX);
    }
}
