//! From the table's rows to the planner's problem: which leases need a reader, and who may be one.

use super::assign::{Item, Member, Standing};
use super::newborn::Newborn;
use super::resting::Resting;
use super::sessions::{OwnerIs, Sessions};
use crate::config::Settings;
use crate::lease::row::{Lease, LeaseKey, SessionState, WorkerId};
use crate::mutant::{self, Mutant};
use crate::record::ShardId;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a lease must stand still whose owner cannot be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// One whose owner has no session.
    pub(crate) orphan: Duration,
    /// One that another hand (Java) wrote last.
    pub(crate) foreign: Duration,
}

impl Patience {
    pub(crate) fn of(settings: &Settings) -> Self {
        Patience { orphan: settings.failover_time, foreign: settings.java_failover_time }
    }
}

/// The problem, with names beside the numbers.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) names: Vec<WorkerId>,
    pub(crate) members: Vec<Member>,
    pub(crate) leases: Vec<&'a Lease>,
    pub(crate) standings: Vec<Standing>,
    /// Leases of a live session that another hand wrote over: to be given up by it.
    pub(crate) trespassed: Vec<(&'a Lease, WorkerId)>,
    /// Leases that their owners may not know to be theirs: to be taken by them.
    pub(crate) unheld: Vec<(&'a Lease, WorkerId)>,
    /// Bytes a second of each lease; empty where leases are counted.
    pub(crate) weights: Vec<u64>,
}

impl View<'_> {
    pub(crate) fn item(&self, n: usize, promised: Option<usize>) -> Item {
        Item { standing: self.standings[n], promised, weight: self.weights.get(n).copied().unwrap_or(0) }
    }
}

/// Sorts the leases by what they need.
pub(crate) fn view<'a>(
    leases: &'a BTreeMap<LeaseKey, Lease>,
    newborn: &Newborn,
    sessions: &Sessions,
    resting: &Resting,
    patience: Patience,
) -> View<'a> {
    let active: Vec<_> = sessions.live().filter(|session| session.state == SessionState::Active).collect();
    let names: Vec<WorkerId> = active.iter().map(|session| session.worker.clone()).collect();
    let number: BTreeMap<&WorkerId, usize> = names.iter().enumerate().map(|(n, name)| (name, n)).collect();
    let members = active
        .iter()
        .map(|session| Member { capacity: session.capacity.map_or(usize::MAX, |most| most as usize), unfit: false })
        .collect();
    let done: BTreeMap<&ShardId, bool> =
        leases.values().map(|lease| (&lease.shard, lease.checkpoint.is_shard_end())).collect();

    let mut sorted = (Vec::new(), Vec::new());
    let mut trespassed = Vec::new();
    for lease in leases.values() {
        let parents_done = lease.parents.iter().all(|parent| done.get(parent).copied().unwrap_or(true))
            && !newborn.contains(&lease.key);
        if lease.checkpoint.is_shard_end() || !(parents_done || mutant::is(Mutant::ChildrenDoNotWait)) {
            continue;
        }
        let standing = match &lease.owner {
            None => Some(Standing::Free),
            Some(owner) if owner.session.is_none() || lease.is_foreign() => {
                let ours = owner.session.and_then(|number| sessions.by_number(number));
                if let Some(session) = ours.filter(|_| lease.is_foreign()) {
                    trespassed.push((lease, session.worker.clone()));
                }
                resting.rested(lease, patience.foreign).then_some(Standing::Free)
            }
            Some(owner) => match sessions.owner_is(owner) {
                OwnerIs::Ended => Some(Standing::Free),
                OwnerIs::Live if mutant::is(Mutant::TakesFromTheLiving) => Some(Standing::Free),
                OwnerIs::Live => number.get(&owner.worker).map(|n| Standing::Held(*n)),
                OwnerIs::Draining => Some(Standing::Leaving),
                OwnerIs::Missing if mutant::is(Mutant::OrphansStay) => None,
                OwnerIs::Missing => resting.rested(lease, patience.orphan).then_some(Standing::Free),
            },
        };
        if let Some(standing) = standing {
            sorted.0.push(lease);
            sorted.1.push(standing);
        }
    }
    View { names, members, leases: sorted.0, standings: sorted.1, trespassed, unheld: Vec::new(), weights: Vec::new() }
}

/// Whether a lease's owner cannot be asked, so that its standing still must be watched.
pub(crate) fn must_rest(lease: &Lease, sessions: &Sessions) -> bool {
    match &lease.owner {
        None => false,
        Some(_) if lease.checkpoint.is_shard_end() => false,
        Some(owner) => owner.session.is_none() || lease.is_foreign() || sessions.owner_is(owner) == OwnerIs::Missing,
    }
}
