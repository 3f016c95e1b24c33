//! From the table's rows to the leader's problem: which leases need a reader, and who may be one.

use super::assign::{Item, Member, Standing, StreamNo};
use super::sessions::{OwnerIs, Sessions};
use super::stale_owners::StaleOwnerTracker;
use super::unconfirmed_children::UnconfirmedChildren;
use crate::config::Settings;
use crate::lease::row::{Lease, LeaseKey, SessionState, WorkerId};
use crate::record::StreamId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a lease must stand still whose owner cannot be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StaleAfter {
    /// One whose owner has no session.
    pub(crate) orphan: Duration,
    /// One that another hand (Java) wrote last.
    pub(crate) foreign: Duration,
}

impl StaleAfter {
    pub(crate) fn of(settings: &Settings) -> Self {
        StaleAfter { orphan: settings.failover_time, foreign: settings.java_failover_time }
    }
}

/// The problem, with names beside the numbers.
#[derive(Debug)]
pub(crate) struct Problem<'a> {
    pub(crate) names: Vec<WorkerId>,
    pub(crate) members: Vec<Member>,
    pub(crate) leases: Vec<&'a Lease>,
    pub(crate) standings: Vec<Standing>,
    /// Which of the streams each lease is of.
    pub(crate) streams: Vec<StreamNo>,
    /// Leases of a live session that another hand wrote over: to be given up by it.
    pub(crate) trespassed: Vec<(&'a Lease, WorkerId)>,
    /// Leases that their owners may not know to be theirs: to be taken by them.
    pub(crate) unclaimed_ownership: Vec<(&'a Lease, WorkerId)>,
    /// Bytes a second of each lease; empty where leases are counted.
    pub(crate) weights: Vec<u64>,
}

impl Problem<'_> {
    pub(crate) fn item(&self, n: usize, promised: Option<usize>) -> Item {
        let (standing, stream) = (self.standings[n], self.streams[n]);
        Item { standing, promised, weight: self.weights.get(n).copied().unwrap_or(0), stream }
    }
}

/// Sorts the leases by what they need.
pub(crate) fn problem<'a>(
    leases: &'a BTreeMap<LeaseKey, Lease>,
    unconfirmed_children: &UnconfirmedChildren,
    sessions: &Sessions,
    resting: &StaleOwnerTracker,
    patience: StaleAfter,
) -> Problem<'a> {
    let active: Vec<_> = sessions.live().filter(|session| session.state == SessionState::Active).collect();
    let names: Vec<WorkerId> = active.iter().map(|session| session.worker.clone()).collect();
    let number: BTreeMap<&WorkerId, usize> = names.iter().enumerate().map(|(n, name)| (name, n)).collect();
    let streams = numbered(leases);
    let anyone = mutated!(PlansForAnyone);
    let members: Vec<Member> = active
        .iter()
        .map(|session| {
            let served: BTreeSet<StreamNo> =
                streams.iter().filter(|(stream, _)| session.serves(**stream) || anyone).map(|(_, no)| *no).collect();
            let capacity = session.capacity.map_or(usize::MAX, |most| most as usize);
            Member { capacity, unfit: false, serves: (served.len() < streams.len()).then_some(served) }
        })
        .collect();

    let mut sorted = (Vec::new(), Vec::new(), Vec::new());
    let mut trespassed = Vec::new();
    for lease in leases.values() {
        let is_done = |parent| leases.get(&lease.sibling(parent)).is_none_or(|parent| parent.checkpoint.is_shard_end());
        let parents_done = lease.parents.iter().all(is_done) && !unconfirmed_children.contains(&lease.key);
        let stream = streams.get(&lease.stream_name.as_ref()).copied().unwrap_or_default();
        if lease.stream_name.is_some() && !members.iter().any(|member| member.serves(stream)) {
            // Nobody could: it stays where it is.
            continue;
        }
        if lease.checkpoint.is_shard_end() || !(parents_done || mutated!(ChildrenDoNotWait)) {
            continue;
        }
        let standing = match &lease.owner {
            None => Some(Standing::Free),
            Some(owner) if owner.session.is_none() || lease.was_written_externally() => {
                let ours = owner.session.and_then(|number| sessions.by_number(number));
                if let Some(session) = ours.filter(|_| lease.was_written_externally()) {
                    trespassed.push((lease, session.worker.clone()));
                }
                resting.rested(lease, patience.foreign).then_some(Standing::Free)
            }
            Some(owner) => match sessions.owner_is(owner) {
                OwnerIs::Ended => Some(Standing::Free),
                OwnerIs::Live if mutated!(TakesFromTheLiving) => Some(Standing::Free),
                OwnerIs::Live => number.get(&owner.worker).map(|n| match members[*n].serves(stream) {
                    true => Standing::Held(*n),
                    // It yields it up by itself, and another is to have it.
                    false => Standing::Leaving,
                }),
                OwnerIs::Draining => Some(Standing::Leaving),
                OwnerIs::Missing if mutated!(OrphansStay) => None,
                OwnerIs::Missing if mutated!(FreesOrphansEarly) => Some(Standing::Free),
                OwnerIs::Missing => resting
                    .rested(lease, patience.orphan.max(sessions.longest_failover_time()))
                    .then_some(Standing::Free),
            },
        };
        if let Some(standing) = standing {
            sorted.0.push(lease);
            sorted.1.push(standing);
            sorted.2.push(stream);
        }
    }
    let (leases, standings, streams) = sorted;
    Problem {
        names,
        members,
        leases,
        standings,
        streams,
        trespassed,
        unclaimed_ownership: Vec::new(),
        weights: Vec::new(),
    }
}

/// The streams that leases are of; the only one is 0.
fn numbered(leases: &BTreeMap<LeaseKey, Lease>) -> BTreeMap<Option<&StreamId>, StreamNo> {
    let streams: BTreeSet<Option<&StreamId>> = leases.values().map(|lease| lease.stream_name.as_ref()).collect();
    streams.into_iter().enumerate().map(|(no, stream)| (stream, no)).collect()
}

/// Whether a lease's owner cannot be asked, so that its standing still must be watched.
pub(crate) fn must_rest(lease: &Lease, sessions: &Sessions) -> bool {
    match &lease.owner {
        None => false,
        Some(_) if lease.checkpoint.is_shard_end() => false,
        Some(owner) => {
            owner.session.is_none() || lease.was_written_externally() || sessions.owner_is(owner) == OwnerIs::Missing
        }
    }
}
