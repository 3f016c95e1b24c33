//! From the problem's solution to what each worker's plan row says.

use super::assign::{self, Item, Member, Standing, assign};
use super::pending_moves::PendingMoves;
use super::problem::Problem;
use super::unreadable;
use crate::clock::Time;
use crate::config::BalanceBy;
use crate::lease::row::{Acquire, AcquireMode, Assignment, Lease, LeaseKey, WorkerId, Yield};
use crate::record::StreamId;
use std::collections::{BTreeMap, BTreeSet};

/// What one worker is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Instructions {
    pub(crate) acquires: Vec<Acquire>,
    pub(crate) yields: Vec<Yield>,
    /// Streams to list, of several.
    pub(crate) lists: Vec<StreamId>,
}

/// What a plan came to.
#[derive(Debug, Default)]
pub(crate) struct Planned {
    /// For everyone who is told anything.
    pub(crate) instructions: BTreeMap<WorkerId, Instructions>,
    /// Leases that need a reader, for whom no worker has room.
    pub(crate) unassignable: usize,
}

impl Instructions {
    /// Counters move with every checkpoint of an owner; takers and givers follow them by themselves.
    pub(crate) fn says_the_same(&self, other: &Instructions) -> bool {
        let take = |take: &Acquire| (take.lease.clone(), take.owner.clone(), take.mode);
        self.acquires.iter().map(take).eq(other.acquires.iter().map(take))
            && self.lists == other.lists
            && self.yields.iter().map(|give| &give.lease).eq(other.yields.iter().map(|give| &give.lease))
    }

    fn has_room(&self) -> bool {
        self.acquires.len() + self.yields.len() < Assignment::MAX_ENTRIES
    }

    /// The same instructions are the same row, whenever each of them was first given.
    fn sort(&mut self) {
        self.acquires.sort_unstable_by(|a, b| a.lease.cmp(&b.lease));
        self.yields.sort_unstable_by(|a, b| a.lease.cmp(&b.lease));
    }
}

impl PendingMoves {
    /// The instructions for everyone who lives, given the problem.
    pub(crate) fn instructions(
        &mut self,
        problem: &Problem<'_>,
        moves_in_flight: usize,
        balance_by: BalanceBy,
        now: Time,
    ) -> Planned {
        let number: BTreeMap<&WorkerId, usize> = problem.names.iter().enumerate().map(|(n, name)| (name, n)).collect();
        let promised = |lease: &Lease| {
            let pending_move = self.open.get(&lease.key)?;
            number.get(&pending_move.to).copied()
        };
        let stays_or_goes = unreadable::takers(problem, promised, |worker| self.unfit.contains_key(worker));
        let to = |n: usize, lease: &Lease| promised(lease).or_else(|| stays_or_goes.get(&n).copied());
        let items: Vec<Item> =
            problem.leases.iter().enumerate().map(|(n, lease)| problem.item(n, to(n, lease))).collect();
        let fit =
            |(member, name): (&Member, &WorkerId)| Member { unfit: self.unfit.contains_key(name), ..member.clone() };
        let members: Vec<Member> = problem.members.iter().zip(&problem.names).map(fit).collect();
        let rules = assign::Rules { moves_in_flight, balance_by, moving: self.moving };
        let mut assignment = assign(&members, &items, rules);
        // Who does not know that a lease is his cannot give it.
        let unclaimed_ownership: BTreeSet<&LeaseKey> =
            problem.unclaimed_ownership.iter().map(|(lease, _)| &lease.key).collect();
        self.open.retain(|lease, _| !unclaimed_ownership.contains(lease));
        for n in (0..items.len()).filter(|n| unclaimed_ownership.contains(&problem.leases[*n].key)) {
            assignment[n] = None;
        }

        let is_held = |n: usize| matches!(items[n].standing, Standing::Held(_));
        let unplaced = (0..items.len()).filter(|n| assignment[*n].is_none() && !is_held(*n)).count();
        self.moving = (0..items.len()).any(|n| assignment[n].is_some() && is_held(n));
        let mut rows = Rows::default();
        // What is promised is told first: new acquires must not crowd it out of a full row.
        let (kept, new): (Vec<usize>, Vec<usize>) =
            (0..items.len()).filter(|n| assignment[*n].is_some()).partition(|n| items[*n].promised.is_some());
        for n in kept.into_iter().chain(new) {
            let Some(to) = assignment[n].map(|to| &problem.names[to]) else { continue };
            let (lease, free) = (problem.leases[n], items[n].standing == Standing::Free);
            let mode = if free { AcquireMode::Now } else { AcquireMode::After };
            if rows.tell(lease, to, mode) {
                self.told(lease.key.clone(), to.clone(), now, mode);
            }
        }
        for (lease, holder) in &problem.trespassed {
            rows.tell_to_give(lease, holder);
        }
        for (lease, owner) in &problem.unclaimed_ownership {
            rows.tell(lease, owner, AcquireMode::Now);
        }
        let mut instructions = rows.0;
        instructions.values_mut().for_each(Instructions::sort);
        Planned { instructions, unassignable: if members.is_empty() { 0 } else { unplaced } }
    }
}

/// The rows of a plan in the making.
#[derive(Debug, Default)]
struct Rows(BTreeMap<WorkerId, Instructions>);

impl Rows {
    /// Tells the taker, and the owner whom it acquires after. `false`: one of their rows is full; the next cycle tells it.
    fn tell(&mut self, lease: &Lease, to: &WorkerId, mode: AcquireMode) -> bool {
        let owner = lease.owner.as_ref().filter(|_| mode == AcquireMode::After);
        let full = |worker: &WorkerId| self.0.get(worker).is_some_and(|instructions| !instructions.has_room());
        if full(to) || owner.is_some_and(|owner| full(&owner.worker)) {
            return false;
        }
        let take = Acquire { lease: lease.key.clone(), owner: lease.owner.clone(), counter: lease.counter, mode };
        self.of(to).acquires.push(take);
        if let Some(owner) = owner {
            self.tell_to_give(lease, &owner.worker);
        }
        true
    }

    fn tell_to_give(&mut self, lease: &Lease, holder: &WorkerId) {
        let instructions = self.of(holder);
        if instructions.has_room() {
            instructions.yields.push(Yield { lease: lease.key.clone(), counter: lease.counter });
        }
    }

    fn of(&mut self, worker: &WorkerId) -> &mut Instructions {
        self.0.entry(worker.clone()).or_default()
    }
}
