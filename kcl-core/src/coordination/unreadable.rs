//! HeldLease leases whose shards cannot be read: the alarm about them, and when another worker is to try.
//!
//! A refusal that concerns all reads passes by itself, or a person mends it; one that concerns a lease's position is that lease's
//! alone. Either way no worker ends, and the lease is given up at most once by each of two workers, which the row names
//! (`kclUnreadableBy`); the next owner keeps it, and goes on trying. Whoever reads the shard clears the names.

use super::coordinator::Coordinator;
use super::held_lease::{HeldLease, Why};
use crate::clock::Time;
use crate::config::Settings;
use crate::coordination::event::CoordinationEvent;
use crate::lease::row::LeaseKey;
use crate::retrieval::Unreadable;
use crate::shard::ApiErrorKind;
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two alarms about the same outage, or the same lease.
const REPEAT: Duration = Duration::from_secs(60);
/// A position that is refused is refused to everybody, mostly: others try once, soon.
const POSITION_REFUSED: Duration = Duration::from_secs(60);
/// A worker that could read nothing it held before yields up what it is given next after this.
const READS_NOTHING: Duration = Duration::from_secs(10);

/// What is known, and was reported, of the leases that cannot be read.
#[derive(Debug, Default)]
pub(super) struct UnreadableLeases {
    reported: Option<Reported>,
    /// Leases whose position is refused, and when that was reported.
    positions: BTreeMap<LeaseKey, Time>,
    /// Leases were given up, and none was read since.
    reads_nothing: bool,
    /// Leases that were given up since that was reported last: how many, and the first. In an outage they are many at a time.
    given_up: Option<(usize, LeaseKey)>,
}

#[derive(Debug, Clone, Copy)]
struct Reported {
    since: Time,
    at: Time,
    leases: usize,
}

impl UnreadableLeases {
    /// What is to be reported now, of the leases that are held and those of them that cannot be read.
    fn look(&mut self, held: usize, unreadable: &[(LeaseKey, Unreadable)], now: Time) -> Option<CoordinationEvent> {
        let Some((lease, oldest)) = unreadable.iter().min_by_key(|(_, unreadable)| unreadable.since) else {
            let before = self.reported.take()?;
            return Some(CoordinationEvent::ReadsRecovered { lasted: now.since(before.since) });
        };
        let (known, leases) = (self.reported, unreadable.len());
        let since = known.map_or(oldest.since, |known| known.since.min(oldest.since));
        let due = known.is_none_or(|known| now.since(known.at) >= REPEAT);
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
        let due = self.positions.get(lease).is_none_or(|at| now.since(*at) >= REPEAT);
        if due {
            self.positions.insert(lease.clone(), now);
        }
        due
    }

    /// How long a lease may be unreadable here before another worker is to try.
    fn patience(&self, kind: ApiErrorKind, settings: &Settings) -> Duration {
        let patience = match kind {
            // By the service's clock, so for every worker.
            ApiErrorKind::StartAhead => return Duration::MAX,
            ApiErrorKind::PositionRefused => POSITION_REFUSED,
            ApiErrorKind::Throttled
            | ApiErrorKind::IteratorExpired
            | ApiErrorKind::NotFound
            | ApiErrorKind::NotReady
            | ApiErrorKind::Denied
            | ApiErrorKind::Refused
            // As many deadlines as the watchdog waits where nobody answers.
            | ApiErrorKind::Unavailable => settings.fetch_deadline * 4,
        };
        if self.reads_nothing { patience.min(READS_NOTHING) } else { patience }
    }
}

impl Coordinator {
    /// Looks at the reads of all held leases: reports those that fail, and yields up what others may be able to read.
    pub(super) fn look_at_unreadable(&mut self, now: Time) {
        let working = || self.held.iter().filter(|(_, held)| held.is_working());
        let is_read = |held: &HeldLease| held.unreadable().is_none() && held.delivery.stages.outage.was_answered();
        if working().any(|(_, held)| is_read(held)) {
            self.unreadable.reads_nothing = false;
        }
        let count = working().count();
        let unreadable: Vec<_> =
            working().filter_map(|(lease, held)| Some((lease.clone(), held.unreadable()?))).collect();
        let held = &self.held;
        self.unreadable.positions.retain(|lease, _| held.get(lease).is_some_and(|held| held.unreadable().is_some()));
        if let Some(happening) = self.unreadable.look(count, &unreadable, now) {
            self.effects.tell(happening);
        }
        for (lease, Unreadable { since, kind, message }) in unreadable {
            let lasted = now.since(since);
            if kind == ApiErrorKind::PositionRefused && self.unreadable.reports_position(&lease, now) {
                let checkpoint = self.held.get(&lease).map(|held| held.lease.checkpoint.as_str().to_owned());
                let checkpoint = checkpoint.unwrap_or_default();
                self.effects.tell(CoordinationEvent::PositionRefused {
                    lease: lease.clone(),
                    checkpoint,
                    error: message,
                    lasted,
                });
            }
            if lasted >= self.unreadable.patience(kind, &self.settings) {
                self.give_up_unreadable(&lease);
            }
        }
        if let Some((leases, example)) = self.unreadable.given_up.take() {
            self.effects.tell(CoordinationEvent::UnreadableReleased { leases, example });
        }
    }

    /// Releases a lease that another worker may be able to read. `false`: enough have tried, it stays.
    pub(super) fn give_up_unreadable(&mut self, lease: &LeaseKey) -> bool {
        let Some(held) = self.held.get_mut(lease).filter(|held| held.is_working() && held.may_be_read_elsewhere())
        else {
            return false;
        };
        held.release_now(Why::Unreadable, &mut self.effects);
        self.unreadable.reads_nothing = true;
        self.unreadable.given_up.get_or_insert_with(|| (0, lease.clone())).0 += 1;
        true
    }

    /// Has a lease's reader replaced.
    pub(super) fn restart_fetch(&self, lease: &LeaseKey) {
        if let Some(held) = self.held.get(lease) {
            held.delivery.restart_fetch();
        }
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
                leases.look(4, &failing, at(*now)).is_some()
            })
            .collect();
        assert_eq!(reported, [0, 60, 120, 180, 240, 250]);
        let Some(CoordinationEvent::ReadsFailing { leases: 2, of: 4, lease, lasted, error }) =
            leases.look(4, &failing(&[290, 280]), at(300))
        else {
            panic!("another outage")
        };
        assert_eq!((lease, lasted, error.as_str()), (LeaseKey::new("lease-1"), Duration::from_secs(20), "no"));
        assert_eq!(leases.look(4, &failing(&[290]), at(301)), Some(CoordinationEvent::UnreadableLeases { count: 1 }));
    }

    #[test]
    fn a_worker_that_read_nothing_before_is_quick_to_give_up_what_it_is_given() {
        let (mut leases, settings) = (UnreadableLeases::default(), Settings::default());
        assert_eq!(leases.patience(ApiErrorKind::PositionRefused, &settings), POSITION_REFUSED);
        assert_eq!(leases.patience(ApiErrorKind::Refused, &settings), settings.fetch_deadline * 4);
        leases.reads_nothing = true;
        assert_eq!(leases.patience(ApiErrorKind::Refused, &settings), READS_NOTHING);
        // No other worker can read before the start.
        assert_eq!(leases.patience(ApiErrorKind::StartAhead, &settings), Duration::MAX);
    }
}
