//! Balances by weight: members carry about the same bytes per second, and noise in the weights
//! moves nothing.
//!
//! Nothing moves until some member would carry too much even if its leases were measured 20 % too
//! heavy and the others' 20 % too light. Then the fleet is balanced completely. It follows that a
//! balanced fleet stays as it is while each weight varies by up to 20 %.

use super::loads::Loads;
use super::{Item, Ownership, Placement, WorkerNo};
use std::collections::BTreeSet;

/// A lease costs its reader its weight, and in addition this fraction of the mean weight, for
/// calls, tasks and checkpoints.
const BASE_SHARE: u64 = 4;
/// The least addition, in bytes per second. An idle lease is polled, too, and a worker that joins
/// an idle fleet gets a share.
const LEAST_BASE: u64 = 16 * 1024;
/// Members whose loads differ by no more bytes per second count as equal.
const NOTHING: u64 = 16 * 1024;
/// The largest weight that is used, whatever a row contains, so that sums do not overflow.
const MOST: u64 = 1 << 40;
/// Steps per lease. A bound for the loop, far above what it needs.
const STEPS: usize = 8;

pub(super) fn costs(items: &[Item]) -> Vec<u64> {
    let weight = |item: &Item| item.weight.min(MOST);
    let total: u64 = items.iter().map(weight).sum();
    let base = (total / (BASE_SHARE * items.len().max(1) as u64)).max(LEAST_BASE);
    items.iter().map(|item| weight(item) + base).collect()
}

/// Balances by weight; see the module's documentation. `to_the_end`: leases are moving already, so
/// the balance is completed.
pub(super) fn balance(
    items: &[Item],
    costs: &[u64],
    assignment: &mut Placement,
    loads: &mut Loads<'_>,
    moves: usize,
    to_the_end: bool,
) {
    let mut shift = Shift::new(items, costs, assignment, loads, moves);
    shift.spread();
    if to_the_end || shift.is_worth_it() {
        shift.even_out();
    }
}

/// The movable leases, by the member that would hold them.
struct Shift<'a, 'm> {
    items: &'a [Item],
    costs: &'a [u64],
    assignment: &'a mut Placement,
    loads: &'a mut Loads<'m>,
    /// The movable leases of each member, by cost.
    movable: Vec<BTreeSet<(u64, usize)>>,
    /// Members with movable leases, by cost.
    donors: BTreeSet<(u64, WorkerNo)>,
    moves: usize,
}

impl<'a, 'm> Shift<'a, 'm> {
    fn new(
        items: &'a [Item],
        costs: &'a [u64],
        assignment: &'a mut Placement,
        loads: &'a mut Loads<'m>,
        moves: usize,
    ) -> Self {
        let mut movable: Vec<BTreeSet<(u64, usize)>> = vec![BTreeSet::new(); loads.len()];
        for (n, item) in items.iter().enumerate() {
            if let (Ownership::Held(holder), None) = (item.ownership, assignment[n])
                && !item.stays()
            {
                movable[holder].insert((costs[n], n));
            }
        }
        let yields = (0..movable.len()).filter(|worker| !movable[*worker].is_empty());
        let donors = yields.map(|worker| (loads.cost(worker), worker)).collect();
        Shift { items, costs, assignment, loads, movable, donors, moves }
    }

    /// Balances by number: leases above a capacity, or far above an even share, move first, the
    /// lightest ones of them.
    fn spread(&mut self) {
        for from in 0..self.movable.len() {
            while let Some((n, to)) = self.relief(from) {
                if !self.carry(n, from, to) {
                    return;
                }
            }
        }
    }

