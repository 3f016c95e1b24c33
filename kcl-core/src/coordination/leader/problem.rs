//! Converts the table's rows to the assignment problem: which leases need a reader, and which
//! workers can be one.

use super::assign::{Item, Member, Ownership, StreamNo};
use super::sessions::{OwnerIs, Sessions};
use super::stale_owners::StaleOwnerTracker;
use super::unconfirmed_children::UnconfirmedChildren;
use crate::config::Settings;
use crate::lease::row::{Lease, LeaseKey, SessionState, WorkerId};
use crate::record::StreamId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a lease must be unchanged before it is free, if its owner has no session that could be
/// fenced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StaleAfter {
    /// For a lease whose owner has no session row.
    pub(crate) orphan: Duration,
    /// For a lease that an external writer (Java KCL) wrote last.
    pub(crate) foreign: Duration,
}

impl StaleAfter {
    pub(crate) fn of(settings: &Settings) -> Self {
        StaleAfter { orphan: settings.failover_time, foreign: settings.java_failover_time }
    }
}

/// The assignment problem, with the names for its indices.
#[derive(Debug)]
pub(crate) struct Problem<'a> {
    pub(crate) names: Vec<WorkerId>,
    pub(crate) members: Vec<Member>,
    pub(crate) leases: Vec<&'a Lease>,
    pub(crate) ownerships: Vec<Ownership>,
    /// The stream of each lease.
    pub(crate) streams: Vec<StreamNo>,
    /// Leases of a live session that an external writer has overwritten. The session has to release
    /// them.
    pub(crate) trespassed: Vec<(&'a Lease, WorkerId)>,
    /// Leases whose rows name owners that may not know of them. Those owners have to claim them.
    pub(crate) unclaimed_ownership: Vec<(&'a Lease, WorkerId)>,
    /// Bytes per second of each lease. Empty if leases are counted.
    pub(crate) weights: Vec<u64>,
}

impl Problem<'_> {
    pub(crate) fn item(&self, n: usize, reserved_for: Option<usize>) -> Item {
        let (ownership, stream) = (self.ownerships[n], self.streams[n]);
        Item { ownership, reserved_for, weight: self.weights.get(n).copied().unwrap_or(0), stream }
    }
}

/// Sorts the leases by who reads them.
pub(crate) fn problem<'a>(
    leases: &'a BTreeMap<LeaseKey, Lease>,
    unconfirmed_children: &UnconfirmedChildren,
    sessions: &Sessions,
    stale_owners: &StaleOwnerTracker,
    stale_after: StaleAfter,
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
            Member { capacity, avoided: false, serves: (served.len() < streams.len()).then_some(served) }
        })
        .collect();

    let mut sorted = (Vec::new(), Vec::new(), Vec::new());
    let mut trespassed = Vec::new();
    for lease in leases.values() {
        let is_done = |parent| leases.get(&lease.sibling(parent)).is_none_or(|parent| parent.checkpoint.is_shard_end());
        let parents_done = lease.parents.iter().all(is_done) && !unconfirmed_children.contains(&lease.key);
        let stream = streams.get(&lease.stream_name.as_ref()).copied().unwrap_or_default();
        if lease.stream_name.is_some() && !members.iter().any(|member| member.serves(stream)) {
            // No worker serves its stream, so it stays where it is.
            continue;
        }
        if lease.checkpoint.is_shard_end() || !(parents_done || mutated!(ChildrenDoNotWait)) {
            continue;
        }
        let ownership = match &lease.owner {
            None => Some(Ownership::Free),
            Some(owner) if owner.session.is_none() || lease.was_written_externally() => {
                let ours = owner.session.and_then(|number| sessions.by_number(number));
                if let Some(session) = ours.filter(|_| lease.was_written_externally()) {
                    trespassed.push((lease, session.worker.clone()));
                }
                stale_owners.is_stale_for(lease, stale_after.foreign).then_some(Ownership::Free)
            }
            Some(owner) => match sessions.owner_is(owner) {
                OwnerIs::Ended => Some(Ownership::Free),
                OwnerIs::Live if mutated!(TakesFromTheLiving) => Some(Ownership::Free),
                OwnerIs::Live => number.get(&owner.worker).map(|n| match members[*n].serves(stream) {
                    true => Ownership::Held(*n),
                    // Its owner releases it, because it no longer serves the stream; another worker
                    // is to acquire it.
                    false => Ownership::Leaving,
                }),
                OwnerIs::Draining => Some(Ownership::Leaving),
                OwnerIs::Missing if mutated!(OrphansStay) => None,
                OwnerIs::Missing if mutated!(FreesOrphansEarly) => Some(Ownership::Free),
                OwnerIs::Missing => stale_owners
                    .is_stale_for(lease, stale_after.orphan.max(sessions.longest_failover_time()))
                    .then_some(Ownership::Free),
            },
        };
        if let Some(ownership) = ownership {
            sorted.0.push(lease);
            sorted.1.push(ownership);
            sorted.2.push(stream);
        }
    }
    let (leases, ownerships, streams) = sorted;
    Problem {
        names,
        members,
        leases,
        ownerships,
        streams,
        trespassed,
        unclaimed_ownership: Vec::new(),
        weights: Vec::new(),
    }
}

/// Numbers the streams of the leases. A single stream is 0.
fn numbered(leases: &BTreeMap<LeaseKey, Lease>) -> BTreeMap<Option<&StreamId>, StreamNo> {
    let streams: BTreeSet<Option<&StreamId>> = leases.values().map(|lease| lease.stream_name.as_ref()).collect();
    streams.into_iter().enumerate().map(|(no, stream)| (stream, no)).collect()
}

/// Whether a lease's owner has no session, so that its staleness must be observed.
pub(crate) fn needs_staleness(lease: &Lease, sessions: &Sessions) -> bool {
    match &lease.owner {
        None => false,
        Some(_) if lease.checkpoint.is_shard_end() => false,
        Some(owner) => {
            owner.session.is_none() || lease.was_written_externally() || sessions.owner_is(owner) == OwnerIs::Missing
        }
    }
}
