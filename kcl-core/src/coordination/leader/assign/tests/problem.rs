//! Generates problems of any size, each from three numbers.

use super::super::{Item, Member, Options, Ownership, Placement, WorkerNo};
use crate::config::BalanceBy;
use fastrand::Rng;
use proptest::prelude::*;

pub(super) fn members(n: usize) -> Vec<Member> {
    vec![Member { capacity: usize::MAX, avoided: false, serves: None }; n]
}

pub(super) fn free() -> Item {
    Item { ownership: Ownership::Free, reserved_for: None, weight: 0, stream: 0 }
}

pub(super) fn held(by: WorkerNo) -> Item {
    Item { ownership: Ownership::Held(by), reserved_for: None, weight: 0, stream: 0 }
}

pub(super) fn options(moves_in_flight: usize) -> Options {
    Options { moves_in_flight, balance_by: BalanceBy::Leases, moving: false }
}

/// The size of a problem, and its seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) workers: usize,
    pub(super) leases: usize,
    pub(super) seed: u64,
}

/// 1 to 500 workers and 1 to 10,000 leases, on a logarithmic scale.
pub(super) fn sizes() -> impl Strategy<Value = Size> {
    let upto = |most: f64| (0.0..=most.ln()).prop_map(|log| log.exp().round() as usize);
    (upto(500.0), upto(10_000.0), any::<u64>()).prop_map(|(workers, leases, seed)| Size { workers, leases, seed })
}

/// Some problems of the full size.
pub(super) fn full_sizes() -> impl Iterator<Item = Size> {
    (0..2).map(|seed| Size { workers: 500, leases: 10_000, seed })
}

/// Which complications a problem has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Equal members, no pending moves.
    Plain,
    /// Capacities, avoided members and pending moves.
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
        let (capped, avoided, most) = (rng.f64(), rng.f64() * rng.f64(), 2 * leases / workers + 2);
        for member in &mut members {
            member.avoided = rng.f64() < avoided;
            if rng.f64() < capped {
                member.capacity = rng.usize(0..most);
            }
        }
    }
    // Leases are held by all members or by few, and many or few are free.
    let (holders, unread, reserved_for) = (rng.usize(1..=workers), rng.f64() * rng.f64(), rng.f64() * rng.f64());
    let item = |_| {
        let ownership = match rng.f64() {
            at if at < unread / 2.0 => Ownership::Free,
            at if at < unread => Ownership::Leaving,
            _ => Ownership::Held(rng.usize(0..holders)),
        };
        let to = rng.usize(0..workers);
        let reserved_for = kind == Kind::Full && rng.f64() < reserved_for && ownership != Ownership::Held(to);
        Item { ownership, reserved_for: reserved_for.then_some(to), weight: 0, stream: 0 }
    };
    let items = (0..leases).map(item).collect();
    Problem { members, items, rng }
}

/// Who reads each item once the assignment is carried out.
pub(super) fn carried_out(items: &[Item], assignment: &Placement) -> Vec<Option<WorkerNo>> {
    let after = |(item, to): (&Item, &Option<WorkerNo>)| match (to, item.ownership) {
        (Some(to), _) => Some(*to),
        (None, Ownership::Held(by)) => Some(by),
        (None, Ownership::Free | Ownership::Leaving) => None,
    };
    items.iter().zip(assignment).map(after).collect()
}

/// The problem after that.
pub(super) fn settled(items: &[Item], assignment: &Placement) -> Vec<Item> {
    let readers = carried_out(items, assignment);
    let after = |(item, reader): (&Item, Option<WorkerNo>)| {
        let ownership = reader.map_or(item.ownership, Ownership::Held);
        Item { ownership, reserved_for: None, ..*item }
    };
    items.iter().zip(readers).map(after).collect()
}

pub(super) fn counts(readers: &[Option<WorkerNo>], members: usize) -> Vec<usize> {
    let mut counts = vec![0; members];
    readers.iter().flatten().for_each(|reader| counts[*reader] += 1);
    counts
}

/// The number of leases that move away from members.
pub(super) fn moves(items: &[Item], assignment: &Placement) -> usize {
    let moves = |(item, to): &(&Item, &Option<WorkerNo>)| matches!(item.ownership, Ownership::Held(_)) && to.is_some();
    items.iter().zip(assignment).filter(moves).count()
}
