//! From the problem's solution to what each worker's plan row says.

use super::assign::{self, Item, Member, Standing, assign};
use super::promises::Promises;
use super::unreadable;
use super::view::View;
use crate::clock::Time;
use crate::config::BalanceBy;
use crate::lease::row::{Give, Lease, LeaseKey, Plan, Take, TakeMode, WorkerId};
use crate::record::StreamId;
use std::collections::{BTreeMap, BTreeSet};

/// What one worker is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    pub(crate) takes: Vec<Take>,
    pub(crate) gives: Vec<Give>,
    /// Streams to list, of several.
    pub(crate) lists: Vec<StreamId>,
}

/// What a plan came to.
#[derive(Debug, Default)]
pub(crate) struct Planned {
    /// For everyone who is told anything.
    pub(crate) orders: BTreeMap<WorkerId, Orders>,
    /// Leases that need a reader, for whom no worker has room.
    pub(crate) without_room: usize,
}

impl Orders {
    /// Counters move with every checkpoint of an owner; takers and givers follow them by themselves.
    pub(crate) fn says_the_same(&self, other: &Orders) -> bool {
        let take = |take: &Take| (take.lease.clone(), take.owner.clone(), take.mode);
        self.takes.iter().map(take).eq(other.takes.iter().map(take))
            && self.lists == other.lists
            && self.gives.iter().map(|give| &give.lease).eq(other.gives.iter().map(|give| &give.lease))
    }

    fn has_room(&self) -> bool {
        self.takes.len() + self.gives.len() < Plan::MOST_ENTRIES
    }

    /// The same orders are the same row, whenever each of them was first given.
    fn sort(&mut self) {
        self.takes.sort_unstable_by(|a, b| a.lease.cmp(&b.lease));
        self.gives.sort_unstable_by(|a, b| a.lease.cmp(&b.lease));
    }
}

impl Promises {
    /// The orders for everyone who lives, given the problem.
    pub(crate) fn orders(
        &mut self,
        view: &View<'_>,
        moves_in_flight: usize,
        balance_by: BalanceBy,
        now: Time,
    ) -> Planned {
        let number: BTreeMap<&WorkerId, usize> = view.names.iter().enumerate().map(|(n, name)| (name, n)).collect();
        let promised = |lease: &Lease| {
            let promise = self.open.get(&lease.key)?;
            number.get(&promise.to).copied()
        };
        let stays_or_goes = unreadable::takers(view, promised, |worker| self.unfit.contains_key(worker));
        let to = |n: usize, lease: &Lease| promised(lease).or_else(|| stays_or_goes.get(&n).copied());
        let items: Vec<Item> = view.leases.iter().enumerate().map(|(n, lease)| view.item(n, to(n, lease))).collect();
        let fit =
            |(member, name): (&Member, &WorkerId)| Member { unfit: self.unfit.contains_key(name), ..member.clone() };
        let members: Vec<Member> = view.members.iter().zip(&view.names).map(fit).collect();
        let rules = assign::Rules { moves_in_flight, balance_by, moving: self.moving };
        let mut assignment = assign(&members, &items, rules);
        // Who does not know that a lease is his cannot give it.
        let unheld: BTreeSet<&LeaseKey> = view.unheld.iter().map(|(lease, _)| &lease.key).collect();
        self.open.retain(|lease, _| !unheld.contains(lease));
        for n in (0..items.len()).filter(|n| unheld.contains(&view.leases[*n].key)) {
            assignment[n] = None;
        }

        let is_held = |n: usize| matches!(items[n].standing, Standing::Held(_));
        let unplaced = (0..items.len()).filter(|n| assignment[*n].is_none() && !is_held(*n)).count();
        self.moving = (0..items.len()).any(|n| assignment[n].is_some() && is_held(n));
        let mut rows = Rows::default();
        // What is promised is told first: new takes must not crowd it out of a full row.
        let (kept, new): (Vec<usize>, Vec<usize>) =
            (0..items.len()).filter(|n| assignment[*n].is_some()).partition(|n| items[*n].promised.is_some());
        for n in kept.into_iter().chain(new) {
            let Some(to) = assignment[n].map(|to| &view.names[to]) else { continue };
            let (lease, free) = (view.leases[n], items[n].standing == Standing::Free);
            let mode = if free { TakeMode::Now } else { TakeMode::After };
            if rows.tell(lease, to, mode) {
                self.told(lease.key.clone(), to.clone(), now, mode);
            }
        }
        for (lease, holder) in &view.trespassed {
            rows.tell_to_give(lease, holder);
        }
        for (lease, owner) in &view.unheld {
            rows.tell(lease, owner, TakeMode::Now);
        }
        let mut orders = rows.0;
        orders.values_mut().for_each(Orders::sort);
        Planned { orders, without_room: if members.is_empty() { 0 } else { unplaced } }
    }
}

/// The rows of a plan in the making.
#[derive(Debug, Default)]
struct Rows(BTreeMap<WorkerId, Orders>);

impl Rows {
    /// Tells the taker, and the owner whom it takes after. `false`: one of their rows is full; the next cycle tells it.
    fn tell(&mut self, lease: &Lease, to: &WorkerId, mode: TakeMode) -> bool {
        let owner = lease.owner.as_ref().filter(|_| mode == TakeMode::After);
        let full = |worker: &WorkerId| self.0.get(worker).is_some_and(|orders| !orders.has_room());
        if full(to) || owner.is_some_and(|owner| full(&owner.worker)) {
            return false;
        }
        let take = Take { lease: lease.key.clone(), owner: lease.owner.clone(), counter: lease.counter, mode };
        self.of(to).takes.push(take);
        if let Some(owner) = owner {
            self.tell_to_give(lease, &owner.worker);
        }
        true
    }

    fn tell_to_give(&mut self, lease: &Lease, holder: &WorkerId) {
        let orders = self.of(holder);
        if orders.has_room() {
            orders.gives.push(Give { lease: lease.key.clone(), counter: lease.counter });
        }
    }

    fn of(&mut self, worker: &WorkerId) -> &mut Orders {
        self.0.entry(worker.clone()).or_default()
    }
}
