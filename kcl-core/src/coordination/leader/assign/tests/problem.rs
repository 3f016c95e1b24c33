//! Problems of every size, each from three numbers.

use super::super::{Item, Member, Placement, Rules, Standing, WorkerNo};
use crate::config::BalanceBy;
use fastrand::Rng;
use proptest::prelude::*;

pub(super) fn members(n: usize) -> Vec<Member> {
    vec![Member { capacity: usize::MAX, unfit: false, serves: None }; n]
}

pub(super) fn free() -> Item {
    Item { standing: Standing::Free, promised: None, weight: 0, stream: 0 }
}

pub(super) fn held(by: WorkerNo) -> Item {
    Item { standing: Standing::Held(by), promised: None, weight: 0, stream: 0 }
}

pub(super) fn rules(moves_in_flight: usize) -> Rules {
    Rules { moves_in_flight, balance_by: BalanceBy::Leases, moving: false }
}

/// How large a problem is, and what it is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) workers: usize,
    pub(super) leases: usize,
    pub(super) seed: u64,
}

/// 1 to 500 workers and 1 to 10,000 leases, small ones as often as large ones.
pub(super) fn sizes() -> impl Strategy<Value = Size> {
    let upto = |most: f64| (0.0..=most.ln()).prop_map(|log| log.exp().round() as usize);
    (upto(500.0), upto(10_000.0), any::<u64>()).prop_map(|(workers, leases, seed)| Size { workers, leases, seed })
}

/// Some at the full size.
pub(super) fn full_sizes() -> impl Iterator<Item = Size> {
    (0..2).map(|seed| Size { workers: 500, leases: 10_000, seed })
}

/// What may make a problem harder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Members alike, nothing promised.
    Plain,
    /// Capacities, unfit members and pending_moves.
    Full,
}

#[derive(Debug)]
pub(super) struct Problem {
    pub(super) members: Vec<Member>,
    pub(super) items: Vec<Item>,
    pub(super) rng: Rng,
}

pub(super) fn problem(size: Size, kind: Kind) -> Problem {
    let Size { workers, leases, seed } = size;
    let mut rng = Rng::with_seed(seed);
    let mut members = members(workers);
    if kind == Kind::Full {
        let (capped, unfit, most) = (rng.f64(), rng.f64() * rng.f64(), 2 * leases / workers + 2);
        for member in &mut members {
            member.unfit = rng.f64() < unfit;
            if rng.f64() < capped {
                member.capacity = rng.usize(0..most);
            }
        }
    }
    // HeldLease by all, or by few of them; much of it free, or little.
    let (holders, unread, promised) = (rng.usize(1..=workers), rng.f64() * rng.f64(), rng.f64() * rng.f64());
    let item = |_| {
        let standing = match rng.f64() {
            at if at < unread / 2.0 => Standing::Free,
            at if at < unread => Standing::Leaving,
            _ => Standing::Held(rng.usize(0..holders)),
        };
        let to = rng.usize(0..workers);
        let promised = kind == Kind::Full && rng.f64() < promised && standing != Standing::Held(to);
        Item { standing, promised: promised.then_some(to), weight: 0, stream: 0 }
    };
    let items = (0..leases).map(item).collect();
    Problem { members, items, rng }
}

/// Who reads each item once the plan is carried out.
pub(super) fn carried_out(items: &[Item], assignment: &Placement) -> Vec<Option<WorkerNo>> {
    let after = |(item, to): (&Item, &Option<WorkerNo>)| match (to, item.standing) {
        (Some(to), _) => Some(*to),
        (None, Standing::Held(by)) => Some(by),
        (None, Standing::Free | Standing::Leaving) => None,
    };
    items.iter().zip(assignment).map(after).collect()
}

/// The same problem after that.
pub(super) fn settled(items: &[Item], assignment: &Placement) -> Vec<Item> {
    let readers = carried_out(items, assignment);
    let after = |(item, reader): (&Item, Option<WorkerNo>)| {
        let standing = reader.map_or(item.standing, Standing::Held);
        Item { standing, promised: None, ..*item }
    };
    items.iter().zip(readers).map(after).collect()
}

pub(super) fn counts(readers: &[Option<WorkerNo>], members: usize) -> Vec<usize> {
    let mut counts = vec![0; members];
    readers.iter().flatten().for_each(|reader| counts[*reader] += 1);
    counts
}

/// How many leases are taken from members.
pub(super) fn moves(items: &[Item], assignment: &Placement) -> usize {
    let moves = |(item, to): &(&Item, &Option<WorkerNo>)| matches!(item.standing, Standing::Held(_)) && to.is_some();
    items.iter().zip(assignment).filter(moves).count()
}
