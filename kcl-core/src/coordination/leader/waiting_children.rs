//! Counts leases that wait for their parents, and reports those that would wait forever because
//! their parents wait for them.

use crate::clock::Time;
use crate::coordination::effects::Effects;
use crate::coordination::event::CoordinationEvent;
use crate::lease::row::{Lease, LeaseKey};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a cycle must last before it is reported, and the pause between reports. It may be a
/// half-finished change by an operator.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// The state from full reads.
#[derive(Debug, Default)]
pub(super) struct WaitingChildren {
    leases: usize,
    /// Since when leases wait in a cycle, and when that was last reported.
    circle_since: Option<Time>,
    reported: Option<Time>,
}

impl WaitingChildren {
    /// Updates after a full read of the table.
    pub(super) fn update(&mut self, leases: &BTreeMap<LeaseKey, Lease>, effects: &mut Effects) {
        let (waiting, circle) = waiting(leases);
        if waiting != self.leases {
            self.leases = waiting;
            effects.emit(CoordinationEvent::LeasesWaiting { leases: waiting });
        }
        let Some(example) = circle.first() else {
            (self.circle_since, self.reported) = (None, None);
            return;
        };
        let lasted = effects.now.since(*self.circle_since.get_or_insert(effects.now));
        let due = self.reported.is_none_or(|at| effects.now.since(at) >= REPORT_EVERY);
        if lasted >= REPORT_EVERY && due {
            self.reported = Some(effects.now);
            let (leases, example) = (circle.len(), (*example).clone());
            effects.emit(CoordinationEvent::LeasesWaitInCircle { leases, example, lasted });
        }
    }
}

/// Returns the number of unfinished leases with an unfinished parent, and the leases in a cycle,
/// which no lease's end would free.
fn waiting(leases: &BTreeMap<LeaseKey, Lease>) -> (usize, Vec<&LeaseKey>) {
    let mut waits: BTreeMap<&LeaseKey, usize> = BTreeMap::new();
    let mut children: BTreeMap<LeaseKey, Vec<&LeaseKey>> = BTreeMap::new();
    let is_open = |key: &LeaseKey| leases.get(key).is_some_and(|lease| !lease.checkpoint.is_shard_end());
    for (key, lease) in leases.iter().filter(|(key, _)| is_open(key)) {
        let parents: Vec<LeaseKey> =
            lease.parents.iter().map(|parent| lease.sibling(parent)).filter(|parent| is_open(parent)).collect();
        waits.insert(key, parents.len());
        for parent in parents {
            children.entry(parent).or_default().push(key);
        }
    }
    let waiting = waits.values().filter(|parents| **parents > 0).count();
    let mut free: Vec<&LeaseKey> = waits.iter().filter(|(_, parents)| **parents == 0).map(|(key, _)| *key).collect();
    while let Some(key) = free.pop() {
        waits.remove(key);
        for child in children.remove(key).unwrap_or_default() {
            let Some(parents) = waits.get_mut(child) else { continue };
            *parents -= 1;
            if *parents == 0 {
                free.push(child);
            }
        }
    }
    (waiting, waits.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Checkpoint, ShardId};

    fn leases(of: &[(&str, &[&str], Checkpoint)]) -> BTreeMap<LeaseKey, Lease> {
        let lease = |(shard, parents, checkpoint): &(&str, &[&str], Checkpoint)| {
            let parents = parents.iter().map(|parent| ShardId::from(*parent)).collect();
            let lease = Lease { parents, ..Lease::unowned(ShardId::from(*shard), checkpoint.clone()) };
            (lease.key.clone(), lease)
        };
        of.iter().map(lease).collect()
    }

    const OPEN: Checkpoint = Checkpoint::TrimHorizon;

    #[test]
    fn leases_that_wait_for_each_other_are_reported_every_minute() {
        let circle = leases(&[("a", &["b"], OPEN), ("b", &["a"], OPEN), ("c", &["b"], OPEN), ("d", &["d"], OPEN)]);
        let (mut waiting, mut effects) = (WaitingChildren::default(), Effects::new(fastrand::Rng::with_seed(1)));
        let mut reports = 0;
        for second in 0..200 {
            effects.now = Time::from_origin(Duration::from_secs(second));
            waiting.update(&circle, &mut effects);
            let events = effects.take_events();
            reports += events
                .iter()
                .filter(|event| matches!(event, CoordinationEvent::LeasesWaitInCircle { leases: 4, .. }))
                .count();
        }
        assert_eq!(reports, 3);
    }

    #[test]
    fn a_lease_whose_parents_are_being_read_waits_and_is_in_no_cycle() {
        let end = Checkpoint::ShardEnd;
        let lineage = leases(&[
            ("a", &[], OPEN),
            ("b", &["a"], OPEN),
            ("c", &["b", "e"], OPEN),
            ("d", &["e", "x"], OPEN),
            ("e", &["e"], end),
        ]);
        assert_eq!(waiting(&lineage), (2, vec![]));
    }
}
