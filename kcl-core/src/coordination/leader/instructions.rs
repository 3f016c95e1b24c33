//! Converts a solved problem to the instructions of each worker's assignment row.

use super::assign::{self, Item, Member, Ownership, assign};
use super::pending_moves::PendingMoves;
use super::problem::Problem;
use super::unreadable;
use crate::clock::Time;
use crate::config::BalanceBy;
use crate::lease::row::{Acquire, AcquireMode, Assignment, Lease, LeaseKey, WorkerId, Yield};
use crate::record::StreamId;
use std::collections::{BTreeMap, BTreeSet};

/// The content of one worker's assignment row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Instructions {
    pub(crate) acquires: Vec<Acquire>,
    pub(crate) yields: Vec<Yield>,
    /// The streams that the worker lists, if the table serves several.
    pub(crate) lists: Vec<StreamId>,
}

/// The result of one assignment.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Instructions for every worker that has any.
    pub(crate) instructions: BTreeMap<WorkerId, Instructions>,
    /// Leases that need a reader and for which no worker has room.
    pub(crate) unassignable: usize,
}

impl Instructions {
    /// Whether both have the same effect. Counters are ignored: they move with each checkpoint of
    /// an owner, and workers compare them with the row themselves.
    pub(crate) fn is_equivalent(&self, other: &Instructions) -> bool {
        let take = |take: &Acquire| (take.lease.clone(), take.owner.clone(), take.mode);
        self.acquires.iter().map(take).eq(other.acquires.iter().map(take))
            && self.lists == other.lists
            && self.yields.iter().map(|give| &give.lease).eq(other.yields.iter().map(|give| &give.lease))
    }

    fn has_room(&self) -> bool {
        self.acquires.len() + self.yields.len() < Assignment::MAX_ENTRIES
    }

    /// Sorts, so that equal instructions give equal rows, in whatever order they were added.
    fn sort(&mut self) {
        self.acquires.sort_unstable_by(|a, b| a.lease.cmp(&b.lease));
        self.yields.sort_unstable_by(|a, b| a.lease.cmp(&b.lease));
    }
}

impl PendingMoves {
    /// Solves the problem, and returns the instructions for every live worker.
    pub(crate) fn instructions(
        &mut self,
        problem: &Problem<'_>,
        moves_in_flight: usize,
        balance_by: BalanceBy,
        now: Time,
    ) -> Plan {
        let number: BTreeMap<&WorkerId, usize> = problem.names.iter().enumerate().map(|(n, name)| (name, n)).collect();
        let reserved_for = |lease: &Lease| {
            let pending_move = self.open.get(&lease.key)?;
            number.get(&pending_move.to).copied()
        };
        let stays_or_goes = unreadable::takers(problem, reserved_for, |worker| self.avoided.contains_key(worker));
        let to = |n: usize, lease: &Lease| reserved_for(lease).or_else(|| stays_or_goes.get(&n).copied());
        let items: Vec<Item> =
            problem.leases.iter().enumerate().map(|(n, lease)| problem.item(n, to(n, lease))).collect();
        let fit = |(member, name): (&Member, &WorkerId)| Member {
            avoided: self.avoided.contains_key(name),
            ..member.clone()
        };
        let members: Vec<Member> = problem.members.iter().zip(&problem.names).map(fit).collect();
        let options = assign::Options { moves_in_flight, balance_by, moving: self.moving };
        let mut assignment = assign(&members, &items, options);
        // An owner that does not know of a lease cannot release it, so it is not moved.
        let unclaimed_ownership: BTreeSet<&LeaseKey> =
            problem.unclaimed_ownership.iter().map(|(lease, _)| &lease.key).collect();
        self.open.retain(|lease, _| !unclaimed_ownership.contains(lease));
        for n in (0..items.len()).filter(|n| unclaimed_ownership.contains(&problem.leases[*n].key)) {
            assignment[n] = None;
        }

        let is_held = |n: usize| matches!(items[n].ownership, Ownership::Held(_));
        let unplaced = (0..items.len()).filter(|n| assignment[*n].is_none() && !is_held(*n)).count();
        self.moving = (0..items.len()).any(|n| assignment[n].is_some() && is_held(n));
        let mut rows = RowBuilder::default();
        // Pending moves first: new ones must not displace them from a full row, because a worker
        // acquires only what its row names.
        let (kept, new): (Vec<usize>, Vec<usize>) =
            (0..items.len()).filter(|n| assignment[*n].is_some()).partition(|n| items[*n].reserved_for.is_some());
        for n in kept.into_iter().chain(new) {
            let Some(to) = assignment[n].map(|to| &problem.names[to]) else { continue };
            let (lease, free) = (problem.leases[n], items[n].ownership == Ownership::Free);
            let mode = if free { AcquireMode::Now } else { AcquireMode::After };
            if rows.add_acquire(lease, to, mode) {
                self.record(lease.key.clone(), to.clone(), now, mode);
            }
        }
        for (lease, holder) in &problem.trespassed {
            rows.add_release(lease, holder);
        }
        for (lease, owner) in &problem.unclaimed_ownership {
            rows.add_acquire(lease, owner, AcquireMode::Now);
        }
        let mut instructions = rows.0;
        instructions.values_mut().for_each(Instructions::sort);
        Plan { instructions, unassignable: if members.is_empty() { 0 } else { unplaced } }
    }
}

/// The assignment rows being built.
#[derive(Debug, Default)]
struct RowBuilder(BTreeMap<WorkerId, Instructions>);

impl RowBuilder {
    /// Adds a lease to the row of the worker that acquires it, and to the row of the owner that
    /// releases it first. Returns false if one of the rows is full; then the next cycle adds it.
    fn add_acquire(&mut self, lease: &Lease, to: &WorkerId, mode: AcquireMode) -> bool {
        let owner = lease.owner.as_ref().filter(|_| mode == AcquireMode::After);
        let full = |worker: &WorkerId| self.0.get(worker).is_some_and(|instructions| !instructions.has_room());
        if full(to) || owner.is_some_and(|owner| full(&owner.worker)) {
            return false;
        }
        let take = Acquire { lease: lease.key.clone(), owner: lease.owner.clone(), counter: lease.counter, mode };
        self.of(to).acquires.push(take);
        if let Some(owner) = owner {
            self.add_release(lease, &owner.worker);
        }
        true
    }

    fn add_release(&mut self, lease: &Lease, holder: &WorkerId) {
        let instructions = self.of(holder);
        if instructions.has_room() {
            instructions.yields.push(Yield { lease: lease.key.clone(), counter: lease.counter });
        }
    }

    fn of(&mut self, worker: &WorkerId) -> &mut Instructions {
        self.0.entry(worker.clone()).or_default()
    }
}