    /// The lease that a member with too many leases gives away first, and the member that gets it.
    fn relief(&self, from: WorkerNo) -> Option<(usize, WorkerNo)> {
        let (excess, many) = (self.loads.excess(from) > 0, self.loads.has_too_many(from));
        self.movable[from].iter().take(if self.loads.alike { 1 } else { usize::MAX }).find_map(|(_, n)| {
            let serves = |to: &WorkerNo| self.loads.serves(*to, self.items[*n].stream);
            let to = match (excess, many) {
                (true, _) => self.loads.lightest_first().find(serves),
                (false, true) => self.loads.lightest_of_few().find(serves),
                (false, false) => None,
            };
            Some((*n, to.filter(|to| *to != from)?))
        })
    }

    /// Members that weight may move to, the lightest first. If all members serve the same streams,
    /// the first one suffices.
    fn takers(&self) -> Vec<WorkerNo> {
        self.loads.lightest_of_few().take(if self.loads.alike { 1 } else { usize::MAX }).collect()
    }

    /// Whether some member would still carry too much if all of its leases weighed a sixth less and
    /// all others' a quarter more. Weights that are 20 % wrong in either direction can be off by
    /// that much.
    fn is_worth_it(&self) -> bool {
        self.takers().into_iter().any(|to| self.is_worth_it_for(to))
    }

    fn is_worth_it_for(&self, to: WorkerNo) -> bool {
        let (there, nothing) = (self.loads.cost(to) * 30, NOTHING * 24);
        self.donors.iter().rev().filter(|(_, from)| *from != to).any(|(cost, from)| {
            let here = cost * 20;
            let mut movable = self.movable[*from].iter().filter(|(_, n)| self.loads.serves(to, self.items[*n].stream));
            let Some(lightest) = movable.next().map(|(cost, _)| cost * 30) else { return false };
            here > there + there / 20 + nothing && here > there + lightest + nothing
        })
    }

    /// Moves weight from the heaviest member that can be relieved to the lightest, until they are
    /// equal.
    fn even_out(&mut self) {
        for _ in 0..self.items.len() * STEPS {
            let best = self.takers().into_iter().find_map(|to| {
                let there = self.loads.cost(to);
                let heavy = |cost: u64| cost > there + there / 20 + NOTHING;
                self.donors.iter().rev().take_while(|(cost, _)| heavy(*cost)).find_map(|(cost, from)| {
                    let n = (*from != to).then(|| self.best(*from, to, cost - there))?;
                    Some((n?, *from, to))
                })
            });
            let Some((n, from, to)) = best else { return };
            if !self.carry(n, from, to) {
                return;
            }
        }
    }

    /// The lease whose move narrows the difference most without reversing it.
    fn best(&self, from: WorkerNo, to: WorkerNo, gap: u64) -> Option<usize> {
        let half = gap / 2;
        let serves = |(_, n): &&(u64, usize)| self.loads.serves(to, self.items[*n].stream);
        let below = self.movable[from].range(..=(half, usize::MAX)).rfind(serves);
        let above = self.movable[from].range((half + 1, 0)..(gap, 0)).find(serves);
        let closes = |cost: u64| cost.min(gap - cost);
        let best = [below, above].into_iter().flatten().max_by_key(|(cost, _)| closes(*cost));
        best.map(|(_, n)| *n)
    }

    /// Moves one lease. Returns false if no more leases may move at a time.
    fn carry(&mut self, n: usize, from: WorkerNo, to: WorkerNo) -> bool {
        let back = self.items[n].ownership == Ownership::Held(to);
        if self.assignment[n].is_none() {
            let Some(left) = self.moves.checked_sub(1) else { return false };
            self.moves = left;
        }
        self.moves += usize::from(back);
        self.assignment[n] = (!back).then_some(to);
        let cost = self.costs[n];
        for worker in [from, to] {
            self.donors.remove(&(self.loads.cost(worker), worker));
        }
        self.loads.remove(from, cost);
        self.loads.add(to, cost);
        self.movable[from].remove(&(cost, n));
        self.movable[to].insert((cost, n));
        for worker in [from, to] {
            if !self.movable[worker].is_empty() {
                self.donors.insert((self.loads.cost(worker), worker));
            }
        }
        true
    }
}
