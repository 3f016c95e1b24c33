//! Balances by number: members' numbers of leases differ by at most one.

use super::loads::Loads;
use super::{Item, Ownership, Placement, WorkerNo};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The order of members that give leases away: by excess over the capacity, by number of leases,
/// and by index.
type Donor = (usize, usize, Reverse<WorkerNo>);

/// Moves leases from the member with the most leases to the one with the fewest, while they differ
/// by two or more, or while a member exceeds its capacity and another has room.
pub(super) fn balance(items: &[Item], assignment: &mut Placement, loads: &mut Loads<'_>, mut moves: usize) {
    let mut settled: Vec<Vec<usize>> = Vec::new();
    for (n, item) in items.iter().enumerate() {
        if let (Ownership::Held(holder), None) = (item.ownership, assignment[n])
            && !item.stays()
        {
            if settled.len() <= holder {
                settled.resize(holder + 1, Vec::new());
            }
            settled[holder].push(n);
        }
    }
    let donor = |loads: &Loads<'_>, worker: WorkerNo| (loads.excess(worker), loads.count(worker), Reverse(worker));
    let mut donors: BTreeSet<Donor> = BTreeSet::new();
    donors.extend((0..settled.len()).filter(|worker| !settled[*worker].is_empty()).map(|worker| donor(loads, worker)));
    while moves > 0 {
        let Some(Move { first, at, to }) = next(items, &settled, &donors, loads) else { return };
        let Reverse(from) = first.2;
        let gives_too = donors.remove(&donor(loads, to));
        donors.remove(&first);
        let n = settled[from].remove(at);
        assignment[n] = Some(to);
        loads.remove(from, 1);
        loads.add(to, 1);
        if !settled[from].is_empty() {
            donors.insert(donor(loads, from));
        }
        if gives_too {
            donors.insert(donor(loads, to));
        }
        moves -= 1;
    }
}

/// A move of one lease between two members.
struct Move {
    first: Donor,
    at: usize,
    to: WorkerNo,
}

/// The next move: from the first donor to the lightest member, or, if members serve different
/// streams, the nearest possible to that.
fn next(items: &[Item], settled: &[Vec<usize>], donors: &BTreeSet<Donor>, loads: &Loads<'_>) -> Option<Move> {
    for to in loads.lightest_first() {
        for first in donors.iter().rev().filter(|(.., Reverse(worker))| *worker != to) {
            let (excess, count, Reverse(from)) = *first;
            if count < loads.count(to) + 2 && excess == 0 {
                break;
            }
            if let Some(at) = settled[from].iter().rposition(|n| loads.serves(to, items[*n].stream)) {
                return Some(Move { first: *first, at, to });
            }
        }
        if loads.alike {
            break;
        }
    }
    None
}
