//! Solves the assignment as an abstract problem: items, members and a few numbers. Pure. The README
//! in this folder lists the properties that it keeps.

mod by_bytes;
mod by_leases;
mod loads;

use crate::config::BalanceBy;
use loads::Loads;
use std::collections::BTreeSet;

/// A worker, by its index in the list of members.
pub(crate) type WorkerNo = usize;

/// A stream, by its index among the streams of the leases.
pub(crate) type StreamNo = usize;

/// A worker that can be given leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The most leases that it may hold.
    pub(crate) capacity: usize,
    /// It recently did not carry out an assignment: it is given leases only if there is no other
    /// member.
    pub(crate) avoided: bool,
    /// The streams whose leases it can hold; `None` for any.
    pub(crate) serves: Option<BTreeSet<StreamNo>>,
}

impl Member {
    /// Whether it can hold leases of this stream.
    pub(crate) fn serves(&self, stream: StreamNo) -> bool {
        self.serves.as_ref().is_none_or(|streams| streams.contains(&stream))
    }
}

/// Who reads a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Nobody reads it.
    Free,
    /// A member reads it.
    Held(WorkerNo),
    /// A worker that is not a member any more reads it: it shuts down, or no longer serves the
    /// stream.
    Leaving,
}

/// A lease that needs a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) ownership: Ownership,
    /// The member that the lease is reserved for: the target of a pending move, or the member that
    /// has to have it whatever balance asks for.
    pub(crate) reserved_for: Option<WorkerNo>,
    /// Bytes per second. Unused if leases are counted.
    pub(crate) weight: u64,
    /// The lease's stream.
    pub(crate) stream: StreamNo,
}

impl Item {
    /// Whether it is reserved for the member that reads it, so that balance does not move it.
    fn stays(&self) -> bool {
        matches!(self.ownership, Ownership::Held(holder) if self.reserved_for == Some(holder))
    }
}

/// How items are assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// The most leases that are moved away from members at a time.
    pub(crate) moves_in_flight: usize,
    /// What is balanced.
    pub(crate) balance_by: BalanceBy,
    /// Leases were moving in the last cycle: a balance that was begun is completed. (Only by
    /// bytes.)
    pub(crate) moving: bool,
}

/// For each item, the member that is to acquire it; `None` if it stays where it is.
pub(crate) type Placement = Vec<Option<WorkerNo>>;

/// Assigns items that need a reader, keeps reservations, and moves as few leases as balance
/// requires.
pub(crate) fn assign(members: &[Member], items: &[Item], options: Options) -> Placement {
    let mut assignment: Placement = vec![None; items.len()];
    if members.is_empty() {
        return assignment;
    }
    let costs = costs(items, options.balance_by);
    let mut loads = Loads::new(members, items.len(), options.balance_by);
    let mut moving = 0;
    let mut unread = Vec::new();
    for (n, item) in items.iter().enumerate() {
        match (item.ownership, item.reserved_for) {
            (Ownership::Held(holder), Some(to)) if to != holder => {
                moving += 1;
                assignment[n] = Some(to);
                loads.add(to, costs[n]);
            }
            (Ownership::Held(holder), _) => loads.add(holder, costs[n]),
            (Ownership::Free | Ownership::Leaving, Some(to)) => {
                assignment[n] = Some(to);
                loads.add(to, costs[n]);
            }
            (Ownership::Free | Ownership::Leaving, None) => unread.push(n),
        }
    }
    // The heaviest first, so that the lighter ones even out the rest. (The sort is stable: equal
    // ones stay in order.)
    unread.sort_by_key(|n| std::cmp::Reverse(costs[*n]));
    for n in unread {
        let Some(to) = loads.lightest_for(items[n].stream) else { continue };
        assignment[n] = Some(to);
        loads.add(to, costs[n]);
    }
    let moves = options.moves_in_flight.saturating_sub(moving);
    match options.balance_by {
        BalanceBy::Leases => by_leases::balance(items, &mut assignment, &mut loads, moves),
        BalanceBy::Bytes => {
            let to_the_end = options.moving || moving > 0;
            by_bytes::balance(items, &costs, &mut assignment, &mut loads, moves, to_the_end);
        }
    }
    assignment
}

/// The cost of each item for its reader.
fn costs(items: &[Item], by: BalanceBy) -> Vec<u64> {
    match by {
        BalanceBy::Leases => vec![1; items.len()],
        BalanceBy::Bytes => by_bytes::costs(items),
    }
}

#[cfg(test)]
mod tests;
