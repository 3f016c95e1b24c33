//! What the planner has promised to whom, since when, and what becomes of promises that are not kept.

use super::assign::{Item, Standing, assign};
use super::view::View;
use crate::clock::Time;
use crate::lease::row::{Give, LeaseKey, Plan, Take, TakeMode, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long promises may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// A take of a free lease.
    pub(crate) free: Duration,
    /// A take after its living owner.
    pub(crate) after_owner: Duration,
    /// How long a worker that did not keep one gets no others.
    pub(crate) unfit: Duration,
}

/// What one worker is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    pub(crate) takes: Vec<Take>,
    pub(crate) gives: Vec<Give>,
}

#[derive(Debug, Default)]
pub(crate) struct Promises {
    open: BTreeMap<LeaseKey, Promise>,
    unfit: BTreeMap<WorkerId, Time>,
}

#[derive(Debug, Clone)]
struct Promise {
    to: WorkerId,
    since: Time,
    mode: TakeMode,
}

impl Promises {
    /// The leases that somebody is about to take.
    pub(crate) fn open(&self) -> impl Iterator<Item = &LeaseKey> {
        self.open.keys()
    }

    pub(crate) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether a promise is overdue, so that the table should be read before judging it.
    pub(crate) fn has_overdue(&self, bounds: Bounds, now: Time) -> bool {
        self.open.values().any(|promise| promise.is_overdue(bounds, now))
    }

    pub(crate) fn unfit(&mut self, now: Time) -> BTreeSet<WorkerId> {
        self.unfit.retain(|_, until| *until > now);
        self.unfit.keys().cloned().collect()
    }

    /// Marks those unfit that let a promise lapse, and forgets what is settled.
    pub(crate) fn review(&mut self, view: &View<'_>, bounds: Bounds, now: Time) -> Vec<(LeaseKey, WorkerId)> {
        let standing: BTreeMap<&LeaseKey, Standing> =
            view.leases.iter().zip(&view.standings).map(|(lease, standing)| (&lease.key, *standing)).collect();
        let number: BTreeMap<&WorkerId, usize> = view.names.iter().enumerate().map(|(n, name)| (name, n)).collect();
        let mut lapsed = Vec::new();
        self.open.retain(|lease, promise| {
            let (Some(standing), Some(to)) = (standing.get(lease), number.get(&promise.to)) else { return false };
            if *standing == Standing::Held(*to) {
                return false;
            }
            if *standing == Standing::Free && promise.mode == TakeMode::After {
                // Its owner is done with it: from now on it is a take of a free lease.
                promise.mode = TakeMode::Now;
                promise.since = now;
            }
            if promise.is_overdue(bounds, now) {
                lapsed.push((lease.clone(), promise.to.clone()));
                return false;
            }
            true
        });
        for (_, worker) in &lapsed {
            self.unfit.insert(worker.clone(), now + bounds.unfit);
        }
        lapsed
    }

    /// The orders for everyone who lives, given the problem.
    pub(crate) fn orders(&mut self, view: &View<'_>, moves_in_flight: usize, now: Time) -> BTreeMap<WorkerId, Orders> {
        let number: BTreeMap<&WorkerId, usize> = view.names.iter().enumerate().map(|(n, name)| (name, n)).collect();
        let items: Vec<Item> = view
            .leases
            .iter()
            .enumerate()
            .map(|(n, lease)| {
                let promised = self.open.get(&lease.key).and_then(|promise| number.get(&promise.to).copied());
                view.item(n, promised)
            })
            .collect();
        let assignment = assign(&view.members, &items, moves_in_flight);
        let mut orders: BTreeMap<WorkerId, Orders> = BTreeMap::new();
        for ((lease, standing), to) in view.leases.iter().zip(&view.standings).zip(&assignment) {
            let Some(to) = to.map(|to| &view.names[to]) else { continue };
            let taker = orders.entry(to.clone()).or_default();
            if taker.takes.len() + taker.gives.len() >= Plan::MOST_ENTRIES {
                continue;
            }
            let mode = if *standing == Standing::Free { TakeMode::Now } else { TakeMode::After };
            taker.takes.push(Take {
                lease: lease.key.clone(),
                owner: lease.owner.clone(),
                counter: lease.counter,
                mode,
            });
            let promise = Promise { to: to.clone(), since: now, mode };
            self.open.entry(lease.key.clone()).or_insert(promise);
            if let (TakeMode::After, Some(owner)) = (mode, &lease.owner) {
                let give = Give { lease: lease.key.clone(), counter: lease.counter };
                orders.entry(owner.worker.clone()).or_default().gives.push(give);
            }
        }
        for (lease, holder) in &view.trespassed {
            let give = Give { lease: lease.key.clone(), counter: lease.counter };
            orders.entry(holder.clone()).or_default().gives.push(give);
        }
        for order in orders.values_mut() {
            order.gives.truncate(Plan::MOST_ENTRIES.saturating_sub(order.takes.len()));
        }
        orders
    }
}

impl Promise {
    fn is_overdue(&self, bounds: Bounds, now: Time) -> bool {
        let bound = match self.mode {
            TakeMode::Now => bounds.free,
            TakeMode::After => bounds.after_owner,
        };
        now.since(self.since) > bound
    }
}
