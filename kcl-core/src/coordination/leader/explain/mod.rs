//! Explains why each lease is where it is, from the leader's knowledge or from the table's rows
//! alone.

use super::assign::{Ownership, WorkerNo};
use super::pending_moves::PendingMoves;
use super::problem::{Problem, StaleAfter, problem};
use super::reason::{Ended, Explanation, Reason, Stays};
use super::sessions::{OwnerIs, Sessions};
use super::stale_owners::StaleOwnerTracker;
use super::unconfirmed_children::UnconfirmedChildren;
use super::weights::Weights;
use crate::clock::Time;
use crate::config::{BalanceBy, Settings};
use crate::lease::Table;
use crate::lease::row::{AcquireMode, Lease, LeaseKey, Owner, SessionState, WorkerId};
use crate::record::ShardId;
use std::collections::BTreeMap;

/// Explains why each lease of a table is where it is, in the order of their keys, as far as one
/// read of the table shows it.
///
/// `settings` must be those of the fleet's workers, because a lease's waiting times depend on them.
/// One read cannot show staleness: the leases of a worker that died a moment ago are shown as held
/// until the fleet has fenced its session.
#[must_use]
pub(crate) fn explain(table: &Table, settings: &Settings) -> Vec<Explanation> {
    let nobody = WorkerId::from_row("");
    let mut sessions = Sessions::new(nobody, settings.failover_time);
    sessions.observe_table(table.sessions.clone(), Time::ZERO, Time::ZERO);
    let leases: BTreeMap<LeaseKey, Lease> =
        table.leases.iter().map(|lease| (lease.key.clone(), lease.clone())).collect();
    let (stale_owners, stale_after) = (StaleOwnerTracker::default(), StaleAfter::of(settings));
    let mut problem = problem(&leases, &UnconfirmedChildren::default(), &sessions, &stale_owners, stale_after);
    if settings.balance_by == BalanceBy::Bytes {
        let mut weights = Weights::default();
        weights.learn(&leases, &sessions, Time::ZERO);
        problem.weights = weights.of(&problem.leases);
    }
    let pending_moves = PendingMoves::of_rows(table);
    let known = Known {
        leases: &leases,
        sessions: &sessions,
        stale_owners: &stale_owners,
        stale_after,
        pending_moves: &pending_moves,
        now: None,
    };
    known.explain(&problem).map(|(lease, reason)| Explanation { lease: lease.key.clone(), reason }).collect()
}

/// The input of an explanation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) leases: &'a BTreeMap<LeaseKey, Lease>,
    pub(super) sessions: &'a Sessions,
    pub(super) stale_owners: &'a StaleOwnerTracker,
    pub(super) stale_after: StaleAfter,
    pub(super) pending_moves: &'a PendingMoves,
    /// The leader's time; `None` if only rows are known.
    pub(super) now: Option<Time>,
}

impl<'a> Known<'a> {
    /// Every lease with its reason.
    pub(super) fn explain(self, problem: &Problem<'a>) -> impl Iterator<Item = (&'a Lease, Reason)> {
        let place: BTreeMap<&LeaseKey, usize> =
            problem.leases.iter().enumerate().map(|(n, lease)| (&lease.key, n)).collect();
        let loads = Loads::of(problem, self.pending_moves);
        let ownerships: Vec<Ownership> = problem.ownerships.clone();
        self.leases.values().map(move |lease| {
            let ownership = place.get(&lease.key).map(|n| ownerships[*n]);
            let is_open = |parent: &&ShardId| {
                self.leases.get(&lease.sibling(parent)).is_some_and(|parent| !parent.checkpoint.is_shard_end())
            };
            let parents = lease.parents.iter().filter(is_open);
            let parents: Vec<ShardId> = parents.cloned().collect();
            let reason = if lease.checkpoint.is_shard_end() {
                Reason::Finished
            } else if !parents.is_empty() {
                Reason::WaitsForParents { parents }
            } else if !self.is_served(lease) {
                Reason::Unserved { stream: lease.stream_name.clone() }
            } else {
                self.reason(lease, ownership, &loads)
            };
            (lease, reason)
        })
    }

    /// Whether a worker serves the lease's stream, or there are no workers.
    fn is_served(self, lease: &Lease) -> bool {
        let mut active = self.sessions.live().filter(|session| session.state == SessionState::Active).peekable();
        active.peek().is_none() || active.any(|session| session.serves(lease.stream_name.as_ref()))
    }

