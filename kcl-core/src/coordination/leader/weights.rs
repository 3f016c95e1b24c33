//! Tracks the weights of leases that their owners report in their session rows.

use super::sessions::Sessions;
use crate::clock::Time;
use crate::lease::row::{Lease, LeaseKey, SessionNumber};
use std::collections::BTreeMap;
use std::time::Duration;

/// For how long the previous owner's weight is used after a move: a new owner first reads the
/// backlog, and does not know the lease's past.
const SETTLES_IN: Duration = Duration::from_secs(30);

/// The last settled weight of each lease.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    known: BTreeMap<LeaseKey, Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    bytes_a_second: u64,
    owner: Option<SessionNumber>,
    /// Since when that owner has the lease; `None` if since before the first observation.
    since: Option<Time>,
}

impl Weights {
    /// Takes over the weights that the sessions' rows contain.
    pub(crate) fn learn(&mut self, leases: &BTreeMap<LeaseKey, Lease>, sessions: &Sessions, now: Time) {
        self.known.retain(|key, _| leases.contains_key(key));
        for (key, lease) in leases {
            let owner = lease.owner.as_ref().and_then(|owner| owner.session);
            let session = lease.owner.as_ref().and_then(|owner| sessions.of(owner));
            let reported = session.and_then(|session| Some(session.weights.as_ref()?.get(key).bytes_a_second()));
            match (self.known.get_mut(key), reported) {
                (Some(known), reported) => {
                    if known.owner != owner {
                        (known.owner, known.since) = (owner, Some(now));
                    }
                    let settled = known.since.is_none_or(|since| now.since(since) >= SETTLES_IN);
                    if let Some(reported) = reported.filter(|_| settled) {
                        known.bytes_a_second = reported;
                    }
                }
                (None, Some(bytes_a_second)) => {
                    self.known.insert(key.clone(), Known { bytes_a_second, owner, since: None });
                }
                (None, None) => {}
            }
        }
    }

    /// The weights of these leases; the mean of the others for a lease without a report.
    pub(crate) fn of(&self, leases: &[&Lease]) -> Vec<u64> {
        let known: Vec<Option<u64>> =
            leases.iter().map(|lease| self.known.get(&lease.key).map(|known| known.bytes_a_second)).collect();
        let (sum, count) = known.iter().flatten().fold((0u64, 0), |(sum, count), weight| (sum + weight, count + 1));
        let mean = sum.checked_div(count).unwrap_or(0);
        known.into_iter().map(|weight| weight.unwrap_or(mean)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::row::{self, Owner, Session, SessionState, WorkerId};
    use crate::record::{Checkpoint, ShardId};

    fn t(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    fn number_of(name: &str) -> SessionNumber {
        name.bytes().map(u64::from).sum()
    }

    fn lease(n: u64, owner: Option<&str>) -> Lease {
        let shard = ShardId::from(format!("shardId-{n:012}").as_str());
        let owner = owner.map(|name| Owner { worker: WorkerId::parse(name).unwrap(), session: Some(number_of(name)) });
        Lease { owner, ..Lease::unowned(shard, Checkpoint::TrimHorizon) }
    }

    fn sessions(say: &[(&str, f64)]) -> Sessions {
        let me = WorkerId::parse("me").unwrap();
        let mut sessions = Sessions::new(me, Duration::from_secs(10));
        for (name, rate) in say {
            let measured = [(lease(0, None).key, *rate), (lease(1, None).key, *rate)].into();
            let (worker, weights) = (WorkerId::parse(*name).unwrap(), Some(row::Weights::of(&measured)));
            let (number, state) = (number_of(name), SessionState::Active);
            sessions.observe(
                Session {
                    worker,
                    number,
                    tag: 0,
                    heartbeat: 1,
                    state,
                    capacity: None,
                    load: 2,
                    weights,
                    streams: None,
                    profile: crate::lease::WorkerProfile::default(),
                },
                t(0),
            );
        }
        sessions
    }

    fn table(leases: Vec<Lease>) -> BTreeMap<LeaseKey, Lease> {
        leases.into_iter().map(|lease| (lease.key.clone(), lease)).collect()
    }

    fn about(weights: &Weights, lease: &Lease) -> u64 {
        weights.of(&[lease])[0].div_ceil(500) * 500
    }

    #[test]
    fn a_leases_weight_is_kept_while_it_moves_and_its_new_owner_settles_in() {
        let mut weights = Weights::default();
        let says = sessions(&[("a", 10_000.0), ("b", 90_000.0)]);
        weights.learn(&table(vec![lease(0, Some("a"))]), &says, t(0));
        let before = about(&weights, &lease(0, None));
        weights.learn(&table(vec![lease(0, None)]), &says, t(1));
        weights.learn(&table(vec![lease(0, Some("b"))]), &says, t(2));
        weights.learn(&table(vec![lease(0, Some("b"))]), &says, t(31));
        assert_eq!(about(&weights, &lease(0, None)), before);
        weights.learn(&table(vec![lease(0, Some("b"))]), &says, t(32));
        assert!(about(&weights, &lease(0, None)) > 80_000);
    }

    #[test]
    fn a_lease_without_a_weight_counts_as_the_mean() {
        let mut weights = Weights::default();
        weights.learn(&table(vec![lease(0, Some("a")), lease(7, None)]), &sessions(&[("a", 10_000.0)]), t(0));
        let both = weights.of(&[&lease(0, None), &lease(7, None)]);
        assert_eq!(both[0], both[1]);
        assert!(both[0] > 9_000);
    }
}