    fn reason(self, lease: &Lease, ownership: Option<Ownership>, loads: &Loads) -> Reason {
        let pending_move = self.pending_moves.of(&lease.key, self.now);
        match (ownership, &lease.owner) {
            (Some(Ownership::Held(by)), Some(Owner { worker, session: Some(session) })) => match pending_move {
                Some((to, waited)) if to != worker => Reason::Moving { from: worker.clone(), to: to.clone(), waited },
                _ => Reason::Held { by: worker.clone(), session: *session, stays: loads.stays(by) },
            },
            (Some(Ownership::Leaving), Some(owner)) => match pending_move {
                Some((to, waited)) => Reason::Moving { from: owner.worker.clone(), to: to.clone(), waited },
                None => Reason::Leaving { by: owner.worker.clone() },
            },
            (None, Some(owner)) if owner.session.is_none() || lease.was_written_externally() => {
                Reason::ExternalWriter {
                    owner: Some(owner.worker.clone()),
                    stale_after: self.stale_after.foreign,
                    moving: self.stale_owners.is_moving(&lease.key),
                }
            }
            (None, Some(owner)) => {
                Reason::Orphaned { owner: owner.worker.clone(), stale_after: self.stale_after.orphan }
            }
            (Some(Ownership::Free | Ownership::Held(_) | Ownership::Leaving) | None, _) => match pending_move {
                Some((to, waited)) => Reason::Assigned {
                    to: to.clone(),
                    waited,
                    avoided: self.pending_moves.avoided().cloned().collect(),
                },
                None if loads.has_room() => Reason::Free { after: self.ended(lease) },
                None => loads.no_room(),
            },
        }
    }

    /// The lease's owner and how its session ended, if it did.
    fn ended(self, lease: &Lease) -> Option<(WorkerId, Ended)> {
        let owner = lease.owner.as_ref()?;
        if self.sessions.owner_is(owner) != OwnerIs::Ended {
            return None;
        }
        let session = self.sessions.row(&owner.worker)?;
        let ended = match session.state {
            _ if Some(session.number) != owner.session => Ended::Replaced,
            SessionState::Left => Ended::Left,
            SessionState::Fenced | SessionState::Active | SessionState::Draining => Ended::Fenced,
        };
        Some((owner.worker.clone(), ended))
    }
}

/// The loads of the members.
#[derive(Debug)]
struct Loads {
    count: Vec<usize>,
    bytes: Option<Vec<u64>>,
    has_room: bool,
}

impl Loads {
    fn of(problem: &Problem<'_>, pending_moves: &PendingMoves) -> Self {
        let number: BTreeMap<&WorkerId, WorkerNo> =
            problem.names.iter().enumerate().map(|(n, name)| (name, n)).collect();
        let mut count = vec![0; problem.members.len()];
        let mut bytes = vec![0; problem.members.len()];
        let mut taken = vec![0; problem.members.len()];
        for (n, (lease, ownership)) in problem.leases.iter().zip(&problem.ownerships).enumerate() {
            let to = pending_moves.of(&lease.key, None).and_then(|(to, _)| number.get(to).copied());
            if let Ownership::Held(by) = *ownership {
                count[by] += 1;
                bytes[by] += problem.weights.get(n).copied().unwrap_or(0);
                taken[to.unwrap_or(by)] += 1;
            } else if let Some(to) = to {
                taken[to] += 1;
            }
        }
        let has_room = problem.members.iter().zip(&taken).any(|(member, taken)| *taken < member.capacity);
        Loads { count, bytes: (!problem.weights.is_empty()).then_some(bytes), has_room }
    }

    fn has_room(&self) -> bool {
        self.has_room
    }

    fn no_room(&self) -> Reason {
        match self.count.len() {
            0 => Reason::NoWorkers,
            workers => Reason::Unassignable { workers },
        }
    }

    fn stays(&self, by: WorkerNo) -> Stays {
        if let Some(bytes) = &self.bytes {
            let (carries, lightest) = (bytes[by], bytes.iter().copied().min().unwrap_or(0));
            let alike = carries <= lightest + lightest / 20;
            return if alike { Stays::Balanced } else { Stays::NotWorthAMove { carries, lightest } };
        }
        let (has, fewest) = (self.count[by], self.count.iter().copied().min().unwrap_or(0));
        if has <= fewest + 1 || !self.has_room { Stays::Balanced } else { Stays::MoveQueued { has, fewest } }
    }
}

impl PendingMoves {
    /// The pending moves that valid assignment rows contain and that are not carried out.
    fn of_rows(table: &Table) -> Self {
        let mut pending_moves = PendingMoves::default();
        let Some(fleet) = &table.fleet else { return pending_moves };
        let valid =
            table.assignments.iter().filter(|plan| plan.term == fleet.term && plan.version <= fleet.assignment_version);
        for plan in valid {
            for take in &plan.acquires {
                pending_moves.record(take.lease.clone(), plan.worker.clone(), Time::ZERO, AcquireMode::Now);
            }
        }
        pending_moves
    }
}

#[cfg(test)]
mod tests;
